//! Idempotency and unique keys.

use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// The text of a key, within a scope (by default the kind of the job).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// A key with this text. Its length is checked at enqueue ([`KEY_BYTES_MAX`]).
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A key of several parts that cannot collide with other parts: each is written with its length.
    ///
    /// ```
    /// use job_core::Key;
    /// assert_ne!(Key::of_parts(&[&"a:b", &"c"]), Key::of_parts(&[&"a", &"b:c"]));
    /// ```
    #[must_use]
    pub fn of_parts(parts: &[&dyn KeyPart]) -> Self {
        let mut text = String::new();
        for part in parts {
            let part = part.key_part();
            // Writing to a String cannot fail.
            let _ = write!(text, "{}:{part};", part.len());
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Key {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// A value that can be part of a key: anything that serialises. Text stands for itself, everything else for its
/// JSON, whose object keys come in the order in which the type writes them.
pub trait KeyPart {
    /// The text that stands for the value.
    fn key_part(&self) -> String;
}

impl<T: Serialize + ?Sized> KeyPart for T {
    fn key_part(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(s)) => s,
            Ok(value) => value.to_string(),
            // A value that cannot be JSON cannot be stored as an argument either: enqueue reports it.
            Err(_) => String::new(),
        }
    }
}

/// "The same request": a later enqueue with the same key within the window returns the first job, also after that
/// job has completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// What the key is unique within; the kind unless set otherwise.
    pub scope: String,
    /// The key.
    pub key: Key,
    /// How long it is remembered, from the commit of the first enqueue, by the store's clock.
    pub window: Duration,
}

impl IdempotencyKey {
    /// How long a key is remembered unless set otherwise: 24 hours.
    pub const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
}

/// "One at a time": while a job with this key is live (not completed, dead or cancelled) a later enqueue returns
/// that job, or does what [`OnConflict`](crate::OnConflict) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    /// What the key is unique within; the kind unless set otherwise.
    pub scope: String,
    /// The key.
    pub key: Key,
}
