create function {schema}.extend(p_queue text, p_leases uuid[], p_lease_us bigint, out held uuid[], out cancel uuid[])
language plpgsql set jit = off set enable_seqscan = off as $$
declare q int;
begin
  -- Losing an extension to a crash of the server ends a lease early, which is safe.
  perform set_config('synchronous_commit', 'off', true);
  select k.id into q from {schema}.queue k where k.name = p_queue;
  with mine as (
    select l.ctid from {schema}.lease l where l.id = any(p_leases) and l.queue_id = q order by l.id for update
  ), longer as (
    update {schema}.lease l
      set expires_at = greatest(l.expires_at, clock_timestamp() + p_lease_us * interval '1 microsecond')
      from mine where l.ctid = mine.ctid returning l.id
  )
  select array_agg(x.id) into held from longer x;
  if exists (select from {schema}.cancel_request) then
    select array_agg(c.job) into cancel from {schema}.cancel_request c join {schema}.ready r on r.id = c.job
      where c.queue_id = q
        and exists (select from {schema}.lease l where l.queue_id = q and l.id = any(held) and r.seq = any(l.seqs));
  end if;
end $$;

-- Brings one row of a lease that was ended back: 0 it was cancelled, 1 returned, 2 poisoned, 3 exhausted.
create function {schema}.bring_back(r {schema}.ready, p_stage smallint, p_poison int) returns int
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

-- Ends expired leases. Whoever extends or settles at the same moment is not waited for, and wins.
create function {schema}.reap(p_queue text, p_limit int, p_poison int,
  out leases bigint, out returned bigint, out poisoned bigint, out more boolean)
language plpgsql set jit = off set enable_seqscan = off as $$
declare q int; l record; r {schema}.ready; outcome int; s {schema}.mark; floor bigint;
begin
  leases := 0; returned := 0; poisoned := 0; more := false;
  select k.id into q from {schema}.queue k where k.name = p_queue;
  select * into s from {schema}.mark m where m.queue_id = q order by m.no desc limit 1;
  floor := coalesce({schema}.no_lease_to(s, q), 0);
  for l in
    select x.ctid, x.* from {schema}.lease x where x.queue_id = q and x.top > floor and x.expires_at <= clock_timestamp()
    order by x.queue_id, x.top limit p_limit for update skip locked
  loop
    leases := leases + 1;
    for r in
      with mine as (
        -- A transaction of the application that completes one of them is not waited for.
        select d.ctid from {schema}.ready d where d.lane = any(l.lanes)
          and d.seq between l.seqs[1] and l.top and d.seq = any(l.seqs) for update skip locked
      ), gone as (
        delete from {schema}.ready d using mine where d.ctid = mine.ctid returning d.*
      )
      select g.* from gone g order by g.seq
    loop
      outcome := {schema}.bring_back(r, (select n.stage from {schema}.lane n where n.id = r.lane), p_poison);
      returned := returned + (outcome = 1)::int;
      poisoned := poisoned + (outcome = 2)::int;
    end loop;
    if exists (
      select from {schema}.ready d where d.lane = any(l.lanes) and d.seq between l.seqs[1] and l.top and d.seq = any(l.seqs)
    ) then
      leases := leases - 1;
      continue;
    end if;
    -- A repeated claim must see that its lease has been.
    insert into {schema}.settled (lease, seqs) values (l.id, '{}');
    delete from {schema}.lease x where x.ctid = l.ctid;
  end loop;
  more := leases = p_limit and exists (
    select from {schema}.lease x where x.queue_id = q and x.top > floor and x.expires_at <= clock_timestamp());
end $$;

-- Makes jobs ready that are due, and by more than p_floor (in microseconds since 1970, like all that tells the caller how to find the
-- next floor). `next_due` is in microseconds from now. Those with a line are not seen to arrive, but have.
create function {schema}.promote(p_queue text, p_limit int, p_floor bigint, out promoted bigint, out more boolean,
  out next_due bigint, out next_run bigint, out at bigint, out xid bigint, out running bigint[], out ahead bigint)
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
-- A variable, because no index is asked for what is before a function that changes from row to row.
declare
  q int; taken bigint; now timestamptz := clock_timestamp(); snapshot pg_snapshot := pg_current_snapshot(); next timestamptz;
  low timestamptz := coalesce('epoch'::timestamptz + p_floor * interval '1 microsecond', '-infinity');
begin
  select k.id into q from {schema}.queue k where k.name = p_queue;
  perform {schema}.unpark(q, now);
  with due as (
    select l.ctid, l.id from {schema}.later l where l.queue_id = q and l.run_at > low and l.run_at <= now and l.parked is null
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
  select l.run_at into next from {schema}.later l
    where l.queue_id = q and l.run_at > low and l.run_at < '9999-12-31 00:00Z' and l.parked is null
    order by l.run_at, l.id limit 1;
  next_due := floor(extract(epoch from next - clock_timestamp()) * 1000000)::bigint;
  if next_due < 0 then next_due := 0; end if;
  next_run := (extract(epoch from next) * 1000000)::bigint;
  at := (extract(epoch from now) * 1000000)::bigint;
  -- It has one if it has promoted anything, and needs none if not.
  if taken > 0 then xid := pg_current_xact_id()::text::bigint; end if;
  running := array(select x::text::bigint from pg_snapshot_xip(snapshot) x);
  ahead := pg_snapshot_xmax(snapshot)::text::bigint;
  more := coalesce(taken = p_limit and next_due = 0, false);
end $$;

-- Deletes what no longer matters, a bounded amount.
create function {schema}.prune(p_queue text, p_limit int, out pruned bigint)
language plpgsql set jit = off set enable_seqscan = off set enable_sort = off as $$
declare q int; n bigint; now timestamptz := clock_timestamp(); day timestamptz := now - interval '24 hours';
begin
  pruned := 0;
  select k.id into q from {schema}.queue k where k.name = p_queue;
  delete from {schema}.mark m where m.queue_id = q
    and m.no < (select x.no - 1 from {schema}.mark x where x.queue_id = q order by x.no desc limit 1);
  delete from {schema}.key k where k.ctid = any(array(
    select x.ctid from {schema}.key x where x.expires_at < now order by x.expires_at limit p_limit
    for update skip locked));
  get diagnostics n = row_count; pruned := pruned + n;
  with over as (
    delete from {schema}.completed c where c.ctid = any(array(
      select x.ctid from {schema}.completed x where x.queue_id = q and x.keep_until <= now
      order by x.keep_until limit p_limit for update skip locked)) returning c.id
  ), notes as (
    delete from {schema}.note n using over where n.job = over.id
  )
  select count(*) into n from over;
  pruned := pruned + n;
  delete from {schema}.batch b where b.ctid = any(array(
    select x.ctid from {schema}.batch x where x.over_at < day order by x.over_at limit p_limit for update skip locked));
  get diagnostics n = row_count; pruned := pruned + n;
  delete from {schema}.arrival a where a.ctid = any(array(
    select x.ctid from {schema}.arrival x where x.at < day
      and not exists (select from {schema}.batch b where b.id = x.batch) limit p_limit for update skip locked));
  get diagnostics n = row_count; pruned := pruned + n;
  delete from {schema}.enqueued e where e.ctid = any(array(
    select x.ctid from {schema}.enqueued x where x.at < day limit p_limit for update skip locked));
  get diagnostics n = row_count; pruned := pruned + n;
  delete from {schema}.settled s where s.ctid = any(array(
    select x.ctid from {schema}.settled x where x.at < day limit p_limit for update skip locked));
  get diagnostics n = row_count; pruned := pruned + n;
  delete from {schema}.cancel_request c where c.at < day
    and not exists (select from {schema}.ready r where r.id = c.job)
    and not exists (select from {schema}.later l where l.id = c.job);
end $$;

-- Looks for rows below a mark that no lease holds. There never should be one; each is made claimable again and counted.
create function {schema}.audit(p_queue text) returns bigint
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
