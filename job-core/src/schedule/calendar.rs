//! When an expression comes in a time zone.
//!
//! The clocks of a zone jump. A local time that an expression names and that does not exist comes at the first instant after
//! the jump; one that exists twice comes once, the first time. An expression that names every hour is about time that passes,
//! so it comes in both of two equal hours: nobody wants an hour without what runs every five minutes.

use crate::seeded_bug;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use job_cron::Cron;

/// An expression in a time zone.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What comes at all comes within so many days: 29 February on a certain weekday, across a year that is no leap year.
const DAYS_MAX: u32 = 41 * 366;

impl Calendar {
    pub(crate) const fn new(cron: Cron, zone: TimeZone) -> Self {
        Self { cron, zone }
    }

    /// The first tick after this instant; nothing at the end of time.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Where the search is, exclusively: an instant, what the clocks show then, and how far they are off.
        let mut at = Timestamp::from_second(after.as_millisecond().div_euclid(1000)).ok()?;
        let mut offset = self.zone.to_offset(at);
        let mut shown = offset.to_datetime(at);
        loop {
            let found = self.next_shown(shown)?;
            let tick = offset.to_timestamp(found).ok()?;
            if self.zone.to_offset(tick) == offset {
                if self.is_repeated(found, offset) && !self.cron.has_every_hour() {
                    shown = found;
                    continue;
                }
                return Some(tick);
            }
            // The clocks jump on the way.
            let jump = self.jump(at, tick, offset)?;
            let new = self.zone.to_offset(jump);
            let show = new.to_datetime(jump);
            // Named, and left out by the jump.
            if found >= offset.to_datetime(jump) && found < show {
                return Some(jump);
            }
            (at, offset) = (jump, new);
            shown = show.checked_sub(SECOND).ok()?;
        }
    }

    /// The last tick after `after` and not after `until`.
    pub(crate) fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let comes = |second: i64| {
            let after = Timestamp::from_second(second).ok()?.max(after);
            self.next(after).filter(|tick| *tick <= until)
        };
        // A tick comes after `low` and not after `until`, and none after `high`.
        let mut low = after.as_millisecond().div_euclid(1000);
        let mut last = comes(low)?;
        let mut high = until.as_second() + 1;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match comes(middle) {
                Some(tick) => (low, last) = (middle, tick),
                None => high = middle,
            }
        }
        Some(last)
    }

    /// True if the clocks show this for the second time, at this offset.
    fn is_repeated(&self, shown: DateTime, offset: Offset) -> bool {
        if seeded_bug!("repeated_time_fires_twice") {
            return false;
        }
        let ambiguous = self.zone.to_ambiguous_timestamp(shown).offset();
        matches!(ambiguous, AmbiguousOffset::Fold { after, .. } if after == offset)
    }

    /// The first instant in a stretch of time at which the clocks are off by something else.
    fn jump(&self, from: Timestamp, to: Timestamp, offset: Offset) -> Option<Timestamp> {
        let (mut low, mut high) = (from.as_second(), to.as_second());
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.zone.to_offset(Timestamp::from_second(middle).ok()?) == offset {
                low = middle;
            } else {
                high = middle;
            }
        }
        Timestamp::from_second(high).ok()
    }

    /// What the clocks show next, after this, that the expression names; whether they ever show it or not.
    fn next_shown(&self, after: DateTime) -> Option<DateTime> {
        let from = after.checked_add(SECOND).ok()?;
        if self.has(from.date())
            && let Some(time) = self.next_time(from.time())
        {
            return Some(from.date().to_datetime(time));
        }
        let mut date = from.date();
        for _ in 0..DAYS_MAX {
            date = date.tomorrow().ok()?;
            if self.has(date) {
                return Some(date.to_datetime(self.next_time(Time::midnight())?));
            }
            if !self.cron.has_month(number(date.month())) {
                date = date.last_of_month();
            }
        }
        None
    }

    fn has(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        self.cron.has_month(number(date.month()))
            && self.cron.has_day(number(date.day()), number(date.days_in_month()), number(weekday))
    }

    /// The first time of a day that the expression names, from this one on.
    fn next_time(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (number(from.hour()), number(from.minute()), number(from.second()));
        for h in (hour..24).filter(|h| self.cron.has_hour(*h)) {
            let first = if h == hour { minute } else { 0 };
            for m in (first..60).filter(|m| self.cron.has_minute(*m)) {
                let first = if (h, m) == (hour, minute) { second } else { 0 };
                if let Some(s) = (first..60).find(|s| self.cron.has_second(*s)) {
                    let small = |n: u32| i8::try_from(n).ok();
                    return Time::new(small(h)?, small(m)?, small(s)?, 0).ok();
                }
            }
        }
        None
    }
}

fn number(small: i8) -> u32 {
    u32::from(small.unsigned_abs())
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
