//! The example is killed again and again, and in the end nothing is missing.
#![cfg(unix)]

mod support;

use job_conformance::servers::{PostgresServer, RedisServer};
use support::{Example, Out};

#[test]
fn killed_at_several_moments_it_loses_no_invoice() {
    let server = PostgresServer::start();
    killed_at_several_moments(&server.url(), &Out::new("killed"));
}

#[test]
fn on_redis_it_loses_no_invoice_either() {
    let server = RedisServer::start();
    killed_at_several_moments(&server.url(), &Out::new("killed-redis"));
}

fn killed_at_several_moments(url: &str, out: &Out) {
    let mut before_the_end = 0;
    for (word, number) in [
        ("listening", 0),
        ("imported", 300),
        ("mailed", 50),
        ("mailed", 250),
        ("mailed", 450),
        ("mailed", 650),
    ] {
        let example = Example::import(url, out);
        match word {
            "listening" => drop(example.says(word)),
            _ => drop(example.reaches(word, number)),
        }
        example.kill9();
        before_the_end += usize::from(out.files().len() < 1000);
    }
    assert!(before_the_end >= 4, "only {before_the_end} of 6 kills came before the work was done");

    let example = Example::import(url, out);
    let summary = example.says("done");
    assert!(example.ends().success(), "{summary}");
    out.assert_complete();

    // Once more, when there is nothing left to do: no invoice is imported or mailed a second time.
    let mails = out.mails().len();
    let example = Example::import(url, out);
    assert_eq!(example.says("imported data"), "imported data/invoices.csv: 0 new, 1000 known, 0 refused");
    assert!(example.ends().success());
    assert_eq!(out.mails().len(), mails);
}

#[test]
fn two_processes_share_the_work() {
    let server = PostgresServer::options().fast().start();
    let (url, out) = (server.url(), Out::new("shared"));
    // Both import the same file at the same time.
    let pair = [Example::import(&url, &out), Example::import(&url, &out)];
    for example in pair {
        assert!(example.ends().success());
    }
    out.assert_complete();
    assert_eq!(out.mails().len(), 1000, "nobody died, so nothing was done twice");
}

#[test]
fn in_memory_it_does_everything_in_one_go() {
    let out = Out::new("memory");
    assert!(Example::import("memory:", &out).ends().success());
    out.assert_complete();
    assert_eq!(out.mails().len(), 1000);

    // The jobs went with the process, so a new one does it all again: the same files, the same ids of mails.
    assert!(Example::import("memory:", &out).ends().success());
    out.assert_complete();
    assert_eq!(out.mails().len(), 2000);
}
