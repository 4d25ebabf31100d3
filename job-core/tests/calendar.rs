//! Ten years of several zones, as schedules find them and as a walk through every quarter of an hour does.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use job_core::Schedule;

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn number(small: i8) -> u32 {
    u32::from(small.unsigned_abs())
}

/// What an expression names, read once more by other code; the seconds are those of quarters of an hour.
struct Plain([Vec<u32>; 5]);

impl Plain {
    fn new(cron: &str) -> Self {
        let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let words: Vec<&str> = cron.split(' ').collect();
        let mut fields: [Vec<u32>; 5] = Default::default();
        for (n, word) in words.iter().enumerate() {
            let (first, last) = bounds[n];
            for part in word.split(',') {
                let (range, step) = part.split_once('/').unwrap_or((part, "1"));
                let (from, to) = match range.split_once('-') {
                    Some((from, to)) => (from.parse().expect("a number"), to.parse().expect("a number")),
                    None if range == "*" => (first, last),
                    None => (range.parse().expect("a number"), range.parse().expect("a number")),
                };
                fields[n].extend((from..=to).step_by(step.parse().expect("a step")));
            }
        }
        Self(fields)
    }

    fn has(&self, t: DateTime) -> bool {
        let [minutes, hours, days, months, weekdays] = &self.0;
        if !minutes.contains(&number(t.minute())) || !hours.contains(&number(t.hour())) {
            return false;
        }
        let by_day = days.contains(&number(t.day()));
        let by_weekday = weekdays.contains(&number(t.weekday().to_sunday_zero_offset()));
        let day =
            if days.len() < 31 && weekdays.len() < 7 { by_day || by_weekday } else { by_day && by_weekday };
        day && months.contains(&number(t.month()))
    }

    /// Every tick among these quarters of an hour.
    fn among(&self, quarters: &[Quarter]) -> Vec<Timestamp> {
        let every_hour = self.0[1].len() == 24;
        let due = |q: &&Quarter| {
            let again = q.is_repeated && !every_hour;
            (self.has(q.shown) && !again) || q.left_out.iter().any(|t| self.has(*t))
        };
        quarters.iter().filter(due).map(|q| q.at).collect()
    }
}

/// A quarter of an hour in a zone.
struct Quarter {
    at: Timestamp,
    shown: DateTime,
    /// The clocks have shown this before.
    is_repeated: bool,
    /// What they have not shown since the one before.
    left_out: Vec<DateTime>,
}

fn quarters(zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Quarter> {
    let step = SignedDuration::from_mins(15);
    let (mut quarters, mut at, mut newest) = (Vec::new(), from + step, zone.to_datetime(from));
    while at <= to {
        let shown = zone.to_datetime(at);
        let left_out = std::iter::successors(Some(newest + step), |t| Some(*t + step));
        let left_out = left_out.take_while(|t| *t < shown).collect();
        quarters.push(Quarter { at, shown, is_repeated: shown <= newest, left_out });
        newest = newest.max(shown);
        at += step;
    }
    quarters
}

/// Zones with jumps of an hour, half an hour and a day, twice a year, four times (Ramadan), on other days, and none.
#[test]
fn ten_years_are_as_a_walk_through_them_finds() {
    const ZONES: [&str; 7] = [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Pacific/Apia",
        "Africa/Casablanca",
        "UTC",
    ];
    const CRONS: [&str; 10] = [
        "0 3 * * *",
        "30 2 * * *",
        "*/15 * 1-7,25-31 3,4,10,11 *",
        "15,45 0-5 * * *",
        "0 * * 1-4,9-12 *",
        "0 0 1 * *",
        "30 0 * * 0",
        "0 12 13 * 5",
        "45 1-23/2 * 3,4,10,11 *",
        "0 0 30 12 *",
    ];
    let (from, to) = (instant("2010-06-01T00:00:00Z"), instant("2020-06-01T00:00:00Z"));
    let mut all = 0;
    for zone in ZONES {
        let quarters = quarters(&TimeZone::get(zone).expect("a zone"), from, to);
        for cron in CRONS {
            let schedule = Schedule::new("s", cron).expect("good").tz(zone).expect("a zone");
            let found: Vec<_> =
                std::iter::successors(schedule.next_after(from), |tick| schedule.next_after(*tick))
                    .take_while(|tick| *tick <= to)
                    .collect();
            let walked = Plain::new(cron).among(&quarters);
            let differs = found.iter().zip(&walked).find(|(one, other)| one != other);
            assert_eq!((differs, found.len()), (None, walked.len()), "{cron} in {zone}");
            all += found.len();
        }
    }
    assert!(all > 1_000_000, "{all} ticks are too few to mean much");
}
