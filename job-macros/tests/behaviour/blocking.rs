//! Handlers on the blocking pool.

use super::outcomes::failure;
use job_core::{Job, JobContext};
use job_macros::job;

#[job(blocking)]
fn hash(text: String, ctx: &JobContext) -> Result<(), String> {
    assert_eq!(ctx.attempt(), 1);
    assert_ne!(text, "panic", "as told");
    Err(text)
}

#[tokio::test]
async fn a_blocking_job_runs_off_the_async_threads() {
    assert!(Thread::spec().blocking, "the runtime must know that it cannot drop the handler");
    assert!(!super::Plain::spec().blocking);
    let here = std::thread::current().id();
    THREAD.lock().expect("no panic").take();
    Thread::new().run(JobContext::test()).await.expect("runs");
    assert_ne!(THREAD.lock().expect("no panic").expect("ran"), here);
    assert_eq!(failure(Hash::new("broken".into())).await.1, "broken");
}

static THREAD: std::sync::Mutex<Option<std::thread::ThreadId>> = std::sync::Mutex::new(None);

#[job(blocking)]
fn thread() {
    *THREAD.lock().expect("no panic") = Some(std::thread::current().id());
}

#[tokio::test]
async fn a_panic_in_a_blocking_job_is_a_panic_of_the_job() {
    let error = tokio::spawn(Hash::new("panic".into()).run(JobContext::test())).await.expect_err("panics");
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().expect("a message");
    assert!(text.contains("as told"), "{text}");
}
