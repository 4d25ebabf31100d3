//! Proof that the checks can fail: stores with one defect each, and who must find it.

mod broken_store;

use broken_store::{Broken, Defect};
use job_conformance::{Harness, checks, model, run};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn harness(defect: Defect) -> Harness {
    Harness::paused(Broken::new(defect)).with_wake_ups()
}

/// The names of those checks that fail.
fn failing(defect: Defect, names: &[&str]) -> BTreeSet<String> {
    let chosen = checks::all().into_iter().filter(|c| names.is_empty() || names.contains(&c.name));
    chosen
        .filter(|check| {
            let result = catch_unwind(AssertUnwindSafe(|| {
                run(async {
                    let harness = harness(defect);
                    (check.run)(&harness).await;
                });
            }));
            result.is_err()
        })
        .map(|check| check.name.to_owned())
        .collect()
}

fn model_fails(defect: Defect) -> bool {
    let config = model::Config::paused();
    catch_unwind(AssertUnwindSafe(|| model::run(config, async || Broken::new(defect)))).is_err()
}

fn found(defect: Defect, by: &[&str]) {
    let all: BTreeSet<_> = by.iter().map(ToString::to_string).collect();
    assert_eq!(failing(defect, by), all, "{defect:?}: these checks must find it");
    if defect.model_can_see() {
        assert!(model_fails(defect), "{defect:?}: the model must find it");
    }
}

#[test]
fn a_store_without_defects_passes() {
    assert_eq!(failing(Defect::None, &[]), BTreeSet::new());
    model::run(model::Config::paused().cases(300), async || Broken::new(Defect::None));
}

/// By a clock that nobody can stop, cases are shrunk in another way.
#[test]
fn the_model_fails_in_real_time_too() {
    let config = model::Config::real_time().cases(100).unit(Duration::from_millis(50));
    let run = || model::run(config, async || Broken::new(Defect::NoFence));
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the model must find it");
    let report = panic.downcast_ref::<String>().expect("a panic has a text");
    // Which case is the first to fail is up to the clock: a settle, or a settle that claims as well.
    assert!(report.contains("answers: the backend says") && report.contains("Stale"), "{report}");
    let steps = report.lines().filter(|line| line.starts_with("  ")).count();
    assert!((1..30).contains(&steps), "a shorter case shows it:\n{report}");
}

/// One test for each defect, with the checks that must find it.
macro_rules! found {
    ($($test:ident: $defect:ident by $($check:ident),+;)*) => {
        $(#[test]
        fn $test() {
            found(Defect::$defect, &[$(stringify!($check)),+]);
        })*

        #[test]
        fn every_defect_has_its_finder() {
            let tested = [$(Defect::$defect),*];
            for defect in Defect::ALL {
                assert!(tested.contains(&defect), "{defect:?} is looked for by nobody");
            }
        }
    };
}

found! {
    a_dropped_fence: NoFence
        by a_verdict_of_an_earlier_lease_changes_nothing, a_reaped_lease_is_stale, a_forged_hold_is_stale;
    forgotten_receipts: ForgetsReceipts
        by a_repeated_verdict_is_already_applied, the_first_verdict_in_a_batch_counts;
    a_verdict_twice: AppliesTwice
        by a_repeated_verdict_is_already_applied, follow_ups_come_only_with_the_verdict;
    repeats_as_new_jobs: RepeatsEnqueue
        by a_repeated_enqueue_makes_no_second_job, a_dropped_enqueue;
    revived_jobs: Revives
        by a_repeated_enqueue_revives_nothing, a_repeated_enqueue_revives_no_discarded_job;
    too_many_jobs: IgnoresLimit
        by the_limit_is_kept;
    any_kind: IgnoresKinds
        by only_named_kinds_are_claimed, suspects_of_other_kinds_are_left_alone;
    any_priority: IgnoresPriority
        by priority_comes_first, priority_comes_first_across_claims, an_acknowledged_job_is_there;
    an_early_reap: ReapsEarly
        by a_live_lease_is_left_alone;
    an_unasked_reap: ReapsUnasked
        by nothing_is_reaped_unless_asked;
    a_shortened_lease: ExtendShortens
        by an_extension_never_shortens;
    an_idle_extension: ExtendDoesNothing
        by an_extended_lease_lasts, an_expired_lease_is_valid_until_reaped;
    answers_out_of_order: AnswersBackwards
        by a_thousand_mixed_verdicts, the_first_of_equal_keys_in_a_batch_wins, a_job_twice_in_a_batch_is_stored_once;
    lost_follow_ups: LosesFollowUps
        by follow_ups_come_only_with_the_verdict, a_dropped_settle, one_of_many_verdicts_is_applied;
    a_counted_snooze: CountsSnooze
        by retry_and_snooze_wait, a_thousand_mixed_verdicts;
    somebody_elses_key: FreesForeignKeys
        by only_the_owner_frees_a_unique_key;
    short_memory_for_keys: ForgetsKeysOfTheDone
        by an_idempotency_key_outlives_its_job;
    a_greedy_repeated_claim: RepeatsClaim
        by a_repeated_claim_returns_the_same_jobs, a_repeated_settle_and_claim_does_both_once, a_dropped_claim;
    a_job_for_two: GivesTwice
        by a_claimed_job_is_not_given_twice, eight_claimers_never_share_a_job;
    a_race_for_jobs: RacesForJobs
        by eight_threads_never_share_a_job;
    a_race_of_verdicts: RacesOfVerdicts
        by one_of_many_verdicts_is_applied;
    no_poison: ForgetsPoison
        by a_poisonous_job_goes_dead, the_poison_limit_is_the_callers;
    no_delay: IgnoresDelay
        by a_delayed_job_waits, a_job_for_an_instant_waits, a_scheduled_job_queues_when_it_is_due;
    half_a_batch: StoresHalves
        by a_dropped_enqueue;
    a_trimmed_payload: TrimsPayloads
        by payloads_come_back_byte_for_byte;
    an_ignored_pause: IgnoresPause
        by a_paused_queue_gives_no_job_away;
    an_ignored_pause_of_a_kind: IgnoresKindPause
        by a_paused_kind_gives_no_job_away, suspects_of_a_paused_kind_wait;
    a_lost_request_to_stop: LosesCancel
        by a_running_job_is_asked_to_stop;
    a_lost_wake_up: NeverWakes
        by a_wait_ends_with_an_enqueue;
}
