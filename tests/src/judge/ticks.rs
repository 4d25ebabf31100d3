//! Judges a run of schedulers that were killed: each tick has been enqueued exactly once.

use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is wrong with the ticks of a schedule that comes every second and makes up for all that it misses: of the seconds after
/// `first` and up to `last` each has one job. `found` has the tick of each job that was ever enqueued.
#[must_use]
pub fn check(first: Timestamp, last: Timestamp, found: &[Timestamp]) -> Vec<String> {
    let mut count: BTreeMap<Timestamp, usize> = BTreeMap::new();
    for tick in found {
        *count.entry(*tick).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for second in first.as_second() + 1..=last.as_second() {
        let Ok(tick) = Timestamp::from_second(second) else { continue };
        match count.remove(&tick) {
            Some(1) => {}
            Some(times) => wrong.push(format!("the tick {tick} was enqueued {times} times")),
            None => wrong.push(format!("the tick {tick} was not enqueued, and the watermark is past it")),
        }
    }
    wrong.extend(
        count.keys().map(|tick| format!("{tick} was enqueued, and is no decided tick of the schedule")),
    );
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> Timestamp {
        Timestamp::from_second(n).expect("in range")
    }

    fn wrong(found: &[i64]) -> Vec<String> {
        let found: Vec<_> = found.iter().map(|n| second(*n)).collect();
        check(Timestamp::from_millisecond(10_400).expect("in range"), second(14), &found)
    }

    #[test]
    fn each_tick_is_there_once() {
        assert_eq!(wrong(&[14, 11, 13, 12]), [""; 0]);
        assert!(wrong(&[11, 12, 14])[0].contains("1970-01-01T00:00:13Z was not enqueued"));
        assert!(wrong(&[11, 12, 12, 13, 14])[0].contains("00:00:12Z was enqueued 2 times"));
        assert!(wrong(&[10, 11, 12, 13, 14])[0].contains("no decided tick"));
        assert!(wrong(&[11, 12, 13, 14, 15])[0].contains("no decided tick"));
        assert_eq!(wrong(&[]).len(), 4);
    }
}
