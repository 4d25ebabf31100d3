//! Heal and drain: whatever state a search ends in, everything comes to an end once nothing goes wrong any more.

use super::scope::Scope;
use super::shape::shape_of_store;
use super::step::{Asked, JOBS, Request};
use super::store::{self, Answer, Defect};
use super::system::{System, Worker};
use super::witness::Kept;
use crate::model::call::Ending;

/// A lost lease, and up to three more runs of a suspect.
const ROUNDS: usize = 8;

/// Lets late requests arrive, starts the workers anew, and works until all is done. `is_new` says whether a state of
/// the store was not seen here before; one that was is left alone. `tell` is told every call.
pub(super) fn drain(
    mut system: System,
    scope: &Scope,
    defect: Option<&Defect>,
    is_new: &mut dyn FnMut(u64) -> bool,
    tell: &mut dyn FnMut(Asked),
) -> Kept<bool> {
    let mut ask = |system: &mut System, asked| {
        tell(asked);
        let answer = store::ask(&mut system.store, asked, false, scope.unique, defect);
        system.witness.hear(asked, &answer, &system.store, scope.unique)?;
        Ok::<_, String>(answer)
    };
    let late = std::mem::take(&mut system.late);
    for request in late.into_iter().chain(system.producer.take()) {
        ask(&mut system, Asked::Request(request))?;
    }
    system.workers = [Worker::default(), Worker::default()];
    if !is_new(shape_of_store(&system)) {
        return Ok(false);
    }
    let left = |system: &System| {
        let mut lives = system.witness.jobs.iter();
        lives.position(|life| life.stored && life.end.is_none())
    };
    for _ in 0..ROUNDS {
        if left(&system).is_none() {
            return Ok(true);
        }
        system.store.now += 2;
        ask(&mut system, Asked::Maintain)?;
        let claim = Request::Claim { lease: system.take_lease(), limit: JOBS as u8, suspects: true };
        let Answer::Claimed(taken) = ask(&mut system, Asked::Request(claim))? else {
            unreachable!("a claim is answered by a claim")
        };
        for one in taken {
            let (job, lease) = (one.job as u8, one.lease as u8);
            let settle = Request::Settle { job, lease, ending: Ending::Complete };
            ask(&mut system, Asked::Request(settle))?;
        }
    }
    left(&system).map_or(Ok(true), |job| {
        let place = system.store.jobs.get(&job).map(|job| job.place);
        Err(format!("j{job} does not come to an end although nothing goes wrong any more: {place:?}"))
    })
}
