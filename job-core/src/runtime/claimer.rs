//! Claimer: owns the claim loop of one queue.
//! Owns: the poll timer. Restarted by: its QueueSupervisor. Never: runs user code, fails on a transient error.

use super::backoff::Backoff;
use super::bounded::bounded;
use super::core::{ClaimPlan, Nudge};
use super::seat::Seated;
use super::shared::QueueShared;
use crate::backend::{Claim, ClaimRequest};
use crate::error::{BackendError, Effect, ErrorKind};
use crate::verdict::Settled;
use crate::{fault_point, seeded_bug};
use ractor::{ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) enum ClaimerMsg {
    /// There may be something to claim, or to settle along with a claim.
    Wake,
    /// The timer.
    Poll,
}

pub(crate) struct Claimer;

pub(crate) struct ClaimerState {
    queue: Arc<QueueShared>,
    /// None in tests that have no actor.
    _seat: Option<Seated>,
    timer: Option<JoinHandle<Result<(), ractor::MessagingErr<ClaimerMsg>>>>,
    backoff: Backoff,
}

#[ractor::actor(message = ClaimerMsg, state = ClaimerState, arguments = Arc<QueueShared>)]
impl Claimer {
    async fn pre_start(
        &self,
        myself: ActorRef<ClaimerMsg>,
        queue: Arc<QueueShared>,
    ) -> Result<ClaimerState, ActorProcessingErr> {
        let seat = queue.seats.claimer.take().await?;
        queue.claimer_starts();
        queue.set_claimer(myself.clone());
        let _ = myself.cast(ClaimerMsg::Wake);
        Ok(ClaimerState { _seat: Some(seat), ..ClaimerState::new(queue) })
    }

    async fn handle(
        &self,
        myself: ActorRef<ClaimerMsg>,
        message: ClaimerMsg,
        state: &mut ClaimerState,
    ) -> Result<(), ActorProcessingErr> {
        let polled = matches!(message, ClaimerMsg::Poll);
        let _ = fault_point!(state.queue.name.as_str(), "claimer.{}", if polled { "poll" } else { "wake" });
        let wait = state.claim(polled).await?;
        state.arm(&myself, wait);
        Ok(())
    }
}

impl ClaimerState {
    pub(super) fn new(queue: Arc<QueueShared>) -> Self {
        let backoff = Backoff::new(&queue.env.chance);
        Self { queue, _seat: None, timer: None, backoff }
    }

    /// One claim, if one is due. Returns when to look again if nobody wakes us.
    pub(super) async fn claim(&mut self, polled: bool) -> Result<Duration, BackendError> {
        if self.queue.limits.is_new()
            && let Err(error) = self.queue.limits.declare(&self.queue.env, &self.queue.name).await
        {
            if error.kind() == ErrorKind::Permanent {
                return Err(error);
            }
            return Ok(self.backoff.failed(&self.queue.name, "declare", &error));
        }
        let plan = self.queue.core().plan_claim(Instant::now(), polled);
        let Some(plan) = plan else {
            let nudge = self.queue.core().nudge();
            self.queue.tell(nudge);
            return Ok(self.queue.core().next_poll());
        };
        let _ = fault_point!(self.queue.name.as_str(), "claimer.planned");
        let answer = self.call(&plan).await;
        let _ = fault_point!(self.queue.name.as_str(), "claimer.answered");
        match answer {
            Ok((settled, claim)) => {
                self.backoff.succeeded(&self.queue.name, "claim");
                let in_vain = plan.woken && claim.jobs.is_empty() && !claim.contended;
                let late = plan.first_sent.elapsed() > self.queue.env.timing.lease_for / 5;
                let (starts, nudge) = {
                    let mut core = self.queue.core();
                    let starts = core.claim_done(Instant::now(), &settled, claim);
                    (starts, core.nudge())
                };
                if in_vain {
                    self.queue.look_for_due();
                }
                if late {
                    self.queue.tell_keeper();
                }
                self.queue.spawn(starts);
                self.queue.tell(nudge);
                self.queue.tell_changed();
                Ok(self.queue.core().next_poll())
            }
            Err(error) => {
                let nudge = {
                    let mut core = self.queue.core();
                    core.claim_failed(error.effect() == Effect::Unknown);
                    core.nudge()
                };
                debug_assert_ne!(nudge, Nudge::Claimer, "a failed claim waits for its timer");
                self.queue.tell(nudge);
                self.queue.tell_changed();
                if error.kind() == ErrorKind::Permanent {
                    return Err(error);
                }
                Ok(self.backoff.failed(&self.queue.name, "claim", &error))
            }
        }
    }

    async fn call(&self, plan: &ClaimPlan) -> Result<(Vec<Settled>, Claim), BackendError> {
        let env = &self.queue.env;
        let ahead = self.queue.core().ahead(&env.kinds);
        let request = ClaimRequest {
            lease: plan.lease,
            worker: env.worker,
            kinds: &env.kinds,
            limit: plan.limit,
            lease_for: env.timing.lease_for,
            suspect_leases: &plan.suspect_leases,
            solo: plan.solo,
            ahead: &ahead,
        };
        let call = async {
            if plan.settlements.is_empty() {
                let claim = env.backend.claim(&self.queue.name, &request).await?;
                Ok((Vec::new(), claim))
            } else {
                env.backend.settle_and_claim(&self.queue.name, &plan.settlements, &request).await
            }
        };
        bounded(env.timing.call_timeout, "claim", call).await
    }

    fn arm(&mut self, myself: &ActorRef<ClaimerMsg>, wait: Duration) {
        // With the defect wake-ups are trusted to come.
        let wait = if seeded_bug!("no_polls") { Duration::MAX } else { wait };
        if let Some(timer) = self.timer.replace(myself.send_after(wait, || ClaimerMsg::Poll)) {
            timer.abort();
        }
    }
}
