create function {schema}.lock_class() returns int language sql immutable as $$ select hashtext('{schema}.claim') $$;

-- Removes a lease none of whose rows is left. Never waits: a lease row that somebody works on goes when it expires.
create function {schema}.end_lease(p_queue int, p_top bigint, p_lease uuid, p_lanes int[], p_seqs bigint[], p_sure boolean)
returns void language plpgsql as $$
declare mine tid;
begin
  if not p_sure then
    -- Jobs end about in the order in which they were claimed, so the last is looked for first.
    if exists (select from {schema}.ready r where r.lane = any(p_lanes) and r.seq = p_top) then return; end if;
    if exists (
      select from {schema}.ready r where r.lane = any(p_lanes) and r.seq between p_seqs[1] and p_top and r.seq = any(p_seqs)
    ) then return; end if;
  end if;
  select l.ctid into mine from {schema}.lease l
    where l.queue_id = p_queue and l.top = p_top and l.id = p_lease for update skip locked;
  if found then
    delete from {schema}.lease l where l.ctid = mine;
  end if;
end $$;

-- A job waits or runs no more; it may be in the dead-letter queue.
create function {schema}.let_go(p_id uuid, p_scope bytea, p_key bytea) returns void language plpgsql as $$
begin
  if p_key is not null then
    perform {schema}.release_key(p_scope, p_key, p_id);
  end if;
  delete from {schema}.cancel_request c where c.job = p_id;
end $$;

-- A job is gone.
create function {schema}.finish(p_id uuid, p_scope bytea, p_key bytea, p_headers jsonb) returns void language plpgsql as $$
begin
  perform {schema}.let_go(p_id, p_scope, p_key);
  delete from {schema}.note n where n.job = p_id;
  perform {schema}.arrive(p_id, p_headers, false);
end $$;

-- A job has completed and stays to be looked at, with what it returned.
create function {schema}.keep(r {schema}.ready, p_for bigint, p_result text) returns void language plpgsql as $$
begin
  insert into {schema}.completed (lane, queue_id, keep_until, id, attempt, max_attempts, claims, version, enqueued_at,
      payload, headers, errors)
    select b.id, b.queue_id, clock_timestamp() + p_for * interval '1 microsecond', r.id, r.attempt + 1, r.max_attempts,
      r.claims, r.version, r.enqueued_at, r.payload, r.headers, r.errors
    from {schema}.lane b where b.id = {schema}.stage_lane(r.lane, 0::smallint)
    on conflict do nothing;
  perform {schema}.let_go(r.id, r.unique_scope, r.unique_key);
  perform {schema}.write_notes(r.id, '{result}', array[convert_to(p_result, 'UTF8')]);
  perform {schema}.arrive(r.id, r.headers, false);
end $$;

create function {schema}.push_error(p_errors jsonb, p_attempt int, p_worker uuid, p_error text) returns jsonb
language plpgsql as $$
declare errors jsonb := coalesce(p_errors, '[]') || jsonb_build_array(jsonb_build_object(
  'attempt', p_attempt, 'worker', p_worker, 'at', floor(extract(epoch from clock_timestamp()) * 1000000)::bigint, 'error', p_error));
begin
  -- The first 2 and the last 8.
  while jsonb_array_length(errors) > 10 loop
    errors := errors - 2;
  end loop;
  return errors;
end $$;

create function {schema}.bury(r {schema}.ready, p_reason text) returns void language plpgsql as $$
begin
  insert into {schema}.dead (lane, queue_id, reason, id, attempt, max_attempts, claims, crashes, version, enqueued_at,
      payload, headers, errors, idem_scope, idem_key, unique_scope, unique_key)
    select b.id, b.queue_id, p_reason, r.id, r.attempt, r.max_attempts, r.claims, r.crashes, r.version, r.enqueued_at,
      r.payload, r.headers, r.errors, r.idem_scope, r.idem_key, r.unique_scope, r.unique_key
    from {schema}.lane b where b.id = {schema}.stage_lane(r.lane, 0::smallint);
  perform {schema}.let_go(r.id, r.unique_scope, r.unique_key);
  perform {schema}.arrive(r.id, r.headers, true);
end $$;

create function {schema}.put_later(r {schema}.ready, p_state smallint, p_after bigint) returns void
language plpgsql as $$
begin
  insert into {schema}.later (lane, queue_id, state, run_at, id, attempt, max_attempts, claims, crashes, version,
      enqueued_at, payload, headers, errors, idem_scope, idem_key, unique_scope, unique_key)
    select b.id, b.queue_id, p_state, clock_timestamp() + p_after * interval '1 microsecond', r.id, r.attempt,
      r.max_attempts, r.claims, r.crashes, r.version, r.enqueued_at, r.payload, r.headers, r.errors, r.idem_scope,
      r.idem_key, r.unique_scope, r.unique_key
    from {schema}.lane b where b.id = {schema}.stage_lane(r.lane, 0::smallint);
end $$;

-- A row that comes back draws a new seq, for its old one may lie below a mark.
create function {schema}.put_ready(r {schema}.ready, p_stage smallint) returns void language plpgsql as $$
begin
  insert into {schema}.ready (lane, id, attempt, max_attempts, claims, crashes, version, enqueued_at, payload, headers,
      errors, idem_scope, idem_key, unique_scope, unique_key)
    values ({schema}.stage_lane(r.lane, p_stage), r.id, r.attempt, r.max_attempts, r.claims, r.crashes, r.version,
      r.enqueued_at, r.payload, r.headers, r.errors, r.idem_scope, r.idem_key, r.unique_scope, r.unique_key);
end $$;

-- What becomes of a row that was taken out of the ready log: 1 retry, 2 snooze, 3 release, 4 dead, 5 keep.
create function {schema}.apply_verdict(r {schema}.ready, p_verdict smallint, p_after bigint, p_error text, p_reason text,
  p_worker uuid)
returns void language plpgsql as $$
begin
  r.claims := r.claims + 1;
  if p_verdict in (1, 4) then
    r.attempt := r.attempt + 1;
    r.errors := {schema}.push_error(r.errors, r.attempt, p_worker, p_error);
  end if;
  if p_verdict = 4 then
    perform {schema}.bury(r, p_reason);
    return;
  elsif p_verdict = 5 then
    perform {schema}.keep(r, p_after, p_error);
    return;
  end if;
  if exists (select from {schema}.cancel_request c where c.job = r.id) then
    perform {schema}.finish(r.id, r.unique_scope, r.unique_key, r.headers);
    return;
  end if;
  -- A newer job that waits for its end goes on in its stead.
  if r.unique_key is not null and {schema}.has_next(r.id, r.unique_scope, r.unique_key) then
    perform {schema}.finish(r.id, r.unique_scope, r.unique_key, r.headers);
    return;
  end if;
  if p_verdict = 1 and r.max_attempts < 2147483647 and r.attempt >= r.max_attempts then
    perform {schema}.bury(r, 'exhausted');
    return;
  end if;
  r.crashes := 0;
  if p_verdict = 3 then
    perform {schema}.put_ready(r, 1::smallint);
  else
    perform {schema}.put_later(r, p_verdict % 2::smallint, p_after);
  end if;
end $$;

-- Completes jobs of one lease. Returns the seqs that were there and are gone now.
create function {schema}.complete(p_queue int, p_top bigint, p_lease uuid, p_seqs bigint[]) returns bigint[]
language plpgsql as $$
declare held record; wanted bigint[]; gone bigint[]; ids uuid[]; keyed boolean; scopes bytea[]; keys bytea[]; owners uuid[];
  batches uuid[]; batched uuid[];
begin
  select l.lanes, l.seqs into held from {schema}.lease l
    where l.queue_id = p_queue and l.top = p_top and l.id = p_lease;
  if not found then return '{}'; end if;
  if held.seqs = p_seqs then
    wanted := p_seqs;
  else
    select array_agg(s order by s) into wanted
      from (select unnest(p_seqs) intersect select unnest(held.seqs)) x(s);
    if wanted is null then return '{}'; end if;
  end if;
  with gone as (
    delete from {schema}.ready r where r.lane = any(held.lanes)
      and r.seq between wanted[1] and wanted[cardinality(wanted)] and r.seq = any(wanted)
    returning r.seq, r.id, r.unique_scope, r.unique_key,
      case when r.headers is not null then {schema}.batch_of(r.headers) end as batch
  )
  select coalesce(array_agg(g.seq), '{}'), array_agg(g.id), count(g.unique_key) > 0,
      array_agg(g.unique_scope) filter (where g.unique_key is not null),
      array_agg(g.unique_key) filter (where g.unique_key is not null),
      array_agg(g.id) filter (where g.unique_key is not null),
      array_agg(g.batch) filter (where g.batch is not null), array_agg(g.id) filter (where g.batch is not null)
    into gone, ids, keyed, scopes, keys, owners, batches, batched from gone g;
  if keyed then
    perform {schema}.release_key(u.scope, u.key, u.id)
      from (select * from unnest(scopes, keys, owners) z(scope, key, id) order by 1, 2) u;
  end if;
  if exists (select from {schema}.cancel_request) then
    delete from {schema}.cancel_request c where c.job = any(ids);
  end if;
  if exists (select from {schema}.note) then
    delete from {schema}.note n where n.job = any(ids);
  end if;
  if batches is not null then
    insert into {schema}.arrival (batch, job, died) select b, j, false from unnest(batches, batched) x(b, j);
  end if;
  if cardinality(gone) > 0 then
    insert into {schema}.settled (lease, seqs) values (p_lease, gone);
    perform {schema}.end_lease(p_queue, p_top, p_lease, held.lanes, held.seqs, cardinality(gone) = cardinality(held.seqs));
  end if;
  return gone;
end $$;

-- One other verdict. True if it was applied.
create function {schema}.settle_one(p_queue int, p_lane int, p_seq bigint, p_top bigint, p_lease uuid, p_verdict smallint,
  p_after bigint, p_error text, p_reason text) returns boolean
language plpgsql as $$
declare held record; r {schema}.ready;
begin
  select l.lanes, l.seqs, l.worker into held from {schema}.lease l
    where l.queue_id = p_queue and l.top = p_top and l.id = p_lease;
  if not found or p_seq <> all(held.seqs) then return false; end if;
  delete from {schema}.ready x where x.lane = p_lane and x.seq = p_seq returning * into r;
  if not found then
    -- It was settled in a transaction of the application, which leaves the lease to whoever comes next.
    perform {schema}.end_lease(p_queue, p_top, p_lease, held.lanes, held.seqs, false);
    return false;
  end if;
  perform {schema}.apply_verdict(r, p_verdict, p_after, p_error, p_reason, held.worker);
  insert into {schema}.settled (lease, seqs) values (p_lease, array[p_seq]);
  perform {schema}.end_lease(p_queue, p_top, p_lease, held.lanes, held.seqs, false);
  return true;
end $$;

-- The answers of a batch in which something was not applied: 0 applied, 1 already applied, 2 stale.
create function {schema}.settle_answers(p_seqs bigint[], p_leases uuid[], p_gone bigint[]) returns smallint[]
language sql as $$
  select array_agg(case
      when not exists (select from {schema}.settled d where d.lease = x.lease and x.seq = any(d.seqs)) then 2
      when g.seq is not null and x.turn = 1 then 0
      else 1 end::smallint order by x.n)
  from (select lease, seq, n, row_number() over (partition by lease, seq order by n) turn
    from unnest(p_leases, p_seqs) with ordinality u(lease, seq, n)) x
  left join (select distinct s from unnest(p_gone) s) g(seq) on g.seq = x.seq
$$;

-- Applies a batch of verdicts. Null `p_verdicts` means that all are complete.
create function {schema}.settle(p_queue int, p_lanes int[], p_seqs bigint[], p_tops bigint[], p_leases uuid[],
  p_verdicts smallint[], p_afters bigint[], p_errors text[], p_reasons text[]) returns smallint[]
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
  set plan_cache_mode = force_generic_plan as $$
declare g record; gone bigint[] := '{}';
begin
  -- A plan that knows how many there are is worth its planning if they are many, and costs more than a few of them.
  if cardinality(p_seqs) > 100 then perform set_config('plan_cache_mode', 'auto', true); end if;
  if p_queue is null then return array_fill(2::smallint, array[cardinality(p_seqs)]); end if;
  if p_verdicts is null then
    for g in
      select top, lease, array_agg(distinct seq order by seq) as seqs
        from unnest(p_tops, p_leases, p_seqs) u(top, lease, seq) group by top, lease order by top, lease
    loop
      gone := gone || {schema}.complete(p_queue, g.top, g.lease, g.seqs);
    end loop;
  else
    for g in
      -- The first verdict for a job counts.
      with firsts as (
        select distinct on (lease, seq) *
          from unnest(p_tops, p_leases, p_lanes, p_seqs, p_verdicts, p_afters, p_errors, p_reasons)
            with ordinality u(top, lease, lane, seq, verdict, after, error, reason, n)
          order by lease, seq, n
      )
      select top, lease, null as lane, array_agg(seq order by seq) as seqs, 0 as n, 0::smallint as verdict,
          null as after, null as error, null as reason
        from firsts where verdict = 0 group by top, lease
      union all
      select top, lease, lane, array[seq], n, verdict, after, error, reason from firsts where verdict > 0
      order by 1, 2, 5
    loop
      if g.verdict = 0 then
        gone := gone || {schema}.complete(p_queue, g.top, g.lease, g.seqs);
      elsif {schema}.settle_one(p_queue, g.lane, g.seqs[1], g.top, g.lease, g.verdict, g.after, g.error, g.reason) then
        gone := gone || g.seqs;
      end if;
    end loop;
  end if;
  if cardinality(gone) = cardinality(p_seqs) then
    return array_fill(0::smallint, array[cardinality(p_seqs)]);
  end if;
  return {schema}.settle_answers(p_seqs, p_leases, gone);
end $$;
