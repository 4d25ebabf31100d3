//! Times by hand, and ten years of several zones beside a walk through every minute.

use super::*;

fn calendar(cron: &str, zone: &str) -> Calendar {
    Calendar::new(Cron::parse(cron).expect("a good expression"), TimeZone::get(zone).expect("a zone"))
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// The ticks after an instant, as the clocks of the zone show them.
fn ticks(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let calendar = calendar(cron, zone);
    let all = std::iter::successors(calendar.next(instant(after)), |tick| calendar.next(*tick));
    all.take(count).map(|tick| tick.to_zoned_datetime(calendar.zone.clone()).strftime("%F %T %:z").to_string()).collect()
}

#[test]
fn a_time_that_does_not_exist_comes_after_the_gap() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ["2026-03-28 02:30:00 +01:00", "2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"]
    );
    assert_eq!(
        ticks("*/20 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2),
        ["2026-03-29 03:00:00 +02:00", "2026-03-30 02:00:00 +02:00"],
        "all of them at once is once"
    );
    assert_eq!(
        ticks("0 9 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z", 2),
        ["2011-12-31 00:00:00 +14:00", "2012-12-30 09:00:00 +14:00"],
        "a whole day that does not exist"
    );
    assert_eq!(
        ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
        ["2026-10-04 02:30:00 +11:00", "2026-10-05 02:15:00 +11:00"],
        "half an hour"
    );
}

#[test]
fn a_repeated_time_comes_once() {
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00"]
    );
    assert_eq!(
        ticks("*/30 1-3 * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", 6),
        [
            "2026-10-25 01:30:00 +02:00",
            "2026-10-25 02:00:00 +02:00",
            "2026-10-25 02:30:00 +02:00",
            "2026-10-25 03:00:00 +01:00",
            "2026-10-25 03:30:00 +01:00",
            "2026-10-26 01:00:00 +01:00",
        ]
    );
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1),
        ["2026-10-26 02:30:00 +01:00"],
        "also if somebody asks in the second of the hours"
    );
}

#[test]
fn what_comes_every_hour_comes_in_both_hours() {
    assert_eq!(
        ticks("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4),
        [
            "2026-10-25 02:00:00 +02:00",
            "2026-10-25 02:00:00 +01:00",
            "2026-10-25 03:00:00 +01:00",
            "2026-10-25 04:00:00 +01:00",
        ]
    );
    assert_eq!(
        ticks("15 * * * *", "Europe/Berlin", "2026-10-25T00:20:00Z", 1),
        ["2026-10-25 02:15:00 +01:00"]
    );
}

#[test]
fn rare_days_are_found() {
    assert_eq!(ticks("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["2104-02-29 00:00:00 +00:00"]);
    assert_eq!(ticks("0 0 L 2 *", "UTC", "2027-01-01T00:00:00Z", 2), [
        "2027-02-28 00:00:00 +00:00",
        "2028-02-29 00:00:00 +00:00"
    ]);
    assert_eq!(ticks("0 0 29 2 */6", "UTC", "2028-01-01T00:00:00Z", 1), ["2032-02-29 00:00:00 +00:00"]);
    assert_eq!(calendar("@yearly", "UTC").next(Timestamp::MAX), None);
    assert_eq!(ticks("*/20 59 23 31 12 *", "UTC", "2026-12-31T23:59:20.5Z", 2), [
        "2026-12-31 23:59:40 +00:00",
        "2027-12-31 23:59:00 +00:00"
    ]);
}

#[test]
fn the_latest_is_found_however_many_there_are() {
    let every = calendar("* * * * * *", "UTC");
    let (start, end) = (instant("2001-01-01T00:00:00Z"), instant("2026-01-01T00:00:00.7Z"));
    assert_eq!(every.latest(start, end), Some(instant("2026-01-01T00:00:00Z")));
    assert_eq!(every.latest(end, end), None);
    assert_eq!(every.latest(instant("2026-01-01T00:00:00Z"), end), None, "not the one that was");
    let yearly = calendar("@yearly", "UTC");
    assert_eq!(yearly.latest(start, end), Some(instant("2026-01-01T00:00:00Z")));
    assert_eq!(yearly.latest(start, instant("2001-12-31T23:59:59Z")), None);
    assert_eq!(yearly.latest(instant("2002-01-01T00:00:00.001Z"), instant("2002-12-31T00:00:00Z")), None);
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
        let day = if days.len() < 31 && weekdays.len() < 7 { by_day || by_weekday } else { by_day && by_weekday };
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
            let calendar = calendar(cron, zone);
            let found: Vec<_> = std::iter::successors(calendar.next(from), |tick| calendar.next(*tick))
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
