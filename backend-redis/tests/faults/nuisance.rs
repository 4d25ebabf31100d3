//! Somebody on another connection who disturbs, again and again.

use crate::support::connect;
use crate::support::store::Store;
use crate::support::traffic::Traffic;
use crate::support::work::{LONG, QUEUE};
use crate::{fast, start};
use job_conformance::servers::RedisServer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Runs traffic while these commands are sent over and over; how many calls were repeated, and how many rounds there were.
async fn disturbed(server: &RedisServer, commands: &'static [&[&str]]) -> (usize, usize) {
    let url = server.fresh_url();
    let backend = connect(&url).await;
    let over = Arc::new(AtomicBool::new(false));
    let disturber = {
        let (over, address) = (Arc::clone(&over), server.url());
        std::thread::spawn(move || {
            let client = redis::Client::open(address).expect("the URL is good");
            let mut connection = client.get_connection().expect("connects");
            let mut rounds = 0;
            while !over.load(Ordering::SeqCst) {
                for words in commands {
                    let mut cmd = redis::cmd(words[0]);
                    cmd.arg(&words[1..]).exec(&mut connection).expect("it is allowed");
                }
                rounds += 1;
                std::thread::sleep(Duration::from_millis(3));
            }
            rounds
        })
    };
    let seen = Traffic::new(backend, std::slice::from_ref(&QUEUE), LONG).run(150).await;
    over.store(true, Ordering::SeqCst);
    let rounds = disturber.join().expect("no panic");
    seen.assert_exact();
    Store::of(&url).assert_sound();
    (seen.repeated, rounds)
}

/// Scripts are forgotten all the time: nothing is applied twice, nothing is lost, and nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_are_sent_again() {
    let server = start(fast());
    let (repeated, rounds) = disturbed(&server, &[&["SCRIPT", "FLUSH"]]).await;
    // A script that is forgotten again between the two attempts would be one more; it cannot, the second has its text.
    assert_eq!(repeated, 0, "in {rounds} rounds");
    assert!(rounds > 20, "{rounds} rounds say little");
}

/// All connections are closed in the middle of calls: what is repeated with the same ids is done once.
#[tokio::test(flavor = "multi_thread")]
async fn connections_may_end_in_the_middle_of_calls() {
    let server = start(fast());
    let (repeated, rounds) =
        disturbed(&server, &[&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]]).await;
    assert!(repeated > 10, "only {repeated} calls were hit in {rounds} rounds");
}
