//! From stored bytes to a handler.

use super::*;
use crate::{JobError, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Version 1 had `amount` in whole euros, version 2 in cents, version 3 has a currency.
fn upgrade(from: u32, mut args: Value) -> Result<Value, String> {
    if from < 2 {
        let euros = args["amount"].as_u64().ok_or("no amount")?;
        args["amount"] = json!(euros * 100);
    }
    if from < 3 {
        args["currency"] = json!("EUR");
    }
    Ok(args)
}

#[derive(Debug, Serialize, Deserialize)]
struct Charge {
    amount: u64,
    currency: String,
    card: Option<u64>,
}

impl Job for Charge {
    fn spec() -> &'static JobSpec {
        static SPEC: LazyLock<JobSpec> = LazyLock::new(|| {
            let mut spec = JobSpec::new(Kind::from_static("charge"));
            spec.version = 3;
            spec.upgrade = Some(upgrade);
            spec.shown = Some(vec!["amount", "currency"]);
            spec
        });
        &SPEC
    }

    async fn run(self, _: JobContext) -> Result<(), JobError> {
        Err(format!("{} {}", self.amount, self.currency).into())
    }
}

/// What the handler says that it was given, or why it was not called.
async fn run(version: u32, payload: &'static str) -> String {
    match Registration::of::<Charge>().start(version, payload.into(), JobContext::test()) {
        Ok(run) => run.await.expect_err("it says what it got").report(),
        Err(text) => text,
    }
}

#[tokio::test]
async fn older_arguments_are_brought_up_to_date_from_any_version() {
    assert_eq!(run(1, r#"{"amount": 7}"#).await, "700 EUR");
    assert_eq!(run(2, r#"{"amount": 700}"#).await, "700 EUR");
    assert_eq!(run(3, r#"{"amount": 700, "currency": "CHF"}"#).await, "700 CHF");
}

#[tokio::test]
async fn arguments_that_cannot_be_brought_up_to_date_say_from_where() {
    assert_eq!(run(1, "{}").await, "the arguments are of version 1: no amount");
    let error = run(2, "{").await;
    assert!(error.starts_with("EOF while parsing"), "{error}");
}

#[tokio::test]
async fn texts_of_misfits_show_no_redacted_value() {
    let of = async |payload| run(3, payload).await;
    let shown = of(r#"{"amount": "x4111", "currency": "EUR"}"#).await;
    assert!(shown.starts_with(r#"at `amount`: invalid type: string "x4111""#), "{shown}");
    for hidden in [
        r#"{"amount": 7, "currency": "EUR", "card": "x4111"}"#,
        r#"{"amount": 7, "currency": "EUR", "card": {"x4111": "x4111"}}"#,
        r#""x4111""#,
    ] {
        let text = of(hidden).await;
        assert!(!text.contains("4111") && text.contains("redacted"), "{text}");
    }
    let missing = of(r#"{"amount": 7}"#).await;
    assert!(missing.starts_with("missing field `currency`"), "names are no secrets: {missing}");
}

#[tokio::test]
async fn encrypted_arguments_say_that_a_key_is_missing() {
    let payload: &'static str = "\0sfaead\x01\x02k1 24 bytes of chance ...... and the rest";
    for version in [2, 3] {
        let text = run(version, payload).await;
        assert!(text.contains("encrypted with the key \"k1\", and this runtime has no keyring"), "{text}");
    }
}
