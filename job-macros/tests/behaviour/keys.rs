//! Keys.

use super::{Order, order};
use job_core::{Job, JobContext, NewJob, OnConflict, When};
use job_macros::job;
use std::time::Duration;

fn order_key(args: &ByFunction) -> String {
    format!("fn-{}", args.order.id)
}

#[job(idempotency = "order.id", unique = "order.lines.1")]
async fn by_field(order: Order) {
    drop(order);
}
#[job(idempotency = "{tenant_id}:{order.id}{{x}}", unique = (tenant_id, order.id))]
async fn by_text(tenant_id: String, order: Order) {
    drop((tenant_id, order));
}
#[job(idempotency = order_key, unique = |args| args.order.lines.1.as_str())]
async fn by_function(order: Order) {
    drop(order);
}
#[job(idempotency = args, unique(key = (b,), scope = queue), queue = "q")]
async fn by_all(a: String, b: String, ctx: JobContext) {
    drop((a, b, ctx));
}
#[job(idempotency(key = "r#type", ttl = "36h", scope = queue), unique(key = "type", scope = global), queue = "q")]
async fn scoped(r#type: Option<u8>) {
    let _ = r#type;
}

fn keys<J: Job>(job: &J) -> (String, String) {
    let idempotency = job.idempotency_key().expect("set").key;
    (idempotency.as_str().to_owned(), job.unique_key().expect("set").key.as_str().to_owned())
}

#[test]
fn every_spelling_of_a_key() {
    assert_eq!(keys(&ByField::new(order())), ("12".into(), "line".into()));
    assert_eq!(keys(&ByText::new("acme".into(), order())), ("acme:12{x}".into(), "4:acme;2:12;".into()));
    assert_eq!(keys(&ByFunction::new(order())), ("fn-12".into(), "line".into()));
    assert_eq!(keys(&ByAll::new("x".into(), "yz".into())), ("1:x;2:yz;".into(), "2:yz;".into()));
    assert_eq!(keys(&Scoped::new().r#type(4)), ("4".into(), "4".into()));
}

#[test]
fn keys_of_several_parts_do_not_collide() {
    let key = |a: &str, b: &str| keys(&ByAll::new(a.into(), b.into())).0;
    assert_ne!(key("a:b", "c"), key("a", "b:c"));
    assert_ne!(key("", "ab"), key("a", "b"));
    assert_ne!(key("1:a;", ""), key("", "1:a;"));
}

#[test]
fn scopes_and_windows() {
    let key = Scoped::new().idempotency_key().expect("set");
    assert_eq!((key.scope.as_str(), key.window), ("queue:q", Duration::from_secs(36 * 3600)));
    assert_eq!(Scoped::new().unique_key().expect("set").scope, "");
    let by_all = ByAll::new(String::new(), String::new());
    assert_eq!(by_all.idempotency_key().expect("set").scope, "by_all");
    assert_eq!(by_all.unique_key().expect("set").scope, "queue:q");
}

#[job(unique = "id", on_conflict = replace)]
async fn replacing(id: u64) {
    let _ = id;
}
#[job(idempotency = "id", on_conflict = error)]
async fn strict(id: u64) {
    let _ = id;
}
#[job(latest = "id")]
async fn newest(id: u64) {
    let _ = id;
}
#[job(debounce(key = "id", wait = "5s", max_wait = "1m", scope = global))]
async fn calm(id: u64) {
    let _ = id;
}
#[job(debounce(key = "id", wait = "5s", max_wait = none))]
async fn calmer(id: u64) {
    let _ = id;
}

#[test]
fn what_happens_when_a_key_is_taken() {
    let new = |job: Result<NewJob, _>| job.expect("it has a form");
    assert_eq!(new(NewJob::of(&Replacing::new(1))).on_conflict, OnConflict::Replace);
    assert_eq!(new(NewJob::of(&Strict::new(1))).on_conflict, OnConflict::Error);
    let newest = new(NewJob::of(&Newest::new(1)));
    assert_eq!((newest.on_conflict, newest.when), (OnConflict::Latest, When::Now));
    assert_eq!(newest.unique.expect("a key").key.as_str(), "1");
    let calm = new(NewJob::of(&Calm::new(1)));
    let after = When::After(Duration::from_secs(5));
    assert_eq!(
        (calm.on_conflict, calm.when),
        (OnConflict::Debounce { max_wait: Duration::from_secs(60) }, after)
    );
    assert_eq!(calm.unique.expect("a key").scope, "");
    let calmer = new(NewJob::of(&Calmer::new(1)));
    assert_eq!(calmer.on_conflict, OnConflict::Debounce { max_wait: Duration::MAX });
    assert!(calmer.check(1_000).is_ok());
}
