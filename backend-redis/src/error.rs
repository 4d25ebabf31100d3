//! What an error of the server means for the caller.

use job_core::{BackendError, Effect, ErrorKind};
use redis::{RedisError, ServerErrorKind};

pub(crate) const NAME: &str = "redis";

/// A refusal that we decide ourselves.
pub(crate) fn refused(operation: &'static str, kind: ErrorKind, message: impl Into<String>) -> BackendError {
    BackendError::new(NAME, operation, kind, Effect::NotApplied, message)
}

/// An answer that is not what the script gives.
pub(crate) fn unreadable(operation: &'static str) -> BackendError {
    let text = "the answer cannot be read";
    BackendError::new(NAME, operation, ErrorKind::Permanent, Effect::Unknown, text)
}

/// An error before anything was sent.
pub(crate) fn not_sent(operation: &'static str, error: RedisError) -> BackendError {
    let kind = match error.kind() {
        redis::ErrorKind::AuthenticationFailed | redis::ErrorKind::InvalidClientConfig => {
            ErrorKind::Permanent
        }
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => ErrorKind::Permanent,
        // There is no such database, or the server is a node of a cluster, which has only one.
        _ if error.to_string().contains("switch database") => ErrorKind::Permanent,
        _ => ErrorKind::Transient,
    };
    BackendError::new(NAME, operation, kind, Effect::NotApplied, format!("cannot connect: {error}"))
        .with_source(error)
}

/// An error after the call may have reached the server.
pub(crate) fn failed(operation: &'static str, error: RedisError) -> BackendError {
    let (kind, effect) = meaning(&error);
    BackendError::new(NAME, operation, kind, effect, error.to_string()).with_source(error)
}

fn meaning(error: &RedisError) -> (ErrorKind, Effect) {
    let Some(code) = error.code() else { return (ErrorKind::Transient, Effect::Unknown) };
    let text = error.detail().unwrap_or_default();
    // Servers before version 7 put the reason behind the place in the script.
    let full = code == "OOM" || text.contains("-OOM ") || text.contains("OOM command not allowed");
    match code {
        _ if full => (ErrorKind::Transient, Effect::NotApplied),
        "BUSY" | "LOADING" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "READONLY" | "MISCONF"
        | "NOREPLICAS" | "MOVED" | "ASK" | "NOSCRIPT" => (ErrorKind::Transient, Effect::NotApplied),
        "REJECTED" => (ErrorKind::Rejected, Effect::NotApplied),
        "WRONGTYPE" | "CROSSSLOT" | "NOAUTH" | "WRONGPASS" => (ErrorKind::Permanent, Effect::NotApplied),
        // Refused at the door, unless a script tells of it from within.
        "NOPERM" if !text.contains("script") => (ErrorKind::Permanent, Effect::NotApplied),
        _ => (ErrorKind::Permanent, Effect::Unknown),
    }
}

/// True if the script is not there: it has not run at all.
pub(crate) fn is_missing_script(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}

/// True if a cluster is changing hands and has not run the call.
pub(crate) fn is_moving(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "READONLY")
    )
}

/// True if the connection is of no more use: broken, or to a server that may not write any more.
pub(crate) fn is_connection_lost(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_timeout()
        || error.code() == Some("READONLY")
}
