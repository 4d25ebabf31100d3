//! Names that reach a store: validated once, cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is not valid: use 1-{max} of a-z 0-9 _ - .")]
pub struct InvalidName {
    what: &'static str,
    name: String,
    max: usize,
}

/// True if `name` is 1 to `max` bytes of `a-z 0-9 _ - .`.
const fn is_valid(name: &str, max: usize) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > max {
        return false;
    }
    let mut i = 0;
    while i < bytes.len() {
        if !matches!(bytes[i], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.') {
            return false;
        }
        i += 1;
    }
    true
}

fn check(what: &'static str, name: &str, max: usize) -> Result<(), InvalidName> {
    if is_valid(name, max) {
        return Ok(());
    }
    Err(InvalidName { what, name: name.chars().take(200).collect(), max })
}

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Text::Static(s) => s,
            Text::Shared(s) => s,
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $Name(Text);

        impl $Name {
            /// The longest name allowed, in bytes.
            pub const MAX: usize = $max;

            /// Checks and keeps a name.
            ///
            /// # Errors
            /// [`InvalidName`] if it is empty, too long or has other characters than `a-z 0-9 _ - .`.
            pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
                let name = name.as_ref();
                check($what, name, $max)?;
                Ok(Self(Text::Shared(name.into())))
            }

            /// A name known at compile time; in a `const` a bad one does not compile.
            ///
            /// # Panics
            /// If the name is not valid.
            #[must_use]
            pub const fn from_static(name: &'static str) -> Self {
                assert!(is_valid(name, $max), concat!($what, " is not valid: use a-z 0-9 _ - ."));
                Self(Text::Static(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl PartialEq for $Name {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }
        impl Eq for $Name {}
        impl PartialOrd for $Name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $Name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }
        impl std::hash::Hash for $Name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }
        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
        impl std::str::FromStr for $Name {
            type Err = InvalidName;
            fn from_str(s: &str) -> Result<Self, InvalidName> {
                Self::new(s)
            }
        }
    };
}

/// Checks the name of a limit.
pub(crate) fn check_limit_name(name: &str) -> Result<(), InvalidName> {
    check("limit name", name, 64)
}

name! {
    /// A named lane with its own concurrency: 1-64 of `a-z 0-9 _ - .`.
    QueueName, "queue name", 64
}
name! {
    /// The wire name of a job type: 1-128 of `a-z 0-9 _ - .`, never a module path.
    Kind, "job name", 128
}
name! {
    /// The name of a schedule within its queue: 1-128 of `a-z 0-9 _ - .`.
    ScheduleName, "schedule name", 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(QueueName::new("email-2.high_prio").is_ok());
        for bad in ["", "Email", "e mail", "e\0", "é", &"x".repeat(65)] {
            assert!(QueueName::new(bad).is_err(), "{bad:?}");
        }
        assert!(Kind::new("x".repeat(128)).is_ok());
        assert_eq!(Kind::from_static("a"), Kind::new("a").expect("valid"));
    }
}
