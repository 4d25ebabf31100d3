//! Defects of claims, leases, maintenance and administration.

use super::{SqlBug, bug};

const CLAIM: &str = "backend-postgres/migrations/0016_claim.sql";
const LOOK: &str = "backend-postgres/migrations/0004_look.sql";
const MAINTAIN: &str = "backend-postgres/migrations/0005_maintain.sql";
const OPERATE: &str = "backend-postgres/migrations/0006_operate.sql";

pub(super) const BUGS: &[SqlBug] = &[
    // ---- claim
    bug(
        "sql_batch_is_due",
        "a job that waits for a batch is said to be due some day",
        MAINTAIN,
        &[("and l.run_at < '9999-12-31 00:00Z' and l.parked is null\n", "and l.parked is null\n")],
    ),
    bug(
        "sql_limit_per_lane",
        "a claim takes its limit from each kind",
        LOOK,
        &[(") x order by x.seq limit p_want", ") x order by x.seq")],
    ),
    bug(
        "sql_any_kind",
        "a claim takes kinds that nobody named",
        LOOK,
        &[("and l.kind = any(p_kinds) and l.stage", "and l.stage")],
    ),
    bug(
        "sql_no_priority",
        "priorities are ignored",
        LOOK,
        &[(
            "group by l.priority, l.stage order by l.priority, l.stage desc",
            "group by l.stage order by l.stage desc",
        )],
    ),
    bug(
        "sql_pause_ignored",
        "a paused queue gives jobs away",
        CLAIM,
        &[("  if q.paused then return c; end if;\n", "")],
    ),
    bug(
        "sql_claim_without_clock",
        "a claim does not tell what time it is",
        CLAIM,
        &[("    c.now_us := (date_part('epoch', clock_timestamp()) * 1000000)::bigint;\n", "")],
    ),
    bug(
        "sql_kind_pause_ignored",
        "a paused kind is claimed",
        CLAIM,
        &[("if q.paused_kinds <> '{}' then", "if false then")],
    ),
    bug(
        "sql_one_kind_paused",
        "a pause of one kind ends that of another",
        "backend-postgres/migrations/0011_controls.sql",
        &[("array_remove(queue.paused_kinds, p_kind) ||", "'{}' ||")],
    ),
    bug(
        "sql_claim_not_repeated",
        "a repeated claim takes other jobs",
        CLAIM,
        &[("wanted := p_lease || p_suspects;", "wanted := '{}';")],
    ),
    bug(
        "sql_claims_race",
        "claims of a queue do not wait for each other",
        CLAIM,
        &[(
            "c.contended := q.id is not null and not pg_try_advisory_xact_lock({schema}.lock_class(), q.id);",
            "c.contended := false;",
        )],
    ),
    bug(
        "sql_suspects_shared",
        "jobs near a crash share a lease with others",
        CLAIM,
        &[("'{0,1}', p_limit", "'{0,1,2,3}', p_limit")],
    ),
    bug(
        "sql_solo_in_company",
        "a solo job runs beside others",
        CLAIM,
        &[("if p_solo and (odd.found).seqs is null then", "if (odd.found).seqs is null then")],
    ),
    bug(
        "sql_mark_does_not_wait",
        "the mark moves past transactions that may still commit",
        LOOK,
        &[("where x < s.mark_xid and x <> all(s.stragglers);", "where false;")],
    ),
    bug(
        "sql_mark_without_xid",
        "the mark forgets which transactions were there before it",
        LOOK,
        &[(
            "greatest(s.clear, s.mark_seq), p_last, pg_current_xact_id(),",
            "greatest(s.clear, s.mark_seq), p_last, '0',",
        )],
    ),
    bug(
        "sql_sequence_read_late",
        "a claim reads the sequence after it has an xid",
        CLAIM,
        &[(
            "    -- Before this transaction has an xid.\n",
            "    perform pg_current_xact_id(); perform pg_sleep(0.1);\n",
        )],
    ),
    bug(
        "sql_straggler_forgotten",
        "a transaction that took too long to wait for is forgotten",
        LOOK,
        &[(
            "s.stragglers || blockers, s.straggler_clears || array_fill(s.clear, array[cardinality(blockers)])",
            "s.stragglers, s.straggler_clears",
        )],
    ),
    bug(
        "sql_reply_too_large",
        "a reply carries every payload while the claim lock is held",
        LOOK,
        &[("exit when total > 65536;", "")],
    ),
    bug(
        "sql_reap_waits",
        "a reap waits for a transaction of the application",
        MAINTAIN,
        &[(
            "and d.seq between l.seqs[1] and l.top and d.seq = any(l.seqs) for update skip locked",
            "and d.seq between l.seqs[1] and l.top and d.seq = any(l.seqs) for update",
        )],
    ),
    // ---- extend, reap, promote, prune, audit
    bug(
        "sql_extend_anything",
        "an extension is granted for a lease that has ended",
        MAINTAIN,
        &[(
            "select array_agg(x.id) into held from longer x;",
            "select p_leases into held from (select count(*) from longer) x;",
        )],
    ),
    bug(
        "sql_extend_shortens",
        "an extension can shorten a lease",
        MAINTAIN,
        &[(
            "greatest(l.expires_at, clock_timestamp() + p_lease_us * interval '1 microsecond')",
            "clock_timestamp() + p_lease_us * interval '1 microsecond'",
        )],
    ),
    bug(
        "sql_extend_gives_up",
        "a lease that has expired and was not ended cannot be extended",
        MAINTAIN,
        &[(
            "where l.id = any(p_leases) and l.queue_id = q",
            "where l.id = any(p_leases) and l.queue_id = q and l.expires_at > clock_timestamp()",
        )],
    ),
    bug(
        "sql_stop_not_told",
        "an extension does not tell which jobs are to stop",
        MAINTAIN,
        &[(
            "if exists (select from {schema}.cancel_request) then\n    select array_agg(c.job) into cancel",
            "if false then\n    select array_agg(c.job) into cancel",
        )],
    ),
    bug(
        "sql_reap_early",
        "live leases are ended",
        MAINTAIN,
        &[(
            "x.expires_at <= clock_timestamp()\n    order by x.queue_id, x.top limit",
            "x.expires_at <= clock_timestamp() + interval '1 day'\n    order by x.queue_id, x.top limit",
        )],
    ),
    bug(
        "sql_reap_by_old_list",
        "a lease is ended although it was extended after the look",
        MAINTAIN,
        &[
            (
                "order by x.queue_id, x.top limit p_limit for update skip locked",
                "order by x.queue_id, x.top limit p_limit",
            ),
            (
                "    leases := leases + 1;\n",
                "    perform pg_sleep(case leases when 0 then 0.02 end); leases := leases + 1;\n",
            ),
        ],
    ),
    bug(
        "sql_reap_charges_innocents",
        "a crash costs every job of the lease an attempt",
        MAINTAIN,
        &[(
            "if p_stage in (2, 3) then r.crashes := r.crashes + 1; end if;",
            "r.crashes := r.crashes + 1; r.attempt := r.attempt + 1;",
        )],
    ),
    bug(
        "sql_crash_costs_nothing",
        "the crash of a solo job costs no attempt",
        MAINTAIN,
        &[(
            "    r.attempt := r.attempt + 1;\n    if r.crashes >= p_poison then",
            "    if r.crashes >= p_poison then",
        )],
    ),
    bug(
        "sql_no_poison",
        "no number of crashes is too many",
        MAINTAIN,
        &[("if r.crashes >= p_poison then", "if false then")],
    ),
    bug(
        "sql_reaped_lease_forgotten",
        "a claim repeated after its lease was ended takes other jobs",
        MAINTAIN,
        &[("insert into {schema}.settled (lease, seqs) values (l.id, '{}');", "")],
    ),
    bug(
        "sql_promote_early",
        "delayed jobs run at once",
        MAINTAIN,
        &[(
            "and l.run_at > low and l.run_at <= now and",
            "and l.run_at > low and l.run_at <= now + interval '200 years' and",
        )],
    ),
    bug(
        "sql_promote_reads_all",
        "maintenance reads every job that waits for its time",
        MAINTAIN,
        &[(
            "and l.run_at > low and l.run_at <= now and",
            "and l.run_at > low and l.run_at <= clock_timestamp() and",
        )],
    ),
    bug(
        "sql_reap_reads_all",
        "maintenance reads every lease that has ended for as long as somebody could see it",
        MAINTAIN,
        &[("floor := coalesce({schema}.no_lease_to(s, q), 0);", "floor := 0;")],
    ),
    bug(
        "sql_prune_reads_all_keys",
        "maintenance reads every key that is remembered",
        MAINTAIN,
        &[("where x.expires_at < now order", "where x.expires_at < clock_timestamp() order")],
    ),
    bug(
        "sql_receipts_pruned",
        "receipts are deleted with the next maintenance",
        MAINTAIN,
        &[("now - interval '24 hours';", "now;")],
    ),
    bug(
        "sql_no_audit",
        "the audit finds nothing",
        MAINTAIN,
        &[(
            "p_queue text) returns bigint\nlanguage plpgsql set jit = off set enable_seqscan = off as $$\ndeclare q int; r {schema}.ready; repaired bigint := 0;\nbegin\n",
            "p_queue text) returns bigint\nlanguage plpgsql set jit = off set enable_seqscan = off as $$\ndeclare q int; r {schema}.ready; repaired bigint := 0;\nbegin\n  return 0;\n",
        )],
    ),
    bug(
        "sql_dead_pruned_early",
        "jobs that have just died are removed",
        "backend-postgres/migrations/0011_controls.sql",
        &[("d.queue_id = q and d.died_at < before", "d.queue_id = q")],
    ),
    bug(
        "sql_dead_pruned_leave_notes",
        "the notes of dead jobs that were removed stay",
        "backend-postgres/migrations/0011_controls.sql",
        &[("  delete from {schema}.note n where n.job = any(gone);\n", "")],
    ),
    // ---- administration
    bug(
        "sql_replay_takes_key",
        "a replay ignores who holds the unique key",
        OPERATE,
        &[("if d.unique_key is not null and", "if false and")],
    ),
    bug(
        "sql_replay_resets_claims",
        "a replay starts the number of claims again",
        OPERATE,
        &[("d.id, 0, d.max_attempts, d.claims, 0,", "d.id, 0, d.max_attempts, 0, 0,")],
    ),
    bug(
        "sql_key_freed_by_anybody",
        "a discard frees the unique key that another job holds by now",
        OPERATE,
        &[(
            "delete from {schema}.dead x where x.id = one returning * into d;\n",
            "delete from {schema}.key k using {schema}.dead d where d.id = one and k.key = d.unique_key;\n    \
             delete from {schema}.dead x where x.id = one returning * into d;\n",
        )],
    ),
    bug(
        "sql_discard_anything",
        "a discard deletes jobs that are not dead",
        OPERATE,
        &[(
            "delete from {schema}.dead x where x.id = one returning * into d;\n",
            "delete from {schema}.dead x where x.id = one returning * into d;\n    if not found then delete from {schema}.ready r where r.id = one; end if;\n",
        )],
    ),
    bug(
        "sql_cancel_races",
        "a job is cancelled at once while a claim takes it",
        OPERATE,
        &[
            ("    perform pg_advisory_xact_lock({schema}.lock_class(), q);\n", ""),
            (
                "    delete from {schema}.ready x where x.lane = spot.lane and",
                "    perform pg_sleep(0.003);\n    delete from {schema}.ready x where x.lane = spot.lane and",
            ),
        ],
    ),
];
