//! What handlers return.

use super::{MINUTE, Optional};
use job_core::{Action, IntoJobError, Job, JobContext, JobError, JobResult, ResultExt};
use job_macros::job;

/// An error type that decides, although it is an ordinary error as well.
#[derive(Debug, thiserror::Error)]
#[error("declined")]
struct Declined;

impl IntoJobError for Declined {
    fn into_job_error(self) -> JobError {
        JobError::permanent("declined for good")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("ordinary")]
struct Ordinary;

type Alias = Result<u8, Ordinary>;

#[job]
async fn returns_declined() -> Result<(), Declined> {
    Err(Declined)
}
#[job]
async fn returns_ordinary() -> Alias {
    Err(Ordinary)
}
#[job]
async fn returns_text() -> Result<(), String> {
    Err("text".into())
}
#[job]
async fn returns_str() -> Result<(), &'static str> {
    Err("str")
}
#[job]
async fn returns_boxed() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Err(Ordinary.into())
}
#[job]
async fn returns_anyhow() -> anyhow::Result<()> {
    Err(anyhow::anyhow!(Ordinary).context("while testing"))
}
#[job]
async fn returns_marked() -> anyhow::Result<()> {
    Err(Ordinary).permanent()?;
    Ok(())
}
#[job]
async fn returns_job_error() -> JobResult<u32> {
    Err(JobError::snooze(MINUTE))
}
#[job]
async fn returns_impl() -> Result<(), impl std::error::Error + Send + Sync> {
    Err::<(), _>(Ordinary)
}
#[job]
async fn returns_value() -> u32 {
    7
}
#[job]
async fn returns_ok() -> Result<String, Ordinary> {
    Ok("fine".into())
}

pub(crate) async fn failure<J: Job>(job: J) -> (Action, String) {
    let error = job.run(JobContext::test()).await.expect_err("fails");
    (error.action(), error.report())
}

#[tokio::test]
async fn every_return_type_becomes_the_right_outcome() {
    use Action::{Permanent, Retry, Snooze};
    assert_eq!(failure(ReturnsDeclined::new()).await, (Permanent, "declined for good".into()));
    assert_eq!(failure(ReturnsOrdinary::new()).await, (Retry, "ordinary".into()));
    assert_eq!(failure(ReturnsText::new()).await, (Retry, "text".into()));
    assert_eq!(failure(ReturnsStr::new()).await, (Retry, "str".into()));
    assert_eq!(failure(ReturnsBoxed::new()).await, (Retry, "ordinary".into()));
    assert_eq!(failure(ReturnsAnyhow::new()).await, (Retry, "while testing: ordinary".into()));
    assert_eq!(failure(ReturnsMarked::new()).await, (Permanent, "ordinary".into()));
    assert_eq!(failure(ReturnsJobError::new()).await, (Snooze(MINUTE), "snoozed".into()));
    assert_eq!(failure(ReturnsImpl::new()).await, (Retry, "ordinary".into()));
    ReturnsValue::new().run(JobContext::test()).await.expect("a value is a success");
    ReturnsOk::new().run(JobContext::test()).await.expect("succeeds");
    Optional::new(1).run(JobContext::test()).await.expect("a value is a success");
}
