//! Calls that let go of the lock between looking and doing.

use super::{KIND, LONG, QUEUE};
use crate::MemoryBackend;
use crate::clock::Tick;
use crate::job::Place;
use crate::keys::KeyText;
use crate::leases::{Fate, Leased};
use job_core::{
    ClaimedJob, Enqueued, Hold, LeaseId, MaintainRequest, Maintained, NewJob, Settled, Verdict, WorkerId,
};
use shuttle::future::block_on;
use std::sync::Arc;
use std::time::Duration;

/// Takes what was ready when it looked.
pub(super) fn claim(store: &MemoryBackend, _: Duration) -> Vec<ClaimedJob> {
    let ready = {
        let state = store.state();
        state
            .table
            .iter()
            .find(|(_, job)| job.place == Place::Ready && job.kind == KIND)
            .map(|(slot, _)| slot)
    };
    let Some(slot) = ready else { return Vec::new() };
    let mut state = store.state();
    let state = &mut *state;
    let Some(job) = state.table.get_mut(slot) else { return Vec::new() };
    let lease = LeaseId::random();
    job.place = Place::Running;
    job.claims += 1;
    let claimed = job.claimed(lease, slot, 0);
    let leased = vec![Leased { job: job.id, slot, fate: Fate::Held, under: 0 }];
    state.queues[0].leases.grant(lease, WorkerId::random(), leased, LONG);
    vec![claimed]
}

/// Applies a verdict whose lease was current when it looked.
pub(super) fn settle(store: &MemoryBackend, hold: Hold, _: Verdict) -> Settled {
    let slot = {
        let state = store.state();
        let lease = state.queues[0].leases.get(hold.lease);
        lease.and_then(|lease| lease.jobs.iter().find(|job| job.fate == Fate::Held)).map(|job| job.slot)
    };
    let Some(slot) = slot else { return Settled::Stale };
    let mut state = store.state();
    let now = state.clock.now();
    state.queues[0].leases.forget(None, 0, usize::MAX);
    state.finish(slot, now);
    Settled::Applied
}

/// Ends the leases that had expired when it looked.
pub(super) fn maintain(store: &MemoryBackend) -> Maintained {
    let expired = {
        let state = store.state();
        let now = state.clock.now();
        state.queues[0].leases.next_expiry().is_some_and(|at| at <= now)
    };
    let request = MaintainRequest { reap: expired, ..MaintainRequest::default() };
    store.state().maintain(&QUEUE, &request, Tick::MAX)
}

/// Stores a job whose key was free when it looked.
pub(super) fn enqueue(store: &MemoryBackend, mut job: NewJob) -> Enqueued {
    let key = job.unique.take().map(|key| KeyText::new(&key.scope, key.key.as_str())).expect("it has a key");
    if let Some(id) = store.state().keys.live(&key) {
        return Enqueued::existing(id);
    }
    let mut state = store.state();
    let now = state.clock.now();
    let answers = state.enqueue(&[job], now);
    state.keys.hold(key, answers[0].id);
    answers[0]
}

/// Counts itself as waiting, and listens only after it has let go of the lock.
pub(super) fn wait(store: &MemoryBackend) {
    let wake = {
        let mut state = store.state();
        let queue = state.queue_mut(&QUEUE);
        queue.waiters += 1;
        Arc::clone(&queue.wake)
    };
    block_on(wake.notified_owned());
    store.state().queue_mut(&QUEUE).waiters -= 1;
}
