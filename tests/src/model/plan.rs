//! Which steps a case takes: generated along the reference, shrunk by proptest.

use super::batches::{self, Batch};
use super::call::{Ask, Call, Conflict, End, Ending, New, Number, Span, Step};
use super::notes;
use super::reference::{Fate, Job, Lane, Place, Reference};
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

/// Idempotency and unique keys, each sort; few, so that they meet.
const KEYS: u8 = 3;

/// The generator of cases. Every step can be made in every state, so a case stays one when steps are taken out.
#[derive(Debug)]
pub(super) struct Plan;

impl ReferenceStateMachine for Plan {
    type State = Reference;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Reference> {
        Just(Reference::default()).boxed()
    }

    fn transitions(state: &Reference) -> BoxedStrategy<Step> {
        let call = |weight: u32, call: BoxedStrategy<Call>| {
            let step = (call, prop::bool::weighted(0.1)).prop_map(|(call, lost)| Step::Call { call, lost });
            (weight, step.boxed())
        };
        let paused: Vec<u8> = state.paused_kinds.iter().copied().collect();
        let mut choices = vec![
            (14, (1..=3u32).prop_map(Step::Pass).boxed()),
            (2, Just(Step::Compare).boxed()),
            (
                8,
                (ask(state), poison_limit())
                    .prop_map(|(ask, poison_limit)| Step::Crash { ask, poison_limit })
                    .boxed(),
            ),
            call(12, news(state.next_job, 4, true).prop_map(Call::Enqueue).boxed()),
            call(3, batches::calls(state)),
            call(18, ask(state).prop_map(Call::Claim).boxed()),
            call(14, maintain()),
            call(4, jobs(state).prop_map(Call::Replay).boxed()),
            call(6, jobs(state).prop_map(Call::Discard).boxed()),
            call(1, Just(Call::Pause).boxed()),
            call(if state.paused { 8 } else { 1 }, Just(Call::Resume).boxed()),
            // Nothing is seen of a job that cannot be claimed, so a pause is rare and short.
            if paused.is_empty() {
                call(1, (0..2u8).prop_map(Call::PauseKind).boxed())
            } else {
                call(8, select(paused).prop_map(Call::ResumeKind).boxed())
            },
        ];
        if !state.jobs.is_empty() {
            choices.push(call(4, one_job(state).prop_map(Call::Cancel).boxed()));
            choices.push(call(4, one_job(state).prop_map(Call::RunNow).boxed()));
        }
        if !state.leases.is_empty() {
            choices.push(call(14, ends(state).prop_map(Call::Settle).boxed()));
            choices.push(call(
                8,
                (ends(state), ask(state)).prop_map(|(e, a)| Call::SettleAndClaim(e, a)).boxed(),
            ));
            choices.push(call(5, extend(state)));
            choices.push(call(6, notes::calls(state)));
        }
        if !state.batches.is_empty() {
            choices.push((3, Just(Step::Count).boxed()));
        }
        if !state.history.is_empty() {
            let recent = state.history.iter().rev().take(12).cloned().collect::<Vec<_>>();
            choices.push(call(6, select(recent).boxed()));
        }
        prop::strategy::Union::new_weighted(choices).boxed()
    }

    fn apply(mut state: Reference, step: &Step) -> Reference {
        match step {
            Step::Compare => {}
            Step::Count => {
                state.maintain(false, 3);
                state.run_what_waited();
            }
            Step::Crash { ask, poison_limit } => {
                state.foresee_claim(ask);
                state.now += 2 * u64::from(ask.lasts.0 + 1);
                state.maintain(true, *poison_limit);
            }
            Step::Pass(units) => state.now += 2 * u64::from(*units),
            Step::Call { call, .. } => {
                state.make(call);
                state.history.push(call.clone());
            }
        }
        state
    }
}

impl Reference {
    /// Makes a call as far as it can be foreseen.
    fn make(&mut self, call: &Call) {
        match call {
            Call::Enqueue(jobs) => {
                self.number(jobs);
                if self.refused(jobs).is_none() {
                    self.enqueue(jobs);
                }
            }
            Call::Batch(batch) => {
                self.number(&batch.jobs);
                self.next_batch = self.next_batch.max(batch.batch + 1);
                self.open_batch(batch);
                self.enqueue(&batch.jobs);
            }
            Call::Settle(ends) => self.foresee_settle(ends),
            Call::Claim(ask) => self.foresee_claim(ask),
            Call::SettleAndClaim(ends, ask) => {
                self.foresee_settle(ends);
                self.foresee_claim(ask);
            }
            Call::Extend { leases, lasts } => drop(self.extend(leases, lasts.after(self.now))),
            Call::Save { job, lease, edits } => drop(self.save(*job, *lease, edits)),
            Call::Maintain { reap, poison_limit, dead_kept } => {
                self.maintain(*reap, *poison_limit);
                dead_kept.map(|kept| self.prune_dead(kept));
            }
            Call::Cancel(job) => {
                self.cancel(*job);
            }
            Call::RunNow(job) => {
                self.run_now(*job);
            }
            Call::Replay(jobs) => jobs.iter().for_each(|job| _ = self.replay(*job)),
            Call::Discard(jobs) => jobs.iter().for_each(|job| _ = self.discard(*job)),
            Call::Pause => self.paused = true,
            Call::Resume => self.paused = false,
            Call::PauseKind(kind) => drop(self.paused_kinds.insert(*kind)),
            Call::ResumeKind(kind) => drop(self.paused_kinds.remove(kind)),
        }
    }

    fn number(&mut self, jobs: &[New]) {
        self.next_job = jobs.iter().map(|j| j.job + 1).fold(self.next_job, Number::max);
    }

    fn foresee_settle(&mut self, ends: &[End]) {
        for end in ends {
            let last = end.following().map(|new| new.job + 1).max();
            self.next_job = self.next_job.max(last.unwrap_or(0));
            let batch = end.batch.as_ref().map_or(0, |batch| batch.batch + 1);
            self.next_batch = self.next_batch.max(batch);
        }
        self.settle(ends);
    }

    fn foresee_claim(&mut self, ask: &Ask) {
        let last = ask.suspect_leases.iter().copied().fold(ask.lease, Number::max);
        self.next_lease = self.next_lease.max(last + 1);
        self.claim(ask, None).expect("nothing was answered that could be wrong");
    }
}

fn span(max: u32) -> impl Strategy<Value = Span> {
    (0..=max).prop_map(Span)
}

fn maintain() -> BoxedStrategy<Call> {
    let reap = prop::bool::weighted(0.85);
    let dead_kept = prop::option::weighted(0.1, span(8));
    let call = |(reap, poison_limit, dead_kept)| Call::Maintain { reap, poison_limit, dead_kept };
    (reap, poison_limit(), dead_kept).prop_map(call).boxed()
}

fn poison_limit() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(3u32), 1 => Just(2u32)]
}

/// Jobs to enqueue; without keys where the order in which a store looks at them is its own business.
pub(super) fn news(first: Number, most: usize, keys: bool) -> impl Strategy<Value = Vec<New>> + use<> {
    let key = |share: f64| {
        if keys { prop::option::weighted(share, 0..KEYS).boxed() } else { Just(None).boxed() }
    };
    let kind = prop_oneof![3 => Just(0u8), 1 => Just(1u8)];
    let priority = prop_oneof![3 => Just(5u8), 1 => Just(2u8), 1 => Just(8u8)];
    let one = (
        kind,
        priority,
        1..=3u32,
        prop::option::weighted(0.2, span(3)),
        (key(0.15), span(6)).prop_map(|(key, window)| Some((key?, window))),
        key(0.4),
        conflict(),
    );
    prop::collection::vec(one, 1..=most).prop_map(move |jobs| {
        let number = |(n, (kind, priority, max_attempts, delay, idempotency, unique, conflict))| New {
            job: first + n,
            kind,
            priority,
            max_attempts,
            delay,
            idempotency,
            unique,
            batch: None,
            conflict: if unique.is_some() { conflict } else { Conflict::Existing },
        };
        jobs.into_iter().enumerate().map(number).collect()
    })
}

fn conflict() -> impl Strategy<Value = Conflict> {
    prop_oneof![
        3 => Just(Conflict::Existing),
        1 => Just(Conflict::Error),
        2 => Just(Conflict::Replace),
        1 => span(6).prop_map(Conflict::Debounce),
        3 => Just(Conflict::Latest),
    ]
}

fn ask(state: &Reference) -> impl Strategy<Value = Ask> + use<> {
    let lease = state.next_lease;
    let kinds = prop_oneof![5 => Just(vec![0u8, 1]), 1 => Just(vec![0]), 1 => Just(vec![1])];
    let lasts = prop_oneof![3 => span(3), 1 => span(20)];
    let is_suspected = |j: &Job| matches!(j.place, Place::Ready { lane: Lane::Suspect | Lane::Solo, .. });
    let suspects = if state.jobs.values().any(is_suspected) { 1..=2usize } else { 0..=2 };
    (kinds, 0..=4u32, lasts, suspects, prop::bool::weighted(0.7)).prop_map(
        move |(kinds, limit, lasts, suspects, solo)| Ask {
            lease,
            kinds,
            limit,
            lasts,
            suspect_leases: (lease + 1..=lease + suspects).collect(),
            solo,
        },
    )
}

fn extend(state: &Reference) -> BoxedStrategy<Call> {
    let live: Vec<Number> = state.leases.iter().filter(|(_, l)| l.is_live()).map(|(n, _)| *n).collect();
    let all: Vec<Number> = (0..=state.next_lease).collect();
    let lease = if live.is_empty() {
        select(all).boxed()
    } else {
        prop_oneof![4 => select(live), 1 => select(all)].boxed()
    };
    (prop::collection::btree_set(lease, 1..=3), span(4))
        .prop_map(|(leases, lasts)| Call::Extend { leases: leases.into_iter().collect(), lasts })
        .boxed()
}

fn one_job(state: &Reference) -> impl Strategy<Value = Number> + use<> {
    let all: Vec<Number> = (0..=state.next_job).collect();
    let awake: Vec<Number> =
        state.jobs.iter().filter(|(_, j)| j.place != Place::Gone).map(|(n, _)| *n).collect();
    if awake.is_empty() {
        select(all).boxed()
    } else {
        prop_oneof![4 => select(awake), 1 => select(all)].boxed()
    }
}

/// Dead ones mostly, and others.
fn jobs(state: &Reference) -> impl Strategy<Value = Vec<Number>> + use<> {
    let dead: Vec<Number> =
        state.jobs.iter().filter(|(_, j)| matches!(j.place, Place::Dead(_))).map(|(n, _)| *n).collect();
    let one = if dead.is_empty() {
        one_job(state).boxed()
    } else {
        prop_oneof![4 => select(dead), 1 => one_job(state)].boxed()
    };
    prop::collection::vec(one, 1..=3)
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Complete),
        2 => Just(Ending::Keep),
        3 => span(3).prop_map(Ending::Retry),
        2 => span(3).prop_map(Ending::Snooze),
        2 => Just(Ending::Release),
        1 => Just(Ending::Cancel),
        2 => Just(Ending::Dead),
    ]
}

/// Verdicts: mostly of what is held, sometimes of what was, or of a job under the wrong lease.
fn ends(state: &Reference) -> impl Strategy<Value = Vec<End>> + use<> {
    let of = |held: bool| {
        let leases = state.leases.iter();
        leases
            .flat_map(move |(n, l)| {
                l.jobs.iter().filter(move |(_, f)| (*f == Fate::Held) == held).map(|(j, _)| (*j, *n))
            })
            .collect::<Vec<(Number, Number)>>()
    };
    let (held, over) = (of(true), of(false));
    // Never a lease that the same call makes: a call repeated could then settle what it had claimed itself.
    let crossed = (0..=state.next_job, 0..state.next_lease).boxed();
    let mut choices = vec![(1, crossed)];
    if !held.is_empty() {
        choices.push((12, select(held).boxed()));
    }
    if !over.is_empty() {
        choices.push((3, select(over).boxed()));
    }
    let target = prop::strategy::Union::new_weighted(choices);
    let first = state.next_job;
    let one = (target, ending());
    let with = prop::option::weighted(0.2, news(first, 2, false));
    let batch = prop::option::weighted(0.1, batches::batch(state, first + 2, 2, false));
    let several = (prop::collection::vec(one, 1..=4), with, batch);
    let single = ((one_end(state), ending()), prop::option::weighted(0.3, news(first, 2, true)));
    prop_oneof![
        2 => several.prop_map(|(ends, follow_ups, batch)| with_follow_ups(ends, follow_ups, batch)),
        1 => single.prop_map(|(end, follow_ups)| with_follow_ups(vec![end], follow_ups, None)),
    ]
}

fn one_end(state: &Reference) -> impl Strategy<Value = (Number, Number)> + use<> {
    let all = state.leases.iter().flat_map(|(n, l)| l.jobs.iter().map(|(j, _)| (*j, *n)));
    select(all.collect::<Vec<_>>())
}

fn with_follow_ups(
    ends: Vec<((Number, Number), Ending)>,
    follow_ups: Option<Vec<New>>,
    batch: Option<Batch>,
) -> Vec<End> {
    let (mut follow_ups, mut batch) = (follow_ups, batch);
    let end = |((job, lease), ending)| End {
        job,
        lease,
        ending,
        follow_ups: follow_ups.take().unwrap_or_default(),
        batch: batch.take(),
    };
    ends.into_iter().map(end).collect()
}
