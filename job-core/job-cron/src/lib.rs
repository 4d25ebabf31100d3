//! Cron expressions and rates: what a text says, and what is wrong with one. No clock, no calendar, no dependencies, so that a
//! macro and a runtime can read them the same way.

mod error;
mod field;
mod rate;

pub use error::CronError;
use field::{Field, Set};
pub use rate::Rate;

/// A cron expression: five fields, or six with seconds in front.
///
/// ```
/// use job_cron::Cron;
/// let cron = Cron::parse("30 3 * * mon-fri")?;
/// assert!(cron.has_hour(3) && !cron.has_hour(4));
/// assert_eq!(
///     Cron::parse("0 25 * * *").unwrap_err().to_string(),
///     r#"hour 25 is out of range 0-23 in cron "0 25 * * *""#
/// );
/// # Ok::<(), job_cron::CronError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cron {
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: Set,
    /// `L`: the last day of the month.
    last_day: bool,
    months: Set,
    weekdays: Set,
    /// One of the day fields begins with a star, so a day has to fit both. Else one is enough, as it has always been in cron.
    both_days: bool,
}

/// Words for whole expressions.
const ALIASES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The most days that each month has.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Reads an expression: `minute hour day month weekday`, or `second minute hour day month weekday`. Fields are `*`, values,
    /// ranges `1-5`, steps `*/15` and `1-30/2`, and lists of these; months and weekdays also by their English names of three
    /// letters; Sunday is 0 or 7; `L` is the last day of a month. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`
    /// stand for what they say.
    ///
    /// # Errors
    /// [`CronError`] says which field is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        Self::read(text.trim()).map_err(|error| error.of(text))
    }

    fn read(text: &str) -> Result<Self, CronError> {
        if text.starts_with('@') {
            let word = text.to_ascii_lowercase();
            return match ALIASES.iter().find(|(alias, _)| *alias == word) {
                Some((_, fields)) => Self::read(fields),
                None => Err(CronError::new(format!("{text} is not known"))
                    .help("write @hourly, @daily, @weekly, @monthly or @yearly, or five fields")),
            };
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let (second, rest) = match words.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            rest if rest.len() == 5 => ("0", rest),
            _ => {
                let text = format!("{} fields instead of 5 (or 6 with seconds)", words.len());
                return Err(CronError::new(text).help(
                    "write `minute hour day month weekday`, for example \"0 3 * * *\" for 03:00 every day",
                ));
            }
        };
        let [minute, hour, day, month, weekday] = rest else { unreachable!("counted above") };
        let last_day = day.split(',').any(|part| part.eq_ignore_ascii_case("l"));
        let days: Vec<&str> = day.split(',').filter(|part| !part.eq_ignore_ascii_case("l")).collect();
        let star = |word: &str| word.starts_with('*') || word == "?";
        let cron = Self {
            seconds: Field::SECOND.read(second)?,
            minutes: Field::MINUTE.read(minute)?,
            hours: Field::HOUR.read(hour)?,
            days: if days.is_empty() { Set::default() } else { Field::DAY.read(&days.join(","))? },
            last_day,
            months: Field::MONTH.read(month)?,
            weekdays: Field::WEEKDAY.read(weekday)?.sunday(),
            both_days: star(day) || star(weekday),
        };
        cron.check_days()?;
        Ok(cron)
    }

    /// An expression that never comes is a mistake.
    fn check_days(&self) -> Result<(), CronError> {
        let Some(first) = (1..=31).find(|day| self.days.has(*day)) else { return Ok(()) };
        let comes = (1..=12).any(|month| self.months.has(month) && first <= LONGEST[month as usize - 1]);
        if comes || self.last_day || !self.both_days {
            return Ok(());
        }
        let text = format!("no month of it has a day {first}, so it never comes");
        Err(CronError::new(text).help("write `L` for the last day of a month"))
    }

    /// True for seconds (0-59) that are named.
    #[must_use]
    pub const fn has_second(&self, second: u32) -> bool {
        self.seconds.has(second)
    }

    /// True for minutes (0-59) that are named.
    #[must_use]
    pub const fn has_minute(&self, minute: u32) -> bool {
        self.minutes.has(minute)
    }

    /// True for hours (0-23) that are named.
    #[must_use]
    pub const fn has_hour(&self, hour: u32) -> bool {
        self.hours.has(hour)
    }

    /// True for months (1-12) that are named.
    #[must_use]
    pub const fn has_month(&self, month: u32) -> bool {
        self.months.has(month)
    }

    /// True if the expression names every hour.
    #[must_use]
    pub const fn has_every_hour(&self) -> bool {
        self.hours.has_all(0, 23)
    }

    /// True for days of a month of `length` days that are named; `weekday` is 0 for Sunday.
    #[must_use]
    pub const fn has_day(&self, day: u32, length: u32, weekday: u32) -> bool {
        let by_day = self.days.has(day) || (self.last_day && day == length);
        let by_weekday = self.weekdays.has(weekday);
        if self.both_days { by_day && by_weekday } else { by_day || by_weekday }
    }
}

#[cfg(test)]
mod tests;
