//! The lives of children, one after the other, while there is somebody left to kill.

use super::checker::Told;
use super::child::{Doomed, was_killed};
use super::director::{Director, Doom};
use super::event::{Answered, Event, Held, Record};
use super::history::History;
use super::point::{Action, Order, Point};
use super::store::AnyError;
use super::worker::THAW;
use job_core::{JobState, Operate};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long a child may take to come to its point: jobs flow all the time.
const TO_POINT: Duration = Duration::from_secs(20);
/// How long leases of a frozen child may take to be ended by others.
const TO_REAP: Duration = Duration::from_secs(30);

/// What all lives share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) program: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) url: String,
    pub(super) director: Director,
    pub(super) backend: Arc<dyn Operate>,
    /// What the orchestrator itself saw.
    pub(super) history: Arc<History>,
    pub(super) born: AtomicU32,
}

impl Stage {
    pub(super) fn worker(&self) -> Result<Doomed, AnyError> {
        let name = format!("worker-{}", self.born.fetch_add(1, Ordering::Relaxed));
        Doomed::start(&self.program, &self.dir, name, &["worker", &self.url])
    }

    fn producer(&self) -> Result<Doomed, AnyError> {
        let number = self.born.fetch_add(1, Ordering::Relaxed);
        let args = ["producer", &self.url, &number.to_string()];
        Doomed::start(&self.program, &self.dir, format!("producer-{number}"), &args)
    }

    /// One worker after the other.
    pub(super) async fn workers(&self) -> Result<Vec<Told>, AnyError> {
        let mut told = Vec::new();
        while !self.director.is_done() {
            let mut worker = self.worker()?;
            for order in self.director.losses(&[Point::AfterClaim, Point::AfterSettle]) {
                worker.order(order).await;
            }
            let doom = self.director.next_worker();
            self.live(&mut worker, doom).await?;
            told.push(worker.told()?);
        }
        Ok(told)
    }

    /// One producer after the other.
    pub(super) async fn producers(&self) -> Result<Vec<Told>, AnyError> {
        let mut told = Vec::new();
        while !self.director.is_done() {
            let mut producer = self.producer()?;
            for order in self.director.losses(&[Point::AfterEnqueue]) {
                producer.order(order).await;
            }
            let doom = self.director.next_producer();
            self.live(&mut producer, doom).await?;
            told.push(producer.told()?);
        }
        Ok(told)
    }

    async fn live(&self, child: &mut Doomed, doom: Doom) -> Result<(), AnyError> {
        match doom {
            Doom::At(order) => self.die_at(child, order).await,
            Doom::AtRandom(moment) => self.die_after(child, moment).await,
            Doom::Frozen(order) => {
                let frozen = self.freeze(child, order).await;
                self.director.thawed();
                frozen?;
                self.die_after(child, self.director.moment()).await
            }
        }
    }

    async fn die_at(&self, child: &mut Doomed, order: Order) -> Result<(), AnyError> {
        child.order(order).await;
        match child.ended(TO_POINT).await? {
            Some(status) if was_killed(status) => {
                self.director.count(|t| *t.at.entry(order.point).or_default() += 1);
                Ok(())
            }
            Some(status) => Err(format!("{} ended by itself, {status}", child.name()).into()),
            None => {
                self.director.count(|t| t.missed += 1);
                child.kill().await?;
                Ok(())
            }
        }
    }

    async fn die_after(&self, child: &mut Doomed, moment: Duration) -> Result<(), AnyError> {
        if !child.until_busy(TO_POINT).await? {
            self.director.count(|t| t.missed += 1);
        }
        sleep(moment).await;
        if !child.kill().await? {
            return Err(format!("{} ended by itself", child.name()).into());
        }
        self.director.count(|t| t.random += 1);
        Ok(())
    }

    /// Freezes a worker that is about to send verdicts until others have ended its leases, then lets it send them.
    async fn freeze(&self, child: &mut Doomed, order: Order) -> Result<(), AnyError> {
        child.order(order).await;
        let Some((call, held)) = child.until(TO_POINT, frozen).await? else {
            self.director.count(|t| t.missed += 1);
            return Ok(());
        };
        for &held in &held {
            self.until_over(held).await?;
            self.history.write(Event::Over { held });
        }
        child.tell(THAW).await;
        child.signal(Signal::CONT)?;
        let answer = child.until(TO_POINT, |records| answer(records, call)).await?;
        match answer {
            Some(answers) if answers.contains(&Answered::Stale) => self.director.count(|t| t.frozen += 1),
            _ => self.director.count(|t| t.missed += 1),
        }
        Ok(())
    }

    /// Waits until the store says that this right is over.
    async fn until_over(&self, held: Held) -> Result<(), AnyError> {
        let deadline = Instant::now() + TO_REAP;
        loop {
            let job = self.backend.get(held.job).await?;
            if job.is_none_or(|j| j.state != JobState::Running || j.claims > held.claims) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(
                    format!("nobody ended the lease of a frozen worker in {TO_REAP:?}: {held:?}").into()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The call at which a process was frozen, and the rights that it was about to use.
fn frozen(records: &[Record]) -> Option<(u64, Vec<Held>)> {
    let call = records.iter().find_map(|r| match r.event {
        Event::Reached { action: Action::Freeze, unsent, .. } => unsent,
        _ => None,
    })?;
    records.iter().find_map(|r| match &r.event {
        Event::SettleSent { call: sent, verdicts } if *sent == call => {
            Some((call, verdicts.iter().map(|v| v.held).collect()))
        }
        _ => None,
    })
}

fn answer(records: &[Record], call: u64) -> Option<Vec<Answered>> {
    records.iter().find_map(|r| match &r.event {
        Event::SettleAnswered { call: answered, answers } if *answered == call => Some(answers.clone()),
        Event::SettleFailed { call: failed, .. } if *failed == call => Some(Vec::new()),
        _ => None,
    })
}
