//! Enqueues jobs of every conduct, and writes down what it asked for and what it was told.

use super::job::{Act, Stubborn};
use super::link::Link;
use crate::judge::event::{Answer, Asked, Conduct, Event};
use job_core::{Client, EnqueueError, IdempotencyKey, NewJob, When};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
const BATCH_MAX: usize = 6;

/// One source of jobs.
#[derive(Debug)]
pub(super) struct Producer {
    client: Client,
    link: Arc<Link>,
    random: StdRng,
    next_n: u64,
    calls: u64,
}

impl Producer {
    pub(super) fn new(link: Arc<Link>, number: u64, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let client = Client::new(Arc::clone(&link)).seed(random.random());
        Self { client, link, random, next_n: number << 32, calls: 0 }
    }

    /// Enqueues until it is stopped, or dead.
    pub(super) async fn run(mut self) {
        while !self.link.life.is_stopping() {
            self.once().await;
            sleep(Duration::from_millis(self.random.random_range(50..1_500))).await;
        }
    }

    fn write(&self, event: Event) {
        self.link.tape.write(self.link.process, event);
    }

    /// One call, repeated a few times while its outcome is unknown.
    async fn once(&mut self) {
        let jobs: Vec<_> = (0..self.random.random_range(1..=BATCH_MAX)).map(|_| self.make()).collect();
        let (asked, jobs): (Vec<Asked>, Vec<NewJob>) = jobs.into_iter().unzip();
        for _ in 0..3 {
            let call = self.calls;
            self.calls += 1;
            self.write(Event::EnqueueSent { call, jobs: asked.clone() });
            match timeout(PATIENCE, self.client.enqueue_new(&jobs)).await {
                Ok(Ok(answers)) => {
                    let answers = jobs.iter().zip(answers).map(|(job, answer)| Answer {
                        asked: job.id,
                        job: answer.id,
                        deduplicated: answer.deduplicated,
                    });
                    return self.write(Event::EnqueueAcked { call, answers: answers.collect() });
                }
                Ok(Err(EnqueueError::Unknown { .. })) | Err(_) => {
                    self.write(Event::EnqueueFailed { call, unknown: true });
                }
                Ok(Err(_)) => return self.write(Event::EnqueueFailed { call, unknown: false }),
            }
        }
    }

    fn make(&mut self) -> (Asked, NewJob) {
        self.next_n += 1;
        let n = self.next_n;
        let (conduct, ms) = match self.random.random_range(0..20) {
            0 => (Conduct::Slow, self.random.random_range(1_000..3_500)),
            1..=2 => (Conduct::FailsTwice, self.random.random_range(0..100)),
            3..=4 => (Conduct::PanicsOnce, self.random.random_range(0..100)),
            5 => (Conduct::Hopeless, 1),
            6..=7 => (Conduct::Snoozes, 1),
            _ => (Conduct::Quick, self.random.random_range(0..300)),
        };
        let act = Act { n, conduct, ms };
        let made =
            if self.random.random_range(0..8) == 0 { NewJob::of(&Stubborn(act)) } else { NewJob::of(&act) };
        let mut job = made.expect("plain arguments");
        let mut asked = Asked::plain(job.id, n, conduct);
        match self.random.random_range(0..8) {
            0 => {
                asked.delay_ms = self.random.random_range(1..2_000);
                job.when = When::After(Duration::from_millis(asked.delay_ms));
            }
            1 => {
                // Few enough that producers meet.
                let text = format!("k{}", self.random.random_range(0..12));
                let window = IdempotencyKey::DEFAULT_WINDOW;
                let key = IdempotencyKey { scope: "sim".into(), key: text.clone().into(), window };
                job.idempotency = Some(key);
                asked.key = Some(text);
            }
            _ => {}
        }
        (asked, job)
    }
}
