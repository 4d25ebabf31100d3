-- What looks at jobs, or moves them, and has to know of lines.

create or replace view {schema}.job as
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

-- 0 cancelled now, 1 asked, 2 not found.
create or replace function {schema}.cancel(p_id uuid) returns int
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

create or replace function {schema}.stats(p_queue text, out ready bigint, out running bigint, out scheduled bigint, out retrying bigint,
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

-- As before, with those that wait in lines.
create or replace function {schema}.gauges(p_queue text, p_count int, out paused boolean, out paused_kinds text[], out dead bigint,
  out ready bigint, out given bigint, out kinds text[], out numbers bigint[], out ages_us bigint[])
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare q {schema}.queue; s {schema}.mark; held bigint[];
begin
  paused := false; dead := 0; ready := 0;
  select * into q from {schema}.queue k where k.name = p_queue;
  if not found then return; end if;
  paused := q.paused;
  paused_kinds := q.paused_kinds;
  -- Before the rows are looked at: what they show was given by then, or is looked at again the next time.
  select z.last_value into given from {schema}.seq z;
  select count(*) into dead from (select from {schema}.dead d where d.queue_id = q.id limit p_count) x;
  select * into s from {schema}.mark m where m.queue_id = q.id order by m.no desc limit 1;
  -- As many as there are running jobs.
  select coalesce(array_agg(u), '{}') into held from {schema}.lease l cross join unnest(l.seqs) u where l.queue_id = q.id;
  select count(*) into ready from (
    select from {schema}.lane n left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = n.id
      cross join lateral (
        select from {schema}.ready r where r.lane = n.id and r.seq > coalesce(m.low, 0)
          and r.seq not in (select unnest(held)) order by r.seq limit p_count
      ) x
    where n.queue_id = q.id limit p_count
  ) y;
  if q.lined and ready < p_count then
    select ready + count(*) into ready from (
      select from {schema}.lane n cross join lateral (
        select from {schema}.waiting w where w.lane = n.id order by w.place limit p_count) x
      where n.queue_id = q.id limit p_count - ready
    ) y;
  end if;
  select array_agg(z.kind order by z.kind), array_agg(z.seq order by z.kind), array_agg(z.age order by z.kind)
    into kinds, numbers, ages_us
    from (
      select distinct on (y.kind) y.kind, y.seq,
        greatest(floor(extract(epoch from clock_timestamp() - y.enqueued_at) * 1000000)::bigint, 0) as age
      from (
      select n.kind, x.seq, x.enqueued_at
      from {schema}.lane n left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = n.id
        cross join lateral (
          select r.seq, r.enqueued_at from {schema}.ready r where r.lane = n.id and r.seq > coalesce(m.low, 0)
            and r.seq not in (select unnest(held)) order by r.seq limit 1
        ) x
      where n.queue_id = q.id
      union all
      select n.kind, x.place, x.enqueued_at
      from {schema}.lane n cross join lateral (
        select w.place, w.enqueued_at from {schema}.waiting w where w.lane = n.id order by w.place limit 1) x
      where n.queue_id = q.id and q.lined
      ) y order by y.kind, y.seq
    ) z;
  -- A row that was committed since may have a later seq.
  given := greatest(given, (select max(u) from unnest(numbers) u));
end $$;

-- Makes due jobs ready. `next_due` is in microseconds from now. Those with a line are not seen to arrive, but have.
create or replace function {schema}.promote(p_queue text, p_limit int, out promoted bigint, out more boolean, out next_due bigint)
language plpgsql set jit = off set enable_seqscan = off as $$
declare q int; taken bigint;
begin
  select k.id into q from {schema}.queue k where k.name = p_queue;
  perform {schema}.unpark(q);
  with due as (
    select l.ctid, l.id from {schema}.later l where l.queue_id = q and l.run_at <= clock_timestamp()
      and l.parked is null
    order by l.run_at, l.id limit p_limit for update skip locked
  ), gone as (
    delete from {schema}.later l using due where l.ctid = due.ctid returning l.*
  ), cancelled as (
    select g.id, {schema}.finish(g.id, g.unique_scope, g.unique_key, g.headers) from gone g
    where exists (select from {schema}.cancel_request c where c.job = g.id)
  ), moved as (
    insert into {schema}.ready (lane, id, attempt, max_attempts, claims, crashes, version, enqueued_at, payload, headers,
        errors, idem_scope, idem_key, unique_scope, unique_key)
      select g.lane, g.id, g.attempt, g.max_attempts, g.claims, g.crashes, g.version, g.enqueued_at, g.payload, g.headers,
        g.errors, g.idem_scope, g.idem_key, g.unique_scope, g.unique_key
      from gone g where not exists (select from cancelled c where c.id = g.id) order by g.run_at, g.id
      returning 1
  )
  select (select count(*) from gone), (select count(*) from gone) - (select count(*) from cancelled)
    into taken, promoted;
  select floor(extract(epoch from min(l.run_at) - clock_timestamp()) * 1000000)::bigint into next_due
    from {schema}.later l where l.queue_id = q and l.parked is null and l.run_at < '9999-12-31 00:00Z';
  if next_due < 0 then next_due := 0; end if;
  more := coalesce(taken = p_limit and next_due = 0, false);
end $$;

-- Brings one row of a lease that was ended back: 0 it was cancelled, 1 returned, 2 poisoned, 3 exhausted.
create or replace function {schema}.bring_back(r {schema}.ready, p_stage smallint, p_poison int) returns int
language plpgsql as $$
begin
  r.claims := r.claims + 1;
  if exists (select from {schema}.cancel_request c where c.job = r.id) then
    perform {schema}.finish(r.id, r.unique_scope, r.unique_key, r.headers);
    return 0;
  end if;
  if p_stage in (2, 3) then r.crashes := r.crashes + 1; end if;
  if p_stage = 3 then
    r.attempt := r.attempt + 1;
    if r.crashes >= p_poison then
      perform {schema}.bury(r, 'poisoned');
      return 2;
    end if;
    if r.max_attempts < 2147483647 and r.attempt >= r.max_attempts then
      perform {schema}.bury(r, 'exhausted');
      return 3;
    end if;
  end if;
  perform {schema}.put_ready(r, case when p_stage in (2, 3) then 3 else 2 end::smallint);
  return 1;
end $$;

-- Looks for rows below a mark that no lease holds. There never should be one; each is made claimable again and counted.
create or replace function {schema}.audit(p_queue text) returns bigint
language plpgsql set jit = off set enable_seqscan = off as $$
declare q int; r {schema}.ready; repaired bigint := 0;
begin
  select k.id into q from {schema}.queue k where k.name = p_queue;
  -- Claims hold this lock; so nothing is leased between the look and the repair.
  if q is null or not pg_try_advisory_xact_lock({schema}.lock_class(), q) then return 0; end if;
  for r in
    with s as (
      select m.lanes, m.lows, (select min(c) from unnest(m.straggler_clears) c) as floor
      from {schema}.mark m where m.queue_id = q order by m.no desc limit 1
    ), lost as (
      select x.lane, x.seq from s cross join lateral unnest(s.lanes, s.lows) w(lane, low)
        cross join lateral (
          select k.lane, k.seq from {schema}.ready k where k.lane = w.lane and k.seq <= least(w.low, s.floor)
          order by k.seq limit 10000) x
      where x.seq not in (select unnest(l.seqs) from {schema}.lease l where l.queue_id = q) limit 1000
    )
    delete from {schema}.ready d using lost where d.lane = lost.lane and d.seq = lost.seq returning d.*
  loop
    perform {schema}.put_ready(r,
      (select case n.stage when 4 then 1 else n.stage end::smallint from {schema}.lane n where n.id = r.lane));
    repaired := repaired + 1;
  end loop;
  return repaired;
end $$;

-- The same as `replace_ready` for a job that waits in a line. It keeps its place there if the new one is of the same.
create function {schema}.replace_waiting(p_holder uuid, r {schema}.ready, p_policy smallint, p_due timestamptz, p_max_wait bigint)
returns int language plpgsql as $$
declare old {schema}.waiting; due timestamptz;
begin
  select * into old from {schema}.waiting x where x.id = p_holder for update;
  if not found then return 0; end if;
  due := {schema}.due_in_place(p_policy, p_due, null, old.enqueued_at, p_max_wait);
  if old.lane = r.lane and old.headers ->> 'steadfast-line' = r.headers ->> 'steadfast-line'
    and coalesce(due <= clock_timestamp(), true) then
    update {schema}.waiting x set id = r.id, attempt = 0, max_attempts = r.max_attempts, claims = 0, crashes = 0,
        version = r.version, payload = r.payload, headers = r.headers, errors = null, idem_scope = r.idem_scope,
        idem_key = r.idem_key
      where x.id = p_holder;
  else
    delete from {schema}.waiting x where x.id = p_holder;
    r.enqueued_at := old.enqueued_at;
    perform {schema}.begin_at(r, due, false);
  end if;
  perform {schema}.hand_over(1::smallint, p_holder, old.headers, r);
  return 1;
end $$;

create or replace function {schema}.replace_ready(p_holder uuid, r {schema}.ready, p_policy smallint, p_due timestamptz, p_max_wait bigint,
  p_lock boolean) returns int
language plpgsql as $$
declare spot record; old {schema}.ready; due timestamptz; w {schema}.waiting;
begin
  select * into w from {schema}.waiting x where x.id = p_holder;
  if found then
    if not {schema}.same_kind(w.lane, r.lane) then return 2; end if;
    if not p_lock then return 3; end if;
    return {schema}.replace_waiting(p_holder, r, p_policy, p_due, p_max_wait);
  end if;
  select x.lane, x.seq, n.queue_id into spot from {schema}.ready x join {schema}.lane n on n.id = x.lane where x.id = p_holder;
  if not found then return 0; end if;
  if not {schema}.same_kind(spot.lane, r.lane) or {schema}.is_leased(spot.queue_id, spot.seq) then return 2; end if;
  if not p_lock then return 3; end if;
  perform pg_advisory_xact_lock({schema}.lock_class(), spot.queue_id);
  select * into old from {schema}.ready x where x.lane = spot.lane and x.seq = spot.seq and x.id = p_holder;
  if not found then return 0; end if;
  if {schema}.is_leased(spot.queue_id, spot.seq) then return 2; end if;
  due := {schema}.due_in_place(p_policy, p_due, null, old.enqueued_at, p_max_wait);
  if old.lane = r.lane and r.headers ->> 'steadfast-line' is null and coalesce(due <= clock_timestamp(), true) then
    update {schema}.ready x set id = r.id, attempt = 0, max_attempts = r.max_attempts, claims = 0, crashes = 0,
        version = r.version, payload = r.payload, headers = r.headers, errors = null, idem_scope = r.idem_scope,
        idem_key = r.idem_key
      where x.lane = old.lane and x.seq = old.seq;
  else
    delete from {schema}.ready x where x.lane = old.lane and x.seq = old.seq;
    r.enqueued_at := old.enqueued_at;
    perform {schema}.begin_at(r, due, false);
  end if;
  perform {schema}.hand_over(1::smallint, p_holder, old.headers, r);
  return 1;
end $$;

-- Deletes what no longer matters of limits and lines, a bounded amount.
create function {schema}.prune_limits(p_queue text, p_limit int) returns void
language plpgsql set jit = off set enable_seqscan = off as $$
declare q {schema}.queue;
begin
  delete from {schema}.bucket b using {schema}.limiter l where b.limiter = l.id
    and b.no < (select x.no from {schema}.bucket x where x.limiter = l.id order by x.no desc limit 1);
  perform {schema}.forget_limits(array(select l.name from {schema}.limiter l));
  delete from {schema}.bucket b where not exists (select from {schema}.limiter l where l.id = b.limiter);
  select * into q from {schema}.queue k where k.name = p_queue;
  if q.lined then perform {schema}.forget_lines(q.id, p_limit); end if;
end $$;
