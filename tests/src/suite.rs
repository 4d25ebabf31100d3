//! The list of checks, and how a test runs one.

use crate::Harness;
use std::future::Future;
use std::pin::Pin;

/// One check, for tools that run them by name.
#[derive(Clone, Copy)]
pub struct Check {
    /// The module of its clause, such as `c3_fencing`.
    pub clause: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Panics if the backend fails it.
    pub run: for<'a> fn(&'a Harness) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}", self.clause, self.name)
    }
}

/// Runs one check to its end on a runtime of its own; `suite!` expands to calls of it.
///
/// # Panics
/// If the check fails, or no runtime can be started.
pub fn run<F: Future>(check: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a current-thread runtime starts").block_on(check)
}

/// One `#[test]` for every check, in a module for each clause.
///
/// The argument makes a fresh, empty store: a function or closure without arguments whose future gives a [`Harness`].
/// Checks that are added to the kit later become tests without a change here.
#[macro_export]
macro_rules! suite {
    ($factory:expr) => {
        $crate::__checks! { $crate::__suite; $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    ($factory:expr; $($clause:ident { $($name:ident),* $(,)? })*) => {
        $(mod $clause {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $name() {
                $crate::run(async {
                    let harness = ($factory)().await;
                    $crate::checks::$clause::$name(&harness).await;
                });
            })*
        })*
    };
}

/// Expands the list into [`checks::all`](crate::checks::all).
#[doc(hidden)]
#[macro_export]
macro_rules! __all {
    ($unused:expr; $($clause:ident { $($name:ident),* $(,)? })*) => {
        /// Every check of the kit.
        #[must_use]
        pub fn all() -> Vec<$crate::Check> {
            vec![$($($crate::Check {
                clause: stringify!($clause),
                name: stringify!($name),
                run: |harness| Box::pin($clause::$name(harness)),
            },)*)*]
        }
    };
}
/// The one list: everything that runs checks is expanded from it.
#[doc(hidden)]
#[macro_export]
macro_rules! __checks {
    ($callback:path; $argument:expr) => {
        $callback! { $argument;
            c1_durability {
                says_what_it_is,
                an_acknowledged_job_is_there,
                the_largest_batch_arrives,
                an_empty_batch_is_fine,
            }
            c2_one_lease {
                a_claimed_job_is_not_given_twice,
                eight_claimers_never_share_a_job,
                eight_threads_never_share_a_job,
                claims_tell_holders_apart,
                claims_only_grow,
            }
            c3_fencing {
                a_repeated_verdict_is_already_applied,
                a_verdict_of_an_earlier_lease_changes_nothing,
                a_reaped_lease_is_stale,
                an_expired_lease_is_valid_until_reaped,
                a_forged_hold_is_stale,
                an_extended_lease_lasts,
                an_extension_never_shortens,
                a_lease_ends_with_its_last_job,
                an_extension_and_a_reap_never_both_win,
                follow_ups_come_only_with_the_verdict,
                one_of_many_verdicts_is_applied,
            }
            c4_expiry {
                jobs_of_an_expired_lease_come_back,
                settled_jobs_do_not_come_back,
                a_live_lease_is_left_alone,
                nothing_is_reaped_unless_asked,
                suspects_run_under_their_own_leases,
                suspects_come_on_top_of_the_limit,
                suspects_of_other_kinds_are_left_alone,
                a_suspect_that_crashes_runs_solo,
                a_solo_job_runs_alone,
                a_poisonous_job_goes_dead,
                a_neighbours_crash_costs_no_attempt,
                the_poison_limit_is_the_callers,
                a_verdict_clears_suspicion,
                maintenance_is_bounded,
            }
            c5_repeats {
                a_repeated_enqueue_makes_no_second_job,
                a_repeated_enqueue_revives_nothing,
                a_repeated_enqueue_revives_no_discarded_job,
                a_repeated_claim_returns_the_same_jobs,
                a_repeated_claim_returns_the_same_suspects,
                a_lost_claim_expires,
                maintenance_keeps_receipts,
                a_repeated_settle_and_claim_does_both_once,
                an_idempotency_key_outlives_its_job,
                keys_are_told_apart_by_scope,
                a_window_ends,
                a_unique_key_ends_with_its_job,
                only_the_owner_frees_a_unique_key,
                a_deduplicated_request_is_remembered,
                the_first_of_equal_keys_in_a_batch_wins,
                concurrent_batches_agree_on_keys,
                a_nul_in_a_key_is_kept_or_refused,
            }
            keys {
                an_error_stores_nothing_and_names_the_holder,
                a_waiting_job_is_replaced,
                a_replacement_keeps_the_place_in_line,
                a_replacement_brings_its_time,
                a_running_job_is_not_replaced,
                the_last_of_equal_keys_in_a_batch_replaces,
                a_debounced_run_is_put_off_until_max_wait,
                the_latest_keeps_the_time,
                the_last_change_waits_for_the_end_of_a_run,
                a_job_that_comes_back_makes_way_for_a_newer_one,
                a_reaped_job_goes_before_the_newer_one,
                both_of_two_jobs_with_a_key_can_be_cancelled,
            }
            keys_at_once {
                batches_at_once_leave_one_holder_a_key,
                a_replacement_and_a_claim_never_both_win,
            }
            c6_order {
                first_in_first_out,
                priority_comes_first,
                priority_comes_first_across_claims,
                kinds_share_one_order,
                returned_jobs_go_first_in_their_priority,
                a_scheduled_job_queues_when_it_is_due,
                the_limit_is_kept,
            }
            c7_time {
                a_delayed_job_waits,
                a_claim_tells_the_time,
                no_delay_and_the_past_mean_at_once,
                a_job_for_an_instant_waits,
                a_far_future_is_no_problem,
                retry_and_snooze_wait,
                maintenance_says_what_is_due_next,
                a_wait_ends_with_a_job_that_is_due_soon,
                the_last_attempt_makes_it_dead,
                unlimited_attempts_never_run_out,
            }
            c8_dropped {
                a_dropped_enqueue,
                a_dropped_claim,
                a_dropped_settle,
                a_dropped_settle_and_claim,
                many_dropped_calls_leave_the_store_usable,
                a_dropped_wait,
            }
            c9_batches {
                a_thousand_mixed_verdicts,
                the_first_verdict_in_a_batch_counts,
                a_job_twice_in_a_batch_is_stored_once,
                administration_answers_in_order,
            }
            c10_kinds {
                only_named_kinds_are_claimed,
                unknown_kinds_block_nobody,
                queues_are_apart,
                payloads_come_back_byte_for_byte,
                many_large_payloads_arrive,
                version_and_headers_come_back,
                a_nul_in_a_header_is_kept_or_refused,
            }
            c11_schedules {
                what_is_put_is_there,
                a_tick_is_fired_with_its_jobs,
                a_tick_that_is_left_out_moves_the_watermark,
                a_repeated_step_is_answered_as_before,
                many_schedulers_fire_a_tick_once,
                a_stale_step_fires_nothing,
                a_tick_does_not_come_early,
                another_definition_begins_anew,
                a_paused_schedule_fires_nothing,
                a_removed_schedule_is_gone,
                a_tick_meets_a_live_job,
                a_wait_ends_with_a_tick,
            }
            c12_ahead {
                what_is_taken_ahead_shares_slots,
                what_is_taken_ahead_is_of_one_kind,
                what_is_taken_ahead_comes_back,
                nothing_else_is_taken_ahead,
                nothing_is_taken_ahead_of_others,
                what_has_ended_counts_in_no_queue,
            }
            c12_limits {
                no_more_are_claimed_than_allowed,
                every_verdict_frees_a_slot,
                a_crash_frees_its_slots,
                a_slot_is_held_as_long_as_its_lease,
                repeated_calls_count_once,
                others_are_not_held_up,
                kinds_and_queues_share_a_limit,
                every_limit_of_a_kind_counts,
                a_rate_lets_a_burst_through_and_then_its_pace,
                a_rate_counts_starts,
                a_closed_limit_lets_nothing_through,
                an_operator_has_the_last_word,
                a_declaration_replaces_the_last_one,
                many_at_once_never_hold_too_many,
                what_is_not_limited_is_free,
            }
            c12_adapts {
                a_limit_adapts_between_its_bounds,
                one_time_of_trouble_lowers_once,
                only_what_is_said_to_adapt_adapts,
            }
            c12_lines {
                lines_take_turns,
                a_weight_makes_a_turn_longer,
                a_line_has_an_order,
                a_line_gives_no_more_than_it_may,
                a_crash_gives_a_line_back,
                a_line_has_a_rate_of_its_own,
                lines_and_lanes_share_a_claim,
                lines_and_lanes_share_a_limit,
                limits_bind_lines,
                turns_go_round_under_a_limit,
                a_repeated_claim_takes_no_second_turn,
                every_way_leads_into_the_line,
                many_lines_are_served,
                lines_are_shown_page_by_page,
                a_suspect_of_a_line_runs_alone,
                lines_hear_of_a_new_declaration,
                what_is_cancelled_waits_no_more,
            }
            c12_order {
                an_ordered_line_waits_for_the_job_before,
                an_ordered_line_keeps_its_order_over_a_crash,
                what_is_gone_holds_no_line,
            }
            c13_notes {
                notes_reach_the_next_attempt,
                notes_survive_a_lost_lease,
                notes_survive_death_and_replay,
                a_lost_lease_writes_no_note,
                a_settled_lease_writes_no_note,
                an_expired_lease_may_write_until_reaped,
                a_forged_hold_writes_no_note,
                one_call_writes_several_notes,
                an_empty_save_tells_who_holds_the_job,
                a_large_note_arrives,
                notes_end_with_their_job,
                a_note_has_its_time,
                a_note_and_a_reap_never_both_win,
            }
            c14_batches {
                the_last_end_lets_the_next_job_run,
                every_kind_of_end_counts,
                the_first_death_is_told,
                what_follows_a_death_keeps_its_delay,
                a_batch_without_a_death_drops_its_mourner,
                a_dead_member_holds_the_batch_up,
                a_job_that_another_stands_for_has_ended,
                members_may_be_in_any_queue,
                a_batch_may_follow_a_job,
                what_is_replaced_has_ended,
                a_repeated_verdict_counts_once,
                a_lost_lease_counts_nothing,
                eight_threads_end_a_batch_once,
                a_large_batch_ends,
                an_unknown_batch_is_unknown,
                what_waits_for_a_batch_is_not_due,
                a_waiting_job_is_run_at_once,
            }
            kept {
                a_kept_job_is_shown_with_its_result,
                a_kept_job_goes_when_its_time_is_over,
                a_kept_job_frees_its_unique_key,
                a_kept_job_has_ended,
                kept_jobs_are_listed_and_counted,
                a_repeated_keep_is_already_applied,
                a_stale_keep_keeps_nothing,
            }
            operate {
                a_dead_job_says_why,
                an_error_names_its_worker,
                a_replayed_job_starts_again,
                a_discarded_job_is_gone,
                a_waiting_job_is_cancelled_at_once,
                a_waiting_suspect_is_cancelled,
                what_has_ended_cannot_be_cancelled,
                a_running_job_is_asked_to_stop,
                a_job_asked_to_stop_does_not_come_back,
                a_cancel_and_a_claim_never_both_win,
                a_dead_verdict_wins_over_a_cancel,
                a_paused_queue_gives_no_job_away,
                a_list_goes_through_every_job_once,
                a_list_has_one_state,
                the_numbers_are_right,
                an_unused_queue_is_empty,
                a_wait_ends_with_an_enqueue,
            }
            operations {
                a_row_is_made_once_and_replaced,
                a_late_note_is_ignored,
                notes_at_once_leave_the_newest,
                rows_are_those_of_a_queue_the_last_first,
                no_more_rows_are_kept_than_a_thousand,
                old_rows_go_when_one_is_made,
                who_replays_and_discards_leaves_a_row,
                a_resumed_replay_has_another_row,
                a_job_named_twice_counts_once,
                a_replay_passes_over_nobody_who_was_counted,
            }
            paused_kinds {
                a_paused_kind_gives_no_job_away,
                suspects_of_a_paused_kind_wait,
                a_wait_ends_when_a_kind_is_resumed,
                what_is_drained_runs_no_more,
            }
            gauges {
                they_count_what_there_is,
                a_paused_kind_shows,
                counts_go_as_far_as_asked,
                the_first_ready_job_of_each_kind_is_named,
                a_job_that_comes_back_has_a_new_number,
                an_unused_queue_shows_nothing,
            }
            alerts {
                a_report_is_shown_as_it_is,
                a_report_replaces_the_last_one,
                a_report_ends_with_its_time,
                an_empty_report_takes_the_last_one_away,
                reports_of_workers_stand_side_by_side,
            }
            dead_letters {
                an_amended_job_is_replayed_with_its_new_arguments,
                an_amendment_leaves_the_rest_alone,
                an_amendment_changes_notes,
                only_a_dead_job_is_amended,
                an_amendment_and_a_replay_never_mix,
                old_dead_jobs_are_removed,
                a_replay_begins_the_time_of_the_dead_anew,
            }
        }
    };
}
