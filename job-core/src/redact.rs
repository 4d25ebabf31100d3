//! What may be shown of a job's arguments.

use crate::job::JobSpec;
use crate::{sealed, seeded_bug};
use serde_json::Value;

const HIDDEN: &str = "[redacted]";

impl JobSpec {
    /// The arguments for people to look at: of those that `redact` hides only the names are left. What an older version
    /// of the job stored under other names is hidden too. Encrypted arguments, and what is no JSON, become a text that
    /// says so.
    ///
    /// ```
    /// use job_core::{JobSpec, Kind};
    /// let mut spec = JobSpec::new(Kind::from_static("charge"));
    /// spec.shown = Some(vec!["order"]);
    /// let shown = spec.redacted(br#"{"order": 7, "card_number": "4111 1111"}"#);
    /// assert_eq!(shown["order"], 7);
    /// assert_eq!(shown["card_number"], "[redacted]");
    /// ```
    #[must_use]
    pub fn redacted(&self, payload: &[u8]) -> Value {
        if let Some(sealed) = sealed::parse(payload) {
            return format!("[encrypted with the key {}]", sealed.key).into();
        }
        match serde_json::from_slice(payload) {
            Ok(Value::Object(mut arguments)) => {
                for (name, value) in &mut arguments {
                    if !self.shows(name) {
                        *value = HIDDEN.into();
                    }
                }
                Value::Object(arguments)
            }
            Ok(_) if self.shown.is_some() => HIDDEN.into(),
            Ok(other) => other,
            Err(_) => format!("[{} bytes that are no JSON]", payload.len()).into(),
        }
    }

    /// True if this argument may be shown.
    fn shows(&self, name: &str) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.contains(&name)) || seeded_bug!("redacted_shown")
    }

    /// Why arguments do not fit, without what must not be shown: the texts of serde quote values.
    pub(crate) fn misfit(&self, path: &str, why: &serde_json::Error) -> String {
        let text = why.to_string();
        if path == "." {
            // Of the texts about the arguments as a whole, these quote names only.
            let names_only = why.is_syntax()
                || why.is_eof()
                || ["missing field", "duplicate field"].iter().any(|start| text.starts_with(start));
            return if self.shown.is_none() || names_only {
                text
            } else {
                format!(
                    "the arguments do not fit; why is not shown, for {} has redacted arguments",
                    self.kind
                )
            };
        }
        let argument = path.split(['.', '[']).next().unwrap_or_default();
        if self.shows(argument) {
            format!("at `{path}`: {text}")
        } else {
            // The path may name keys of a map, which are values too.
            format!("at `{argument}`: does not fit; why is not shown, for it is redacted")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn spec() -> JobSpec {
        let mut spec = JobSpec::new(Kind::from_static("charge"));
        spec.shown = Some(vec!["order"]);
        spec
    }

    #[test]
    fn what_is_not_listed_is_hidden() {
        let payload = br#"{"order": {"id": 7}, "card": "4111", "pan": "an older name"}"#;
        let shown = spec().redacted(payload);
        assert_eq!(shown, serde_json::json!({"order": {"id": 7}, "card": "[redacted]", "pan": "[redacted]"}));
        assert_eq!(spec().redacted(b"\"4111\""), "[redacted]");
        assert_eq!(spec().redacted(b"4111 1111"), "[9 bytes that are no JSON]");
        let all = JobSpec::new(Kind::from_static("plain")).redacted(payload);
        assert_eq!(all["card"], "4111");
    }
}
