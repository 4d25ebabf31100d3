//! The server is killed, and its file is cut.

use crate::start;
use crate::support::connect;
use crate::support::store::Store;
use crate::support::traffic::Traffic;
use crate::support::work::{
    KIND, LONG, PATIENCE, QUEUE, claim, claim_for, enqueue_one, job, jobs, reap, settle,
};
use job_conformance::servers::{RedisServer, when_back};
use job_core::{
    Backend, ErrorReport, IdempotencyKey, NewJob, QueueName, Settled, Settlement, UniqueKey, Verdict, When,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::block_in_place;

/// With `appendfsync always`, everything that was acknowledged is there after a crash, and what is repeated is done once.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_calls_survive_a_killed_server() {
    let server = Arc::new(start(RedisServer::options()));
    let url = server.fresh_url();
    let traffic = Traffic::new(connect(&url).await, std::slice::from_ref(&QUEUE), LONG);
    let over = Arc::new(AtomicBool::new(false));
    let killer = {
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut kills = 0;
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(100 + 50 * kills));
                server.kill9();
                server.start_again();
                kills += 1;
            }
            kills
        })
    };
    let seen = traffic.run(250).await;
    over.store(true, Ordering::SeqCst);
    let kills = block_in_place(|| killer.join()).expect("no panic");
    seen.assert_exact();
    assert!(kills >= 2 && seen.unknown > 0, "{kills} kills and {} calls in doubt say little", seen.unknown);
    Store::of(&url).assert_sound();
}

/// Everything that a shard can hold.
async fn fill(url: &str) {
    let backend = connect(url).await;
    let mut new = jobs(12);
    for (number, job) in new.iter_mut().enumerate().skip(8) {
        let (scope, key) = ("s".to_owned(), number.to_string());
        job.idempotency = Some(IdempotencyKey {
            scope: scope.clone(),
            key: key.as_str().into(),
            window: Duration::from_secs(600),
        });
        job.unique = Some(UniqueKey { scope, key: key.as_str().into() });
    }
    new[7].when = When::After(Duration::from_millis(1));
    new[6].when = When::After(LONG);
    backend.enqueue(&new).await.expect("enqueue works");
    let error = || ErrorReport::new("no");
    let held = claim_for(&backend, 5, LONG).await.expect("claim works");
    let verdicts = [
        Verdict::Complete,
        Verdict::Retry { after: LONG, error: error() },
        Verdict::Snooze { delay: Duration::from_millis(1) },
        Verdict::Release,
        Verdict::Dead { reason: job_core::DeadReason::Permanent, error: error() },
    ];
    let mut settlements: Vec<_> =
        held.iter().zip(verdicts).map(|(claimed, verdict)| Settlement::new(claimed.hold, verdict)).collect();
    settlements[0].follow_ups = vec![job(), NewJob::new(KIND, QueueName::from_static("other"), "{}")];
    assert_eq!(backend.settle(&QUEUE, &settlements).await.expect("settle works"), [Settled::Applied; 5]);
    claim_for(&backend, 2, Duration::from_millis(1)).await.expect("claim works");
    reap(&backend, 1).await;
    claim(&backend, 2).await.expect("claim works");
    for number in 0..4 {
        enqueue_one(&backend).await.expect("enqueue works");
        let held = claim(&backend, 1).await.expect("claim works").remove(0);
        let verdict = if number % 2 == 0 { Verdict::Complete } else { Verdict::Release };
        settle(&backend, &held, verdict).await.expect("settle works");
    }
}

fn file_of(server: &RedisServer) -> PathBuf {
    let dir = server.dir().expect("it is our own").join("appendonlydir");
    let files = std::fs::read_dir(dir).expect("there are files").map(|entry| entry.expect("readable").path());
    files
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .expect("commands were written")
}

/// The end of the file is missing, at any byte: the server starts, and no call is there by half.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_anywhere_holds_whole_calls() {
    let server = start(RedisServer::options().setting("aof-load-truncated", "yes"));
    let url = server.fresh_url();
    fill(&url).await;
    let file = file_of(&server);
    let whole = std::fs::read(&file).expect("readable");
    // Evenly over the file, but for the start, at places that fall anywhere in a command.
    let cuts = (1..=30).map(|n| whole.len() - n * (whole.len() - 500) / 30 - n % 7);
    for cut in cuts {
        block_in_place(|| {
            server.stop();
            std::fs::write(&file, &whole[..cut]).expect("written");
            server.start_again();
        });
        let problems = Store::of(&url).problems();
        assert!(problems.is_empty(), "cut at {cut} of {}: {problems:#?}", whole.len());
    }
    // And it is of use.
    let backend = connect(&url).await;
    when_back(PATIENCE, async || enqueue_one(&backend).await).await;
    assert!(!claim(&backend, 100).await.expect("claim works").is_empty());
}
