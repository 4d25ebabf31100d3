//! What the expansion of `#[job]` does.

mod blocking;
mod keys;
mod outcomes;
mod payload;

use job_core::{
    Backoff, FailureInfo, IdempotencyKey, Jitter, Job, JobContext, JobResult, JobSpec, Key, Priority,
    QueueName, State, jobs,
};
use job_macros::job;
use serde::{Deserialize, Serialize};
use std::any::TypeId;
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    id: u32,
    lines: (u8, String),
}

fn order() -> Order {
    Order { id: 12, lines: (3, "line".into()) }
}

#[derive(Debug, Default)]
struct Mailer {
    sent: std::sync::Mutex<Vec<u64>>,
}

const EMAIL_TEXT: &str = "email-text";
const EMAIL: QueueName = QueueName::from_static("email-const");
const MINUTE: Duration = Duration::from_secs(60);

/// Sends one invoice.
#[job(retries = 5, queue = "email", idempotency = "invoice_id")]
async fn send_invoice(invoice_id: u64, State(mailer): State<Mailer>) -> JobResult {
    mailer.sent.lock().expect("no panic").push(invoice_id);
    Ok(())
}

#[tokio::test]
async fn the_job_calls_the_function_and_the_function_stays_callable() {
    let mailer = State::new(Mailer::default());
    send_invoice(7, mailer.clone()).await.expect("sends");
    assert_eq!(*mailer.sent.lock().expect("no panic"), [7]);

    let ctx = JobContext::test().with_state(Mailer::default());
    let State(mailer) = ctx.state::<Mailer>().expect("set above");
    SendInvoice::new(42).run(ctx).await.expect("sends");
    assert_eq!(*mailer.sent.lock().expect("no panic"), [42]);
}

#[tokio::test]
async fn a_missing_state_is_an_error_that_names_it() {
    let error = SendInvoice::new(42).run(JobContext::test()).await.expect_err("no mailer");
    assert!(error.to_string().contains("State<behaviour::Mailer>"), "{error}");
}

#[test]
fn the_spec_of_the_mission() {
    let spec = SendInvoice::spec();
    assert_eq!(spec.kind.as_str(), "send_invoice");
    assert_eq!(spec.queue.as_str(), "email");
    assert_eq!(spec.max_attempts, 6);
    assert_eq!(spec.timeout, Some(JobSpec::DEFAULT_TIMEOUT));
    assert_eq!(spec.version, 1);
    assert!(spec.aliases.is_empty());
    assert_eq!(spec.states.len(), 1);
    assert_eq!((spec.states[0].type_id)(), TypeId::of::<Mailer>());
    let expected = IdempotencyKey {
        scope: "send_invoice".into(),
        key: Key::new("42"),
        window: IdempotencyKey::DEFAULT_WINDOW,
    };
    assert_eq!(SendInvoice::new(42).idempotency_key(), Some(expected));
    assert_eq!(SendInvoice::new(42).unique_key(), None);
}

#[job]
async fn plain() {}

#[test]
fn an_attribute_without_options_means_the_defaults() {
    let (spec, default) = (Plain::spec(), JobSpec::new(job_core::Kind::from_static("plain")));
    assert_eq!(format!("{spec:?}"), format!("{default:?}"));
    assert_eq!(Plain::new().idempotency_key(), None);
}

fn by_attempt(failure: &FailureInfo<'_>) -> Duration {
    Duration::from_secs(u64::from(failure.attempt) * 7)
}

#[job(
    name = "billing.charge-v2",
    aliases = ["charge", "billing.charge"],
    queue = EMAIL,
    priority = high,
    max_attempts = unlimited,
    backoff(exponential, base = "2s", factor = 3, max = "1h", jitter = "none"),
    timeout = "1h30m",
    ttl = "2d",
    snoozes = unlimited,
    version = 4,
    args = ChargeJob,
)]
async fn charge(customer: String) {
    drop(customer);
}

#[test]
fn every_option_reaches_the_spec() {
    let spec = ChargeJob::spec();
    assert_eq!(spec.kind.as_str(), "billing.charge-v2");
    assert_eq!(spec.aliases.iter().map(|a| a.as_str()).collect::<Vec<_>>(), ["charge", "billing.charge"]);
    assert_eq!(spec.queue, EMAIL);
    assert_eq!(spec.priority, Priority::HIGH);
    assert_eq!(spec.max_attempts, u32::MAX);
    assert_eq!(spec.timeout, Some(Duration::from_secs(5400)));
    assert_eq!(spec.snoozes, u32::MAX);
    assert_eq!(spec.ttl, Some(Duration::from_secs(2 * 86_400)));
    assert_eq!(spec.version, 4);
    let Backoff::Exponential { base, factor, max, jitter: Jitter::None } = spec.backoff else {
        panic!("{:?}", spec.backoff)
    };
    assert_eq!((base.as_secs(), factor, max.as_secs()), (2, 3, 3600));
}

#[job(queue = EMAIL_TEXT, priority = 9, retries = 0, backoff = by_attempt, timeout = none)]
async fn custom_backoff() {}
#[job(backoff = ["10s", "500ms", MINUTE], timeout = MINUTE, retries = unlimited)]
async fn list_backoff() {}
#[job(backoff = "fixed", priority = low)]
async fn fixed_backoff() {}
#[job(backoff(fixed, base = "5s"), priority = normal)]
async fn fixed_five() {}
#[job(backoff(linear, base = "5s", max = "12s"))]
async fn linear_backoff() {}
#[job(backoff(base = "1h"))]
async fn slow_backoff() {}

#[test]
fn every_spelling_of_backoff() {
    let bounds = |spec: &JobSpec| {
        [1, 2, 3].map(|attempt| spec.backoff.bound(&FailureInfo::new(attempt, "")).as_millis())
    };
    assert_eq!(bounds(CustomBackoff::spec()), [7_000, 14_000, 21_000]);
    assert_eq!(bounds(ListBackoff::spec()), [10_000, 500, 60_000]);
    assert_eq!(bounds(FixedBackoff::spec()), [1000, 1000, 1000]);
    assert_eq!(bounds(FixedFive::spec()), [5000, 5000, 5000]);
    assert_eq!(bounds(LinearBackoff::spec()), [5000, 10_000, 12_000]);
    // The default cap is ten minutes; a larger base alone must not be cut by it.
    assert_eq!(bounds(SlowBackoff::spec()), [3_600_000, 3_600_000, 3_600_000]);
    assert_eq!(CustomBackoff::spec().queue.as_str(), "email-text");
    assert_eq!(CustomBackoff::spec().max_attempts, 1);
    assert_eq!(CustomBackoff::spec().timeout, None);
    assert_eq!(CustomBackoff::spec().priority.level(), 9);
    assert_eq!(ListBackoff::spec().timeout, Some(MINUTE));
    assert_eq!(ListBackoff::spec().max_attempts, u32::MAX);
    assert_eq!(FixedBackoff::spec().priority, Priority::LOW);
}

fn three() -> u8 {
    3
}

#[job]
async fn optional(
    /// Who.
    id: u64,
    locale: Option<String>,
    #[serde(default = "three")] copies: u8,
    #[serde(default)] notes: Vec<String>,
    #[serde(rename = "cc", default = "nobody")] copy_to: Option<String>,
    mut priority: Option<u8>,
) -> Vec<String> {
    let priority = priority.take();
    vec![format!("{id} {locale:?} {copies} {notes:?} {copy_to:?} {priority:?}")]
}

/// Of another crate, which knows no serde.
#[derive(Debug, Clone, PartialEq)]
struct Foreign(u8);

mod foreign {
    use super::{Deserialize, Foreign};

    pub(crate) fn serialize<S: serde::Serializer>(value: &Foreign, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(value.0)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Foreign, D::Error> {
        u8::deserialize(from).map(Foreign)
    }
}

#[job]
async fn with_foreign(#[serde(with = "foreign")] value: Foreign) -> u8 {
    value.0
}

#[test]
fn serde_attributes_may_store_what_has_no_serde() {
    let json = serde_json::to_string(&WithForeign::new(Foreign(7))).expect("encodes");
    assert_eq!(json, r#"{"value":7}"#);
    assert_eq!(serde_json::from_str::<WithForeign>(&json).expect("decodes").value, Foreign(7));
}

fn nobody() -> Option<String> {
    Some("nobody".into())
}

#[test]
fn optional_arguments_have_setters_and_older_payloads_decode() {
    let new = Optional::new(1);
    assert_eq!((&new.locale, new.copies, new.copy_to.as_deref()), (&None, 3, Some("nobody")));
    let set = Optional::new(1).locale("de").copies(5).notes(vec!["n".into()]).copy_to(None).priority(Some(2));
    assert_eq!((set.locale.as_deref(), set.copies, set.notes.len()), (Some("de"), 5, 1));
    assert_eq!((&set.copy_to, set.priority), (&None, Some(2)));

    let old: Optional = serde_json::from_str(r#"{"id": 9, "gone": true}"#).expect("decodes");
    assert_eq!((old.id, old.locale, old.copies, old.priority), (9, None, 3, None));
    assert_eq!(old.copy_to.as_deref(), Some("nobody"));
    serde_json::from_str::<Optional>("{}").expect_err("id is required");
    let json = serde_json::to_value(Optional::new(1).copy_to(String::from("x"))).expect("encodes");
    assert_eq!(json["cc"], "x");
}

#[job]
async fn mixed_order(
    ctx: &JobContext,
    a: u8,
    State(_): State<Mailer>,
    b: u8,
    State(x): State<Order>,
) -> JobResult {
    assert_eq!((a, b, ctx.attempt(), x.id), (1, 2, 1, 12));
    Ok(())
}

// Names that the expansion must not trip over.
#[job]
async fn shadowing(shadowing: u8, arg0: u8, error: u8, spec: u8, ctx: u8, state: Option<u8>) -> JobResult {
    assert_eq!([shadowing, arg0, error, spec, ctx, state.expect("set")], [1, 2, 3, 4, 5, 6]);
    Ok(())
}

#[tokio::test]
async fn injected_parameters_stand_anywhere_and_names_do_not_clash() {
    let ctx = JobContext::test().with_state(Mailer::default()).with_state(order());
    MixedOrder::new(1, 2).run(ctx).await.expect("assertions hold");
    assert_eq!(MixedOrder::spec().states.len(), 2);
    Shadowing::new(1, 2, 3, 4, 5).state(6).run(JobContext::test()).await.expect("assertions hold");
}

mod billing {
    #[job_macros::job]
    pub(crate) async fn refund(id: u64) {
        let _ = id;
    }
}

#[test]
fn lists_find_jobs_by_the_names_of_their_functions() {
    let list = jobs![send_invoice, billing::refund, ChargeJob,];
    let kinds: Vec<_> = list.iter().map(|job| job.spec().kind.as_str()).collect();
    assert_eq!(kinds, ["send_invoice", "refund", "billing.charge-v2"]);
    assert!(jobs![].is_empty());
}

#[test]
fn a_job_inside_a_function_body() {
    #[job]
    async fn inner(id: u64) -> JobResult {
        let _ = id;
        Ok(())
    }
    assert_eq!(jobs![inner].len(), 1);
}

mod renamed {
    pub(crate) use job_core as queue;

    #[job_macros::job(crate = crate::renamed::queue)]
    pub(crate) async fn elsewhere() {}
}

macro_rules! numbered {
    ($name:ident, $retries:expr, $queue:literal, $key:literal) => {
        #[job(retries = $retries, queue = $queue, unique = $key)]
        async fn $name(id: u64) {
            let _ = id;
        }
    };
}
numbered!(from_macro, 3, "made", "id");

#[test]
fn options_pass_through_macro_rules_and_the_crate_can_be_renamed() {
    assert_eq!(FromMacro::spec().max_attempts, 4);
    assert_eq!(FromMacro::spec().queue.as_str(), "made");
    assert_eq!(FromMacro::new(5).unique_key().expect("set").key.as_str(), "5");
    assert_eq!(renamed::Elsewhere::spec().kind.as_str(), "elsewhere");
}

#[test]
fn docs_and_derives_are_there() {
    let job = Optional::new(1).clone();
    assert!(format!("{job:?}").starts_with("Optional { id: 1"));
}

// Backends test what is stored; here the compiler checks that the calls are there and their futures `Send`.
#[test]
fn enqueueing_is_send() {
    fn all<'a>(client: &'a job_core::Client) -> impl Future + Send + use<'a> {
        async move {
            let _ = SendInvoice::new(1).enqueue(client).await;
            let _ = SendInvoice::new(1).enqueue_in(MINUTE, client).await;
            let _ = SendInvoice::new(1).enqueue_at(jiff::Timestamp::UNIX_EPOCH, client).await;
        }
    }
    let _ = all;
}
