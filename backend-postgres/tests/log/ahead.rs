//! What claims take ahead of a limit that is full.

use super::KIND;
use super::support::store::{QUEUE, Store, request};
use job_core::{Ahead, Backend, Claim, ClaimRequest, Kind, KindLimits, Limit, LimitName, NewJob, Operate};

const OTHER: Kind = Kind::from_static("other");

async fn declare(store: &Store, most: u32) {
    let stripe = LimitName::new("stripe").expect("a name");
    let rule = Limit::concurrency(most).rule().expect("a rule");
    let kind = KindLimits { limits: vec![stripe.clone()], ..KindLimits::none(KIND) };
    store.declare(vec![(stripe, Some(rule))], kind).await;
}

async fn enqueue(store: &Store, kind: Kind, n: usize) {
    let jobs: Vec<_> = (0..n).map(|_| NewJob::new(kind.clone(), QUEUE, "{}")).collect();
    store.backend.enqueue(&jobs).await.expect("enqueue works");
}

async fn claim(store: &Store, kinds: &[Kind], limit: u32, ahead: &[u32]) -> Claim {
    let request = ClaimRequest { ahead, ..request(kinds, limit) };
    store.backend.claim(&QUEUE, &request).await.expect("claim works")
}

/// The conformance kit leaves it to the store whether anything is taken ahead. This one does it.
#[tokio::test]
async fn as_much_is_taken_ahead_as_is_allowed() {
    let store = Store::new().await;
    declare(&store, 3).await;
    enqueue(&store, KIND, 20).await;
    let first = claim(&store, &[OTHER, KIND], 50, &[7, 2]).await;
    assert_eq!((first.jobs.len(), &first.ahead), (9, &Some(Ahead { kind: KIND, slots: 3 })));
    let order: Vec<_> = first.jobs.iter().map(|j| j.hold.job).collect();
    assert!(order.is_sorted(), "in the order in which they came");
    store.complete(&first).await;
    let second = claim(&store, &[KIND], 4, &[2]).await;
    assert_eq!(
        (second.jobs.len(), &second.ahead),
        (4, &Some(Ahead { kind: KIND, slots: 3 })),
        "no more than asked for"
    );
    store.complete(&second).await;
    let none = claim(&store, &[KIND, OTHER], 50, &[0, 7]).await;
    assert_eq!((none.jobs.len(), none.ahead), (3, None));
}

/// A paused kind takes its number along.
#[tokio::test]
async fn numbers_belong_to_their_kinds() {
    let store = Store::new().await;
    declare(&store, 2).await;
    enqueue(&store, KIND, 20).await;
    store.backend.pause_kind(&QUEUE, &OTHER).await.expect("pause works");
    let got = claim(&store, &[OTHER, KIND], 50, &[5, 1]).await;
    assert_eq!((got.jobs.len(), got.ahead), (4, Some(Ahead { kind: KIND, slots: 2 })));
    let got = claim(&store, &[OTHER, KIND], 50, &[]).await;
    assert_eq!((got.jobs.len(), got.ahead), (0, None));
}

/// Rows are leased once, however a claim came to them, and the mark passes none that is not.
#[tokio::test]
async fn everything_is_claimed_once() {
    let mut store = Store::new().await;
    declare(&store, 2).await;
    let mut seen = std::collections::HashSet::new();
    for round in 0..40 {
        enqueue(&store, KIND, 5).await;
        enqueue(&store, OTHER, round % 3).await;
        for _ in 0..2 {
            let got = claim(&store, &[KIND, OTHER], 7, &[1, 1]).await;
            assert!(got.jobs.iter().all(|j| seen.insert(j.hold.job)), "claimed twice");
            store.complete(&got).await;
        }
        // What marks have passed is passed for good only after a while.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    loop {
        let got = claim(&store, &[KIND, OTHER], 7, &[1, 1]).await;
        if got.jobs.is_empty() {
            break;
        }
        assert!(got.jobs.iter().all(|j| seen.insert(j.hold.job)), "claimed twice");
        store.complete(&got).await;
    }
    assert_eq!(seen.len(), 40 * 5 + (0..40).map(|round| round % 3).sum::<usize>());
    assert_eq!(store.number("select count(*) from {schema}.ready").await, 0);
}
