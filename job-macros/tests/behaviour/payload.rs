//! Versions and secrets of arguments.

use job_core::Job;
use job_macros::job;
use serde_json::{Value, json};

mod older {
    use super::{Value, json};

    /// Any error that has a text will do.
    pub(crate) fn card(from: u32, mut args: Value) -> Result<Value, std::num::ParseIntError> {
        if from < 2 {
            let cents: u64 = args["cents"].as_str().unwrap_or_default().parse()?;
            args["cents"] = json!(cents);
        }
        args["type"] = json!(format!("from {from}"));
        Ok(args)
    }
}

#[job(version = 3, upgrade = older::card, redact = ["card_number", r#type])]
async fn charge(
    #[serde(rename = "cents", alias = "amount")] total: u64,
    #[serde(alias = "pan")] card_number: String,
    r#type: Option<String>,
) {
    let _ = (total, card_number, r#type);
}

#[test]
fn upgrade_reaches_the_spec() {
    let spec = Charge::spec();
    assert_eq!(spec.version, 3);
    let upgrade = spec.upgrade.expect("set");
    let args = upgrade(1, json!({"cents": "700"})).expect("a number");
    assert_eq!(args, json!({"cents": 700, "type": "from 1"}));
    assert_eq!(upgrade(1, json!({})).expect_err("none"), "cannot parse integer from empty string");
}

#[test]
fn redacted_arguments_are_in_no_text() {
    let job = Charge::new(7, "4111".into()).r#type(String::from("visa"));
    assert_eq!(format!("{job:?}"), "Charge { total: 7, card_number: [redacted], type: [redacted] }");
    assert_eq!(Charge::spec().shown, Some(vec!["cents", "amount"]));
    let stored = serde_json::to_vec(&job).expect("encodes");
    assert!(String::from_utf8_lossy(&stored).contains("4111"), "it is only hidden");
    let shown = Charge::spec().redacted(&stored);
    assert_eq!(shown, json!({"cents": 7, "card_number": "[redacted]", "type": "[redacted]"}));
    assert_eq!(Charge::spec().redacted(br#"{"pan": "4111"}"#), json!({"pan": "[redacted]"}));
}
