create view {schema}.job as
  -- A claim writes no job, so the running attempt is counted where it is seen.
  select r.id, n.queue_id, n.kind, n.priority, case held when 1 then 'running' else 'ready' end as state,
    r.attempt + held as attempt, r.max_attempts, r.claims + held as claims, r.crashes, r.payload, r.headers, r.enqueued_at,
    null::timestamptz as run_at, null::timestamptz as completed_at, null::timestamptz as died_at, null::text as reason, r.errors
  from {schema}.ready r join {schema}.lane n on n.id = r.lane cross join lateral (
    select count(*)::int as held from (
      select from {schema}.lease l where l.queue_id = n.queue_id and l.top >= r.seq and r.seq = any(l.seqs) limit 1
    ) lease
  ) lease
  union all
  select l.id, l.queue_id, n.kind, n.priority, case l.state when 0 then 'scheduled' else 'retrying' end, l.attempt,
    l.max_attempts, l.claims, l.crashes, l.payload, l.headers, l.enqueued_at, l.run_at, null, null, null, l.errors
  from {schema}.later l join {schema}.lane n on n.id = l.lane
  union all
  select w.id, n.queue_id, n.kind, n.priority, 'ready', w.attempt, w.max_attempts, w.claims, w.crashes, w.payload, w.headers,
    w.enqueued_at, null, null, null, null, w.errors
  from {schema}.waiting w join {schema}.lane n on n.id = w.lane
  union all
  select d.id, d.queue_id, n.kind, n.priority, 'dead', d.attempt, d.max_attempts, d.claims, d.crashes, d.payload,
    d.headers, d.enqueued_at, null, null, d.died_at, d.reason, d.errors
  from {schema}.dead d join {schema}.lane n on n.id = d.lane
  union all
  select c.id, c.queue_id, n.kind, n.priority, 'completed', c.attempt, c.max_attempts, c.claims, 0, c.payload, c.headers,
    c.enqueued_at, null, c.completed_at, null, null, c.errors
  from {schema}.completed c join {schema}.lane n on n.id = c.lane where c.keep_until > clock_timestamp();

create function {schema}.replay(p_id uuid) returns boolean language plpgsql as $$
declare d {schema}.dead; r {schema}.ready;
begin
  delete from {schema}.dead x where x.id = p_id returning * into d;
  if not found then return false; end if;
  if d.unique_key is not null and {schema}.take_key(1::smallint, d.unique_scope, d.unique_key, d.id, null) <> d.id then
    insert into {schema}.dead select d.*;
    return false;
  end if;
  insert into {schema}.ready (lane, id, attempt, max_attempts, claims, crashes, version, enqueued_at, payload, headers,
      errors, idem_scope, idem_key, unique_scope, unique_key)
    values (d.lane, d.id, 0, d.max_attempts, d.claims, 0, d.version, d.enqueued_at, d.payload, d.headers, d.errors,
      d.idem_scope, d.idem_key, d.unique_scope, d.unique_key);
  return true;
end $$;

create function {schema}.replay_all(p_ids uuid[]) returns boolean[] language plpgsql as $$
declare answers boolean[] := '{}'; id uuid;
begin
  foreach id in array p_ids loop
    answers := answers || {schema}.replay(id);
  end loop;
  return answers;
end $$;

create function {schema}.discard_all(p_ids uuid[]) returns boolean[] language plpgsql as $$
declare answers boolean[] := '{}'; one uuid; d {schema}.dead;
begin
  foreach one in array p_ids loop
    delete from {schema}.dead x where x.id = one returning * into d;
    answers := answers || found;
    if found then
      delete from {schema}.note n where n.job = one;
      perform {schema}.arrive(one, d.headers, false);
    end if;
  end loop;
  return answers;
end $$;

-- 0 cancelled now, 1 asked, 2 not found.
create function {schema}.cancel(p_id uuid) returns int
language plpgsql set enable_seqscan = off as $$
declare q int; spot record; r {schema}.ready; d {schema}.later; w {schema}.waiting;
begin
  -- A job may move between the tables while it is looked for.
  for turn in 1 .. 3 loop
    delete from {schema}.later l where l.id = p_id returning * into d;
    if found then
      perform {schema}.finish(d.id, d.unique_scope, d.unique_key, d.headers);
      return 0;
    end if;
    delete from {schema}.waiting x where x.id = p_id returning * into w;
    if found then
      perform {schema}.finish(w.id, w.unique_scope, w.unique_key, w.headers);
      return 0;
    end if;
    select n.queue_id into q from {schema}.ready x join {schema}.lane n on n.id = x.lane where x.id = p_id;
    continue when not found;
    -- Only the holder of this lock may take a row that is not leased.
    perform pg_advisory_xact_lock({schema}.lock_class(), q);
    select x.lane, x.seq into spot from {schema}.ready x where x.id = p_id;
    continue when not found;
    if exists (select from {schema}.lease l where l.queue_id = q and l.top >= spot.seq and spot.seq = any(l.seqs)) then
      insert into {schema}.cancel_request (job, queue_id) values (p_id, q) on conflict do nothing;
      return 1;
    end if;
    delete from {schema}.ready x where x.lane = spot.lane and x.seq = spot.seq returning * into r;
    continue when not found;
    perform {schema}.finish(r.id, r.unique_scope, r.unique_key, r.headers);
    return 0;
  end loop;
  return 2;
end $$;

create function {schema}.set_paused(p_queue text, p_paused boolean) returns void language sql as $$
  insert into {schema}.queue (name, paused) values (p_queue, p_paused)
    on conflict (name) do update set paused = excluded.paused
$$;

create function {schema}.stats(p_queue text, out ready bigint, out running bigint, out scheduled bigint, out retrying bigint,
  out completed bigint, out dead bigint, out oldest_us bigint, out paused boolean, out paused_kinds text[])
language plpgsql as $$
declare q {schema}.queue;
begin
  ready := 0; running := 0; scheduled := 0; retrying := 0; completed := 0; dead := 0; paused := false;
  select * into q from {schema}.queue k where k.name = p_queue;
  if not found then return; end if;
  paused := q.paused;
  paused_kinds := q.paused_kinds;
  with held as (select unnest(l.seqs) as seq from {schema}.lease l where l.queue_id = q.id)
  select count(*) filter (where h.seq is null), count(h.seq),
      floor(extract(epoch from clock_timestamp() - min(r.enqueued_at) filter (where h.seq is null)) * 1000000)::bigint
    into ready, running, oldest_us
    from {schema}.lane n join {schema}.ready r on r.lane = n.id left join held h on h.seq = r.seq
    where n.queue_id = q.id;
  if q.lined then
    select ready + count(*),
        greatest(oldest_us, floor(extract(epoch from clock_timestamp() - min(w.enqueued_at)) * 1000000)::bigint)
      into ready, oldest_us
      from {schema}.lane n join {schema}.waiting w on w.lane = n.id where n.queue_id = q.id;
  end if;
  if oldest_us < 0 then oldest_us := 0; end if;
  select count(*) filter (where l.state = 0), count(*) filter (where l.state = 1) into scheduled, retrying
    from {schema}.later l where l.queue_id = q.id;
  select count(*) into completed from {schema}.completed c
    where c.queue_id = q.id and c.keep_until > clock_timestamp();
  select count(*) into dead from {schema}.dead d where d.queue_id = q.id;
end $$;
