//! A backend from a URL.

use job_core::Operate;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why there is no backend.
#[derive(Debug)]
pub struct ConnectError {
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ConnectError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

/// The backend that a URL names: `memory:`, `postgres://user:password@host/database` with the feature `postgres`, or
/// `redis://user:password@host:port/database` (`rediss:` for TLS, `redis+unix:///path` for a socket) with the feature `redis`.
///
/// # Errors
/// [`ConnectError`] if the URL has another scheme, this build lacks the feature for it, or the store refuses. The text
/// never holds the URL, which may contain a password.
pub async fn connect(url: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "memory" => memory(url),
        "postgres" | "postgresql" => postgres(url).await,
        "redis" | "rediss" | "redis+unix" | "unix" | "valkey" | "valkeys" => redis(url).await,
        _ => {
            let scheme: String = scheme.chars().take(32).collect();
            Err(ConnectError::new(format!(
                "no backend for {scheme:?} URLs: use memory:, postgres: or redis:"
            )))
        }
    }
}

/// The backend that an environment variable names; `memory:` if it is not set.
///
/// # Errors
/// As [`connect`].
pub async fn connect_env(variable: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    match std::env::var(variable) {
        Ok(url) => connect(&url).await,
        Err(std::env::VarError::NotPresent) => connect("memory:").await,
        Err(error) => Err(ConnectError::new(format!("{variable}: {error}"))),
    }
}

#[cfg(feature = "memory")]
fn memory(url: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    if !matches!(url, "memory:" | "memory://") {
        return Err(ConnectError::new("a memory: URL takes nothing after the colon"));
    }
    Ok(Arc::new(backend_memory::MemoryBackend::new()))
}

#[cfg(not(feature = "memory"))]
fn memory(_url: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    Err(missing("memory"))
}

#[cfg(any(feature = "postgres", feature = "redis"))]
fn refused(error: job_core::BackendError) -> ConnectError {
    ConnectError { message: error.to_string(), source: Some(Box::new(error)) }
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    Ok(Arc::new(backend_postgres::PostgresBackend::connect(url).await.map_err(refused)?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_url: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    Err(missing("postgres"))
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    Ok(Arc::new(backend_redis::RedisBackend::connect(url).await.map_err(refused)?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_url: &str) -> Result<Arc<dyn Operate>, ConnectError> {
    Err(missing("redis"))
}

#[cfg(not(all(feature = "memory", feature = "postgres", feature = "redis")))]
fn missing(feature: &str) -> ConnectError {
    ConnectError::new(format!(
        "this build cannot use {feature}: add the feature, `cargo add steadfast -F {feature}`"
    ))
}
