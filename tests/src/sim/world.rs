//! The processes of a simulation and what can be done to them.

use super::job::{Act, Host, LEASE, QUEUE, Stubborn};
use super::life::{Cut, Life};
use super::link::Link;
use super::producer::Producer;
use super::tape::{Process, Tape};
use crate::chaos::ChaosBackend;
use job_core::{Queue, Report, RunningRuntime, Runtime, RuntimeError};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(super) struct Worker {
    process: Process,
    life: Arc<Life>,
    running: RunningRuntime,
}

impl Worker {
    /// Dies at once. What is left of it can neither be seen nor see anything, and comes to its end by itself.
    fn crash(self, tape: &Tape) {
        tape.note(self.process, "crash".into());
        tape.leave(self.process);
        self.life.kill();
        drop(self.running);
    }

    async fn shut_down(self, tape: &Tape) -> Result<Report, RuntimeError> {
        let report = self.running.shutdown().await;
        let left = report.as_ref().map(|r| r.left_to_expire);
        tape.note(self.process, format!("exit, left to expire: {left:?}"));
        if report.as_ref().is_ok_and(|r| r.left_to_expire == 0) {
            tape.done(self.process);
        }
        tape.leave(self.process);
        self.life.kill();
        report
    }
}

struct Source {
    process: Process,
    life: Arc<Life>,
    task: JoinHandle<()>,
}

/// Everything there is.
pub(super) struct World {
    pub(super) tape: Arc<Tape>,
    pub(super) chaos: ChaosBackend,
    /// Decides everything that the network does not.
    pub(super) plan: StdRng,
    /// On whose account the rest is written.
    pub(super) nemesis: Process,
    pub(super) workers: Vec<Worker>,
    producers: Vec<Source>,
    leaving: Vec<JoinHandle<Result<Report, RuntimeError>>>,
    born: u64,
    /// When all trouble ended, as the tape has it.
    pub(super) healed: u64,
    pub(super) crashes: u64,
    pub(super) shutdowns: u64,
    pub(super) cuts: u64,
    pub(super) freezes: u64,
}

impl World {
    pub(super) fn new(seed: u64, chaos: ChaosBackend) -> Self {
        let tape = Arc::new(Tape::start());
        let nemesis = tape.enter("nemesis".into());
        Self {
            tape,
            chaos,
            plan: StdRng::seed_from_u64(seed),
            nemesis,
            workers: Vec::new(),
            producers: Vec::new(),
            leaving: Vec::new(),
            born: 0,
            healed: 0,
            crashes: 0,
            shutdowns: 0,
            cuts: 0,
            freezes: 0,
        }
    }

    fn link(&mut self, what: &str) -> Link {
        self.born += 1;
        let process = self.tape.enter(format!("{what}-{}", self.born));
        self.tape.note(process, "start".into());
        Link::new(process, Arc::clone(&self.tape), Arc::default(), self.chaos.clone())
    }

    pub(super) fn start_worker(&mut self) {
        let link = self.link("worker");
        let (process, life) = (link.process, Arc::clone(&link.life));
        let host = Host { process, tape: Arc::clone(&self.tape), life: Arc::clone(&life) };
        let runtime = Runtime::builder(link)
            .job::<Act>()
            .job::<Stubborn>()
            .state(host)
            .queue(QUEUE.as_str(), Queue::concurrency(4).prefetch_max(8))
            .lease(LEASE)
            .poll_max(Duration::from_millis(500))
            .shutdown_deadline(Duration::from_secs(3))
            .cancel_grace(Duration::from_millis(500))
            // Crashes here are no fault of any job.
            .poison_limit(1_000_000)
            .seed(self.plan.random())
            .build()
            .expect("the configuration is good");
        self.workers.push(Worker { process, life, running: runtime.start() });
    }

    pub(super) fn start_producer(&mut self) {
        let link = Arc::new(self.link("producer"));
        let producer = Producer::new(Arc::clone(&link), self.born, self.plan.random());
        let task = tokio::spawn(producer.run());
        self.producers.push(Source { process: link.process, life: Arc::clone(&link.life), task });
    }

    fn any_worker(&mut self) -> Option<usize> {
        let n = self.workers.len();
        (n > 0).then(|| self.plan.random_range(0..n))
    }

    pub(super) fn crash_worker(&mut self) {
        if let Some(at) = self.any_worker() {
            self.workers.swap_remove(at).crash(&self.tape);
            self.crashes += 1;
        }
    }

    /// Asks a worker to end in good order.
    pub(super) fn stop_worker(&mut self) {
        if let Some(at) = self.any_worker() {
            let worker = self.workers.swap_remove(at);
            let tape = Arc::clone(&self.tape);
            tape.note(worker.process, "shutdown".into());
            self.leaving.push(tokio::spawn(async move { worker.shut_down(&tape).await }));
            self.shutdowns += 1;
        }
    }

    /// Cuts a worker off for a while.
    pub(super) fn cut_worker(&mut self) {
        if let Some(at) = self.any_worker() {
            let time = Duration::from_millis(self.plan.random_range(100..4_000));
            let one_way = self.plan.random();
            let worker = &self.workers[at];
            self.tape.note(worker.process, format!("cut off for {time:?}, one way: {one_way}"));
            worker.life.cut(Some(Cut { until: Instant::now() + time, one_way }));
            self.cuts += 1;
        }
    }

    /// Stops everybody while the store's clock goes on.
    pub(super) async fn freeze(&mut self) {
        let time = Duration::from_millis(self.plan.random_range(100..2_500));
        self.tape.note(self.nemesis, format!("freeze for {time:?}"));
        self.tape.ledger().frozen(Instant::now() + time);
        tokio::time::advance(time).await;
        self.freezes += 1;
    }

    pub(super) fn replace_producer(&mut self) {
        if let Some(source) = self.producers.pop() {
            self.tape.note(source.process, "crash".into());
            self.tape.leave(source.process);
            source.life.kill();
            self.crashes += 1;
            // Its task ends by itself.
            drop(source.task);
        }
        self.start_producer();
    }

    /// Ends all trouble.
    pub(super) fn heal(&mut self) {
        self.tape.note(self.nemesis, "heal".into());
        self.healed = self.tape.now();
        self.chaos.heal();
        for worker in &self.workers {
            worker.life.cut(None);
        }
    }

    /// Lets producers end what they are at, and waits for them, for workers that are leaving and for late requests.
    /// Returns what is wrong with how they left.
    pub(super) async fn settle_down(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        for producer in self.producers.drain(..) {
            producer.life.stop();
            producer.task.await.expect("producers do not panic");
        }
        for leaving in self.leaving.drain(..) {
            // One that was asked to leave in the midst of trouble may leave something behind.
            if let Err(error) = leaving.await.expect("no worker panics") {
                complaints.push(format!("a worker failed: {error}"));
            }
        }
        self.chaos.quiet().await;
        complaints
    }

    /// Ends all workers in good order; returns what is wrong with how they did.
    pub(super) async fn shut_down(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        for worker in self.workers.drain(..) {
            match worker.shut_down(&self.tape).await {
                Ok(report) if report.left_to_expire == 0 => {}
                Ok(report) => complaints.push(format!(
                    "a worker says that it leaves {} jobs to expire, and the store has none",
                    report.left_to_expire
                )),
                Err(error) => complaints.push(format!("a worker failed: {error}")),
            }
        }
        complaints
    }
}
