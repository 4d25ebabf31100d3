//! A user with no rights but those that the documentation of the crate names.

use job_conformance::servers::RedisServer;

/// What follows the name of the user in the documentation.
fn documented() -> Vec<String> {
    let docs: String = include_str!("../../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .fold(String::new(), |docs, line| docs + line + "\n");
    let rights = docs.split_once("ACL SETUSER worker").expect("the rights are documented").1;
    let rights = rights.split_once("```").expect("it is a block of code").0;
    rights.split_whitespace().map(ToOwned::to_owned).collect()
}

/// The commands that are allowed.
pub(crate) fn commands() -> Vec<String> {
    documented().iter().filter_map(|word| Some(word.strip_prefix('+')?.to_owned())).collect()
}

/// Makes the user for this prefix, as documented and as the words after that say.
pub(crate) fn make(server: &RedisServer, name: &str, prefix: &str, more: &[&str]) {
    let mut words = vec!["acl".to_owned(), "setuser".to_owned(), name.to_owned(), "reset".to_owned()];
    words.extend(documented().into_iter().map(|word| word.replace("steadfast:", &format!("{prefix}:"))));
    words.extend(more.iter().map(|word| (*word).to_owned()));
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    assert_eq!(server.cli(&words), "OK");
}

/// The URL of this server for this user, without parameters.
pub(crate) fn url(server: &RedisServer, name: &str) -> String {
    server.url().replacen("redis://", &format!("redis://{name}:PASSWORD@"), 1)
}
