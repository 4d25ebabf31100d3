//! Defects of limits and lines.

use super::{SqlBug, bug};

const LIMITS: &str = "backend-postgres/migrations/0014_limits.sql";
const LINES: &str = "backend-postgres/migrations/0015_lines.sql";
const CLAIM: &str = "backend-postgres/migrations/0016_claim.sql";
const GAUGES: &str = "backend-postgres/migrations/0008_gauges.sql";
const LOOK: &str = "backend-postgres/migrations/0004_look.sql";
const MAINTAIN: &str = "backend-postgres/migrations/0005_maintain.sql";

pub(super) const BUGS: &[SqlBug] = &[
    // ---- named limits
    bug(
        "sql_slot_kept_by_settle",
        "a settled job keeps its slot until its lease is gone",
        LIMITS,
        &[("  if granted <= p_enough then", "  if true then")],
    ),
    bug(
        "sql_slots_end_behind_the_mark",
        "a lease that the marks have passed holds no slot any more",
        LIMITS,
        &[("least(min(coalesce(m.low, 0)), min(coalesce(s.lease_floor, 0)))", "min(coalesce(m.low, 0))")],
    ),
    bug(
        "sql_slots_of_one_queue",
        "slots are counted in one queue alone",
        LIMITS,
        &[(
            "where n.id = any(p_lanes) group by n.queue_id) x;",
            "where n.id = any(p_lanes) group by n.queue_id order by 1 limit 1) x;",
        )],
    ),
    bug(
        "sql_slots_of_one_kind",
        "kinds under one limit do not share its room in a claim",
        CLAIM,
        &[("foreach i in array p_rooms[g.kinds[r.o]].limits loop p_left[i] := p_left[i] - 1; end loop;", "")],
    ),
    bug(
        "sql_ahead_uses_no_slot",
        "jobs that were taken ahead leave their slots to others",
        LIMITS,
        &[("          limit e.at_once) z)", "          limit 0) z)")],
    ),
    bug(
        "sql_ahead_keeps_its_slots",
        "jobs that were taken ahead keep their slots until the last of them has ended",
        LIMITS,
        &[(
            "else (select count(*) from (\n          select from (select seq",
            "else e.at_once + 0 * (select count(*) from (\n          select from (select seq",
        )],
    ),
    bug(
        "sql_ahead_of_all_kinds",
        "jobs of a claim that took others ahead use no slots of their own",
        LIMITS,
        &[("case when e.lanes <@ e.ahead then 0", "case when true then 0")],
    ),
    bug(
        "sql_ahead_of_a_rate",
        "jobs are taken ahead under a rate as well",
        CLAIM,
        &[("where a[i].interval_us is not null or a[i].opens is not null", "where false")],
    ),
    bug(
        "sql_ahead_of_a_paused_kind",
        "a paused kind leaves its number to another one",
        CLAIM,
        &[("coalesce(array_agg(u.ahead) filter (where u.ahead is not null), '{}') into", "p_ahead into")],
    ),
    bug(
        "sql_ahead_of_other_kinds",
        "jobs are taken ahead though other kinds wait for the same slots",
        CLAIM,
        &[("    if not alone then slots := 0; end if;", "")],
    ),
    bug(
        "sql_ahead_of_other_queues",
        "jobs are taken ahead though another queue is under the same limit",
        CLAIM,
        &[("and l.queue_id <> p_queue) then return true;", "and false) then return true;")],
    ),
    bug(
        "sql_lanes_take_all_slots",
        "under a limit jobs without a line take every slot before those of lines",
        CLAIM,
        &[("case when lined and pass = 1 then array", "case when false then array")],
    ),
    bug(
        "sql_repetition_forgets_ahead",
        "a claim that is repeated does not say how many of its jobs run at a time",
        LOOK,
        &[("null, max(x.at_once), max(x.ahead[1])", "null, null, null")],
    ),
    bug(
        "sql_burst_ignored",
        "a bucket holds one token, whatever its burst",
        LIMITS,
        &[("(now + a.depth_us - a.tat)", "(now + a.interval_us - a.tat)")],
    ),
    bug("sql_tokens_not_taken", "claims take no tokens", LIMITS, &[("and p_counts[x.i] > 0;", "and false;")]),
    bug(
        "sql_closed_ignored",
        "a closed limit lets jobs through",
        LIMITS,
        &[("    if l.closed_until > clock_timestamp() then\n", "    if false then\n")],
    ),
    bug(
        "sql_adapt_each_failure",
        "one time of trouble lowers a limit once for each failure",
        LIMITS,
        &[("if l.lowered_at between claimed_at and clock_timestamp() then return slots; end if;", "")],
    ),
    bug(
        "sql_adapt_ignored",
        "claims go by the concurrency of the rule, whatever it has adapted to",
        LIMITS,
        &[("{schema}.concurrency_of(l.rule, l.asked);", "{schema}.concurrency_of(l.rule, null);")],
    ),
    bug(
        "sql_closed_for_less",
        "closing a limit shortens what was said before",
        LIMITS,
        &[("greatest(x.closed_until, excluded.closed_until)", "excluded.closed_until")],
    ),
    bug(
        "sql_code_has_the_last_word",
        "what code declares counts before what an operator has set",
        LIMITS,
        &[("coalesce(x.by_people, x.by_code) as rule", "coalesce(x.by_code, x.by_people) as rule")],
    ),
    bug(
        "sql_suspects_unlimited",
        "suspects are under no limit",
        CLAIM,
        &[(
            "      if binds then\n        x := {schema}.look_within(q.id, s, held",
            "      if false then\n        x := {schema}.look_within(q.id, s, held",
        )],
    ),
    bug(
        "sql_left_below_the_mark",
        "the mark passes jobs that a limit has left",
        CLAIM,
        &[("        tops[r.o] := r.seq - 1;\n", "")],
    ),
    // ---- lines
    bug(
        "sql_line_concurrency_ignored",
        "a line gives more than it may",
        LINES,
        &[("        f.concurrency - (", "        null - (")],
    ),
    bug(
        "sql_line_rate_ignored",
        "a line has no rate",
        LINES,
        &[("least(a.free, a.tokens) as most", "a.free as most")],
    ),
    bug(
        "sql_ordered_forgets_retrying",
        "an ordered line goes on while a job of it waits for its next attempt",
        LINES,
        &[(
            "          when exists (select from {schema}.later z where z.id = l.head) then 0 else 1 end end,",
            "          else 1 end end,",
        )],
    ),
    bug(
        "sql_ordered_overtakes",
        "an ordered line lets another job go before the one that comes back",
        LINES,
        &[("case when a.ordered then (select w.id", "case when false then (select w.id")],
    ),
    bug(
        "sql_turns_not_rotated",
        "a line that had its turn stays in front",
        LINES,
        &[("if (givens[o] + gave[o]) % weights[o] = 0 then", "if false then")],
    ),
    bug(
        "sql_weight_ignored",
        "all lines have one weight",
        LINES,
        &[("coalesce(l.weight, 1) as weight,", "1 as weight,")],
    ),
    bug(
        "sql_turn_starts_again",
        "a turn that a claim cuts short begins again",
        LINES,
        &[("case when a.given < a.weight then a.given else 0 end", "0")],
    ),
    bug(
        "sql_line_not_freed",
        "nobody hears that a job of a line has ended",
        LINES,
        &[(
            "select n.queue_id, old.line from {schema}.lane n where n.id = old.lane;",
            "select n.queue_id, old.line from {schema}.lane n where false;",
        )],
    ),
    bug(
        "sql_line_held_by_the_gone",
        "nobody hears that a job that waited for its next attempt is gone",
        LINES,
        &[("where n.id = old.lane and old.headers ->> 'steadfast-line' is not null;", "where false;")],
    ),
    bug(
        "sql_notes_passed",
        "the mark passes notes that no claim has read",
        LINES,
        &[("  if cardinality(notes) = 1000 then top := nos[cardinality(nos)]; end if;\n", "")],
    ),
    bug(
        "sql_lanes_before_lines",
        "jobs without a line go first",
        CLAIM,
        &[("half := (p_want + odd_one) / 2;", "half := p_want;")],
    ),
    bug(
        "sql_lines_uncounted",
        "those who wait in lines are not seen by gauges",
        GAUGES,
        &[("  if q.lined and ready < p_count then\n", "  if false then\n")],
    ),
    bug(
        "sql_stage_of_lines_suspect",
        "a crash of a shared lease counts against the jobs of lines",
        MAINTAIN,
        &[("if p_stage in (2, 3) then r.crashes", "if p_stage >= 2 then r.crashes")],
    ),
];
