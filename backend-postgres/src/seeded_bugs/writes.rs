//! Defects of enqueue, keys and settle.

use super::{SqlBug, bug};

const ENQUEUE: &str = "backend-postgres/migrations/0002_enqueue.sql";
const ALERTS: &str = "backend-postgres/migrations/0013_alerts.sql";
const AMEND: &str = "backend-postgres/migrations/0009_amend.sql";
const BATCHES: &str = "backend-postgres/migrations/0010_batches.sql";
const KEYS: &str = "backend-postgres/migrations/0012_keys.sql";
const SCHEDULES: &str = "backend-postgres/migrations/0017_schedules.sql";
const OPERATIONS: &str = "backend-postgres/migrations/0018_operations.sql";
const SETTLE: &str = "backend-postgres/migrations/0003_settle.sql";

pub(super) const BUGS: &[SqlBug] = &[
    // ---- enqueue and keys
    bug(
        "sql_window_ignored",
        "an idempotency key is never free again",
        ENQUEUE,
        &[("\n        and (k.expires_at is null or k.expires_at > clock_timestamp())", "")],
    ),
    bug(
        "sql_request_forgotten",
        "a request answered by another job is stored once that job has ended",
        ENQUEUE,
        &[("if p_ikeys[k.n] is not null then", "if false then")],
    ),
    bug(
        "sql_enqueue_revives",
        "a repeated enqueue stores its jobs again",
        ENQUEUE,
        &[("    return known.answers;\n", "    delete from {schema}.ready where id = any(p_ids);\n")],
    ),
    bug(
        "sql_delay_by_date",
        "a job with a time in the past waits for maintenance",
        ENQUEUE,
        &[("interval '1 microsecond' > p_now then", "interval '1 microsecond' > 'epoch' then")],
    ),
    bug(
        "sql_error_is_existing",
        "an enqueue that must not find its key taken is answered by the holder",
        KEYS,
        &[("  if p_policy = 1 then\n", "  if false then\n")],
    ),
    bug(
        "sql_debounced_for_ever",
        "a debounced run is put off without an end",
        KEYS,
        &[(
            "least(coalesce(p_due, clock_timestamp()), p_came + p_max_wait * interval '1 microsecond')",
            "p_due",
        )],
    ),
    bug(
        "sql_running_job_replaced",
        "a job that runs is replaced",
        KEYS,
        &[
            (" or {schema}.is_leased(spot.queue_id, spot.seq) then", " then"),
            ("  if {schema}.is_leased(spot.queue_id, spot.seq) then return 2; end if;\n  due", "  due"),
        ],
    ),
    bug(
        "sql_old_comes_back",
        "a job comes back although a newer one waits for its end",
        SETTLE,
        &[("and {schema}.has_next(r.id, r.unique_scope, r.unique_key) then", "and false then")],
    ),
    // ---- settle
    bug(
        "sql_complete_without_lease",
        "a completion is believed under any lease",
        SETTLE,
        &[(
            "if not found then return '{}'; end if;",
            "if not found then select array(select id from {schema}.lane where queue_id = p_queue) as lanes, p_seqs as seqs into held; end if;",
        )],
    ),
    bug(
        "sql_verdict_without_lease",
        "any other verdict is believed under any lease",
        SETTLE,
        &[(
            "if not found or p_seq <> all(held.seqs) then return false; end if;",
            "select array[p_lane] as lanes, array[p_seq] as seqs, p_lease as worker into held;",
        )],
    ),
    bug(
        "sql_no_receipt",
        "a completion leaves no receipt",
        SETTLE,
        &[("insert into {schema}.settled (lease, seqs) values (p_lease, gone);", "")],
    ),
    bug(
        "sql_last_verdict_counts",
        "of two verdicts in a batch the last one counts",
        SETTLE,
        &[("order by lease, seq, n\n", "order by lease, seq, n desc\n")],
    ),
    bug(
        "sql_snooze_counts",
        "a snooze counts as an attempt",
        SETTLE,
        &[("if p_verdict in (1, 4) then", "if p_verdict in (1, 2, 4) then")],
    ),
    bug(
        "sql_error_lost",
        "a failure is not noted",
        SETTLE,
        &[("r.errors := {schema}.push_error(r.errors, r.attempt, p_worker, p_error);", "")],
    ),
    bug(
        "sql_error_of_nobody",
        "a failure does not say whose it was",
        SETTLE,
        &[("p_error, p_reason, held.worker);", "p_error, p_reason, null);")],
    ),
    bug(
        "sql_attempts_unlimited",
        "a failing job is retried for ever",
        SETTLE,
        &[(
            "if p_verdict = 1 and r.max_attempts < 2147483647 and r.attempt >= r.max_attempts then",
            "if false then",
        )],
    ),
    bug(
        "sql_crashes_kept",
        "a verdict does not clear a job of suspicion",
        SETTLE,
        &[("  r.crashes := 0;\n", "")],
    ),
    bug(
        "sql_cancel_forgotten",
        "a job that was asked to stop comes back",
        SETTLE,
        &[(
            "cancel_request c where c.job = r.id) then\n    perform {schema}.finish(r.id, r.unique_scope, r.unique_key, r.headers);\n    return;",
            "cancel_request c where false) then return;",
        )],
    ),
    bug(
        "sql_lease_ends_early",
        "a lease ends with the first of its jobs",
        SETTLE,
        &[("if not p_sure then", "if false then")],
    ),
    bug(
        "sql_dead_keeps_key",
        "a dead job keeps its unique key",
        SETTLE,
        &[(
            "b.id = {schema}.stage_lane(r.lane, 0::smallint);\n  perform {schema}.let_go(r.id, r.unique_scope, r.unique_key);",
            "b.id = {schema}.stage_lane(r.lane, 0::smallint);",
        )],
    ),
    bug(
        "sql_notes_outlive_job",
        "notes stay when their job completes",
        SETTLE,
        &[("delete from {schema}.note n where n.job = any(ids);", "null;")],
    ),
    bug(
        "sql_note_of_any_lease",
        "notes are written whatever the lease",
        "backend-postgres/migrations/0007_notes.sql",
        &[("if not found or not {schema}.covers(p_queue, p_top, p_lease, p_seq) then", "if not found then")],
    ),
    bug(
        "sql_note_not_replaced",
        "a note keeps its first value",
        "backend-postgres/migrations/0007_notes.sql",
        &[("do update set value = excluded.value, at = excluded.at", "do nothing")],
    ),
    bug(
        "sql_old_seq",
        "what comes back keeps its seq, which may lie below a mark",
        SETTLE,
        &[
            (
                "returns void language plpgsql as $$\nbegin\n  insert into {schema}.ready (lane, id,",
                "returns void language plpgsql as $$\nbegin\n  insert into {schema}.ready (lane, seq, id,",
            ),
            (
                "values ({schema}.stage_lane(r.lane, p_stage), r.id,",
                "values ({schema}.stage_lane(r.lane, p_stage), r.seq, r.id,",
            ),
        ],
    ),
    // ---- batches and kept jobs
    bug(
        "sql_end_not_told",
        "the completion of a member does not count in its batch",
        SETTLE,
        &[("if batches is not null then", "if false then")],
    ),
    bug(
        "sql_kept_keeps_key",
        "a completed job that is kept holds its unique key",
        SETTLE,
        &[(
            "  perform {schema}.let_go(r.id, r.unique_scope, r.unique_key);\n  perform {schema}.write_notes(r.id,",
            "  perform {schema}.write_notes(r.id,",
        )],
    ),
    bug(
        "sql_death_counts_again",
        "a member that dies twice counts twice",
        BATCHES,
        &[(
            "on conflict do nothing returning 1",
            "on conflict (batch, job) do update set job = excluded.job returning 1",
        )],
    ),
    bug(
        "sql_dead_members_end",
        "a dead job counts as ended in its batch",
        BATCHES,
        &[("from gone g where not g.died)", "from gone g)")],
    ),
    bug(
        "sql_mourner_stays",
        "what waits for a death waits for ever when there is none",
        BATCHES,
        &[("if b.deaths = 0 and b.on_death is not null then", "if false then")],
    ),
    // ---- changes to dead jobs
    bug(
        "sql_amend_forgets_payload",
        "new arguments of a dead job are not stored",
        AMEND,
        &[("if p_payload is not null then", "if false then")],
    ),
    bug(
        "sql_amend_keeps_notes",
        "a note that an operator takes away from a dead job stays",
        AMEND,
        &[(
            "perform {schema}.write_notes(p_id, p_names, p_values);",
            "perform {schema}.write_notes(p_id, n.names, n.values) from (select array_agg(e.name) as names, array_agg(e.value) as values from unnest(p_names, p_values) e(name, value) where e.value is not null) n where n.names is not null;",
        )],
    ),
    // ---- schedules
    bug(
        "sql_fires_twice",
        "a tick fires whatever has become of the watermark since",
        SCHEDULES,
        &[("if s.watermark <> p_from or p_to", "if p_to")],
    ),
    bug(
        "sql_fires_early",
        "a tick fires before its time",
        SCHEDULES,
        &[("if p_to > clock_timestamp() then", "if false then")],
    ),
    bug(
        "sql_fires_while_paused",
        "a paused schedule fires",
        SCHEDULES,
        &[("is distinct from p_version or s.paused then", "is distinct from p_version then")],
    ),
    bug(
        "sql_any_version_fires",
        "a definition that has been changed fires on",
        SCHEDULES,
        &[("if s.version is distinct from p_version or", "if s.version is null or")],
    ),
    bug(
        "sql_step_forgotten",
        "a step whose answer was lost is refused when it is repeated",
        SCHEDULES,
        &[("where e.request = p_request;\n    if found", "where e.request = p_request;\n    if false")],
    ),
    bug(
        "sql_definition_made_up_for",
        "ticks from before a change fire",
        SCHEDULES,
        &[("job = excluded.job, watermark = clock_timestamp()", "job = excluded.job")],
    ),
    // ---- operations
    bug(
        "sql_operation_begins_again",
        "an operation begins anew whenever it is noted",
        OPERATIONS,
        &[("set updated_at = excluded", "set began_at = excluded.began_at, updated_at = excluded")],
    ),
    bug(
        "sql_late_operation_note",
        "a note of an operation that comes late replaces a newer one",
        OPERATIONS,
        &[("where o.number < excluded.number", "where true")],
    ),
    bug(
        "sql_operation_note_again",
        "a note of an operation with the number of the last one replaces it",
        OPERATIONS,
        &[("o.number < excluded", "o.number <= excluded")],
    ),
    bug(
        "sql_old_operations_stay",
        "old rows of operations stay",
        OPERATIONS,
        &[(
            "now - least(p_kept_us, 3155760000000000) * interval '1 microsecond'",
            "now - interval '100 years'",
        )],
    ),
    bug(
        "sql_all_operations_stay",
        "any number of rows of operations is kept",
        OPERATIONS,
        &[("offset 999 limit 1", "offset 9999 limit 1")],
    ),
    bug(
        "sql_operations_go_at_any_note",
        "every note of an operation removes old rows",
        OPERATIONS,
        &[("if began = now then", "if true then")],
    ),
    // ---- alerts
    bug(
        "sql_first_alerts_stay",
        "a report of alerts that a worker has made once lasts no longer than the first one said",
        ALERTS,
        &[("set valid_until = excluded.valid_until, alerts", "set alerts")],
    ),
];
