//! Enqueues jobs of every conduct, and writes down what it asked for and what it was told.

use super::history::{History, now};
use super::job::{FairJob, LIMIT, LimitedJob, OrderedJob, RigJob};
use super::store::Store;
use crate::judge::event::{Answer, Asked, Conduct, Event, Under};
use crate::judge::outside::Reach;
use job_core::{BatchEvent, BatchId, Client, EnqueueError, IdempotencyKey, Job, NewJob, Operate, When};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Calls a second of one producer, and the most jobs in a call.
const PAUSE: Duration = Duration::from_millis(40);
const BATCH_MAX: usize = 6;
/// What a tenant asks for when it asks for much.
const MANY: usize = 40;
/// Keys are shared by all requests of such a time, of any producer.
const KEY_WINDOW_NS: u64 = 500_000_000;

/// One source of jobs.
#[derive(Debug)]
pub(super) struct Producer {
    store: Store,
    client: Client,
    history: Arc<History>,
    random: StdRng,
    next_n: u64,
    calls: u64,
}

impl Producer {
    pub(super) fn new(
        store: Store,
        backend: Arc<dyn Operate>,
        history: Arc<History>,
        number: u32,
        seed: u64,
    ) -> Self {
        Self {
            store,
            client: Client::new(backend),
            history,
            random: StdRng::seed_from_u64(seed),
            next_n: u64::from(number) << 32,
            calls: 0,
        }
    }

    /// Enqueues until told to stop. Never leaves in the middle of a call.
    pub(super) async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            self.once().await;
            // Either is as good: the next round looks.
            let _ = tokio::time::timeout(PAUSE, stop.changed()).await;
        }
    }

    /// One call, repeated while its outcome is unknown.
    async fn once(&mut self) {
        let batch = self.random.random_ratio(1, 30);
        let jobs: Vec<_> = if batch {
            self.make_batch()
        } else if self.random.random_ratio(1, 250) {
            self.make_many()
        } else {
            (0..self.random.random_range(1..=BATCH_MAX)).map(|_| self.make()).collect()
        };
        let (asked, jobs): (Vec<Asked>, Vec<NewJob>) = jobs.into_iter().unzip();
        let mut maybe = false;
        // Who gives a batch up half-way leaves a job behind that waits for others which are not there.
        for _ in 0..if batch { 1_000 } else { 3 } {
            let call = self.calls;
            self.calls += 1;
            self.history.write(Event::EnqueueSent { call, jobs: asked.clone() });
            match self.client.enqueue_new(&jobs).await {
                Ok(answers) => {
                    let answers = jobs.iter().zip(answers).map(|(job, answer)| Answer {
                        asked: job.id,
                        job: answer.id,
                        deduplicated: answer.deduplicated,
                    });
                    self.history.write(Event::EnqueueAcked { call, answers: answers.collect() });
                    return;
                }
                Err(error) => {
                    let unknown = matches!(error, EnqueueError::Unknown { .. });
                    self.history.write(Event::EnqueueFailed { call, unknown });
                    maybe |= unknown;
                    if !maybe || (!batch && !unknown) {
                        return;
                    }
                }
            }
        }
    }

    /// A few jobs that complete, and one that waits for them.
    fn make_batch(&mut self) -> Vec<(Asked, NewJob)> {
        let id = BatchId::new();
        let count = self.random.random_range(1..BATCH_MAX);
        let mut all: Vec<_> = (0..=count).map(|_| self.make()).collect();
        for (asked, job) in &mut all {
            asked.conduct = match self.random.random_range(0..6) {
                0 => Conduct::FailsTwice,
                1 => Conduct::PanicsOnce,
                2 => Conduct::Snoozes,
                _ => Conduct::Quick,
            };
            *job = NewJob::of(&RigJob { n: asked.n, conduct: asked.conduct }).expect("plain arguments");
            (asked.job, asked.key, asked.delay_ms) = (job.id, None, 0);
            asked.under = Under::default();
        }
        let (_, members) = all.split_first_mut().expect("there is one more than members");
        for (_, job) in members {
            job.headers.insert(NewJob::BATCH_HEADER.to_owned(), id.to_string());
        }
        let after: Vec<_> = all[1..].iter().map(|(asked, _)| asked.job).collect();
        let members = u32::try_from(count).expect("few");
        let (asked, next) = &mut all[0];
        asked.after = after;
        next.when = When::Batch { batch: id, members, event: BatchEvent::Complete };
        all
    }

    fn next_n(&mut self) -> u64 {
        self.next_n += 1;
        self.next_n
    }

    fn make(&mut self) -> (Asked, NewJob) {
        let n = self.next_n();
        let conduct = match self.random.random_range(0..1_000) {
            0..3 => Conduct::Slow,
            3..50 => Conduct::FailsTwice,
            50..80 => Conduct::PanicsOnce,
            80..120 => Conduct::Hopeless,
            120..160 => Conduct::Snoozes,
            160..185 => Conduct::Outside(Reach::AtMostOnce),
            185..195 => Conduct::Outside(Reach::ByKey),
            195..205 => Conduct::Outside(Reach::Verified),
            205..210 => Conduct::Outside(Reach::AtLeastOnce),
            210..220 if self.store == Store::Postgres => Conduct::Outside(Reach::Transaction),
            _ => Conduct::Quick,
        };
        let mut job = NewJob::of(&RigJob { n, conduct }).expect("plain arguments");
        job.max_attempts = RigJob::spec().max_attempts;
        let mut delay_ms = 0;
        let mut key = None;
        match self.random.random_range(0..20) {
            0 => {
                delay_ms = 300;
                job.when = When::After(Duration::from_millis(delay_ms));
            }
            1 => {
                let text = format!("{}.{}", now() / KEY_WINDOW_NS, self.random.random_range(0..2));
                let scope = job.kind.to_string();
                let window = IdempotencyKey::DEFAULT_WINDOW;
                job.idempotency = Some(IdempotencyKey { scope, key: text.clone().into(), window });
                key = Some(text);
            }
            2..5 => return self.make_limited(n),
            5..8 => return self.make_ordered(n),
            8..10 => {
                let tenant = self.tenant();
                return self.make_fair(n, &tenant);
            }
            _ => {}
        }
        (Asked { key, delay_ms, ..Asked::plain(job.id, n, conduct) }, job)
    }

    /// A job that stays within the system.
    fn simple(&mut self) -> Conduct {
        match self.random.random_range(0..40) {
            0 => Conduct::FailsTwice,
            1 => Conduct::PanicsOnce,
            2 => Conduct::Snoozes,
            3 => Conduct::Hopeless,
            _ => Conduct::Quick,
        }
    }

    fn make_limited(&mut self, n: u64) -> (Asked, NewJob) {
        let conduct = self.simple();
        let job = NewJob::of(&LimitedJob(RigJob { n, conduct })).expect("plain arguments");
        let under = Under { concurrency: Some(LIMIT as usize), ..Under::default() };
        (Asked { under, ..Asked::plain(job.id, n, conduct) }, job)
    }

    fn tenant(&mut self) -> String {
        format!("tenant {}", self.random.random_range(0..6))
    }

    fn make_fair(&mut self, n: u64, tenant: &str) -> (Asked, NewJob) {
        let (conduct, line) = (self.simple(), tenant.to_owned());
        let job = FairJob(OrderedJob { line: line.clone(), job: RigJob { n, conduct } });
        let job = NewJob::of(&job).expect("plain arguments");
        let under = Under { fair: Some(line), ..Under::default() };
        (Asked { under, ..Asked::plain(job.id, n, conduct) }, job)
    }

    /// So many jobs of one tenant that others would wait behind them.
    fn make_many(&mut self) -> Vec<(Asked, NewJob)> {
        let tenant = self.tenant();
        let numbers = (0..MANY).map(|_| self.next_n()).collect::<Vec<_>>();
        numbers.into_iter().map(|n| self.make_fair(n, &tenant)).collect()
    }

    fn make_ordered(&mut self, n: u64) -> (Asked, NewJob) {
        let (conduct, line) = (self.simple(), format!("line {}", self.random.random_range(0..20)));
        let job = OrderedJob { line: line.clone(), job: RigJob { n, conduct } };
        let job = NewJob::of(&job).expect("plain arguments");
        let under = Under { line: Some(line), ..Under::default() };
        (Asked { under, ..Asked::plain(job.id, n, conduct) }, job)
    }
}
