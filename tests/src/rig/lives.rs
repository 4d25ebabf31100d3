//! The lives of children, one after the other, while there is somebody left to kill.

use super::child::{Doomed, was_killed};
use super::director::{Director, Doom};
use super::history::History;
use super::store::{AnyError, Store};
use super::worker::THAW;
use crate::judge::Told;
use crate::judge::event::{Answered, Event, Held, Record};
use crate::judge::point::{Action, Order, Point};
use job_core::{JobState, Operate};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long a child may take to come to its point: jobs flow all the time.
const TO_POINT: Duration = Duration::from_secs(20);
/// How long a child may take to end after SIGTERM.
pub(super) const TO_END: Duration = Duration::from_secs(40);
/// How long leases of a frozen child may take to be ended by others.
const TO_REAP: Duration = Duration::from_secs(60);

/// What all lives share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) program: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) store: Store,
    pub(super) url: String,
    pub(super) lease: Duration,
    /// Where the service outside listens.
    pub(super) port: u16,
    pub(super) director: Director,
    /// The longest time between two storms.
    pub(super) calm: Duration,
    /// Past the proxy that the children go through.
    pub(super) backend: Arc<dyn Operate>,
    /// The library that gives children a wrong clock, if there is one.
    pub(super) faketime: Option<PathBuf>,
    /// What the orchestrator itself saw.
    pub(super) history: Arc<History>,
    pub(super) born: AtomicU32,
}

impl Stage {
    pub(super) fn worker(&self) -> Result<Doomed, AnyError> {
        let name = format!("worker-{}", self.born.fetch_add(1, Ordering::Relaxed));
        let (lease, port) = (self.lease.as_millis().to_string(), self.port.to_string());
        let clock = self.faketime.as_deref().zip(self.director.clock());
        self.director.count(|t| t.clocks += u64::from(clock.is_some()));
        Doomed::start(&self.program, &self.dir, name, &["worker", &self.url, &lease, &port], clock)
    }

    fn producer(&self) -> Result<Doomed, AnyError> {
        let number = self.born.fetch_add(1, Ordering::Relaxed);
        let args = ["producer", &self.url, &number.to_string()];
        Doomed::start(&self.program, &self.dir, format!("producer-{number}"), &args, None)
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
            Doom::Hurt(order) => {
                child.order(order).await;
                let hurt = |records: &[Record]| records.iter().find_map(|r| struck(r, order));
                if child.until(TO_POINT, hurt).await?.is_some() {
                    self.director.count(|t| t.strike(order));
                } else {
                    self.director.count(|t| t.missed += 1);
                }
                self.die_after(child, self.director.moment()).await
            }
            Doom::Told(moment) => self.end(child, moment).await,
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
                self.director.count(|t| t.strike(order));
                Ok(())
            }
            Some(status) => Err(format!("{} ended by itself, {status}", child.name()).into()),
            None => {
                self.director.count(|t| t.missed += 1);
                self.kill(child).await?;
                Ok(())
            }
        }
    }

    async fn kill(&self, child: &mut Doomed) -> Result<bool, AnyError> {
        self.history.write(Event::Killed { name: child.name().to_owned() });
        child.kill().await
    }

    /// SIGTERM, at whatever moment: the process ends by itself, with or without having told the store everything.
    async fn end(&self, child: &mut Doomed, moment: Duration) -> Result<(), AnyError> {
        if !child.until_busy(TO_POINT).await? {
            self.director.count(|t| t.missed += 1);
        }
        sleep(moment).await;
        child.signal(Signal::TERM)?;
        match child.ended(TO_END).await? {
            Some(status) if matches!(status.code(), Some(0 | 3)) => {
                self.director.count(|t| t.told += 1);
                Ok(())
            }
            Some(status) => Err(format!("{} ended with {status} after SIGTERM", child.name()).into()),
            None => Err(format!("{} did not end in {TO_END:?} after SIGTERM", child.name()).into()),
        }
    }

    async fn die_after(&self, child: &mut Doomed, moment: Duration) -> Result<(), AnyError> {
        if !child.until_busy(TO_POINT).await? {
            self.director.count(|t| t.missed += 1);
        }
        sleep(moment).await;
        if !self.kill(child).await? {
            return Err(format!("{} ended by itself", child.name()).into());
        }
        self.director.count(|t| t.random += 1);
        Ok(())
    }

    /// Freezes a worker until its leases are over, then lets it go on. If it was about to send verdicts, others have ended
    /// its leases by then, and the verdicts have to be refused.
    async fn freeze(&self, child: &mut Doomed, order: Order) -> Result<(), AnyError> {
        child.order(order).await;
        let at = |records: &[Record]| records.iter().find_map(|r| struck(r, order));
        if child.until(TO_POINT, at).await?.is_none() {
            self.director.count(|t| t.missed += 1);
            return Ok(());
        }
        let verdicts = child.until(Duration::ZERO, frozen).await?;
        match &verdicts {
            Some((_, held)) => {
                for &held in held {
                    self.until_over(held).await?;
                    self.history.write(Event::Over { held });
                }
            }
            // What it holds is not known to us. Its leases last this long.
            None => sleep(self.lease + self.lease / 2).await,
        }
        child.tell(THAW).await;
        child.signal(Signal::CONT)?;
        self.director.count(|t| t.strike(order));
        let Some((call, _)) = verdicts else { return Ok(()) };
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
            // The server may be away.
            let job = self.backend.get(held.job).await;
            if job.is_ok_and(|j| j.is_none_or(|j| j.state != JobState::Running || j.claims > held.claims)) {
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

fn struck(record: &Record, order: Order) -> Option<()> {
    let Event::Reached { point, action, .. } = record.event else { return None };
    (point == order.point && action == order.action).then_some(())
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
