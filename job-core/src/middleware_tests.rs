//! Layers without a runtime.

use super::*;
use crate::{Kind, QueueName};
use std::sync::Mutex;

type Seen = Arc<Mutex<Vec<String>>>;

/// Writes down what it is asked for; puts its name around payloads.
struct Noted(&'static str, Seen);

impl Noted {
    fn note(&self, what: &str) {
        self.1.lock().expect("no panic holds it").push(format!("{} {what}", self.0));
    }
}

impl Middleware for Noted {
    fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        job.payload = [self.0.as_bytes(), b"(", &job.payload, b")"].concat().into();
        Ok(())
    }
    fn open(&self, _: &JobContext, payload: Bytes) -> Result<Bytes, JobError> {
        let inner = payload.strip_prefix(self.0.as_bytes()).and_then(|p| p.strip_prefix(b"("));
        let inner = inner.and_then(|p| p.strip_suffix(b")")).ok_or("not mine")?;
        Ok(payload.slice_ref(inner))
    }
    fn run(&self, _: &JobContext, handler: JobFuture) -> JobFuture {
        self.note("runs");
        handler
    }
    fn ended(&self, _: &JobContext, _: &Verdict, _: Duration) {
        self.note("ended");
    }
}

/// Panics everywhere.
struct Bomb;

impl Middleware for Bomb {
    fn enqueue(&self, _: &mut NewJob) -> Result<(), EnqueueError> {
        panic!("no enqueue")
    }
    fn ended(&self, _: &JobContext, _: &Verdict, _: Duration) {
        panic!("no end")
    }
}

fn job() -> NewJob {
    NewJob::new(Kind::from_static("k"), QueueName::from_static("q"), "x")
}

fn two(seen: &Seen) -> Layers {
    let mut layers = Layers::default();
    layers.push(Noted("a", Arc::clone(seen)));
    layers.push(Arc::new(Noted("b", Arc::clone(seen))));
    layers
}

#[tokio::test]
async fn layers_are_put_on_in_order_and_taken_off_in_reverse() {
    let seen = Seen::default();
    let layers = two(&seen);
    let ctx = JobContext::test();
    let mut job = job();
    layers.enqueue(&mut job).expect("nobody refuses");
    assert_eq!(job.payload, "b(a(x))");
    assert_eq!(layers.open(&ctx, job.payload).expect("opens"), "x");
    layers.run(&ctx, Box::pin(async { Ok(()) })).await.expect("runs");
    layers.attempt(&ctx).expect("there are some").ended(&Verdict::Complete);
    // `run` is called from the inside out; its future is polled from the outside in.
    assert_eq!(*seen.lock().expect("no panic holds it"), ["b runs", "a runs", "b ended", "a ended"]);
    assert!(Layers::default().attempt(&ctx).is_none());
}

#[test]
fn a_panic_at_an_enqueue_is_a_refusal_that_names_the_middleware() {
    let mut layers = Layers::default();
    layers.push(Bomb);
    let error = layers.enqueue(&mut job()).expect_err("it panics").to_string();
    assert!(error.contains("Bomb panicked: no enqueue"), "{error}");
}

#[tokio::test]
async fn a_panic_at_the_end_stops_no_other_layer() {
    let seen = Seen::default();
    let mut layers = two(&seen);
    layers.push(Bomb);
    layers.attempt(&JobContext::test()).expect("there are some").ended(&Verdict::Complete);
    assert_eq!(*seen.lock().expect("no panic holds it"), ["b ended", "a ended"]);
}

/// Adds headers for ever.
struct Talker;

impl Middleware for Talker {
    fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        job.headers.insert("talk".into(), "x".repeat(NewJob::HEADER_BYTES_MAX));
        Ok(())
    }
}

#[test]
fn what_middleware_adds_obeys_the_limits_of_headers() {
    let mut layers = Layers::default();
    layers.push(Talker);
    let error = layers.enqueue(&mut job()).expect_err("too many").to_string();
    assert!(error.contains("the headers of k are 8196 bytes, the limit is 8192"), "{error}");
}
