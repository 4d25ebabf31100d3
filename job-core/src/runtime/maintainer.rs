//! Maintainer: promotes, reaps and prunes the queues of one runtime. Any number of processes may do it at once.
//! Owns: when it last succeeded. Restarted by: the RuntimeSupervisor. Never: fails on an error, however permanent.

use super::bounded::bounded;
use super::shared::QueueShared;
use crate::backend::MaintainRequest;
use crate::{fault_point, seeded_bug};
use ractor::{ActorProcessingErr, ActorRef, MessagingErr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) enum MaintainerMsg {
    /// The timer.
    Tick,
    /// Somebody was woken and found nothing: there may be jobs that are due before the next round.
    Look,
}

/// The least time between rounds that are made for that.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Maintainer;

pub(crate) struct MaintainerState {
    queues: Vec<QueueRound>,
    timer: Option<JoinHandle<Result<(), MessagingErr<MaintainerMsg>>>>,
}

struct QueueRound {
    queue: Arc<QueueShared>,
    last_success: Option<Instant>,
    /// After an outage nobody could extend, so leases get another lease of time before they are ended.
    reap_from: Instant,
    due: Instant,
    /// When the last round began.
    began: Instant,
    failing: bool,
}

#[ractor::actor(message = MaintainerMsg, state = MaintainerState, arguments = Vec<Arc<QueueShared>>)]
impl Maintainer {
    async fn pre_start(
        &self,
        myself: ActorRef<MaintainerMsg>,
        queues: Vec<Arc<QueueShared>>,
    ) -> Result<MaintainerState, ActorProcessingErr> {
        let now = Instant::now();
        let round = |queue| QueueRound {
            queue,
            last_success: None,
            reap_from: now,
            due: now,
            began: now,
            failing: false,
        };
        for queue in &queues {
            queue.set_maintainer(myself.clone());
        }
        let _ = myself.cast(MaintainerMsg::Tick);
        Ok(MaintainerState { queues: queues.into_iter().map(round).collect(), timer: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<MaintainerMsg>,
        _message: MaintainerMsg,
        state: &mut MaintainerState,
    ) -> Result<(), ActorProcessingErr> {
        for round in &mut state.queues {
            if round.queue.take_look() && !seeded_bug!("due_jobs_wait_for_a_round") {
                round.due = round.due.min(round.began + LOOK_EVERY);
            }
            if round.due <= Instant::now() {
                let _ = fault_point!(round.queue.name.as_str(), "maintainer.tick");
                round.run().await;
            }
        }
        if let Some(due) = state.queues.iter().map(|r| r.due).min() {
            let wait = due.saturating_duration_since(Instant::now());
            if let Some(timer) = state.timer.replace(myself.send_after(wait, || MaintainerMsg::Tick)) {
                timer.abort();
            }
        }
        Ok(())
    }
}

impl QueueRound {
    async fn run(&mut self) {
        let env = &self.queue.env;
        let timing = &env.timing;
        let now = Instant::now();
        self.began = now;
        if let Some(last) = self.last_success
            && now.duration_since(last) > timing.lease_for / 2
            && !seeded_bug!("no_outage_grace")
        {
            self.reap_from = now + timing.lease_for;
        }
        let request = MaintainRequest {
            reap: now >= self.reap_from,
            poison_limit: timing.poison_limit,
            dead_kept: self.queue.dead_kept,
            ..MaintainRequest::default()
        };
        if self.queue.limits.is_due()
            && let Err(error) = self.queue.limits.declare(env, &self.queue.name).await
        {
            tracing::warn!(queue = %self.queue.name, %error, "limits could not be declared again, trying on");
        }
        let call = env.backend.maintain(&self.queue.name, &request);
        let answer = bounded(timing.call_timeout, "maintain", call).await;
        let _ = fault_point!(self.queue.name.as_str(), "maintainer.answered");
        let mut wait = env.chance.shorten(timing.maintain_every, 80);
        match answer {
            Ok(done) => {
                self.last_success = Some(Instant::now());
                self.failing = false;
                if done.promoted + done.jobs_returned > 0 {
                    self.queue.wake();
                }
                if done.leases_reaped > 0 || done.poisoned > 0 {
                    tracing::warn!(queue = %self.queue.name, leases = done.leases_reaped, returned = done.jobs_returned,
                        poisoned = done.poisoned, "leases of dead workers ended");
                }
                if done.dead_pruned > 0 {
                    tracing::warn!(queue = %self.queue.name, jobs = done.dead_pruned, kept = ?self.queue.dead_kept,
                        "dead jobs were removed for good: they had been dead for too long");
                }
                if done.repaired > 0 {
                    tracing::error!(queue = %self.queue.name, repaired = done.repaired, "an audit found stranded jobs; please report this");
                }
                if let Some(due) = done.next_due {
                    wait = wait.min(due.max(Duration::from_millis(1)));
                }
                if done.more {
                    wait = Duration::ZERO;
                }
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(queue = %self.queue.name, %error, "maintenance failed, trying on");
                }
                self.failing = true;
            }
        }
        self.due = Instant::now() + wait;
    }
}
