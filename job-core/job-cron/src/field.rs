//! One field of an expression.

use crate::error::CronError;

/// Small numbers, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Set(u64);

impl Set {
    pub(crate) const fn has(self, number: u32) -> bool {
        number < 64 && self.0 & (1 << number) != 0
    }

    pub(crate) const fn has_all(self, first: u32, last: u32) -> bool {
        let mut number = first;
        while number <= last {
            if !self.has(number) {
                return false;
            }
            number += 1;
        }
        true
    }

    fn add(&mut self, number: u32) {
        self.0 |= 1 << number;
    }

    /// Sunday is 0 as well as 7.
    pub(crate) fn sunday(mut self) -> Self {
        if self.has(7) {
            self.add(0);
        }
        self
    }
}

/// What may stand in a field.
pub(crate) struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Words for numbers, from `first` on.
    words: &'static [&'static str],
    /// `?` stands for `*`.
    any: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    pub(crate) const SECOND: Self = Self::new("second", 0, 59);
    pub(crate) const MINUTE: Self = Self::new("minute", 0, 59);
    pub(crate) const HOUR: Self = Self::new("hour", 0, 23);
    pub(crate) const DAY: Self = Self { any: true, ..Self::new("day", 1, 31) };
    pub(crate) const MONTH: Self = Self { words: &MONTHS, ..Self::new("month", 1, 12) };
    pub(crate) const WEEKDAY: Self = Self { words: &WEEKDAYS, any: true, ..Self::new("weekday", 0, 7) };

    const fn new(name: &'static str, first: u32, last: u32) -> Self {
        Self { name, first, last, words: &[], any: false }
    }

    /// The numbers that a field names.
    pub(crate) fn read(&self, text: &str) -> Result<Set, CronError> {
        let mut set = Set::default();
        for item in text.split(',') {
            self.read_item(item, &mut set)?;
        }
        Ok(set)
    }

    fn read_item(&self, item: &str, set: &mut Set) -> Result<(), CronError> {
        let name = self.name;
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        // The step counts from the first day of a week to its last, not to the second Sunday.
        let end = if self.last == 7 { 6 } else { self.last };
        let (first, last) = if range == "*" || (self.any && range == "?" && step.is_none()) {
            (self.first, end)
        } else if let Some((first, last)) = range.split_once('-') {
            let (from, to) = (self.number(first)?, self.number(last)?);
            if from > to {
                let text = format!("the {name}s {range} go backwards");
                let fix = format!("write {from}-{end},{}-{to}", self.first);
                return Err(CronError::new(text).help(fix));
            }
            (from, to)
        } else {
            let number = self.number(range)?;
            (number, if step.is_some() { end.max(number) } else { number })
        };
        let step = step.unwrap_or(1);
        if step > last - first && step > 1 {
            let text =
                format!("the step {step} is longer than the {name}s {first}-{last}, so only {first} is left");
            return Err(CronError::new(text).help(format!("write {first}, or a shorter step")));
        }
        for number in (first..=last).step_by(step as usize) {
            set.add(number);
        }
        Ok(())
    }

    fn step(&self, text: &str) -> Result<u32, CronError> {
        match text.parse::<u32>() {
            Ok(0) => {
                Err(CronError::new(format!("the step of the {}s is 0", self.name)).help("write 1 or more"))
            }
            Ok(step) => Ok(step),
            Err(_) => Err(CronError::new(format!("{text:?} is no step of {}s", self.name))
                .help("write a number after the slash, for example */5")),
        }
    }

    fn number(&self, text: &str) -> Result<u32, CronError> {
        let (name, first, last) = (self.name, self.first, self.last);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits {
            return match text.parse::<u32>() {
                Ok(number) if (first..=last).contains(&number) => Ok(number),
                _ => Err(CronError::new(format!("{name} {text} is out of range {first}-{last}"))),
            };
        }
        let word = self.words.iter().position(|word| text.eq_ignore_ascii_case(word));
        if let Some(place) = word.and_then(|place| u32::try_from(place).ok()) {
            return Ok(first + place);
        }
        let what = if text.is_empty() { "nothing".to_owned() } else { format!("{text:?}") };
        let error = CronError::new(format!("{what} is no {name}"));
        let names = self.words.first().zip(self.words.last());
        Err(match names {
            Some((from, to)) => error.help(format!("write {first}-{last}, or a name from {from} to {to}")),
            None => error.help(format!("write {first}-{last}, or *")),
        })
    }
}
