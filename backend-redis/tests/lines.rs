//! Lines and limits under everything that can happen at once: the server's keys agree afterwards, and nothing is left over.

mod support;

use backend_redis::RedisBackend;
use job_conformance::report;
use job_core::{
    Backend, ClaimRequest, ClaimedJob, DeadReason, Declared, JobId, Kind, KindLimits, LeaseId, LeaseStatus,
    Limit, LimitName, LimitRule, MaintainRequest, NewJob, OnConflict, Operate, Priority, Settlement,
    UniqueKey, Verdict, When, WorkerId,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use support::store::Store;
use support::work::{KIND, LONG, QUEUE, claim_for, jobs, reap, settle};
use support::{connect, server};

const KINDS: [Kind; 3] =
    [Kind::from_static("plain"), Kind::from_static("narrow"), Kind::from_static("ordered")];

struct Storm {
    backend: RedisBackend,
    rng: StdRng,
    ids: Vec<JobId>,
    held: Vec<ClaimedJob>,
}

impl Storm {
    async fn declare(&self, concurrency: u32) {
        let rule = |limit: Limit| limit.rule().expect("valid");
        let line = |kind: usize, line: LimitRule, ordered| KindLimits {
            line,
            ordered,
            limits: vec![LimitName::new("all").expect("valid")],
            ..KindLimits::none(KINDS[kind].clone())
        };
        let declared = Declared {
            limits: vec![(LimitName::new("all").expect("valid"), Some(rule(Limit::concurrency(9))))],
            kinds: vec![
                line(0, LimitRule::default(), false),
                line(1, rule(Limit::concurrency(concurrency).rate("100/s").burst(3)), false),
                line(2, LimitRule::default(), true),
            ],
        };
        self.backend.declare(&QUEUE, &declared).await.expect("declare works");
    }

    fn job(&mut self) -> NewJob {
        let mut job = NewJob::new(KINDS[self.rng.random_range(0..3)].clone(), QUEUE.clone(), "{}");
        job.max_attempts = 3;
        job.priority = Priority::new(self.rng.random_range(4..6)).expect("valid");
        if self.rng.random_bool(0.8) {
            job.set_line(["a", "b", "c\u{1}"][self.rng.random_range(0..3)]);
        }
        if self.rng.random_bool(0.2) {
            job.when = When::After(Duration::from_millis(self.rng.random_range(0..20)));
        }
        if self.rng.random_bool(0.3) {
            let key = self.rng.random_range(0..3).to_string();
            job.unique = Some(UniqueKey { scope: "s".into(), key: key.as_str().into() });
            let policies = [OnConflict::Existing, OnConflict::Replace, OnConflict::Latest];
            job.on_conflict = policies[self.rng.random_range(0..3)];
        }
        job
    }

    fn verdict(&mut self) -> Verdict {
        let soon = Duration::from_millis(self.rng.random_range(0..10));
        match self.rng.random_range(0..6) {
            0 => Verdict::Retry { after: soon, error: report("e") },
            1 => Verdict::Snooze { delay: soon },
            2 => Verdict::Release,
            3 => Verdict::Dead { reason: DeadReason::Permanent, error: report("e") },
            _ => Verdict::Complete,
        }
    }

    fn settlements(&mut self) -> Vec<Settlement> {
        let mut all = Vec::new();
        for _ in 0..self.rng.random_range(0..=self.held.len()) {
            let at = self.rng.random_range(0..self.held.len());
            let hold = self.held.swap_remove(at).hold;
            all.push(Settlement::new(hold, self.verdict()));
        }
        all
    }

    async fn step(&mut self) {
        let some_id = self.ids.get(self.rng.random_range(0..self.ids.len().max(1))).copied();
        match self.rng.random_range(0..12) {
            0..3 => {
                let new: Vec<_> = (0..self.rng.random_range(1..6)).map(|_| self.job()).collect();
                self.ids.extend(new.iter().map(|j| j.id));
                self.backend.enqueue(&new).await.expect("enqueue works");
            }
            3..7 => {
                let settlements = self.settlements();
                // A short lease is one that its process leaves alone.
                let crash = self.rng.random_bool(0.2);
                let leases = [LeaseId::random(), LeaseId::random()];
                let request = ClaimRequest {
                    lease: LeaseId::random(),
                    worker: WorkerId::random(),
                    kinds: &KINDS[..self.rng.random_range(1..=3)],
                    limit: self.rng.random_range(0..5),
                    lease_for: if crash { Duration::from_millis(1) } else { LONG },
                    suspect_leases: &leases,
                    solo: true,
                    ahead: &[],
                };
                let both = self.backend.settle_and_claim(&QUEUE, &settlements, &request).await;
                let jobs = both.expect("settle and claim works").1.jobs;
                if !crash {
                    self.held.extend(jobs);
                }
            }
            7 => {
                let settlements = self.settlements();
                self.backend.settle(&QUEUE, &settlements).await.expect("settle works");
            }
            8 => {
                self.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
            }
            9 => {
                if let Some(id) = some_id {
                    self.backend.cancel(id).await.expect("cancel works");
                    self.backend.replay(&self.ids).await.expect("replay works");
                }
            }
            10 => {
                if let Some(id) = some_id {
                    self.backend.run_now(id).await.expect("run now works");
                    self.backend.discard(&[id]).await.expect("discard works");
                }
            }
            _ => {
                let concurrency = self.rng.random_range(1..3);
                self.declare(concurrency).await;
                let weight = self.rng.random_range(1..4);
                self.backend.set_weight(&QUEUE, &KINDS[0], "a", weight).await.expect("set works");
            }
        }
    }

    /// Until nothing is left.
    async fn drain(&mut self) {
        for round in 0.. {
            assert!(round < 3_000, "{:?}", self.backend.stats(&QUEUE).await);
            self.backend.maintain(&QUEUE, &MaintainRequest::default()).await.expect("maintain works");
            let done: Vec<_> =
                self.held.drain(..).map(|j| Settlement::new(j.hold, Verdict::Complete)).collect();
            let leases = [LeaseId::random(), LeaseId::random()];
            let request = ClaimRequest {
                lease: LeaseId::random(),
                worker: WorkerId::random(),
                kinds: &KINDS,
                limit: 50,
                lease_for: LONG,
                suspect_leases: &leases,
                solo: true,
                ahead: &[],
            };
            let both = self.backend.settle_and_claim(&QUEUE, &done, &request).await;
            self.held = both.expect("settle and claim works").1.jobs;
            let stats = self.backend.stats(&QUEUE).await.expect("stats work");
            if stats.ready + stats.running + stats.scheduled + stats.retrying == 0 {
                break;
            }
        }
        self.backend.discard(&self.ids).await.expect("discard works");
    }
}

async fn storm(seed: u64, url: &str) {
    let backend = connect(url).await;
    let mut storm = Storm { backend, rng: StdRng::seed_from_u64(seed), ids: Vec::new(), held: Vec::new() };
    let mut store = Store::of(url);
    storm.declare(1).await;
    for number in 0..150 {
        storm.step().await;
        let problems = store.problems();
        assert!(problems.is_empty(), "seed {seed}, step {number}:\n{}", problems.join("\n"));
    }
    storm.drain().await;
    assert!(storm.backend.lines(&QUEUE, None, 9).await.expect("lines work").is_empty());
    let limits = storm.backend.limits().await.expect("limits work");
    assert!(limits.iter().all(|limit| limit.in_use == 0), "seed {seed}: {limits:?}");
    let found = storm.backend.fsck(&QUEUE, false).await.expect("fsck works");
    assert!(found.is_clean(), "seed {seed}: {found:?}");
    store.assert_sound();
}

#[test]
fn lines_and_limits_agree_with_their_jobs_whatever_happens() {
    let seeds: Vec<u64> = (0..16).collect();
    std::thread::scope(|scope| {
        for part in seeds.chunks(4) {
            scope.spawn(move || {
                for seed in part {
                    job_conformance::run(storm(*seed, &server().fresh_url()));
                }
            });
        }
    });
}

fn narrow() -> Declared {
    let all = LimitName::new("all").expect("valid");
    let limits = vec![(all.clone(), Some(Limit::concurrency(1).rule().expect("valid")))];
    Declared { limits, kinds: vec![KindLimits { limits: vec![all], ..KindLimits::none(KIND) }] }
}

/// Who reaps a lease frees its slots, long before they would end by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_reap_frees_slots_at_once() {
    let url = server().fresh_url();
    let backend = connect(&url).await;
    backend.declare(&QUEUE, &narrow()).await.expect("declare works");
    backend.enqueue(&jobs(2)).await.expect("enqueue works");
    let short = Duration::from_millis(100);
    assert_eq!(claim_for(&backend, 2, short).await.expect("claim works").len(), 1);
    reap(&backend, 1).await;
    assert_eq!(claim_for(&backend, 2, LONG).await.expect("claim works").len(), 1);
    Store::of(&url).assert_sound();
}

/// An extended lease keeps its slots for as long as it lasts; the end of the holder moves with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_extended_lease_keeps_its_slots() {
    let backend = connect(&server().fresh_url()).await;
    backend.declare(&QUEUE, &narrow()).await.expect("declare works");
    backend.enqueue(&jobs(2)).await.expect("enqueue works");
    let held = claim_for(&backend, 2, Duration::from_millis(200)).await.expect("claim works");
    let extended = backend.extend(&QUEUE, &[held[0].hold.lease], LONG).await.expect("extend works");
    assert_eq!(extended.leases, [LeaseStatus::Held]);
    // Beyond what the holder would have had without it.
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert!(claim_for(&backend, 2, LONG).await.expect("claim works").is_empty());
    settle(&backend, &held[0], Verdict::Complete).await.expect("settle works");
    assert_eq!(claim_for(&backend, 2, LONG).await.expect("claim works").len(), 1);
}

/// A verdict of a process that has never claimed, and so does not know the limits, frees slots as well.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_frees_slots() {
    let url = server().fresh_url();
    let backend = connect(&url).await;
    backend.declare(&QUEUE, &narrow()).await.expect("declare works");
    backend.enqueue(&jobs(3)).await.expect("enqueue works");
    let held = claim_for(&backend, 3, LONG).await.expect("claim works");
    let other = connect(&url).await;
    settle(&other, &held[0], Verdict::Complete).await.expect("settle works");
    assert_eq!(claim_for(&other, 3, LONG).await.expect("claim works").len(), 1, "and keeps the limit");
    Store::of(&url).assert_sound();
}

/// What others set is heard within two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_set_is_heard() {
    let url = server().fresh_url();
    let (backend, other) = (connect(&url).await, connect(&url).await);
    backend.enqueue(&jobs(9)).await.expect("enqueue works");
    assert_eq!(claim_for(&backend, 1, LONG).await.expect("claim works").len(), 1);
    let rule = Limit::concurrency(2).rule().expect("valid");
    other.set_limit(&LimitName::of_queue(&QUEUE), Some(rule)).await.expect("set works");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(claim_for(&backend, 5, LONG).await.expect("claim works").len(), 2);
    assert!(claim_for(&backend, 5, LONG).await.expect("claim works").is_empty());
}
