//! Which ticks fire now. No clock and no store: both are given.

use super::calendar::Calendar;
use super::policy::Missed;
use jiff::Timestamp;
use std::time::Duration;

/// A step of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Up to here it is decided then.
    pub(crate) to: Timestamp,
    /// The ticks that fire, in order.
    pub(crate) ticks: Vec<Timestamp>,
}

/// What is due between the watermark and now.
pub(crate) fn due(calendar: &Calendar, missed: Missed, watermark: Timestamp, now: Timestamp) -> Option<Plan> {
    let latest = calendar.latest(watermark, now)?;
    let ticks = match missed {
        Missed::Skip { grace } if between(latest, now) > grace => Vec::new(),
        Missed::Skip { .. } | Missed::Once => vec![latest],
        Missed::All { max } => {
            let mut ticks = vec![latest];
            while ticks.len() < max as usize
                && let Some(before) = ticks.last().and_then(|tick| before(calendar, watermark, *tick))
            {
                ticks.push(before);
            }
            ticks.reverse();
            ticks
        }
    };
    Some(Plan { to: latest, ticks })
}

fn before(calendar: &Calendar, watermark: Timestamp, tick: Timestamp) -> Option<Timestamp> {
    let until = Timestamp::from_second(tick.as_second() - 1).ok()?;
    (watermark < until).then(|| calendar.latest(watermark, until)).flatten()
}

/// The time from one instant to a later one; none if it is not later.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use job_cron::Cron;

    fn instant(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    /// A schedule that comes at each full hour, decided at midnight, looked at later.
    fn at(missed: Missed, now: &str) -> Option<Vec<String>> {
        let hourly = Calendar::new(Cron::parse("@hourly").expect("known"), TimeZone::UTC);
        let plan = due(&hourly, missed, instant("2026-01-01T00:00:00Z"), instant(now))?;
        assert_eq!(Some(plan.to), hourly.latest(instant("2026-01-01T00:00:00Z"), instant(now)));
        Some(plan.ticks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        for missed in [Missed::skip(), Missed::Once, Missed::All { max: 5 }] {
            assert_eq!(at(missed, "2026-01-01T00:59:59.999Z"), None);
            assert_eq!(at(missed, "2026-01-01T01:00:00Z"), Some(vec!["2026-01-01T01:00:00Z".into()]));
        }
    }

    #[test]
    fn missed_ticks_are_skipped_or_made_up_for() {
        let late = "2026-01-01T05:30:00Z";
        let five = "2026-01-01T05:00:00Z".to_owned();
        assert_eq!(at(Missed::skip(), late), Some(vec![]));
        assert_eq!(at(Missed::Skip { grace: Duration::from_secs(1800) }, late), Some(vec![five.clone()]));
        assert_eq!(at(Missed::skip(), "2026-01-01T05:01:00Z"), Some(vec![five.clone()]));
        assert_eq!(at(Missed::skip(), "2026-01-01T05:01:00.001Z"), Some(vec![]));
        assert_eq!(at(Missed::Once, late), Some(vec![five.clone()]));
        assert_eq!(
            at(Missed::All { max: 3 }, late),
            Some(vec!["2026-01-01T03:00:00Z".into(), "2026-01-01T04:00:00Z".into(), five])
        );
        assert_eq!(at(Missed::All { max: 1000 }, late).map(|ticks| ticks.len()), Some(5));
    }
}
