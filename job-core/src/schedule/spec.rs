//! What a schedule says.

use super::calendar::Calendar;
use super::policy::{Missed, Overlap};
use crate::ScheduleName;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use job_cron::Cron;
use std::fmt;
use std::time::Duration;

/// When a job comes by the clock: a cron expression in a time zone, and what becomes of ticks that are missed or meet a run that
/// has not ended.
///
/// ```
/// use job_core::{Missed, Overlap, Schedule};
/// use std::time::Duration;
///
/// let nightly = Schedule::new("nightly", "30 2 * * *")?
///     .tz("Europe/Berlin")?
///     .missed(Missed::Once)
///     .overlap(Overlap::Skip)
///     .jitter(Duration::from_secs(30))?;
/// let after = "2026-03-28T12:00:00Z".parse()?;
/// // 02:30 does not exist on that day: it comes when the gap is over.
/// assert_eq!(nightly.next_after(after), Some("2026-03-29T01:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    pub(super) name: ScheduleName,
    pub(super) cron: String,
    pub(super) zone: String,
    pub(crate) missed: Missed,
    pub(super) overlap: Overlap,
    pub(super) jitter: Duration,
    parsed: Cron,
    found: TimeZone,
}

/// Why a schedule is refused, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError(String);

impl ScheduleError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScheduleError {}

impl Schedule {
    /// The longest jitter: a day.
    pub const JITTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// A schedule in UTC: missed ticks fire once, runs may overlap, no jitter. The expression has five fields (`minute hour day
    /// month weekday`) or six with seconds in front, or is a word such as `@daily`. If both day and weekday are restricted,
    /// either is enough, unless one of them begins with `*`.
    ///
    /// # Errors
    /// [`ScheduleError`] if the name is not 1-128 of `a-z 0-9 _ - .`, or the expression cannot be read; the text says what to
    /// write.
    pub fn new(name: impl AsRef<str>, cron: impl Into<String>) -> Result<Self, ScheduleError> {
        let cron = cron.into();
        let name = ScheduleName::new(name).map_err(|e| ScheduleError::new(e.to_string()))?;
        let parsed = Cron::parse(&cron).map_err(|error| {
            let help = error.fix().map_or_else(String::new, |fix| format!(": {fix}"));
            ScheduleError::new(format!("{error}{help}"))
        })?;
        let (missed, overlap, jitter) = (Missed::default(), Overlap::default(), Duration::ZERO);
        let (zone, found) = ("UTC".to_owned(), TimeZone::UTC);
        Ok(Self { name, cron, zone, missed, overlap, jitter, parsed, found })
    }

    /// By the clocks of this zone, an IANA name such as `Europe/Berlin`. A local time that a jump of the clocks leaves out comes
    /// right after the jump; one that comes twice fires the first time only, but what names every hour fires in both.
    ///
    /// The zones are those of the system, or those that came with this program if the system has none.
    ///
    /// # Errors
    /// [`ScheduleError`] if there is no such zone.
    pub fn tz(mut self, zone: impl Into<String>) -> Result<Self, ScheduleError> {
        let zone = zone.into();
        // A zone that is younger than those of the system may be among our own.
        let found = TimeZone::get(&zone).or_else(|_| TimeZoneDatabase::bundled().get(&zone));
        self.found = found.map_err(|_| {
            let shown: String = zone.chars().take(100).collect();
            ScheduleError::new(format!(
                "there is no time zone {shown:?}: write an IANA name such as Europe/Berlin"
            ))
        })?;
        self.zone = zone;
        Ok(self)
    }

    /// What becomes of ticks that nobody fired in time; [`Missed::Once`] unless set.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// What a tick does while a job of this schedule is live; [`Overlap::Allow`] unless set.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Delays each run by up to this time, so that not all of a fleet's runs begin in the same second. The delay is a function of
    /// schedule and tick: the same whoever fires it.
    ///
    /// # Errors
    /// [`ScheduleError`] if it is more than a day.
    pub fn jitter(mut self, jitter: Duration) -> Result<Self, ScheduleError> {
        if jitter > Self::JITTER_MAX {
            return Err(ScheduleError::new(format!("the jitter {jitter:?} is longer than a day")));
        }
        self.jitter = jitter;
        Ok(self)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &ScheduleName {
        &self.name
    }

    /// The first tick after this instant, without jitter; nothing at the end of time.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.calendar().next(after)
    }

    /// What cannot be: texts for `build()`.
    pub(crate) fn problem(&self) -> Option<String> {
        match self.missed {
            Missed::All { max } if max == 0 || max > Missed::ALL_MAX => {
                Some(format!("makes up for {max} missed ticks; use 1 to {}", Missed::ALL_MAX))
            }
            _ => None,
        }
    }

    pub(crate) fn calendar(&self) -> Calendar {
        Calendar::new(self.parsed, self.found.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For containers without zones of their own.
    #[test]
    fn zones_come_with_the_program() {
        for zone in ["Europe/Berlin", "Australia/Lord_Howe", "UTC"] {
            assert!(TimeZoneDatabase::bundled().get(zone).is_ok(), "{zone}");
        }
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let text = |result: Result<Schedule, ScheduleError>| result.expect_err("a mistake").to_string();
        assert!(text(Schedule::new("Bad Name", "@daily")).contains("schedule name"));
        assert_eq!(
            text(Schedule::new("n", "0 22-4 * * *")),
            r#"the hours 22-4 go backwards in cron "0 22-4 * * *": write 22-23,0-4"#
        );
        let daily = || Schedule::new("n", "@daily").expect("good");
        assert!(text(daily().tz("Mars/Olympus")).contains("Europe/Berlin"));
        assert!(text(daily().jitter(Duration::from_secs(90_000))).contains("a day"));
        assert!(daily().missed(Missed::All { max: 0 }).problem().is_some());
        assert_eq!(daily().missed(Missed::All { max: 1_000 }).problem(), None);
    }
}
