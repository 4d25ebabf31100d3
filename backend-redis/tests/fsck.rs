//! What hands other than ours do to a queue is found, and mended.

mod support;

use backend_redis::RedisBackend;
use job_conformance::{Harness, KIND, LONG, QUEUE, job, jobs, report};
use job_core::{
    Backend as _, BackendError, DeadReason, Declared, JobState, KindLimits, Limit, MaintainRequest,
    Operate as _, OperationId, OperationNote, ScheduleDef, ScheduleName, UniqueKey, Verdict, When,
};
use std::sync::Arc;
use std::time::Duration;
use support::server;
use support::store::Store;

struct Mess {
    backend: Arc<RedisBackend>,
    h: Harness,
    prefix: String,
    url: String,
}

impl Mess {
    /// A queue with a job in every state.
    async fn make() -> Self {
        let url = server().fresh_url();
        let prefix = url.rsplit_once("prefix=").expect("a fresh URL has a prefix").1.to_owned();
        let backend = Arc::new(RedisBackend::connect(&url).await.expect("connects"));
        let h = Harness::real_time(Arc::clone(&backend));
        let mut new = jobs(6);
        new[3].when = When::After(LONG);
        new[4].unique = Some(UniqueKey { scope: "s".into(), key: "k".into() });
        h.enqueue(&new).await;
        let held = h.take(3).lease_for(LONG).jobs().await;
        let error = || report("e");
        h.apply(held[0].hold, Verdict::Dead { reason: DeadReason::Permanent, error: error() }).await;
        h.apply(held[1].hold, Verdict::Retry { after: LONG, error: error() }).await;
        Self { backend, h, prefix, url }
    }

    fn key(&self, suffix: &str) -> String {
        format!("{{{}:{QUEUE}:0}}{suffix}", self.prefix)
    }

    async fn states(&self) -> Vec<u64> {
        let s = self.h.stats().await;
        vec![s.ready, s.running, s.scheduled, s.retrying, s.dead]
    }
}

#[tokio::test]
async fn a_sound_queue_is_clean() {
    let mess = Mess::make().await;
    let before = mess.states().await;
    let found = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
    assert!(found.is_clean(), "{found:?}");
    assert_eq!((found.jobs, mess.states().await), (6, before));
}

/// A schedule, and rows about what was done to many jobs.
async fn with_rows(mess: &Mess) -> Vec<OperationId> {
    let name = ScheduleName::new("nightly").expect("a good name");
    let schedule = ScheduleDef { name, definition: "d".into(), job: "j".into() };
    mess.backend.put_schedules(&QUEUE, &[schedule]).await.expect("schedules are put");
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(OperationId::new());
        note(mess, ids[n]).await.expect("a note is taken");
        mess.h.pass(Duration::from_millis(2)).await;
    }
    ids
}

async fn note(mess: &Mess, id: OperationId) -> Result<(), BackendError> {
    let note = OperationNote { id, number: 1, kept: LONG, text: "text".into() };
    mess.backend.note_operation(&QUEUE, &note).await
}

async fn operations(mess: &Mess) -> Vec<OperationId> {
    let rows = mess.backend.operations(&QUEUE, 10).await.expect("rows are shown");
    rows.into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn rows_stand_in_nobodys_way() {
    let mess = Mess::make().await;
    with_rows(&mess).await;
    let found = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
    assert!(found.is_clean(), "{found:?}");
    assert_eq!(server().cli(&["HLEN", &mess.key("o")]).trim(), "0", "nothing waits in the outbox");
    let done = mess.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert_eq!((done.repaired, operations(&mess).await.len()), (0, 3));
    // Those that go leave nothing.
    mess.h.pass(Duration::from_millis(2)).await;
    let last = OperationNote { id: OperationId::new(), number: 1, kept: Duration::ZERO, text: String::new() };
    mess.backend.note_operation(&QUEUE, &last).await.expect("a note is taken");
    assert_eq!(operations(&mess).await, [last.id]);
    let found = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
    assert!(found.is_clean(), "{found:?}");
}

#[tokio::test]
async fn rows_that_are_half_there_are_shown_or_go() {
    for (command, suffix, wrong, left) in
        [("HDEL", "op", 1, 2), ("ZREM", "ob", 1, 3), ("DEL", "op", 3, 0), ("DEL", "ob", 3, 3)]
    {
        let mess = Mess::make().await;
        let mut ids = with_rows(&mess).await;
        let first = ids[0].to_string();
        let words = [command, &mess.key(suffix), &first];
        server().cli(if command == "DEL" { &words[..2] } else { &words });
        let found = mess.backend.fsck(&QUEUE, false).await.expect("fsck works");
        assert_eq!((found.operations, found.is_clean()), (wrong, false), "{command} {suffix}");
        let repaired = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert_eq!(repaired.operations, wrong, "{command} {suffix}");
        let again = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert!(again.is_clean(), "{command} {suffix}: {again:?}");
        ids.reverse();
        ids.truncate(left);
        assert_eq!(operations(&mess).await, ids, "{command} {suffix}");
    }
}

/// They are in no script's way but their own.
#[tokio::test]
async fn rare_keys_of_another_type_go_to_quarantine() {
    for suffix in ["s", "op", "ob"] {
        let mess = Mess::make().await;
        with_rows(&mess).await;
        let key = mess.key(suffix);
        server().cli(&["DEL", &key]);
        server().cli(&["SET", &key, "somebody else's"]);
        let refused = match suffix {
            "s" => mess.backend.schedules(&QUEUE).await.map(drop),
            _ => note(&mess, OperationId::new()).await,
        };
        let refused = refused.expect_err("a script looks first").to_string();
        assert!(refused.contains(&key), "{refused}");
        let found = mess.backend.fsck(&QUEUE, false).await.expect("fsck works");
        assert_eq!(found.quarantined, std::slice::from_ref(&key));
        let repaired = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert_eq!(repaired.quarantined.len(), 1, "{suffix}");
        assert_eq!(server().cli(&["GET", &repaired.quarantined[0]]).trim(), "somebody else's");
        let again = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert!(again.is_clean(), "{suffix}: {again:?}");
        let id = OperationId::new();
        note(&mess, id).await.expect("a note is taken again");
        assert_eq!(operations(&mess).await[0], id);
        assert!(mess.backend.schedules(&QUEUE).await.is_ok());
    }
}

#[tokio::test]
async fn jobs_that_no_index_has_are_ready_again() {
    for suffix in [format!("r:{KIND}"), "ws".into(), "wr".into(), "d".into(), "run".into()] {
        let mess = Mess::make().await;
        server().cli(&["DEL", &mess.key(&suffix)]);
        let found = mess.backend.fsck(&QUEUE, false).await.expect("fsck works");
        // A running job is still under its lease, whose end brings it back.
        let lost = if suffix.starts_with('r') && suffix != "run" { 2 } else { 1 };
        let repaired = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert_eq!((found.lost, repaired.lost), (lost, lost), "{suffix}");
        let again = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert!(again.is_clean(), "{suffix}: {again:?}");
        assert_eq!(mess.states().await.iter().sum::<u64>(), 6, "{suffix}: no job is lost");
    }
}

#[tokio::test]
async fn maintenance_finds_what_no_claim_would() {
    let mess = Mess::make().await;
    server().cli(&["DEL", &mess.key(&format!("r:{KIND}"))]);
    let done = mess.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
    assert_eq!(done.repaired, 2);
    assert_eq!(mess.states().await[0], 2);
}

#[tokio::test]
async fn entries_without_a_job_go() {
    let mess = Mess::make().await;
    server().cli(&["DEL", &mess.key("j")]);
    let found = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
    // 2 ready, 1 scheduled, 1 retrying, 1 dead, 1 running; two with a record and two with errors; one unique key, both ways.
    assert_eq!((found.jobs, found.stray), (0, 6 + 2 + 2 + 2), "{found:?}");
    assert_eq!(mess.states().await, [0; 5]);
    mess.h.enqueue_one(&job()).await;
    assert_eq!(mess.h.take(1).jobs().await.len(), 1);
}

#[tokio::test]
async fn a_lease_that_is_gone_gives_its_jobs_back() {
    let mess = Mess::make().await;
    let running = mess.h.ids(JobState::Running).await;
    let keys = server().cli(&["KEYS", &mess.key("l:*").replace('{', "\\{")]);
    for key in keys.lines().filter(|k| !k.is_empty()) {
        server().cli(&["DEL", key]);
    }
    let found = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
    assert_eq!((found.lost, found.leases), (1, 1), "{found:?}");
    assert!(mess.h.ids(JobState::Ready).await.contains(&running[0]));
}

#[tokio::test]
async fn keys_of_another_type_go_to_quarantine() {
    for suffix in [
        "q", "j", "m", "e", "v", "u", "kinds", "run", "x", "xi", "ws", "wr", "d", "o", "lk", "ls", "lw", "lo",
    ] {
        let mess = Mess::make().await;
        let key = mess.key(suffix);
        server().cli(&["DEL", &key]);
        server().cli(&["SET", &key, "somebody else's"]);
        let refused = mess.backend.enqueue(&[job()]).await.expect_err("a script looks first").to_string();
        assert!(refused.contains(&key), "{refused}");
        let found = mess.backend.fsck(&QUEUE, false).await.expect("fsck works");
        assert_eq!(found.quarantined, std::slice::from_ref(&key));
        let repaired = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert_eq!(repaired.quarantined.len(), 1, "{suffix}");
        assert_eq!(server().cli(&["GET", &repaired.quarantined[0]]).trim(), "somebody else's");
        mess.h.enqueue_one(&job()).await;
    }
}

/// A queue with two lines, of which jobs wait, are out, and were reaped.
async fn with_lines(mess: &Mess) {
    let line = KindLimits { line: Limit::concurrency(3).rule().expect("valid"), ..KindLimits::none(KIND) };
    let declared = Declared { limits: vec![], kinds: vec![line] };
    mess.backend.declare(&QUEUE, &declared).await.expect("declare works");
    let mut new = jobs(12);
    for (number, job) in new.iter_mut().enumerate() {
        job.set_line(["a", "b"][number % 2]);
    }
    mess.h.enqueue(&new).await;
    mess.h.crash(mess.h.take(2)).await;
    mess.h.take(4).jobs().await;
}

#[tokio::test]
async fn lines_that_were_spoiled_are_mended() {
    let lane = format!("r:{KIND}");
    for suffix in ["lk", "ls", "lw", "lo", lane.as_str()] {
        let mess = Mess::make().await;
        with_lines(&mess).await;
        let sound = mess.backend.fsck(&QUEUE, false).await.expect("fsck works");
        assert!(sound.is_clean(), "{sound:?}");
        server().cli(&["DEL", &mess.key(suffix)]);
        let found = mess.backend.fsck(&QUEUE, false).await.expect("fsck works");
        assert!(!found.is_clean(), "{suffix}");
        // What one look has mended may show more to the next one.
        for _ in 0..2 {
            mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        }
        let again = mess.backend.fsck(&QUEUE, true).await.expect("fsck works");
        assert!(again.is_clean(), "{suffix}: {again:?}");
        assert!(
            Store::of(&mess.url).problems().is_empty(),
            "{suffix}: {:?}",
            Store::of(&mess.url).problems()
        );
    }
}
