//! The page of guarantees names tests that exist, for every promise.

use job_conformance::checks;
use std::fs;
use std::path::Path;

/// The names between backticks that name a test.
fn proofs(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect()
}

fn exists(root: &Path, name: &str) -> bool {
    let Some((place, test)) = name.rsplit_once("::") else { return false };
    if Path::new(place).extension().is_some_and(|e| e == "rs") {
        let source = fs::read_to_string(root.join(place)).unwrap_or_default();
        return source.contains(&format!("fn {test}("));
    }
    checks::all().iter().any(|c| c.clause == place && c.name == test)
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/GUARANTEES.md")).expect("the page is there");
    let (promised, _) = page.split_once("## Not promised").expect("it says what is not promised");
    let promises: Vec<&str> = promised.split("\n- **").skip(1).collect();
    assert!(promises.len() >= 18, "{} promises", promises.len());
    for promise in promises {
        assert!(!proofs(promise).is_empty(), "no test is named for: {promise}");
    }
    let cases = fs::read_to_string(root.join("docs/what-happens-when.md")).expect("the page is there");
    let rows: Vec<&str> =
        cases.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| when |")).collect();
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for row in rows {
        assert!(!proofs(row).is_empty(), "no test is named for: {row}");
    }
    let missing: Vec<&str> =
        proofs(&page).into_iter().chain(proofs(&cases)).filter(|name| !exists(&root, name)).collect();
    assert!(missing.is_empty(), "these tests do not exist: {missing:#?}");
    assert!(
        !exists(&root, "c3_fencing::no_such_check") && !exists(&root, "tests/tests/crash.rs::no_such_test")
    );
}
