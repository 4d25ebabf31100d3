//! What is wrong with an expression.

use std::error::Error;
use std::fmt;

/// Why an expression is refused, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    text: String,
    help: Option<String>,
    cron: String,
}

impl CronError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), help: None, cron: String::new() }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, about this expression.
    pub(crate) fn of(mut self, cron: &str) -> Self {
        self.cron = cron.chars().take(200).collect();
        self
    }

    /// What to write instead, if that can be said.
    #[must_use]
    pub fn fix(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in cron {:?}", self.text, self.cron)
    }
}

impl Error for CronError {}
