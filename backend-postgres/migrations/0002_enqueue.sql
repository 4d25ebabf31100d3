-- The number of a queue, which is made if there is none.
create function {schema}.queue_of(p_queue text) returns int language plpgsql as $$
declare q int;
begin
  select k.id into q from {schema}.queue k where k.name = p_queue;
  if q is null then
    insert into {schema}.queue (name) values (p_queue) on conflict do nothing;
    select k.id into strict q from {schema}.queue k where k.name = p_queue;
  end if;
  return q;
end $$;

create function {schema}.register(p_queue text, p_kinds text[], p_priorities smallint[])
returns table (queue_id int, lane int, kind text, priority smallint, stage smallint)
language plpgsql as $$
#variable_conflict use_column
declare q int := {schema}.queue_of(p_queue);
begin
  if exists (
    select from unnest(p_kinds, p_priorities) w(kind, priority)
    where not exists (select from {schema}.lane l
      where l.queue_id = q and l.kind = w.kind and l.priority = w.priority and l.stage = 0)
  ) then
    insert into {schema}.lane (queue_id, kind, priority)
    select q, w.kind, w.priority from unnest(p_kinds, p_priorities) w(kind, priority)
    group by w.kind, w.priority order by w.kind, w.priority
    on conflict do nothing;
  end if;
  return query select q, l.id, l.kind, l.priority, l.stage from {schema}.lane l where l.queue_id = q
    union all select q, null, null, null, null;
end $$;

create function {schema}.stage_lane(p_lane int, p_stage smallint) returns int
language plpgsql as $$
declare found_lane int;
begin
  select s.id into found_lane from {schema}.lane l
    join {schema}.lane s on (s.queue_id, s.kind, s.priority, s.stage) = (l.queue_id, l.kind, l.priority, p_stage)
    where l.id = p_lane;
  if found_lane is null then
    insert into {schema}.lane (queue_id, kind, priority, stage)
      select l.queue_id, l.kind, l.priority, p_stage from {schema}.lane l where l.id = p_lane
      on conflict do nothing returning id into found_lane;
    if found_lane is null then
      select s.id into strict found_lane from {schema}.lane l
        join {schema}.lane s on (s.queue_id, s.kind, s.priority, s.stage) = (l.queue_id, l.kind, l.priority, p_stage)
        where l.id = p_lane;
    end if;
  end if;
  return found_lane;
end $$;

-- Takes one key. Returns the job that holds it: p_job itself if it does now.
create function {schema}.take_key(p_space smallint, p_scope bytea, p_key bytea, p_job uuid, p_window bigint)
returns uuid language plpgsql as $$
declare holder uuid; until timestamptz := clock_timestamp() + p_window * interval '1 microsecond';
begin
  loop
    insert into {schema}.key values (p_space, p_scope, p_key, p_job, until) on conflict do nothing;
    if found then return p_job; end if;
    select k.job into holder from {schema}.key k
      where k.space = p_space and k.scope = p_scope and k.key = p_key
        and (k.expires_at is null or k.expires_at > clock_timestamp());
    if found then return holder; end if;
    -- Expired, or released between the two statements. Nobody waits for a live key's row, so only here it is locked.
    update {schema}.key k set job = p_job, expires_at = until
      where k.space = p_space and k.scope = p_scope and k.key = p_key and k.expires_at <= clock_timestamp();
    if found then return p_job; end if;
  end loop;
end $$;

-- The holders of keys for a batch: null where the job is to be stored. Keys are taken in sorted order, so two batches
-- cannot wait for each other in a circle.
create function {schema}.take_keys(p_ids uuid[], p_iscopes bytea[], p_ikeys bytea[], p_iwindows bigint[],
  p_uscopes bytea[], p_ukeys bytea[]) returns uuid[]
language plpgsql as $$
declare answers uuid[] := array_fill(null::uuid, array[cardinality(p_ids)]); k record; holder uuid;
begin
  for k in select n, s, t, w from unnest(p_iscopes, p_ikeys, p_iwindows) with ordinality x(s, t, w, n)
    where s is not null order by s, t, n
  loop
    holder := {schema}.take_key(0::smallint, k.s, k.t, p_ids[k.n], k.w);
    if holder <> p_ids[k.n] then answers[k.n] := holder; end if;
  end loop;
  for k in select n, s, t from unnest(p_uscopes, p_ukeys) with ordinality x(s, t, n)
    where s is not null order by s, t, n
  loop
    continue when answers[k.n] is not null;
    holder := {schema}.take_key(1::smallint, k.s, k.t, p_ids[k.n], null);
    if holder <> p_ids[k.n] then
      -- The request is answered by the holder, and so is every repetition of its idempotency key.
      for i in 1 .. cardinality(answers) loop
        if i = k.n or answers[i] = p_ids[k.n] then answers[i] := holder; end if;
      end loop;
      if p_ikeys[k.n] is not null then
        update {schema}.key x set job = holder
          where x.space = 0 and x.scope = p_iscopes[k.n] and x.key = p_ikeys[k.n] and x.job = p_ids[k.n];
      end if;
    end if;
  end loop;
  return answers;
end $$;

-- When a job is due that came with a delay or a time, both in microseconds; null for now.
create function {schema}.due(p_now timestamptz, p_delay bigint, p_at bigint) returns timestamptz
language sql immutable as $$
  select case when p_delay > 0 then p_now + p_delay * interval '1 microsecond'
    when 'epoch'::timestamptz + p_at * interval '1 microsecond' > p_now then 'epoch'::timestamptz + p_at * interval '1 microsecond' end
$$;

-- Stores jobs. Null arrays mean that no job of the batch has such a thing. p_own: the transaction ends with this. Returns null if every
-- job was stored; else the holders of keys that were taken, and then the jobs that were replaced.
create function {schema}.enqueue(p_channel text, p_notify text[], p_request uuid, p_lanes int[], p_ids uuid[],
  p_payloads bytea[], p_max int[], p_versions bigint[], p_headers text[], p_delays bigint[], p_ats bigint[],
  p_iscopes bytea[], p_ikeys bytea[], p_iwindows bigint[], p_uscopes bytea[], p_ukeys bytea[], p_policies smallint[], p_max_waits bigint[],
  p_own boolean) returns uuid[]
language plpgsql set jit = off set enable_seqscan = off as $$
declare
  holders uuid[]; told uuid[]; turns int[]; places record; known record; now timestamptz; has_keys boolean := p_iscopes is not null or p_uscopes is not null;
begin
  -- First of all: it assigns the xid, and a repetition waits here for the outcome of the first call.
  insert into {schema}.enqueued (request, jobs) values (p_request, cardinality(p_ids)) on conflict do nothing;
  if not found then
    select e.jobs, e.answers into known from {schema}.enqueued e where e.request = p_request;
    if known.jobs is distinct from cardinality(p_ids) then
      raise exception 'job % was enqueued before in a batch of another size', p_request using errcode = '23505';
    end if;
    return known.answers;
  end if;
  perform pg_current_xact_id();
  -- After it has an xid: promotion relies on that for what is due later.
  now := clock_timestamp();
  if p_policies is not null then
    places := {schema}.take_places(now, p_lanes, p_ids, p_payloads, p_max, p_versions, p_headers, p_delays, p_ats, p_iscopes,
      p_ikeys, p_iwindows, p_uscopes, p_ukeys, p_policies, p_max_waits, p_own);
    holders := places.busy;
    p_delays := null;
    p_ats := places.dues;
    turns := places.turns;
    told := places.holders || places.replaced;
  elsif has_keys then
    holders := {schema}.take_keys(p_ids, p_iscopes, p_ikeys, p_iwindows, p_uscopes, p_ukeys);
    told := holders;
  end if;
  if told is not null and p_headers is not null then
    -- Whoever waits for a batch does not wait for jobs that others stand for.
    perform {schema}.arrive(x.id, x.h::jsonb, false)
      from unnest(p_ids, p_headers, told[1 : cardinality(p_ids)]) x(id, h, holder)
      where x.holder is not null and x.h is not null;
  end if;
  if exists (select from unnest(told) h where h is not null) then
    update {schema}.enqueued e set answers = told where e.request = p_request;
  else
    told := null;
  end if;
  if not has_keys and p_headers is null and p_delays is null and p_ats is null then
    insert into {schema}.ready (lane, id, payload, max_attempts, version)
      select * from unnest(p_lanes, p_ids, p_payloads, p_max, p_versions);
  else
    insert into {schema}.ready (lane, id, payload, max_attempts, version, headers, idem_scope, idem_key, unique_scope, unique_key)
      select lane, id, payload, m, v, h::jsonb, s, k, us, uk
      from unnest(p_lanes, p_ids, p_payloads, p_max, p_versions, p_headers, p_delays, p_ats, p_iscopes, p_ikeys, p_uscopes, p_ukeys, holders)
        with ordinality x(lane, id, payload, m, v, h, delay, at, s, k, us, uk, holder, n)
      where holder is null and {schema}.due(now, delay, at) is null
      order by coalesce(turns[n], n);
    insert into {schema}.later (lane, queue_id, state, run_at, enqueued_at, id, payload, max_attempts, version, headers, idem_scope, idem_key, unique_scope, unique_key)
      select x.lane, l.queue_id, 0, {schema}.due(now, delay, at), now, x.id, payload, m, v, h::jsonb, s, k, us, uk
      from unnest(p_lanes, p_ids, p_payloads, p_max, p_versions, p_headers, p_delays, p_ats, p_iscopes, p_ikeys, p_uscopes, p_ukeys, holders)
        with ordinality x(lane, id, payload, m, v, h, delay, at, s, k, us, uk, holder, n)
      join {schema}.lane l on l.id = x.lane
      where holder is null and {schema}.due(now, delay, at) is not null;
  end if;
  for i in 1 .. coalesce(cardinality(p_notify), 0) loop
    perform pg_notify(p_channel, p_notify[i]);
  end loop;
  return told;
end $$;
