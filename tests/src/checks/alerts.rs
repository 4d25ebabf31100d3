//! What workers have raised, as everybody sees it.

use crate::{Harness, LONG};
use jiff::Timestamp;
use job_core::{AlertReport, RaisedAlert, WorkerId};
use std::time::Duration;

fn alert(worker: WorkerId, rule: &str, kind: Option<&str>, message: &str) -> RaisedAlert {
    let (rule, queue, message) = (rule.to_owned(), "email".to_owned(), message.to_owned());
    let since = Timestamp::from_nanosecond(1_800_000_000_123_456_789).expect("it is in range");
    RaisedAlert { worker, rule, queue, kind: kind.map(str::to_owned), message, since }
}

async fn tell(h: &Harness, worker: WorkerId, valid_for: Duration, rules: &[&str]) {
    let alerts = rules.iter().map(|rule| alert(worker, rule, None, "m")).collect();
    let report = AlertReport::new(worker, valid_for, alerts);
    h.backend.report_alerts(&report).await.expect("reports work");
}

/// Who says which rule, sorted.
async fn shown(h: &Harness) -> Vec<(WorkerId, String)> {
    let alerts = h.backend.alerts().await.expect("alerts work");
    let mut all: Vec<_> = alerts.into_iter().map(|a| (a.worker, a.rule)).collect();
    all.sort_unstable();
    all
}

/// A report is shown to everybody, letter by letter, however long it is valid. There is nothing before.
pub async fn a_report_is_shown_as_it_is(h: &Harness) {
    assert_eq!(h.backend.alerts().await.expect("alerts work"), []);
    let worker = WorkerId::random();
    let odd = alert(worker, "no_worker", Some("mail"), "a \"text\"\nof 2 lines, é and \0 \\ 'x' {schema} %s");
    let alerts = vec![alert(worker, "dead_depth", None, ""), odd];
    let report = AlertReport::new(worker, Duration::MAX, alerts.clone());
    h.backend.report_alerts(&report).await.expect("reports work");
    let seen =
        h.on_threads(2, |backend, _| async move { backend.alerts().await.expect("alerts work") }).await;
    assert_eq!(seen, [alerts.clone(), alerts]);
}

/// A report is all that its worker has raised, and comes in place of the last one; so may a report of the same.
pub async fn a_report_replaces_the_last_one(h: &Harness) {
    let worker = WorkerId::random();
    tell(h, worker, LONG, &["a", "b"]).await;
    tell(h, worker, LONG, &["b", "c"]).await;
    tell(h, worker, LONG, &["b", "c"]).await;
    assert_eq!(shown(h).await, [(worker, "b".to_owned()), (worker, "c".to_owned())]);
    let many = AlertReport::ALERTS_MAX;
    let long = "é".repeat(AlertReport::MESSAGE_BYTES_MAX);
    let largest = AlertReport::new(worker, LONG, vec![alert(worker, "a", None, &long); many]);
    h.backend.report_alerts(&largest).await.expect("reports work");
    assert_eq!(shown(h).await.len(), many);
}

/// A report ends by itself, by the store's clock; the next one begins its time anew.
pub async fn a_report_ends_with_its_time(h: &Harness) {
    let (gone, lives) = (WorkerId::random(), WorkerId::random());
    tell(h, gone, h.units(2), &["a"]).await;
    tell(h, lives, h.units(2), &["b"]).await;
    tell(h, lives, LONG, &["b"]).await;
    h.pass(h.units(3)).await;
    let still = [(lives, "b".to_owned())];
    assert_eq!(shown(h).await, still);
    tell(h, lives, LONG, &["b"]).await;
    assert_eq!(shown(h).await, still, "a report brings no other one back");
    tell(h, gone, LONG, &["a"]).await;
    assert_eq!(shown(h).await.len(), 2, "it is there again");
    tell(h, lives, h.units(2), &["b"]).await;
    h.pass(h.units(3)).await;
    assert_eq!(shown(h).await, [(gone, "a".to_owned())], "the last report says for how long");
}

/// A report without alerts takes the last one away, and is fine where there is none.
pub async fn an_empty_report_takes_the_last_one_away(h: &Harness) {
    let (one, other) = (WorkerId::random(), WorkerId::random());
    tell(h, one, LONG, &[]).await;
    tell(h, one, LONG, &["a"]).await;
    tell(h, other, LONG, &["a"]).await;
    tell(h, one, LONG, &[]).await;
    tell(h, one, LONG, &[]).await;
    assert_eq!(shown(h).await, [(other, "a".to_owned())]);
}

/// What two workers see is there twice, also if they say so at once.
pub async fn reports_of_workers_stand_side_by_side(h: &Harness) {
    let call = |backend: std::sync::Arc<dyn job_core::Operate>, _| async move {
        let worker = WorkerId::random();
        for _ in 0..5 {
            let report = AlertReport::new(worker, LONG, vec![alert(worker, "a", None, "m")]);
            backend.report_alerts(&report).await.expect("reports work");
        }
        (worker, "a".to_owned())
    };
    let mut workers = h.on_threads(8, call).await;
    workers.sort_unstable();
    assert_eq!(shown(h).await, workers);
}
