//! Names of limits.

use crate::names::InvalidName;
use crate::{Kind, QueueName};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The name of a limit: one that code gives, or that of a queue or a kind as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitName(Arc<str>);

/// What a queue's or a kind's own name is put behind; no name that code gives has a slash.
const OF_QUEUE: &str = "queue/";
const OF_KIND: &str = "kind/";

impl LimitName {
    /// A name that code gives: 1-64 of `a-z 0-9 _ - .`.
    ///
    /// # Errors
    /// [`InvalidName`] if it is anything else.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        crate::names::check_limit_name(name.as_ref()).map(|()| Self(name.as_ref().into()))
    }

    /// The limit on everything in a queue.
    #[must_use]
    pub fn of_queue(queue: &QueueName) -> Self {
        Self(format!("{OF_QUEUE}{queue}").into())
    }

    /// The limit on all jobs of a kind, in whatever queue.
    #[must_use]
    pub fn of_kind(kind: &Kind) -> Self {
        Self(format!("{OF_KIND}{kind}").into())
    }

    /// The name that was written as this text, by any of the constructors.
    ///
    /// # Errors
    /// [`InvalidName`] if none of them writes it.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if let Some(queue) = text.strip_prefix(OF_QUEUE) {
            return QueueName::new(queue).map(|q| Self::of_queue(&q));
        }
        match text.strip_prefix(OF_KIND) {
            Some(kind) => Kind::new(kind).map(|k| Self::of_kind(&k)),
            None => Self::new(text),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Borrow<str> for LimitName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let queue = LimitName::of_queue(&QueueName::from_static("email"));
        let kind = LimitName::of_kind(&Kind::from_static("send_invoice"));
        for name in [LimitName::new("stripe").expect("valid"), queue, kind] {
            assert_eq!(LimitName::parse(name.as_str()), Ok(name.clone()));
        }
        for bad in ["", "Stripe", "queue/", "queue/E", "kind/ ", "other/x"] {
            assert!(LimitName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(LimitName::new("queue/email").is_err());
    }
}
