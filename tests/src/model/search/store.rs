//! The store of a search: the reference, whose answers are judged, and which a test may break.

use super::step::{Asked, JOBS, LASTS, POISON_LIMIT, Request};
use crate::model::call::Number;
use crate::model::picking::Seen;
use crate::model::reference::{Reference, Taken};
use job_core::{Cancelled, LeaseStatus, Settled};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// Of each job, which one stands for it and whether that is another one.
    Enqueued(Vec<(Number, (Number, bool))>),
    Claimed(Vec<Taken>),
    Settled(Settled),
    Extended(Vec<(u8, LeaseStatus)>),
    Maintained,
    Cancelled(Cancelled),
    Done(bool),
}

/// Something wrong with a store, for the proof that it is found.
pub(super) struct Defect {
    /// Changes the store before a call.
    pub(super) before: fn(&mut Reference, Asked),
    /// Changes the store, which was like the first, and the answer, after it.
    pub(super) after: fn(&Reference, &mut Reference, Asked, &mut Answer),
}

/// Makes a call. `other` lets a claim take the other one of two jobs with equal rights.
pub(super) fn ask(
    store: &mut Reference,
    asked: Asked,
    other: bool,
    unique: bool,
    defect: Option<&Defect>,
) -> Answer {
    let Some(defect) = defect else { return ask_right(store, asked, other, unique) };
    let old = store.clone();
    (defect.before)(store, asked);
    let mut answer = ask_right(store, asked, other, unique);
    (defect.after)(&old, store, asked, &mut answer);
    answer
}

fn ask_right(store: &mut Reference, asked: Asked, other: bool, unique: bool) -> Answer {
    // Marks are for the random cases, and would be copied with every state.
    let answer = match asked {
        Asked::Request(request) => ask_request(store, request, other, unique),
        Asked::Maintain => {
            store.maintain(true, POISON_LIMIT);
            Answer::Maintained
        }
        Asked::Cancel(job) => Answer::Cancelled(store.cancel(job.into())),
        Asked::Replay(job) => Answer::Done(store.replay(job.into())),
        Asked::Discard(job) => Answer::Done(store.discard(job.into())),
    };
    store.marks.clear();
    answer
}

fn ask_request(store: &mut Reference, request: Request, other: bool, unique: bool) -> Answer {
    match request {
        Request::Enqueue(_) => {
            let jobs = request.jobs(unique);
            let numbers = jobs.iter().map(|new| new.job);
            Answer::Enqueued(numbers.zip(store.enqueue(&jobs)).collect())
        }
        Request::Claim { .. } => Answer::Claimed(claim(store, request, other)),
        Request::Settle { .. } => Answer::Settled(store.settle(&[request.end()])[0]),
        Request::Extend(leases) => {
            let (answers, _) = store.extend(&request.leases(), LASTS.after(store.now));
            Answer::Extended(leases.into_iter().zip(answers).collect())
        }
    }
}

fn claim(store: &mut Reference, request: Request, other: bool) -> Vec<Taken> {
    let ask = request.ask();
    if other {
        let first = store.clone().claim(&ask, None).unwrap_or_default();
        let swapped: Vec<Seen> = first.iter().map(|t| (JOBS - 1 - t.job, t.lease)).collect();
        // Equal rights in one lane may be unequal in this call; then there is no other choice.
        if let Ok(taken) = store.clone().claim(&ask, Some(&swapped)) {
            let _ = store.claim(&ask, Some(&swapped));
            return taken;
        }
    }
    store.claim(&ask, None).unwrap_or_default()
}
