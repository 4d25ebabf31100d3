//! Times by hand; `tests/calendar.rs` has ten years of several zones.

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
    all.take(count)
        .map(|tick| tick.to_zoned_datetime(calendar.zone.clone()).strftime("%F %T %:z").to_string())
        .collect()
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
    assert_eq!(
        ticks("0 0 L 2 *", "UTC", "2027-01-01T00:00:00Z", 2),
        ["2027-02-28 00:00:00 +00:00", "2028-02-29 00:00:00 +00:00"]
    );
    assert_eq!(ticks("0 0 29 2 */6", "UTC", "2028-01-01T00:00:00Z", 1), ["2032-02-29 00:00:00 +00:00"]);
    assert_eq!(calendar("@yearly", "UTC").next(Timestamp::MAX), None);
    assert_eq!(
        ticks("*/20 59 23 31 12 *", "UTC", "2026-12-31T23:59:20.5Z", 2),
        ["2026-12-31 23:59:40 +00:00", "2027-12-31 23:59:00 +00:00"]
    );
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
