//! The web service.
#![cfg(unix)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Example, Out, request};

fn get_status(address: &str) -> Value {
    let (code, body) = request(address, "GET", "/status", b"");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn bad_rows_are_reported_and_harm_nobody() {
    let out = Out::new("service");
    let example = Example::start("memory:", &out, &[]);
    let line = example.says("listening");
    let address = line.strip_prefix("listening on http://").expect("an address");

    let (code, body) = request(address, "POST", "/import", include_bytes!("../data/bad.csv"));
    assert_eq!(code, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&answer["new"], &answer["known"]), (&json!(2), &json!(0)));
    let lines: Vec<_> = answer["rejected"].as_array().expect("a list").iter().map(|r| &r["line"]).collect();
    assert_eq!(json!(lines), json!([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14]));
    assert_eq!(answer["rejected"][0]["error"], "the amount must be more than 0, not 0.00");

    let (code, body) = request(address, "POST", "/import", b"a,b\n1,2\n");
    assert_eq!((code, &*body), (422, "the first line must be `number,customer,email,amount,due,note`\n"));

    let deadline = Instant::now() + Duration::from_secs(60);
    let done = json!({
        "invoices": 2, "files": 2, "mails": 2,
        "jobs": {"ready": 0, "running": 0, "scheduled": 0, "retrying": 0, "dead": 0}
    });
    loop {
        let status = get_status(address);
        if status == done {
            break;
        }
        assert!(Instant::now() < deadline, "the two good invoices are not done: {status}");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(out.files(), ["B-01", "B-09"].map(String::from).into());

    let (_, body) = request(address, "POST", "/import", include_bytes!("../data/bad.csv"));
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&answer["new"], &answer["known"]), (&json!(0), &json!(2)));

    example.terminate();
    example.says("SIGTERM");
    assert!(example.ends().success());
    assert_eq!(out.mails().len(), 2);
}
