-- What an enqueue does whose key is taken: 0 the holder answers, 1 error, 2 replace, 3 debounce, 4 latest. Space 2 of the keys says who
-- waits for the end of the job that has a unique key. That one is in `later`, parked; its place is the row's, so whoever changes
-- either locks the row first. Whoever ends a job waits for none of this: what it could not hand on is found by `promote`.

create function {schema}.has_next(p_job uuid, p_scope bytea, p_key bytea) returns boolean language sql stable as $$
  select p_key is not null and exists (
    select from {schema}.key k where k.space = 2 and k.scope = p_scope and k.key = p_key and k.job <> p_job)
$$;

-- A job lets its unique key go. Whoever waits for that has it then.
create function {schema}.release_key(p_scope bytea, p_key bytea, p_job uuid) returns void language plpgsql as $$
declare behind uuid;
begin
  if exists (select from {schema}.key k where k.space = 2 and k.scope = p_scope and k.key = p_key) then
    delete from {schema}.key k where k.space = 2 and k.scope = p_scope and k.key = p_key and k.job = p_job;
    select l.id into behind from {schema}.key k join {schema}.later l on l.id = k.job and l.parked is not null
      where k.space = 2 and k.scope = p_scope and k.key = p_key for update of l skip locked;
    if found then
      update {schema}.key k set job = behind where k.space = 1 and k.scope = p_scope and k.key = p_key and k.job = p_job;
      if found then
        delete from {schema}.key k where k.space = 2 and k.scope = p_scope and k.key = p_key and k.job = behind;
        update {schema}.later l set run_at = greatest(l.parked, clock_timestamp()), parked = null where l.id = behind;
      end if;
      return;
    end if;
  end if;
  delete from {schema}.key k where k.space = 1 and k.scope = p_scope and k.key = p_key and k.job = p_job;
end $$;

-- Lets parked jobs go whose key is free: its end was not seen by whoever parked them, nor they by whoever ended. Waits for nobody's
-- transaction.
create function {schema}.unpark(p_queue int, p_now timestamptz) returns void language plpgsql set lock_timeout = '100ms' as $$
declare l {schema}.later;
begin
  for l in
    select x.* from {schema}.later x where x.queue_id = p_queue and x.run_at <= p_now and x.parked is not null
    order by x.run_at, x.id limit 100 for update skip locked
  loop
    begin
      if {schema}.take_key(1::smallint, l.unique_scope, l.unique_key, l.id, null) = l.id then
        delete from {schema}.key k
          where k.space = 2 and k.scope = l.unique_scope and k.key = l.unique_key and k.job = l.id;
        update {schema}.later x set run_at = greatest(l.parked, p_now), parked = null where x.id = l.id;
        continue;
      end if;
    exception when lock_not_available then null;
    end;
    update {schema}.later x set run_at = greatest(l.parked, clock_timestamp() + interval '5 s') where x.id = l.id;
  end loop;
end $$;

create function {schema}.same_kind(p_one int, p_other int) returns boolean language sql stable as $$
  select p_one = p_other or exists (
    select from {schema}.lane a join {schema}.lane b using (queue_id, kind) where a.id = p_one and b.id = p_other)
$$;

-- When a job is due that takes the place of one that came at p_came and was due at p_was. Null is now.
create function {schema}.due_in_place(p_policy smallint, p_due timestamptz, p_was timestamptz, p_came timestamptz, p_max_wait bigint)
returns timestamptz language sql stable as $$
  select case p_policy when 4 then p_was
    when 3 then least(coalesce(p_due, clock_timestamp()), p_came + p_max_wait * interval '1 microsecond')
    else p_due end
$$;

-- Stores one job: parked, or where its time says.
create function {schema}.begin_at(r {schema}.ready, p_due timestamptz, p_parked boolean) returns void language plpgsql as $$
declare now timestamptz := clock_timestamp();
begin
  if not p_parked and coalesce(p_due <= now, true) then
    insert into {schema}.ready (lane, id, max_attempts, version, enqueued_at, payload, headers, idem_scope, idem_key,
        unique_scope, unique_key)
      values (r.lane, r.id, r.max_attempts, r.version, r.enqueued_at, r.payload, r.headers, r.idem_scope, r.idem_key,
        r.unique_scope, r.unique_key);
    return;
  end if;
  insert into {schema}.later (lane, queue_id, state, run_at, parked, id, max_attempts, version, enqueued_at, payload, headers,
      idem_scope, idem_key, unique_scope, unique_key)
    select r.lane, n.queue_id, 0, case when p_parked then greatest(p_due, now + interval '1 s') else p_due end,
      case when p_parked then coalesce(p_due, now) end, r.id, r.max_attempts, r.version, r.enqueued_at, r.payload, r.headers,
      r.idem_scope, r.idem_key, r.unique_scope, r.unique_key
    from {schema}.lane n where n.id = r.lane;
end $$;

-- A job is gone, and another one has its key.
create function {schema}.hand_over(p_space smallint, p_from uuid, p_headers jsonb, r {schema}.ready) returns void
language plpgsql as $$
begin
  perform {schema}.arrive(p_from, p_headers, false);
  update {schema}.key k set job = r.id
    where k.space = p_space and k.scope = r.unique_scope and k.key = r.unique_key and k.job = p_from;
  delete from {schema}.note n where n.job = p_from;
  delete from {schema}.cancel_request c where c.job = p_from;
end $$;

-- Puts a job in the place of one that waits for its time, or for the end of another one: 0 it is not there, 1 done, 2 it may not be
-- replaced.
create function {schema}.replace_later(p_holder uuid, r {schema}.ready, p_policy smallint, p_due timestamptz, p_max_wait bigint,
  p_parked boolean) returns int
language plpgsql as $$
declare d {schema}.later;
begin
  select * into d from {schema}.later l where l.id = p_holder and (l.parked is not null) = p_parked for update;
  if not found then return 0; end if;
  if not p_parked and not {schema}.same_kind(d.lane, r.lane) then return 2; end if;
  delete from {schema}.later l where l.id = p_holder;
  r.enqueued_at := d.enqueued_at;
  perform {schema}.begin_at(r,
    {schema}.due_in_place(p_policy, p_due, coalesce(d.parked, d.run_at), d.enqueued_at, p_max_wait), p_parked);
  perform {schema}.hand_over(case when p_parked then 2 else 1 end::smallint, p_holder, d.headers, r);
  return 1;
end $$;

create function {schema}.is_leased(p_queue int, p_seq bigint) returns boolean language sql stable as $$
  select exists (select from {schema}.lease l where l.queue_id = p_queue and l.top >= p_seq and p_seq = any(l.seqs))
$$;

-- The same for a job that is ready. Only the holder of the queue's claim lock may take a row that is not leased; without leave to
-- lock it answers 3. A row that was never leased may be changed in place: no claim can have seen it.
create function {schema}.replace_ready(p_holder uuid, r {schema}.ready, p_policy smallint, p_due timestamptz, p_max_wait bigint,
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

-- Finds the place of one job with a unique key: 0 it has the key and is to be stored, 1 it is stored in the place of `other`, 2 it is
-- stored behind `other`, 3 `other` has the key, 4 that is ready and cannot be replaced without the claim lock, 5 that is of this very
-- batch.
create function {schema}.find_place(r {schema}.ready, p_policy smallint, p_due timestamptz, p_max_wait bigint, p_lock boolean,
  p_own boolean, p_batch uuid[], out outcome int, out other uuid)
language plpgsql as $$
declare done int;
begin
  -- A job may move while it is looked for.
  for turn in 1 .. 100 loop
    if p_policy >= 2 then
      select k.job into other from {schema}.key k where k.space = 2 and k.scope = r.unique_scope and k.key = r.unique_key;
      if found then
        outcome := 1;
        if {schema}.replace_later(other, r, p_policy, p_due, p_max_wait, true) = 1 then return; end if;
        continue;
      end if;
    end if;
    other := {schema}.take_key(1::smallint, r.unique_scope, r.unique_key, r.id, null);
    outcome := case when other = r.id then 0 else 3 end;
    if other = r.id or coalesce(p_policy, 0) < 2 then return; end if;
    outcome := 5;
    if other = any(p_batch) then return; end if;
    outcome := 1;
    done := {schema}.replace_later(other, r, p_policy, p_due, p_max_wait, false);
    if done = 0 then done := {schema}.replace_ready(other, r, p_policy, p_due, p_max_wait, p_lock); end if;
    if done = 1 then return; end if;
    continue when done = 0;
    outcome := 4;
    -- In a transaction of the application nobody locks the queue: there a job that is ready counts as one that runs.
    if done = 3 and p_own then return; end if;
    outcome := 3;
    if p_policy = 2 then return; end if;
    if {schema}.take_key(2::smallint, r.unique_scope, r.unique_key, r.id, null) = r.id then
      perform {schema}.begin_at(r, p_due, true);
      outcome := 2;
      return;
    end if;
  end loop;
  raise exception 'the holder of a unique key moves too fast' using errcode = '40001';
end $$;

create function {schema}.refuse(p_policy smallint, p_n bigint, p_space int, p_holder uuid) returns void language plpgsql as $$
begin
  if p_policy = 1 then
    raise exception 'a key is taken by job %', p_holder
      using errcode = 'SFKEY', detail = p_n || ' ' || p_space || ' ' || p_holder;
  end if;
end $$;

-- Takes the keys of a batch some of whose jobs do something if a key is taken. `holders`: who answers for a job; `replaced`: whose
-- place it has; `busy`: not null if it is not to be stored any more; `dues`: when it is due, in microseconds, null for now; `turns`: the
-- order of those to be stored. What has to lock a queue is done last: nobody waits for a key then.
create function {schema}.take_places(p_now timestamptz, p_lanes int[], p_ids uuid[], p_payloads bytea[], p_max int[],
  p_versions bigint[], p_headers text[], p_delays bigint[], p_ats bigint[], p_iscopes bytea[], p_ikeys bytea[],
  p_iwindows bigint[], p_uscopes bytea[], p_ukeys bytea[], p_policies smallint[], p_max_waits bigint[], p_own boolean,
  out holders uuid[], out replaced uuid[], out busy uuid[], out dues bigint[], out turns int[])
language plpgsql as $$
declare
  k record; holder uuid; r {schema}.ready; place record; m int; stored uuid[] := '{}'; postponed int[] := '{}';
  epoch constant timestamptz := 'epoch';
begin
  holders := array_fill(null::uuid, array[cardinality(p_ids)]);
  replaced := holders;
  busy := holders;
  turns := array(select generate_series(1, cardinality(p_ids)));
  select array_agg((extract(epoch from {schema}.due(p_now, d, a)) * 1000000)::bigint order by n) into dues
    from unnest(p_ids, p_delays, p_ats) with ordinality x(id, d, a, n);
  for k in select n, s, t, w from unnest(p_iscopes, p_ikeys, p_iwindows) with ordinality x(s, t, w, n)
    where s is not null order by s, t, n
  loop
    holder := {schema}.take_key(0::smallint, k.s, k.t, p_ids[k.n], k.w);
    if holder <> p_ids[k.n] then
      perform {schema}.refuse(p_policies[k.n], k.n, 1, holder);
      holders[k.n] := holder;
      busy[k.n] := holder;
    end if;
  end loop;
  for k in select n, s, t, pass from unnest(p_uscopes, p_ukeys) with ordinality x(s, t, n), generate_series(1, 2) pass
    where s is not null order by pass, s, t, n
  loop
    continue when busy[k.n] is not null or p_ids[k.n] = any(stored);
    -- Those of one key keep their order.
    if k.pass = 1 and exists (select from unnest(postponed) z where p_uscopes[z] = k.s and p_ukeys[z] = k.t) then
      postponed := postponed || k.n::int;
      continue;
    end if;
    r := null;
    r.lane := p_lanes[k.n]; r.id := p_ids[k.n]; r.payload := p_payloads[k.n]; r.max_attempts := p_max[k.n];
    r.version := p_versions[k.n]; r.headers := p_headers[k.n]::jsonb; r.enqueued_at := p_now;
    r.idem_scope := p_iscopes[k.n]; r.idem_key := p_ikeys[k.n]; r.unique_scope := k.s; r.unique_key := k.t;
    select * into place from {schema}.find_place(r, p_policies[k.n], epoch + dues[k.n] * interval '1 microsecond',
      p_max_waits[k.n], k.pass = 2, p_own, stored);
    m := null;
    if place.outcome = 5 then
      m := array_position(p_ids, place.other);
      if not {schema}.same_kind(p_lanes[m], r.lane) then
        place.outcome := case when p_policies[k.n] = 2 then 3 else 2 end;
        if place.outcome = 2 then
          perform {schema}.take_key(2::smallint, k.s, k.t, r.id, null);
          perform {schema}.begin_at(r, epoch + dues[k.n] * interval '1 microsecond', true);
        end if;
      end if;
    end if;
    case place.outcome
      when 0 then stored := stored || r.id;
      when 4 then postponed := postponed || k.n::int;
      when 1, 2 then
        busy[k.n] := r.id;
        if place.outcome = 1 then replaced[k.n] := place.other; end if;
      when 5 then
        -- In this batch: the later one is stored instead.
        stored := array_remove(stored, place.other) || r.id;
        busy[m] := place.other;
        perform {schema}.arrive(place.other, p_headers[m]::jsonb, false);
        replaced[k.n] := place.other;
        if dues[m] is null and p_lanes[m] = r.lane then turns[k.n] := turns[m]; end if;
        if p_policies[k.n] = 4 then dues[k.n] := dues[m]; end if;
        update {schema}.key x set job = r.id where x.space = 1 and x.scope = k.s and x.key = k.t;
      else
        perform {schema}.refuse(p_policies[k.n], k.n, 2, place.other);
        -- The request is answered by the holder, and so is every repetition of its idempotency key.
        for i in 1 .. cardinality(holders) loop
          if i = k.n or holders[i] = r.id then
            holders[i] := place.other;
            busy[i] := place.other;
          end if;
        end loop;
        update {schema}.key x set job = place.other
          where x.space = 0 and x.scope = r.idem_scope and x.key = r.idem_key and x.job = r.id;
    end case;
  end loop;
end $$;
