//! What an error of the database means for the caller.

use job_core::{BackendError, Effect, ErrorKind, seeded_bug};

pub(crate) const NAME: &str = "postgres";

/// A refusal that we decide ourselves.
pub(crate) fn refused(operation: &'static str, kind: ErrorKind, message: impl Into<String>) -> BackendError {
    BackendError::new(NAME, operation, kind, Effect::NotApplied, message)
}

/// An error before anything was sent.
pub(crate) fn not_sent(operation: &'static str, error: sqlx::Error) -> BackendError {
    let (kind, message) = match &error {
        sqlx::Error::Database(e) => {
            (kind_of(e.code().as_deref().unwrap_or_default()), format!("cannot connect: {}", e.message()))
        }
        sqlx::Error::PoolTimedOut => (ErrorKind::Transient, "no connection became free in time".to_owned()),
        sqlx::Error::Configuration(_) => (ErrorKind::Permanent, format!("cannot connect: {error}")),
        _ => (ErrorKind::Transient, format!("cannot connect: {error}")),
    };
    BackendError::new(NAME, operation, kind, Effect::NotApplied, message).with_source(error)
}

/// An error after the statement may have reached the server.
pub(crate) fn failed(operation: &'static str, error: sqlx::Error) -> BackendError {
    let (kind, effect, message) = match &error {
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            // The server speaks of its own end, or of a lost connection: the statement may have been committed.
            let effect = if (code.starts_with("57P") || code.starts_with("08"))
                && !seeded_bug!("postgres_lost_is_not_applied")
            {
                Effect::Unknown
            } else {
                Effect::NotApplied
            };
            (kind_of(&code), effect, format!("{} [{code}]", e.message()))
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            (ErrorKind::Permanent, Effect::Unknown, format!("the answer cannot be read: {error}"))
        }
        sqlx::Error::Encode(_) => (ErrorKind::Rejected, Effect::NotApplied, error.to_string()),
        _ => (ErrorKind::Transient, Effect::Unknown, error.to_string()),
    };
    BackendError::new(NAME, operation, kind, effect, message).with_source(error)
}

/// True if the server undid the statement because of another one: trying again at once is right.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if matches!(e.code().as_deref(), Some("40P01" | "40001")))
}

fn kind_of(code: &str) -> ErrorKind {
    match code.get(..2).unwrap_or_default() {
        "08" | "40" | "53" | "55" | "57" | "58" => ErrorKind::Transient,
        // 25006: a standby, or a server made read-only for a while.
        "25" if code == "25006" => ErrorKind::Transient,
        // SFKEY: a key is taken, and the job asked for an error then.
        "22" | "23" | "SF" => ErrorKind::Rejected,
        _ => ErrorKind::Permanent,
    }
}
