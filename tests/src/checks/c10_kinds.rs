//! C10: kinds and payloads.

use crate::{Harness, KIND, OTHER_KIND, QUEUE, job, jobs};
use job_core::{ErrorKind, Headers, JobState, Kind, NewJob, QueueName, Verdict};

/// Only the kinds that were named are claimed; the others lose nothing.
pub async fn only_named_kinds_are_claimed(h: &Harness) {
    let mut new = jobs(4);
    new[0].kind = OTHER_KIND;
    new[2].kind = OTHER_KIND;
    h.enqueue(&new).await;
    let got = h.take(10).kinds(&[KIND]).jobs().await;
    assert_eq!(got.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [new[1].id, new[3].id]);
    assert!(h.take(10).kinds(&[]).jobs().await.is_empty());
    assert!(h.take(10).kinds(&[Kind::from_static("kit.never")]).jobs().await.is_empty());
    let record = h.record(new[0].id).await;
    assert_eq!((record.state, record.attempt, record.claims), (JobState::Ready, 0, 0));
    let got = h.take(10).kinds(&[OTHER_KIND]).jobs().await;
    assert_eq!(
        got.iter().map(|j| (j.hold.job, j.attempt)).collect::<Vec<_>>(),
        [(new[0].id, 1), (new[2].id, 1)]
    );
}

/// Jobs of kinds that nobody handles do not block the others.
pub async fn unknown_kinds_block_nobody(h: &Harness) {
    let mut unknown = jobs(500);
    for j in &mut unknown {
        j.kind = OTHER_KIND;
    }
    h.enqueue(&unknown).await;
    let new = job();
    h.enqueue_one(&new).await;
    let got = h.take(10).kinds(&[KIND]).jobs().await;
    assert_eq!(got.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [new.id]);
}

/// Queues do not share jobs.
pub async fn queues_are_apart(h: &Harness) {
    let other = QueueName::from_static("conformance-2");
    let mine = job();
    let theirs = NewJob::new(KIND, other.clone(), "{}");
    h.enqueue(&[theirs.clone(), mine.clone()]).await;
    let got = h.take(10).jobs().await;
    assert_eq!(got.iter().map(|j| j.hold.job).collect::<Vec<_>>(), [mine.id]);
    assert_eq!(h.record(theirs.id).await.queue, other);
    assert_eq!(h.backend.queues().await.expect("queues works"), [QUEUE, other]);
}

/// Payloads come back byte for byte, JSON or not.
pub async fn payloads_come_back_byte_for_byte(h: &Harness) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let payloads: Vec<Vec<u8>> = vec![
        Vec::new(),
        every_byte.clone(),
        b"{ \"b\" : 1.0,\n\"a\":1 }".to_vec(),
        b"\0".to_vec(),
        b" \t[1] \r\n".to_vec(),
        "\u{feff}é\u{1F600}".as_bytes().to_vec(),
        every_byte.repeat(NewJob::PAYLOAD_BYTES_MAX / 256),
    ];
    let new: Vec<_> = payloads.iter().map(|p| NewJob::new(KIND, QUEUE, p.clone())).collect();
    h.enqueue(&new).await;
    assert_eq!(h.record(new[1].id).await.payload, every_byte);
    let mut got: Vec<Vec<u8>> = Vec::new();
    while got.len() < payloads.len() {
        let part = h.take(10).jobs().await;
        assert!(!part.is_empty(), "{} of {} came", got.len(), payloads.len());
        got.extend(part.iter().map(|j| j.payload.to_vec()));
    }
    assert!(got == payloads, "a payload was changed");
}

/// Large payloads do not cut a claim short for good: everything arrives.
pub async fn many_large_payloads_arrive(h: &Harness) {
    let large = vec![b'x'; 100 * 1024];
    let new: Vec<_> = (0..30).map(|_| NewJob::new(KIND, QUEUE, large.clone())).collect();
    h.enqueue(&new).await;
    let mut got = 0;
    while got < new.len() {
        let part = h.take(30).jobs().await;
        assert!(!part.is_empty(), "{got} of {} came", new.len());
        for j in part {
            assert_eq!((j.hold.job, j.payload.len()), (new[got].id, large.len()));
            got += 1;
            h.apply(j.hold, Verdict::Complete).await;
        }
    }
}

/// Version and headers come back as they were.
pub async fn version_and_headers_come_back(h: &Harness) {
    let mut new = job();
    new.version = 7;
    new.headers = Headers::from([
        ("traceparent".into(), "00-ab-cd-01".into()),
        (String::new(), "empty name".into()),
        ("q\"'\\:{}".into(), "é\u{1F600}\n".into()),
    ]);
    h.enqueue_one(&new).await;
    let got = h.take(1).jobs().await.remove(0);
    assert_eq!((got.version, got.headers, got.idempotency_key), (7, new.headers, None));
    assert_eq!((got.kind, got.priority), (KIND, new.priority));
    assert_eq!(got.enqueued_at, h.record(new.id).await.enqueued_at);
}

/// A header with a NUL byte is kept, or refused as a whole with nothing stored.
pub async fn a_nul_in_a_header_is_kept_or_refused(h: &Harness) {
    let mut new = job();
    new.headers = Headers::from([("a".into(), "x\0y".into())]);
    match h.backend.enqueue(&[job(), new.clone()]).await {
        Ok(_) => {
            let got = h.take(2).jobs().await;
            assert_eq!(got[1].headers, new.headers);
        }
        Err(e) => {
            assert!(e.kind() == ErrorKind::Rejected && crate::harness::is_not_applied(&e), "{e}");
            assert_eq!(h.stats().await.ready, 0, "a batch is stored as a whole or not at all");
        }
    }
}
