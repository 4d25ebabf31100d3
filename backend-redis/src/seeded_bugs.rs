//! Deliberate defects in the scripts, for test builds alone: a process whose environment names one runs them with it.
//! `./dev mutants` shows that the suites see each of them.

use job_core::faults::TextBug;

const BUCKET: &str = "backend-redis/scripts/lib/bucket.lua";
const LIMITS: &str = "backend-redis/scripts/lib/limits.lua";
const LINES: &str = "backend-redis/scripts/lib/lines.lua";
const SERVE: &str = "backend-redis/scripts/lib/serve.lua";
const SLOTS: &str = "backend-redis/scripts/lib/slots.lua";
const BUDGETS: &str = "backend-redis/scripts/lib/budgets.lua";
const LIMIT: &str = "backend-redis/scripts/limit.lua";
const CLAIM: &str = "backend-redis/scripts/lib/claim.lua";
const FINISH: &str = "backend-redis/scripts/lib/finish.lua";
const HEAD: &str = "backend-redis/scripts/lib/head.lua";
const SETTLE: &str = "backend-redis/scripts/lib/settle.lua";
const REPLACE: &str = "backend-redis/scripts/lib/replace.lua";
const STORE: &str = "backend-redis/scripts/lib/store.lua";
const ALERTS: &str = "backend-redis/scripts/alerts.lua";
const BATCH: &str = "backend-redis/scripts/batch.lua";
const AMEND: &str = "backend-redis/scripts/amend.lua";
const CANCEL: &str = "backend-redis/scripts/cancel.lua";
const ENQUEUE: &str = "backend-redis/scripts/lib/enqueue.lua";
const PAUSE_KIND: &str = "backend-redis/scripts/pause_kind.lua";
const EXTEND: &str = "backend-redis/scripts/extend.lua";
const PROMOTE: &str = "backend-redis/scripts/promote.lua";
const PRUNE_DEAD: &str = "backend-redis/scripts/prune_dead.lua";
const REAP: &str = "backend-redis/scripts/reap.lua";
const REPLAY: &str = "backend-redis/scripts/replay.lua";
const NOTES: &str = "backend-redis/scripts/lib/notes.lua";
const FIRE: &str = "backend-redis/scripts/fire.lua";
const PUT_SCHEDULES: &str = "backend-redis/scripts/put_schedules.lua";
const NOTE_OPERATION: &str = "backend-redis/scripts/note_operation.lua";
const FSCK_OPERATIONS: &str = "backend-redis/scripts/fsck_operations.lua";
const CHANGE_SCHEDULE: &str = "backend-redis/scripts/change_schedule.lua";
const SAVE: &str = "backend-redis/scripts/save.lua";

/// The text of a script with the defect of this process, if it has one there.
pub(crate) fn apply(lua: &str) -> String {
    job_core::faults::spoil(lua, all())
}

/// Every defect that a script can be given.
pub fn all() -> impl Iterator<Item = &'static TextBug> {
    BUGS.iter()
}

/// Shortens the table.
const fn bug(
    name: &'static str,
    breaks: &'static str,
    path: &'static str,
    changes: &'static [(&'static str, &'static str)],
) -> TextBug {
    TextBug { name, breaks, path, changes }
}

#[rustfmt::skip]
const BUGS: &[TextBug] = &[
    bug("lua_window_ignored", "an idempotency key is never free again", STORE,
        &[("'PX', it.windows[key])", "'PX', 10000000000)")]),
    bug("lua_request_forgotten", "a request answered by another job is stored once that job has ended", STORE,
        &[("if key and not same then", "if key and not same and not holder then")]),
    bug("lua_past_waits", "a job with a time in the past waits for maintenance", STORE,
        &[("if start.due and start.due <= it.now then start.due = nil end", "")]),
    bug("lua_enqueue_revives", "a repeated enqueue stores its jobs again", ENQUEUE,
        &[("if known then", "if false then")]),
    bug("lua_error_is_existing", "an enqueue that must not find its key taken is answered by the holder", ENQUEUE,
        &[("if it.refused then return { 2, unpack(it.refused) } end", "")]),
    bug("lua_debounced_for_ever", "a debounced run is put off without an end", REPLACE,
        &[("math.min(start.due or now, other.came + tonumber(max_wait))", "start.due")]),
    bug("lua_old_comes_back", "a job comes back although a newer one waits for its end", SETTLE,
        &[(" or (back and has_next(ARGV[at + 2]))", "")]),
    bug("lua_next_forgotten", "a job that waits for the end of another one waits for ever", FINISH,
        &[("if not job then return redis.call('HDEL', U, field) end", "do return redis.call('HDEL', U, field) end")]),
    bug("lua_claims_while_paused", "a paused queue gives jobs away", CLAIM,
        &[("  if paused then return nothing() end\n", "")]),
    bug("lua_claim_without_clock", "a claim does not tell what time it is", CLAIM,
        &[("  local answer, ids = nothing(), {}\n  answer[5] = now_ms()\n  local expires = whole(answer[5] +", "  local answer, ids = nothing(), {}\n  local expires = whole(now_ms() +")]),
    bug("lua_kind_pause_ignored", "a paused kind is claimed", CLAIM,
        &[("seen[lane_of_kind(kind)] = true", "local _ = kind")]),
    bug("lua_one_kind_paused", "a pause of one kind ends that of another", PAUSE_KIND,
        &[("if kind ~= ARGV[2] then", "if false then")]),
    bug("lua_claim_forgotten", "a repeated claim takes other jobs", CLAIM,
        &[("if again then return again end", "")]),
    bug("lua_suspects_in_company", "suspects share a lease with innocent jobs", CLAIM,
        &[("'-inf', '(' .. whole(SUSPECT), 'LIMIT', 0, limit)", "'-inf', '+inf', 'LIMIT', 0, limit)")]),
    bug("lua_solo_in_company", "a solo job runs beside suspects", CLAIM,
        &[("if suspects == 0 and solo == '1'", "if solo == '1'")]),
    bug("lua_job_given_twice", "a claimed job stays in its lane", CLAIM,
        &[("source.lane, 0, source.taken - 1)", "source.lane, 0, source.taken - 2)")]),
    bug("lua_kinds_not_merged", "the order of jobs is kept only within a kind", CLAIM,
        &[("#handles < limit and (not rival or score < rival) do", "#handles < limit do")]),
    bug("lua_any_job_of_the_lease", "a verdict is believed for a job that its lease does not hold", SETTLE,
        &[(" or string.sub(lease.handles, place * HANDLE + 1, place * HANDLE + 16) ~= id", "")]),
    bug("lua_repeat_is_stale", "a repeated verdict is refused", SETTLE,
        &[("    return 'R'\n", "    return 'S'\n")]),
    bug("lua_reaped_is_settled", "a verdict of a lease that was ended is said to be applied", SETTLE,
        &[("if fate == REAPED then return 'S' end", "if fate == REAPED then return 'R' end")]),
    bug("lua_lease_outlives_its_jobs", "a lease does not end with its last job", SETTLE,
        &[("if held <= 0 then", "if false then")]),
    bug("lua_asked_comes_back", "a job that was asked to stop runs again", SETTLE,
        &[("(fate == ASKED and back)", "false")]),
    bug("lua_attempt_not_counted", "a failed attempt does not count", SETTLE,
        &[("    charged = charged + 1\n", "")]),
    bug("lua_unlimited_runs_out", "unlimited attempts run out", SETTLE,
        &[("verdict.max ~= UNLIMITED and charged >= verdict.max", "charged >= verdict.max % UNLIMITED")]),
    bug("lua_returned_goes_last", "a released job goes behind those that came after it", SETTLE,
        &[("priority_of(handle) * PRIORITY + draw(1)", "priority_of(handle) * PRIORITY + FRESH + draw(1)")]),
    bug("lua_follow_ups_always", "follow-up jobs come without the verdict", SETTLE,
        &[("    if verdicts[tonumber(ARGV[at])].letter == 'A' then\n      handles", "    if true then\n      handles")]),
    bug("lua_error_of_another", "a failure is said to be that of another worker", SETTLE,
        &[("now, worker, verdict.error))", "now, id, verdict.error))")]),
    bug("lua_errors_lost", "what went wrong first is forgotten", SETTLE,
        &[("local list, at = {}, 1\n  while kept and", "local list, at = {}, 1\n  while false and")]),
    bug("lua_key_freed_by_anybody", "the end of a job frees a unique key that another job holds", FINISH,
        &[("redis.call('HGET', U, fields[i]) == id", "true")]),
    bug("lua_key_kept", "a unique key outlives its job", FINISH,
        &[("if fields[i] and", "if false and")]),
    bug("lua_extend_shortens", "an extension can shorten a lease", EXTEND,
        &[("'XX', 'GT',", "'XX',")]),
    bug("lua_extend_believes", "a lease that was ended is said to be held", EXTEND,
        &[("found[1] and redis.call('ZSCORE', X, lease)", "found[1]")]),
    bug("lua_cancel_not_told", "nobody hears that a job is to stop", EXTEND,
        &[("cancel[#cancel + 1] =", "local _ =")]),
    bug("lua_due_goes_first", "a scheduled job goes before those that were ready when it came due", PROMOTE,
        &[("PRIORITY + FRESH + seq", "PRIORITY + seq")]),
    bug("lua_neighbours_charged", "the neighbours of a crash are charged with it", REAP,
        &[("if class == 0 then return back(job.handle, charged, claims, crashes, 1) end", "")]),
    bug("lua_poison_never", "a job that kills its process runs for ever", REAP,
        &[("if crashes >= poison then", "if false then")]),
    bug("lua_reap_is_no_end", "the jobs of a lease that was ended can be settled under it", REAP,
        &[("'[hc]', 'r')", "'x', 'r')")]),
    bug("lua_cancelled_comes_back", "a job that was asked to stop comes back when its lease ends", REAP,
        &[("if job.cancel or not stored then", "if not stored then")]),
    bug("lua_dead_pruned_early", "jobs that have just died are removed", PRUNE_DEAD,
        &[("'(' .. whole(before)", "'+inf'")]),
    bug("lua_dead_pruned_by_half", "of a dead job that was removed everything but its place stays", PRUNE_DEAD,
        &[("finish(gone)\n", "")]),
    bug("lua_replay_takes_key", "a replay ignores who holds the unique key", REPLAY,
        &[(" and not (key and redis.call('HEXISTS', U, key) == 1)", "")]),
    bug("lua_replay_keeps_attempts", "a replayed job does not start again", REPLAY,
        &[("local _, claims", "local charged, claims"), ("meta(0, claims, 0)", "meta(charged, claims, 0)")]),
    bug("lua_amends_live_jobs", "a job that is not dead is changed", AMEND,
        &[("if not job or not redis.call('ZSCORE', D, handle_of(id, job)) then", "if not job then")]),
    bug("lua_amend_cuts_record", "new arguments of a dead job take the rest of it along", AMEND,
        &[("before .. payload)", "payload)")]),
    bug("lua_cancelled_still_queued", "a cancelled job keeps its place in the queue", CANCEL,
        &[("redis.call('ZREM', lane, handle)\n", "")]),
    bug("lua_notes_outlive_job", "notes stay when their job is gone", FINISH,
        &[("    many('HDEL', N, ids)\n", "")]),
    bug("lua_note_of_any_lease", "a lease that has ended writes notes", SAVE,
        &[("if fate ~= 'h' and fate ~= 'c' then return 0 end\n", "")]),
    bug("lua_note_forgets_others", "a note takes the place of all others", NOTES,
        &[("redis.call('HGET', N, id) or '', now_ms()", "'', now_ms()")]),
    bug("lua_end_not_told", "the end of a member does not count in its batch", FINISH,
        &[("  tell_batches(ids, 'e')\n", "")]),
    bug("lua_death_not_told", "nobody hears that a member has died", FINISH,
        &[("  tell_batches({ id_of(handle) }, 'd')\n", "")]),
    bug("lua_word_counts_again", "a member that dies twice counts twice", BATCH,
        &[("if redis.call('HEXISTS', Q, field) == 0 then", "if true then")]),
    bug("lua_stand_in_forgotten", "a batch waits for a job that was not stored because another one stands for it", STORE,
        &[("if batch ~= '' then it.told[ids[i] .. 'e'] = BATCH .. batch end", "")]),
    bug("lua_wait_not_told", "who dies after it stored a job that waits for a batch leaves it waiting", STORE,
        &[("if string.sub(when, 1, 1) == 'w' then it.told", "if false then it.told")]),
    bug("lua_batch_is_due", "a job that waits for a batch is said to be due some day", PROMOTE,
        &[("if first[2] and tonumber(first[2]) < LAST_DAY then", "if first[2] then")]),
    bug("lua_kept_keeps_key", "a completed job that is kept holds its unique key", SETTLE,
        &[("  free_keys({ id })\n", "")]),
    bug("lua_kept_for_ever", "a kept job stays for ever", PROMOTE,
        &[("if #over > 0 then", "if false then")]),
    bug("lua_alerts_end_together", "a report of alerts forgets those of other workers", ALERTS,
        &[("  if ends and tonumber(ends) > now then", "  if ends and tonumber(ends) > now and #ARGV == 0 then")]),
    bug("lua_slot_kept_by_verdict", "a verdict does not free the slot of its job", SLOTS,
        &[("slot.count, slot.changed = math.max(0, slot.count - count), true", "slot.count = slot.count - count")]),
    bug("lua_slot_kept_by_reap", "the slots of a lease that was ended stay until their time is over", REAP,
        &[("told[#told + 1] = { slot.name, lease.id .. Slots.shard, 0 }", "told[#told + 1] = { slot.name, lease.id .. Slots.shard, slot.count }")]),
    bug("lua_slot_not_taken", "jobs are not counted under their limits", BUDGETS,
        &[("if limit.home then Limits.take(limit.home, lease .. Slots.shard, count, ends) end", "")]),
    bug("lua_suspects_under_no_limit", "a suspect takes no slot", CLAIM,
        &[("      spend(lane, 1)\n", ""), ("      if left_of(lane) > 0 then open[#open + 1] = lane end", "      open[#open + 1] = lane")]),
    bug("lua_limits_of_one_lane", "kinds under one limit do not share it", CLAIM,
        &[("      if best.limited then\n        spend(best.lane, 1)", "      if false then\n        spend(best.lane, 1)")]),
    bug("lua_declared_before_set", "what code declares counts more than what an operator has set", LIMITS,
        &[("found[1] or found[2]", "found[2] or found[1]")]),
    bug("lua_closed_ignored", "a closed limit lets jobs through", LIMITS,
        &[("if home.closed > now then return 0, home.closed - now end", "")]),
    bug("lua_adapt_each_failure", "one time of trouble lowers a limit once for each failure", LIMIT,
        &[("elseif home.lowered < now - claimed or home.lowered > now then", "else")]),
    bug("lua_adapt_ignored", "claims go by the concurrency of the rule, whatever it has adapted to", LIMITS,
        &[("tonumber(found[6] or home.most)", "home.most")]),
    bug("lua_close_shortens", "closing a limit for a moment opens it again soon", LIMIT,
        &[("math.max(home.closed, now + tonumber(ARGV[2]))", "now + tonumber(ARGV[2])")]),
    bug("lua_burst_ignored", "a bucket never holds more than one token", BUCKET,
        &[("return math.max(0, burst - math.ceil", "return math.max(0, 1 - math.ceil")]),
    bug("lua_tokens_without_end", "a rate lets everything through", LIMITS,
        &[("left = math.min(left, tokens(home.full, home.interval, home.burst, home.now))", "")]),
    bug("lua_tokens_not_saved_up", "tokens that nobody used are saved up without an end", BUCKET,
        &[("return math.max(full, now) + count * interval", "return full + count * interval"), ("math.max(0, full - now) / interval", "(full - now) / interval")]),
    bug("lua_limit_does_not_say_when", "who is kept back by a limit is not told when to ask again", CLAIM,
        &[("answer[7] = Budgets.wait_for(lanes) or -1", "answer[7] = -1")]),
    bug("lua_holder_not_extended", "the slots of a lease end although it was extended", LIMIT,
        &[("    redis.call('ZADD', X, 'XX', 'GT', ends, ARGV[i])\n", "")]),
    bug("lua_line_unlimited", "a line gives more than it may", LINES,
        &[("    if count <= 0 then return 0, HELD end\n", "    count = line.waiting\n")]),
    bug("lua_line_never_freed", "the end of a job lets no other out of its line", LINES,
        &[("        if letter == 'o' then line.out = line.out - 1 end\n        if line.head == ids[i]", "        if line.head == ids[i]")]),
    bug("lua_retry_holds_line", "a job that waits for its next attempt counts as out of its line", LINES,
        &[("    line.out = line.out - 1\n    set_letter(id, 'n', name)", "  set_letter(id, 'n', name)")]),
    bug("lua_order_forgets_retries", "an ordered line goes on while its job waits for its next attempt", LINES,
        &[("if line.back == 0 and (line.head ~= '' or line.out > 0)", "if line.back == 0 and line.out > 0")]),
    bug("lua_head_goes_last", "the job that an ordered line stands still for goes behind others when it comes back", LINES,
        &[("if line.head == id then line.back, place = 1, 0 end", "if line.head == id then line.back, line.head = 1, '' end")]),
    bug("lua_gone_holds_line", "a job that is gone holds its ordered line", LINES,
        &[("      if line.head == ids[i] then line.head, line.back = '', 0 end\n", "")]),
    bug("lua_line_not_rotated", "a line keeps its turn", SERVE,
        &[("line.given, line.at, it.line = 0, Lines.next_turn(), nil", "line.given = 0")]),
    bug("lua_turn_kept_at_limit", "a line whose turn ends where its limit does keeps it", SERVE,
        &[("elseif line.given >= line.weight then", "elseif line.given >= line.weight and left_of(kind.lane) > 0 then"),
          ("      if left_of(kind.lane) > 0 then\n        -- Those", "      if left_of(kind.lane) <= 0 then it.next_again = i + 1 end\n      if left_of(kind.lane) > 0 then\n        -- Those")]),
    bug("lua_weight_ignored", "every line gives one job in its turn", SERVE,
        &[("elseif line.given >= line.weight then", "elseif line.given >= 1 then")]),
    bug("lua_turn_forgotten", "a turn that a claim cuts short begins again in the next one", LINES,
        &[("    at = line.at\n", "    at, line.given = line.at, 0\n")]),
    bug("lua_lines_take_all", "jobs in lines leave nothing for jobs without one", SERVE,
        &[("local served = serve(it, half(limit))", "local served = serve(it, limit)")]),
    bug("lua_lines_get_nothing", "a claim of one job is never given to a line", SERVE,
        &[("tonumber(redis.call('HGET', Q, 'odd') or 0) % 2", "0")]),
    bug("lua_limits_spare_lines", "limits do not bind jobs in lines", SERVE,
        &[("  spend(lane, given)\n", ""), ("math.min(left, left_of(kind.lane), ", "math.min(left, ")]),
    bug("lua_released_out_of_line", "a released job waits among those without a line", SETTLE,
        &[("make_ready(lanes[kind_of(handle)], handle, priority_of(handle) * PRIORITY + draw(1))", "redis.call('ZADD', lanes[kind_of(handle)], whole(priority_of(handle) * PRIORITY + draw(1)), handle)")]),
    bug("lua_due_out_of_line", "a job that comes due waits among those without a line", PROMOTE,
        &[("make_ready(KEYS[HEAD + kind_of(job.handle)], job.handle, priority_of(job.handle) * PRIORITY + FRESH + seq + i - 1)",
           "redis.call('ZADD', KEYS[HEAD + kind_of(job.handle)], whole(priority_of(job.handle) * PRIORITY + FRESH + seq + i - 1), job.handle)")]),
    bug("lua_cancelled_in_line", "a cancelled job keeps its place in its line", CANCEL,
        &[("if score >= LINE then Lines.leave(handle, score) end\n", "")]),
    bug("lua_sleeping_line_lost", "a line that waits for a token never has a turn again", SERVE,
        &[("    for _, entry in ipairs(due) do Lines.touch(Lines.at(Lines.name_in(entry))) end\n    if look", "    if look")]),
    bug("lua_rule_change_unheard", "lines that stood still under what was declared before go on standing", SERVE,
        &[("      for _, entry in ipairs(some) do Lines.touch(Lines.at(Lines.name_in(entry))) end\n", "")]),
    bug("lua_fires_twice", "a tick fires whatever has become of the watermark since", FIRE,
        &[("if it.watermark ~= tonumber(ARGV[3]) or to", "if to")]),
    bug("lua_fires_early", "a tick fires before its time", FIRE,
        &[("  if to > now_ms() then return { 4 } end\n", "")]),
    bug("lua_fires_while_paused", "a paused schedule fires", FIRE,
        &[("tonumber(ARGV[2]) or it.paused then", "tonumber(ARGV[2]) then")]),
    bug("lua_watermark_stays", "a tick is fired and not noted", FIRE,
        &[("  it.watermark = to\n", "")]),
    bug("lua_definition_made_up_for", "ticks from before a change fire", PUT_SCHEDULES,
        &[("watermark = now,", "watermark = it and it.watermark or now,")]),
    bug("lua_pause_made_up_for", "ticks of a pause fire when it ends", CHANGE_SCHEDULE,
        &[("if change == 'resume' and it.paused then", "if false then")]),
    bug("lua_types_not_looked_at", "a key of another type is found after the first write", HEAD,
        &[("if type ~= 'none' and", "if false and")]),
    bug("lua_operation_begins_again", "an operation begins anew whenever it is noted", NOTE_OPERATION, &[("'NX', whole", "whole")]),
    bug("lua_late_operation_note", "a note of an operation that comes late replaces a newer one", NOTE_OPERATION,
        &[("if stored and", "if false and")]),
    bug("lua_operation_note_again", "a note of an operation with the number of the last one replaces it", NOTE_OPERATION,
        &[("tonumber(stored) >= ", "tonumber(stored) > ")]),
    bug("lua_old_operations_stay", "old rows of operations stay", NOTE_OPERATION,
        &[("forget(redis.call('ZRANGEBYSCORE', began, '-inf', '(' .. whole(now - tonumber(ARGV[3]))))\n", "")]),
    bug("lua_all_operations_stay", "any number of rows of operations is kept", NOTE_OPERATION,
        &[("forget(redis.call('ZRANGE', began, 0, -1001))\n", "")]),
    bug("lua_operations_go_at_any_note", "every note of an operation removes old rows", NOTE_OPERATION,
        &[("== 0 then return 1 end", "== 2 then return 1 end")]),
    bug("lua_full_server_discards_nothing", "a full server takes no word of a discard, and so nothing is discarded", NOTE_OPERATION,
        &[("write_even_if_full()\nredis.call('HSET', rows", "redis.call('HSET', rows")]),
    bug("lua_operation_texts_stay", "the text of a row of an operation stays when the row goes", NOTE_OPERATION,
        &[("  many('HDEL', rows, ids)\n", "")]),
    bug("lua_operation_half_there", "a row about an operation that no list shows is not mended", FSCK_OPERATIONS,
        &[("redis.call('ZADD', began, noted, ARGV[i])", "local _ = noted")]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The table cannot rot: a script that changes takes its defects along.
    #[test]
    fn every_text_occurs_once() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let mut names = HashSet::new();
        for bug in all() {
            assert!(names.insert(bug.name) && bug.name.starts_with("lua_"), "{}", bug.name);
            let text = std::fs::read_to_string(root.join(bug.path)).expect("the file is there");
            for (from, to) in bug.changes {
                assert_ne!(from, to, "{}", bug.name);
                assert_eq!(text.matches(from).count(), 1, "{}: {from:?}", bug.name);
            }
        }
    }
}
