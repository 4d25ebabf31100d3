//! Proof that the search can fail: a store with one defect at a time, and the shortest way to it.

use super::explore::explore;
use super::report;
use super::scope::{SCOPES, Scope};
use super::step::{Asked, Request};
use super::store::{Answer, Defect};
use crate::model::call::{Ending, Number};
use crate::model::reference::{Fate, Lane, Place, Reference};
use job_core::Settled;

const LEASES: &Scope = &SCOPES[0];
const KEYS: &Scope = &SCOPES[2];

/// Nothing before, or nothing after.
fn leave(_: &mut Reference, _: Asked) {}
fn keep(_: &Reference, _: &mut Reference, _: Asked, _: &mut Answer) {}

/// The defect is found in so many steps, and said to be this. Every shorter way was tried and is right.
fn found(scope: &Scope, defect: &Defect, steps: usize, what: &str) {
    found_with(false, scope, defect, steps, what);
}

fn found_with(ends: bool, scope: &Scope, defect: &Defect, steps: usize, what: &str) {
    let Err(wrong) = explore(scope, steps, ends, Some(defect)) else {
        panic!("{steps} steps must be enough to see: {what}")
    };
    let report = report(&wrong, scope, Some(defect));
    println!("{report}");
    assert!(wrong.what.contains(what), "found something else:\n{report}");
    assert_eq!(wrong.moves.len(), steps, "the shortest way has another length:\n{report}");
}

fn before(before: fn(&mut Reference, Asked)) -> Defect {
    Defect { before, after: keep }
}

fn after(after: fn(&Reference, &mut Reference, Asked, &mut Answer)) -> Defect {
    Defect { before: leave, after }
}

/// What became of the job under the lease that a settlement names, as the store has it.
fn fate(store: &mut Reference, job: u8, lease: u8) -> Option<&mut Fate> {
    let lease = store.leases.get_mut(&lease.into())?;
    lease.jobs.iter_mut().find(|(held, _)| *held == usize::from(job)).map(|(_, fate)| fate)
}

#[test]
fn a_verdict_without_a_fence() {
    let defect = before(|store, asked| {
        if let Asked::Request(Request::Settle { job, lease, .. }) = asked
            && let Some(fate @ Fate::Reaped) = fate(store, job, lease)
        {
            *fate = Fate::Held;
        }
    });
    found(LEASES, &defect, 4, "settle of j0 of l0 answers: the store says Applied, the contract Stale");
}

/// As many stores do: the job runs, so a verdict for it must be right.
#[test]
fn a_fence_that_only_looks_at_the_state_of_the_job() {
    let defect = before(|store, asked| {
        let Asked::Request(Request::Settle { job, lease, .. }) = asked else { return };
        let running = store.jobs.get(&job.into()).is_some_and(|j| matches!(j.place, Place::Running(_)));
        if running && let Some(fate @ Fate::Reaped) = fate(store, job, lease) {
            *fate = Fate::Held;
        }
    });
    found(LEASES, &defect, 5, "the store says Applied, the contract Stale");
}

#[test]
fn a_repeated_verdict_that_is_not_recognised() {
    let defect = after(|_, _, _, answer| {
        if *answer == Answer::Settled(Settled::AlreadyApplied) {
            *answer = Answer::Settled(Settled::Stale);
        }
    });
    found(LEASES, &defect, 4, "the store says Stale, the contract AlreadyApplied");
}

#[test]
fn a_repeated_verdict_that_is_applied_again() {
    let defect = before(|store, asked| {
        if let Asked::Request(Request::Settle { job, lease, .. }) = asked
            && let Some(fate @ Fate::Settled) = fate(store, job, lease)
        {
            *fate = Fate::Held;
        }
    });
    found(LEASES, &defect, 4, "the store says Applied, the contract AlreadyApplied");
}

#[test]
fn a_reap_that_does_not_look_at_the_time() {
    let defect = Defect {
        before: |store, asked| store.now += if asked == Asked::Maintain { 2 } else { 0 },
        after: |_, store, asked, _| store.now -= if asked == Asked::Maintain { 2 } else { 0 },
    };
    found(LEASES, &defect, 3, "state of j0: the store says Waiting, the contract Running");
}

#[test]
fn an_extension_that_revives_a_reaped_lease() {
    let defect = before(|store, asked| {
        let Asked::Request(request @ Request::Extend(_)) = asked else { return };
        for lease in request.leases() {
            for (_, fate) in store.leases.get_mut(&lease).into_iter().flat_map(|l| &mut l.jobs) {
                *fate = if *fate == Fate::Reaped { Fate::Held } else { *fate };
            }
        }
    });
    found(LEASES, &defect, 4, "extend of l0 answers: the store says Held, the contract Stale");
}

/// One that kills its process never gets to a settlement, and would run for ever.
#[test]
fn an_attempt_that_counts_only_when_it_is_settled() {
    let defect = after(|old, store, asked, _| {
        for (number, job) in &mut store.jobs {
            if asked == Asked::Maintain && matches!(job.place, Place::Ready { .. }) {
                job.charged = old.jobs[number].charged;
            }
        }
    });
    found(LEASES, &defect, 7, "attempts and crashes of j0: the store says (0, 2), the contract (1, 2)");
}

#[test]
fn a_crash_that_is_charged_to_everybody_near_it() {
    let defect = after(|old, store, asked, _| {
        for (number, job) in store.jobs.iter_mut().filter(|_| asked == Asked::Maintain) {
            let was_innocent = matches!(old.jobs[number].place, Place::Running(Lane::Fresh | Lane::Returned));
            job.crashes += u32::from(was_innocent && matches!(job.place, Place::Ready { .. }));
        }
    });
    found(LEASES, &defect, 3, "attempts and crashes of j0: the store says (0, 1), the contract (0, 0)");
}

/// What an innocent must be safe from, in the words of the contract: with a poison limit of one crash, as it were.
#[test]
fn a_shared_crash_that_kills() {
    let defect = after(|old, store, asked, _| {
        for (number, job) in store.jobs.iter_mut().filter(|_| asked == Asked::Maintain) {
            if matches!(old.jobs[number].place, Place::Running(_)) && matches!(job.place, Place::Ready { .. })
            {
                job.place = Place::Dead(job_core::DeadReason::Poisoned);
            }
        }
    });
    found(LEASES, &defect, 3, "state of j0: the store says Ended(Dead(Poisoned)), the contract Waiting");
}

#[test]
fn claims_that_start_again_after_a_release() {
    let defect = after(|_, store, asked, _| {
        if let Asked::Request(Request::Settle { job, ending: Ending::Release, .. }) = asked
            && let Some(job) = store.jobs.get_mut(&job.into())
        {
            job.claims = 0;
        }
    });
    found(LEASES, &defect, 3, "claims of j0: the store says 0, the contract 1");
}

#[test]
fn a_repeated_enqueue_that_revives() {
    let defect = before(|store, asked| {
        if let Asked::Request(Request::Enqueue(jobs)) = asked {
            store.jobs.retain(|number, job| jobs & (1 << number) == 0 || job.place != Place::Gone);
        }
    });
    // The copy of a request that was answered long ago.
    found(KEYS, &defect, 3, "state of j0: the store says Waiting, the contract Ended(Gone)");
}

const HIDDEN: Number = 20;

#[test]
fn a_repeated_claim_that_takes_more() {
    let defect = Defect {
        before: |store, asked| {
            if let Asked::Request(Request::Claim { lease, .. }) = asked
                && let Some(known) = store.leases.remove(&lease.into())
            {
                store.leases.insert(HIDDEN, known);
            }
        },
        after: |_, store, asked, _| {
            if let Asked::Request(Request::Claim { lease, .. }) = asked
                && let Some(known) = store.leases.remove(&HIDDEN)
            {
                let expires = known.expires;
                let lease = store.leases.entry(lease.into());
                let lease = lease.or_insert(crate::model::reference::Lease { jobs: Vec::new(), expires });
                lease.jobs.extend(known.jobs);
            }
        },
    };
    found(LEASES, &defect, 3, "a repeated claim of l0 gives jobs: the store says [], the contract [0]");
}

#[test]
fn an_expired_lease_that_is_taken_over_without_being_ended() {
    let defect = before(|store, asked| {
        let Asked::Request(Request::Claim { lease, .. }) = asked else { return };
        if store.leases.contains_key(&lease.into()) {
            return;
        }
        for lease in store.leases.values().filter(|lease| lease.expires < store.now) {
            for (job, _) in lease.jobs.iter().filter(|(_, fate)| *fate == Fate::Held) {
                if let Some(job) = store.jobs.get_mut(job) {
                    job.place = Place::Ready { lane: Lane::Fresh, turn: 0 };
                }
            }
        }
    });
    found(LEASES, &defect, 4, "j0 has two live leases: l0 and l2");
}

#[test]
fn a_release_that_loses_the_job() {
    let defect = after(|_, store, asked, _| {
        if let Asked::Request(Request::Settle { job, ending: Ending::Release, .. }) = asked {
            store.jobs.remove(&job.into());
        }
    });
    found(LEASES, &defect, 3, "j0 has vanished");
}

#[test]
fn a_reap_that_brings_back_only_the_first_job_of_a_lease() {
    let defect = after(|old, store, asked, _| {
        let both = old.leases.values().find(|lease| lease.jobs.len() == 2);
        if let (Asked::Maintain, Some(lease)) = (asked, both) {
            let (second, _) = lease.jobs[1];
            if let (Some(job), Place::Running(_)) = (store.jobs.get_mut(&second), old.jobs[&second].place) {
                job.place = old.jobs[&second].place;
            }
        }
    });
    found(LEASES, &defect, 3, "is over and was not reaped");
}

/// Nothing that is wrong in any state, but never an end: only heal and drain sees it.
#[test]
fn a_job_that_waits_for_ever() {
    let defect = after(|old, store, asked, _| {
        for (number, job) in store.jobs.iter_mut().filter(|_| asked == Asked::Maintain) {
            if matches!(old.jobs[number].place, Place::Waiting { .. }) {
                job.place = old.jobs[number].place;
            }
        }
    });
    found_with(true, LEASES, &defect, 3, "j0 does not come to an end although nothing goes wrong any more");
}

#[test]
fn a_replay_that_does_not_look_at_the_key() {
    let defect = before(|store, asked| {
        if matches!(asked, Asked::Replay(_)) {
            store.unique.clear();
        }
    });
    found(KEYS, &defect, 5, "replay of j0 answers: the store says true, the contract false");
}

#[test]
fn a_cancellation_that_takes_a_job_from_under_its_worker() {
    let defect = before(|store, asked| {
        if let Asked::Cancel(job) = asked
            && let Some(job) = store.jobs.get_mut(&job.into())
            && matches!(job.place, Place::Running(_))
        {
            job.place = Place::Ready { lane: Lane::Fresh, turn: 0 };
        }
    });
    found(KEYS, &defect, 3, "cancel of j0 answers: the store says Now, the contract Asked");
}
