//! From what a handler returns to what became of its job.
//!
//! A handler may return a plain value or a `Result` whose error is `IntoJobError` or anything that `?` takes. No single
//! trait can say that: the two kinds of errors overlap. So the expansion of `#[job]` calls a method by name on a
//! concrete type, and rustc picks the first of these that fits.

use crate::outcome::{IntoJobError, JobError};
use serde::Serialize;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;

/// What a handler returned.
pub struct Outcome<T>(pub T);

impl<T> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome")
    }
}

// Methods of the type itself come before methods of traits, so a `Result` is never taken for a plain value even where
// it could be serialised as one.
impl<T, E> Outcome<Result<T, E>> {
    /// The result as it is.
    pub fn into_result(self) -> Result<T, E> {
        self.0
    }
}

/// Of everything that is no `Result`.
pub trait AsValue<T> {
    /// A value is a success.
    fn into_result(self) -> Result<T, Infallible>
    where
        T: Serialize;
}

impl<T> AsValue<T> for Outcome<T> {
    fn into_result(self) -> Result<T, Infallible>
    where
        T: Serialize,
    {
        Ok(self.0)
    }
}

/// The type of an error, to choose a conversion by. The macro calls `(&&&ErrorOf::of(&error)).job_error(error)`: each
/// `&` less is the next choice.
pub struct ErrorOf<E>(PhantomData<fn(E)>);

impl<E> ErrorOf<E> {
    /// The type of this error.
    pub fn of(_: &E) -> Self {
        Self(PhantomData)
    }
}

impl<E> fmt::Debug for ErrorOf<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorOf")
    }
}

/// First choice: the type decides itself.
pub trait AsIntoJobError<E> {
    /// The conversion.
    fn job_error(&self, error: E) -> JobError;
}

impl<E: IntoJobError> AsIntoJobError<E> for &&ErrorOf<E> {
    fn job_error(&self, error: E) -> JobError {
        error.into_job_error()
    }
}

/// Second choice: any error retries.
pub trait AsError<E> {
    /// The conversion.
    fn job_error(&self, error: E) -> JobError;
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> AsError<E> for &ErrorOf<E> {
    fn job_error(&self, error: E) -> JobError {
        JobError::retry(error)
    }
}

/// Neither: exists so that rustc prints the text at `IntoJobError`.
pub trait AsNothing<E> {
    /// Never called.
    fn job_error(&self, error: E) -> JobError
    where
        E: IntoJobError;
}

impl<E> AsNothing<E> for ErrorOf<E> {
    fn job_error(&self, error: E) -> JobError
    where
        E: IntoJobError,
    {
        error.into_job_error()
    }
}
