//! Every deliberate defect, and which suites could see it.

use super::suites::Suite;

/// A deliberate defect.
#[derive(Debug, Clone, Copy)]
pub struct Bug {
    /// The value of the environment variable that switches it on.
    pub name: &'static str,
    /// The file that has it, from the root of the workspace.
    pub file: &'static str,
    /// What it breaks.
    pub breaks: &'static str,
}

/// Shortens the table.
const fn bug(name: &'static str, file: &'static str, breaks: &'static str) -> Bug {
    Bug { name, file, breaks }
}

/// The defects that `seeded_bug!` switches on, where they are.
#[rustfmt::skip]
const IN_CODE: &[Bug] = &[
    bug("settle_failure_drops_verdicts", "job-core/src/runtime/core/settling.rs", "verdicts of a settle that failed are dropped"),
    bug("claim_failure_drops_verdicts", "job-core/src/runtime/core.rs", "verdicts of a claim that failed are dropped"),
    bug("unknown_claim_replaced", "job-core/src/runtime/core.rs", "a claim with an unknown outcome is replaced by another, its jobs are left to expire"),
    bug("restart_forgets_claim", "job-core/src/runtime/core.rs", "a claimer that is started again forgets the claim it had under way"),
    bug("claims_while_stopping", "job-core/src/runtime/core.rs", "jobs are claimed during a shutdown"),
    bug("lease_counted_from_answer", "job-core/src/runtime/core.rs", "a lease is counted from the answer, not from when it was asked for"),
    bug("ended_lease_started", "job-core/src/runtime/core/starting.rs", "a job is started although its lease is about to end"),
    bug("concurrency_exceeded", "job-core/src/runtime/core/starting.rs", "one handler more runs than the concurrency allows"),
    bug("lost_lease_verdict_sent", "job-core/src/runtime/core.rs", "the verdict of a job whose lease was lost is sent all the same"),
    bug("backlog_forgotten", "job-core/src/runtime/core/ending.rs", "jobs claimed ahead are not given back at a shutdown"),
    bug("extension_stops_at_shutdown", "job-core/src/runtime/core/leases.rs", "leases are not extended during a shutdown"),
    bug("no_fence", "job-core/src/runtime/core/leases.rs", "a process that cannot extend goes on past the end of its lease"),
    bug("fence_without_margin", "job-core/src/runtime/core/leases.rs", "a process counts on its lease to the last moment"),
    bug("cancel_ignored", "job-core/src/runtime/core/leases.rs", "a handler is not asked to stop"),
    bug("cancelled_backlog_released", "job-core/src/runtime/core/leases.rs", "a cancelled job that was claimed ahead is given back"),
    bug("suspects_unlimited", "job-core/src/runtime/suspects.rs", "any number of jobs near a crash run at once"),
    bug("completed_not_kept", "job-core/src/runtime/execution.rs", "a completed job is not kept, whatever its type or queue says"),
    bug("result_forgotten", "job-core/src/attempt.rs", "what a handler returned is not stored"),
    bug("batch_members_unmarked", "job-core/src/batch.rs", "the jobs of a batch do not say that they belong to it"),
    bug("memory_dead_members_end", "backend-memory/src/batches.rs", "a dead job counts as ended in its batch"),
    bug("memory_stand_in_forgotten", "backend-memory/src/enqueue.rs", "a batch waits for a job that was not stored because another one stands for it"),
    bug("memory_kept_for_ever", "backend-memory/src/kept.rs", "a kept job stays for ever"),
    bug("repeated_time_fires_twice", "job-core/src/schedule/calendar.rs", "a local time that comes twice fires twice"),
    bug("tick_ids_are_random", "job-core/src/schedule/tick.rs", "whoever fires a tick gives it an id of its own"),
    bug("alert_of_paused_schedule", "job-core/src/schedule/late.rs", "an alert is raised for a schedule that is paused"),
    bug("foreign_schedules_fire", "job-core/src/runtime/scheduler.rs", "a process fires what only another program declares"),
    bug("memory_fires_twice", "backend-memory/src/schedules.rs", "a tick fires whatever has become of the watermark since"),
    bug("memory_fires_early", "backend-memory/src/schedules.rs", "a tick fires before its time"),
    bug("memory_definition_stays", "backend-memory/src/schedules.rs", "a changed schedule goes on as it was"),
    bug("memory_pause_is_made_up_for", "backend-memory/src/schedules.rs", "ticks of a pause fire when it ends"),
    bug("no_restart", "job-core/src/runtime/restart.rs", "an actor that fails is not started again"),
    bug("no_polls", "job-core/src/runtime/claimer.rs", "jobs are looked for only when a wake-up comes"),
    bug("no_outage_grace", "job-core/src/runtime/maintainer.rs", "leases are ended at once when an outage is over"),
    bug("no_flush", "job-core/src/runtime/shutdown.rs", "a shutdown does not wait for the last verdicts to be stored"),
    bug("undecodable_ends_batch", "job-core/src/runtime/execution.rs", "arguments that cannot be read take the next job with them"),
    bug("no_end_guard", "job-core/src/runtime/execution.rs", "a job whose task dies is never ended"),
    bug("no_timeout", "job-core/src/runtime/execution.rs", "handlers run past their timeout"),
    bug("blocking_handler_left", "job-core/src/runtime/execution.rs", "a job is given back while its blocking handler still runs"),
    bug("expiry_ignored", "job-core/src/runtime/expiry.rs", "jobs run however late they are"),
    bug("expiry_by_local_clock", "job-core/src/runtime/expiry.rs", "the worker's clock decides whether a job is too late"),
    bug("deadline_does_not_stop", "job-core/src/runtime/expiry.rs", "an attempt goes on past the deadline"),
    bug("comes_back_too_late", "job-core/src/runtime/expiry.rs", "a retry comes after the deadline"),
    bug("replay_expires_again", "job-core/src/runtime/expiry.rs", "a job that failed and is replayed is too late for its ttl"),
    bug("snoozes_for_ever", "job-core/src/runtime/execution.rs", "a job is put off for ever and nobody sees it"),
    bug("panic_is_success", "job-core/src/runtime/execution.rs", "a handler that panics has completed its job"),
    bug("permanent_retried", "job-core/src/runtime/execution.rs", "a permanent error is retried"),
    bug("retry_after_unlimited", "job-core/src/runtime/execution.rs", "a delay chosen by the handler bypasses the last attempt"),
    bug("backoff_unbounded", "job-core/src/retry.rs", "delays grow without an end"),
    bug("no_jitter", "job-core/src/retry.rs", "jobs that failed together come back together"),
    bug("middleware_panic_loses_verdict", "job-core/src/middleware.rs", "a middleware that panics at the end of an attempt takes the verdict with it"),
    bug("prepared_without_middleware", "job-core/src/client.rs", "a job that is prepared for a transaction passes no middleware"),
    bug("encryption_unbound", "job-core/src/encryption.rs", "encrypted arguments belong to no job"),
    bug("encryption_not_required", "job-core/src/encryption.rs", "arguments in the clear run although encryption is required"),
    bug("upgrade_skipped", "job-core/src/registry.rs", "arguments of an older version are decoded as they are"),
    bug("newer_version_decoded", "job-core/src/runtime/begin.rs", "arguments of a newer version are decoded as if they were known"),
    bug("effect_not_noted_first", "job-core/src/effect.rs", "an effect is called before the store knows of it"),
    bug("in_doubt_sent_again", "job-core/src/effect.rs", "an effect that may have happened is called again, though it must not happen twice"),
    bug("lost_answer_is_not_sent", "job-core/src/effect.rs", "an effect whose answer was lost counts as not sent"),
    bug("doubt_can_be_ignored", "job-core/src/attempt.rs", "a job completes although nobody knows whether its effect has happened"),
    bug("stale_read_believed", "job-core/src/notebook.rs", "notes that were read after the lease was lost are believed"),
    bug("stale_note_believed", "job-core/src/notebook.rs", "a note that the store refused counts as written"),
    bug("checkpoint_forgotten", "job-core/src/checkpoint.rs", "later attempts start from the beginning"),
    bug("redacted_shown", "job-core/src/redact.rs", "texts show redacted arguments"),
    bug("rolled_back_is_complete", "job-core/src/runtime/execution.rs", "a job whose completing transaction was rolled back is complete"),
    bug("nothing_after_death", "job-core/src/runtime/burial.rs", "the job that is to come after a dead one does not"),
    bug("alert_clears_where_it_raises", "job-core/src/alerts/latch.rs", "an alert is cleared as soon as its level is not reached, and flaps"),
    bug("alert_does_not_hold", "job-core/src/alerts/latch.rs", "an alert is raised and cleared by one look, however long it must hold"),
    bug("resolution_forgets_effect", "job-core/src/effect.rs", "an effect that is said to be done is called again"),
    bug("fingerprint_of_the_very_text", "job-core/src/dead/fingerprint.rs", "equal failures of two jobs have two fingerprints"),
    bug("dry_run_replays", "job-core/src/dead/sweep.rs", "a dry run replays"),
    bug("replay_without_cutoff", "job-core/src/dead/sweep.rs", "a replay replays what died after it began"),
    bug("alert_of_paused_kind", "job-core/src/alerts/evaluate.rs", "an alert says that jobs of a paused kind are not taken"),
    bug("due_jobs_wait_for_a_round", "job-core/src/runtime/maintainer.rs", "a job that comes due before the next round of maintenance waits for it"),
    bug("memory_due_soon_unheard", "backend-memory/src/enqueue.rs", "who waits for work does not hear of a job that is due soon"),
    bug("limits_wait_for_polls", "job-core/src/runtime/core/settling.rs", "a job that ends under a limit lets no other start before the next poll"),
    bug("settled_room_unseen", "job-core/src/runtime/core/settling.rs", "a verdict that was on its way during a claim lets no other job start under a limit"),
    bug("ahead_runs_at_once", "job-core/src/runtime/core/ahead.rs", "jobs that were taken ahead of a limit run at once"),
    bug("ahead_of_closed_limits", "job-core/src/runtime/core/ahead.rs", "jobs that were taken ahead start although the process has closed a limit"),
    bug("ahead_waits_for_ever", "job-core/src/runtime/core/ahead.rs", "jobs that were taken ahead wait for a slow one, however long it takes"),
    bug("ahead_kept_at_shutdown", "job-core/src/runtime/core/ahead.rs", "jobs that were taken ahead are not given back when the process stops"),
    bug("room_not_looked_for", "job-core/src/runtime/core.rs", "what ends while a claim is under way lets no other start under a limit"),
    bug("drain_does_not_wait", "job-core/src/drain.rs", "a drain ends while jobs run"),
    bug("operation_never_ends", "job-core/src/dead/operations.rs", "the row of a replay says for ever that it goes on"),
    bug("operation_notes_unnumbered", "job-core/src/dead/operations.rs", "every note of an operation has the number of the first"),
    bug("operations_kept_for_ever", "job-core/src/dead/operations.rs", "rows of operations stay for ever"),
    bug("replay_of_nothing_noted", "job-core/src/dead/sweep.rs", "a replay that finds nothing leaves a row"),
    bug("replay_ends_when_counted", "job-core/src/dead/sweep.rs", "a death that is seen late takes the place of a job that was counted"),
    bug("replay_believes_old_pages", "job-core/src/dead/sweep.rs", "a replay believes what it read long ago"),
    bug("replayed_and_not_counted", "job-core/src/dead/sweep.rs", "jobs that a call has replayed are not counted if the next call fails"),
    bug("dead_jobs_named_twice", "job-core/src/dead/filter.rs", "a job that is given twice is counted twice"),
    bug("discard_takes_what_dies", "job-core/src/dead/discard.rs", "a job that dies while a discard runs goes with the others"),
    bug("discard_misses_nobody", "job-core/src/dead/discard.rs", "the row of a discard does not say how many were gone"),
    bug("memory_late_operation_note", "backend-memory/src/operations.rs", "a note of an operation that comes late replaces a newer one"),
    bug("memory_old_operations_stay", "backend-memory/src/operations.rs", "old rows of operations stay"),
    bug("memory_all_operations_stay", "backend-memory/src/operations.rs", "any number of rows of operations is kept"),
    bug("redis_rare_keys_unknown", "backend-redis/src/keys.rs", "fsck does not know the keys of schedules and operations"),
    bug("redis_operations_in_outbox", "backend-redis/src/keys.rs", "rows of operations stand in the outbox"),
    bug("memory_operation_twice", "backend-memory/src/operations.rs", "each note of an operation makes a row"),
    bug("claims_before_limits", "job-core/src/runtime/declaration.rs", "jobs are claimed before the store knows their limits"),
    bug("breaker_never_opens", "job-core/src/runtime/downstreams.rs", "failures in a row close no limit"),
    bug("adapt_never_lowers", "job-core/src/runtime/downstreams.rs", "failures do not lower a limit that adapts"),
    bug("adapt_counts_transactions", "job-core/src/runtime/execution.rs", "a completion in a transaction counts as a failure for limits"),
    bug("adapt_never_raises", "job-core/src/runtime/downstreams.rs", "successes do not raise a limit that adapts"),
    bug("memory_adapt_each_failure", "backend-memory/src/limits.rs", "one time of trouble lowers a limit once for each failure"),
    bug("memory_adapt_ignored", "backend-memory/src/limits.rs", "claims go by the concurrency of the rule, whatever it has adapted to"),
    bug("memory_lines_take_all_slots", "backend-memory/src/claim.rs", "under a limit jobs of lines take every slot before those without one"),
    bug("memory_slot_kept_by_settle", "backend-memory/src/settle.rs", "a verdict frees no slot of a limit"),
    bug("memory_slot_kept_by_reap", "backend-memory/src/maintain.rs", "a crash frees no slot of a limit"),
    bug("memory_burst_ignored", "backend-memory/src/limits.rs", "a rate lets any burst through"),
    bug("memory_closed_limit_open", "backend-memory/src/limits.rs", "a closed limit lets jobs through"),
    bug("memory_order_ignored", "backend-memory/src/lines.rs", "an ordered line lets a job go before the one before has ended"),
    bug("memory_retry_frees_order", "backend-memory/src/state.rs", "a job that waits for its next attempt holds its ordered line no longer"),
    bug("memory_line_concurrency_ignored", "backend-memory/src/lines.rs", "a line lets any number of jobs go"),
    bug("memory_weight_ignored", "backend-memory/src/lines.rs", "every line has the weight 1"),
    bug("memory_turns_kept", "backend-memory/src/lines.rs", "a line keeps its turn for ever"),
    bug("memory_kind_pause_ignored", "backend-memory/src/queue.rs", "a paused kind is claimed"),
    bug("memory_alerts_for_ever", "backend-memory/src/alerts.rs", "alerts of a worker that is gone are shown for ever"),
    bug("memory_dead_pruned_early", "backend-memory/src/maintain.rs", "jobs that have just died are removed"),
    bug("memory_no_clock", "backend-memory/src/claim.rs", "a claim does not tell what time it is"),
    bug("memory_amends_live_jobs", "backend-memory/src/operate.rs", "a job that is not dead is changed"),
    bug("memory_reap_is_no_end", "backend-memory/src/leases.rs", "verdicts of a lease that was ended are said to be applied"),
    bug("memory_extend_shortens", "backend-memory/src/leases.rs", "an extension can shorten a lease"),
    bug("memory_ids_forgotten", "backend-memory/src/table.rs", "a repeated enqueue revives a job that has ended"),
    bug("memory_key_freed_by_anybody", "backend-memory/src/keys.rs", "the end of a job frees a unique key that another job holds"),
    bug("memory_next_forgotten", "backend-memory/src/keys.rs", "a job that waits for the end of another one waits for ever"),
    bug("memory_running_job_replaced", "backend-memory/src/replace.rs", "a job that runs is replaced"),
    bug("memory_debounced_for_ever", "backend-memory/src/replace.rs", "a debounced run is put off without an end"),
    bug("memory_old_comes_back", "backend-memory/src/settle.rs", "a job comes back although a newer one waits for its end"),
    bug("memory_no_second_chance", "backend-memory/src/maintain.rs", "the neighbours of a crash are charged with it"),
    bug("memory_receipts_pruned", "backend-memory/src/maintain.rs", "receipts are forgotten with the next maintenance"),
    bug("memory_replay_takes_key", "backend-memory/src/operate.rs", "a replay ignores who holds the unique key"),
    bug("memory_solo_in_company", "backend-memory/src/claim.rs", "a solo job runs beside others"),
    bug("memory_cancel_outlives_death", "backend-memory/src/state.rs", "a replayed job is still asked to stop"),
    bug("memory_slot_mistaken", "backend-memory/src/lanes.rs", "a void entry of a lane is taken for the job that uses its slot now"),
    bug("memory_notes_of_a_zombie", "backend-memory/src/notes.rs", "a holder whose lease has ended writes notes"),
    bug("memory_no_wake_up", "backend-memory/src/queue.rs", "nobody is woken when a job comes"),
    bug("postgres_promotes_from_the_start", "backend-postgres/src/floor.rs", "maintenance reads what was promoted for as long as somebody could see it"),
    bug("postgres_waiters_forgotten", "backend-postgres/src/warm.rs", "a connection that comes back is kept from those that wait for one"),
    bug("postgres_late_jobs_forgotten", "backend-postgres/src/floor.rs", "what a long transaction has scheduled waits for half a minute"),
    bug("postgres_one_queue_counts_ends", "backend-postgres/src/chores.rs", "batches end only while one queue is maintained"),
    bug("postgres_answers_reversed", "backend-postgres/src/enqueue.rs", "a batch is answered backwards"),
    bug("postgres_follow_ups_always", "backend-postgres/src/settle.rs", "follow-up jobs come without the verdict"),
    bug("postgres_lost_is_not_applied", "backend-postgres/src/error.rs", "a commit cut off by the end of the server is said not to have happened"),
    bug("postgres_conflicts_fail", "backend-postgres/src/call.rs", "a statement that another one disturbed is not repeated"),
    bug("postgres_trailing_edge_lost", "backend-postgres/src/wake.rs", "the last enqueue of a burst wakes nobody"),
];

/// What shows only where transactions overlap or a case is odd: for these the slow suites run as well.
const IN_TRANSACTIONS: [&str; 3] = ["rolled_back_is_complete", "adapt_counts_transactions", "sql_reap_waits"];
const WHEN_FULL: [&str; 1] = ["lua_full_server_discards_nothing"];
const RARE: &[&str] = &[
    "sql_mark_does_not_wait",
    "sql_mark_without_xid",
    "sql_sequence_read_late",
    "sql_straggler_forgotten",
    "sql_old_seq",
    "sql_cancel_races",
];

impl Bug {
    /// The suites that could see it, quickest first.
    #[must_use]
    pub fn suites(&self) -> &'static [Suite] {
        let home = self.file.split('/').next().unwrap_or_default();
        match home {
            _ if IN_TRANSACTIONS.contains(&self.name) => &[Suite::Complete],
            _ if WHEN_FULL.contains(&self.name) => &[Suite::RedisFaults],
            // The kit replays and discards too.
            _ if self.file.starts_with("job-core/src/dead/") => {
                &[Suite::Core, Suite::DeadLetters, Suite::Memory]
            }
            "job-core" => &[
                Suite::Core,
                Suite::Middleware,
                Suite::Effects,
                Suite::Checkpoints,
                Suite::Batches,
                Suite::GivenUp,
                Suite::Expiry,
                Suite::Limits,
                Suite::Runtime,
                Suite::Shutdown,
                Suite::Guard,
                Suite::Blocking,
                Suite::DeadLetters,
                Suite::Schedules,
            ],
            "backend-memory" => &[Suite::Memory, Suite::MemoryModel],
            "backend-redis" => &[Suite::Redis, Suite::RedisFsck, Suite::RedisLines, Suite::RedisHalfEnqueued],
            _ if RARE.contains(&self.name) => &[Suite::Log, Suite::Postgres, Suite::Stress],
            _ if self.name.starts_with("sql_") => &[Suite::Postgres, Suite::Log, Suite::Lines],
            _ => &[Suite::Postgres, Suite::Log, Suite::Server],
        }
    }
}

/// Every defect.
#[must_use]
pub fn all() -> Vec<Bug> {
    let in_texts = backend_postgres::seeded_bugs::all().chain(backend_redis::seeded_bugs::all());
    IN_CODE.iter().copied().chain(in_texts.map(|b| bug(b.name, b.path, b.breaks))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Adds `(name, file)` of each `seeded_bug!` below `dir`.
    fn collect(root: &Path, dir: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(root, &path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                let file = path.strip_prefix(root).expect("below it").to_str().expect("plain").to_owned();
                let names = text.split("seeded_bug!(\"").skip(1);
                found.extend(
                    names.map(|rest| (rest.split('"').next().expect("a name").to_owned(), file.clone())),
                );
            }
        }
    }

    /// The table names what is in the code, and the code has nothing that the table does not name.
    #[test]
    fn the_table_is_what_the_code_has() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let mut found = Vec::new();
        for home in ["job-core/src", "backend-memory/src", "backend-postgres/src", "backend-redis/src"] {
            collect(root, &root.join(home), &mut found);
        }
        found.sort();
        let mut listed: Vec<_> = IN_CODE.iter().map(|b| (b.name.to_owned(), b.file.to_owned())).collect();
        listed.sort();
        assert_eq!(found, listed);
        let names: BTreeSet<_> = all().iter().map(|b| b.name).collect();
        assert_eq!(names.len(), all().len(), "no name stands for two defects");
        assert!(RARE.iter().all(|name| names.contains(name)));
    }
}
