-- Claims, also under limits and from lines. A queue that has neither is only looked through.

-- The columns of some rows of the ready log, in this order.
create function {schema}.fetch(p_lanes int[], p_seqs bigint[]) returns {schema}.claimed language plpgsql as $$
declare part {schema}.claimed;
begin
  select array_agg(y.lane), array_agg(y.seq), array_agg(y.id), array_agg(y.attempt + 1), array_agg(y.max_attempts),
    array_agg(y.claims + 1), array_agg(y.version), array_agg(y.enqueued), array_agg(y.payload), array_agg(y.size),
    case when count(y.headers) > 0 then array_agg(y.headers) end,
    case when count(y.idem_key) > 0 then array_agg(y.idem_scope) end,
    case when count(y.idem_key) > 0 then array_agg(y.idem_key) end
  into part.lanes, part.seqs, part.ids, part.attempts, part.maxes, part.claims, part.versions, part.enqueued,
    part.payloads, part.sizes, part.headers, part.idem_scopes, part.idem_keys
  from (
    select x.* from unnest(p_lanes, p_seqs) with ordinality w(lane, seq, n) cross join lateral (
      select r.lane, r.seq, r.id, r.attempt, r.max_attempts, r.claims, r.version,
        (date_part('epoch', r.enqueued_at) * 1000000)::bigint as enqueued,
        case when octet_length(r.payload) <= 4096 then r.payload end as payload, octet_length(r.payload) as size,
        r.headers::text as headers, r.idem_scope, r.idem_key
      from {schema}.ready r where r.lane = w.lane and r.seq = w.seq limit 1
    ) x order by w.n
  ) y;
  return part;
end $$;

-- `look` where limits have room for less than is asked for: no kind gives more than its limits allow, the others are not held up. A
-- lane counts as looked at up to the first row that was left.
create function {schema}.look_within(p_queue int, s {schema}.mark, p_held bigint[], p_rooms {schema}.kind_room[], p_left bigint[],
  p_stages smallint[], p_want int) returns {schema}.looked language plpgsql as $$
declare
  g record; r record; i int; want int := p_want; tops bigint[]; was_left boolean[]; taken int[] := '{}'; seqs bigint[] := '{}';
  seen {schema}.looked;
begin
  seen.lanes := '{}'; seen.tops := '{}';
  for g in
    select array_agg(l.id) as ids, array_agg(coalesce(m.low, 0)) as lows, array_agg(k.n::int) as kinds,
      array_agg(least({schema}.room_of(p_rooms[k.n].limits, p_left), p_want)) as wants
    from unnest(p_rooms) with ordinality k(kind, low, limits, concurrency, interval_us, depth_us, ordered, n)
      join {schema}.lane l on l.queue_id = p_queue and l.kind = k.kind and l.stage = any(p_stages)
      left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = l.id
    group by l.priority, l.stage order by l.priority, l.stage desc
  loop
    exit when want <= 0;
    was_left := array_fill(false, array[cardinality(g.ids)]);
    tops := array(select case when w = 0 then l end from unnest(g.wants, g.lows) with ordinality u(w, l, o) order by o);
    for r in
      select z.seq, w.o, z.n = w.want as last from unnest(g.ids, g.lows, g.wants) with ordinality w(lane, low, want, o)
        cross join lateral (
          select y.seq, row_number() over (order by y.seq) as n from (
            select x.seq from {schema}.ready x
            where x.lane = w.lane and x.seq > w.low and (p_held is null or x.seq not in (select unnest(p_held)))
            order by x.seq limit w.want) y) z
      order by z.seq
    loop
      continue when was_left[r.o];
      if want <= 0 or {schema}.room_of(p_rooms[g.kinds[r.o]].limits, p_left) <= 0 then
        was_left[r.o] := true;
        tops[r.o] := r.seq - 1;
        continue;
      end if;
      taken := taken || g.ids[r.o]; seqs := seqs || r.seq;
      want := want - 1;
      foreach i in array p_rooms[g.kinds[r.o]].limits loop p_left[i] := p_left[i] - 1; end loop;
      if r.last then tops[r.o] := r.seq; end if;
    end loop;
    seen.lanes := seen.lanes || g.ids; seen.tops := seen.tops || tops;
  end loop;
  if taken <> '{}' then seen.found := {schema}.fetch(taken, seqs); end if;
  return seen;
end $$;

create function {schema}.any_waiting(p_queue int, p_kinds text[]) returns boolean language plpgsql as $$
begin
  return exists (
    select from {schema}.lane n cross join lateral (select from {schema}.waiting w where w.lane = n.id limit 1) x
    where n.queue_id = p_queue and n.kind = any(p_kinds) and n.stage = 0);
end $$;

-- Whether jobs of these kinds are ready that no lease holds.
create function {schema}.any_left(p_queue int, s {schema}.mark, p_held bigint[], p_kinds text[]) returns boolean
language plpgsql as $$
begin
  return exists (
    select from {schema}.lane n left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = n.id cross join lateral (
      select from {schema}.ready r where r.lane = n.id and r.seq > coalesce(m.low, 0)
        and (p_held is null or r.seq not in (select unnest(p_held))) limit 1) x
    where n.queue_id = p_queue and n.kind = any(p_kinds) and n.stage in (0, 1)
  ) or {schema}.any_waiting(p_queue, p_kinds);
end $$;

-- What a claim takes: as `look` answers, for the jobs of its own lease, and for suspects; when lines are worth another look; the
-- lanes of what was taken ahead, and how many of it run at a time.
create type {schema}.taken as (normal {schema}.looked, odd {schema}.looked, retry_us bigint, ahead int[], at_once int);

-- When it makes sense to ask again, in microseconds from now, if limits were what left some jobs.
create function {schema}.retry_after(p_queue int, s {schema}.mark, p_held bigint[], a {schema}.allowance[], p_counts bigint[])
returns bigint language plpgsql as $$
declare x {schema}.allowance; retry bigint; until bigint; i int := 0;
begin
  foreach x in array a loop
    i := i + 1;
    until := case when x.opens is not null then x.opens - {schema}.now_us()
      when x.slots <= p_counts[i] then 50000
      when x.tokens <= p_counts[i] then x.tat + p_counts[i] * x.interval_us - x.depth_us + x.interval_us - {schema}.now_us() end;
    if until is not null and (retry is null or until < retry) and {schema}.any_left(p_queue, s, p_held, x.kinds) then
      retry := greatest(until, 0);
    end if;
  end loop;
  return retry;
end $$;

-- The same for lines.
create function {schema}.next_line(p_queue int, p_rooms {schema}.kind_room[], f {schema}.fed) returns bigint language plpgsql as $$
declare due bigint;
begin
  if f.cut then return 0; end if;
  select min(n.due) - {schema}.now_us() into due from {schema}.nap n
    where n.queue_id = p_queue and exists (select from unnest(p_rooms) k where k.kind = n.kind);
  if f.stalled or exists (
    select from (
      select w.line from unnest(p_rooms) k join {schema}.lane n on n.queue_id = p_queue and n.kind = k.kind and n.stage = 0
        cross join lateral (select w.line from {schema}.waiting w where w.lane = n.id limit 20) w
    ) x where not exists (select from {schema}.nap p where p.line = x.line)
      and not exists (select from {schema}.turn t where t.line = x.line)
  ) then
    due := least(due, 50000);
  end if;
  return case when due is not null then greatest(due, 0) end;
end $$;

-- The kinds of a claim, each with its limits among those that bind it.
create function {schema}.rooms(p_queue int, s {schema}.mark, p_kinds text[], a {schema}.allowance[]) returns {schema}.kind_room[]
language plpgsql as $$
begin
  return array(
    select (x.kind, coalesce(m.low, 0),
      array(select z.n::int from unnest(a) with ordinality z(l, kinds, sl, t, o, i, d, b, tat, n) where x.kind = any(z.kinds)),
      (d.line ->> 'concurrency')::bigint, (d.line ->> 'interval_us')::bigint, (d.line ->> 'depth_us')::bigint,
      coalesce(d.ordered, false))::{schema}.kind_room
    from (
      select n.kind, - 2 * min(n.id) - 1 as turns from {schema}.lane n where n.queue_id = p_queue and n.kind = any(p_kinds)
      group by n.kind) x
      left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = x.turns
      left join lateral (
        select z.line, z.ordered from {schema}.kind_limit z where z.queue_id = p_queue and z.kind = x.kind limit 1) d on true);
end $$;

-- What a claim reads of lines passes by the mark as well, under numbers that no lane has: below which note there is none, and below
-- which turn of each kind. Rows of stage 4 are all leased.
create function {schema}.line_tops(p_queue int, p_rooms {schema}.kind_room[], p_notes bigint, out lanes int[], out tops bigint[])
language plpgsql as $$
begin
  select array_agg(x.lane), array_agg(x.top) into lanes, tops from (
    select - 2 * p_queue as lane, p_notes as top
    union all
    select n.id, null from {schema}.lane n where n.queue_id = p_queue and n.stage = 4
    union all
    select - 2 * min(n.id) - 1, (
      select t.no - 1 from {schema}.turn t where t.queue_id = p_queue and t.kind = k.kind and t.no > k.low order by t.no limit 1)
    from unnest(p_rooms) k join {schema}.lane n on n.queue_id = p_queue and n.kind = k.kind group by k.kind, k.low
  ) x;
end $$;

create function {schema}.less(p_left bigint[], p_counts bigint[]) returns bigint[] language plpgsql immutable as $$
begin
  return array(select l - c from unnest(p_left, p_counts) with ordinality u(l, c, n) order by n);
end $$;

create function {schema}.room_in(a {schema}.allowance[]) returns bigint[] language plpgsql immutable as $$
declare x {schema}.allowance; room bigint[] := '{}';
begin
  foreach x in array a loop
    room := room || case when x.opens is null then least(x.slots, x.tokens, 1000000) else 0 end;
  end loop;
  return room;
end $$;

-- What was looked at in two steps. What was looked at again was looked at further.
create function {schema}.and_then(first {schema}.looked, second {schema}.looked) returns {schema}.looked language plpgsql as $$
begin
  first.found := {schema}.append_part(first.found, second.found);
  select array_agg(y.lane), array_agg(y.top) into first.lanes, first.tops from (
    select distinct on (z.lane) z.lane, z.top from (
      select 1, u.* from unnest(second.lanes, second.tops) u union all select 2, u.* from unnest(first.lanes, first.tops) u
    ) z(step, lane, top) order by z.lane, z.step) y;
  return first;
end $$;

-- Whether jobs of other kinds, queues or lines wait for what a limit leaves: they would not get their share of it.
create function {schema}.is_sought(p_queue int, s {schema}.mark, p_held bigint[], p_kind text, p_limit text) returns boolean
language plpgsql as $$
declare lanes int[] := {schema}.lanes_under(p_limit); kinds text[];
begin
  if exists (select from {schema}.lane l where l.id = any(lanes) and l.queue_id <> p_queue) then return true; end if;
  kinds := array(select distinct l.kind from {schema}.lane l where l.id = any(lanes) and l.kind <> p_kind);
  return kinds <> '{}' and {schema}.any_left(p_queue, s, p_held, kinds) or {schema}.any_waiting(p_queue, array[p_kind]);
end $$;

-- The kind of which to take more than there are slots: it has used up those that limits of concurrency left, nothing else bounds it, and
-- nobody else waits for them.
create function {schema}.kind_ahead(p_queue int, s {schema}.mark, p_held bigint[], p_rooms {schema}.kind_room[], p_left bigint[],
  a {schema}.allowance[], p_lanes int[], p_kinds text[], p_ahead int[], out kind text, out slots int, out more int) language plpgsql as $$
declare full_ones int[]; alone boolean;
begin
  select k.kind, n.slots, least(n.slots * w.ahead::bigint, 1000000), array(select i from unnest(k.limits) i where p_left[i] <= 0)
    into kind, slots, more, full_ones
  from (
    select l.kind, count(*)::int as slots from unnest(p_lanes) u(lane) cross join lateral (
      select x.kind from {schema}.lane x where x.id = u.lane limit 1) l
    group by l.kind) n
    join unnest(p_kinds, p_ahead) w(kind, ahead) on w.kind = n.kind
    join unnest(p_rooms) k on k.kind = n.kind
  where w.ahead > 0 and k.concurrency is null and k.interval_us is null and not k.ordered
    and {schema}.room_of(k.limits, p_left) <= 0
    and not exists (select from unnest(k.limits) i where a[i].interval_us is not null or a[i].opens is not null)
  order by 3 desc limit 1;
  if slots > 0 then
    select bool_and(not {schema}.is_sought(p_queue, s, p_held, kind, x.name)) into alone
      from unnest(full_ones) i join {schema}.limiter x on x.id = a[i].limiter;
    if not alone then slots := 0; end if;
  end if;
end $$;

-- Looks through lanes and lines, for half of the jobs each if both have some, then for suspects.
create function {schema}.take(q {schema}.queue, s {schema}.mark, p_held bigint[], p_kinds text[], p_want int, p_suspects int,
  p_solo boolean, p_ahead int[], a {schema}.allowance[]) returns {schema}.taken language plpgsql as $$
declare
  normal {schema}.looked; odd {schema}.looked; x {schema}.looked; f {schema}.fed; rooms {schema}.kind_room[]; line record;
  further record; ahead int[]; slots int; odd_one int;
  room bigint[] := {schema}.room_in(a); notes bigint; half int := p_want; got int; lined boolean := false; retry bigint;
  binds boolean := p_want + p_suspects > any(room); held bigint[] := p_held;
begin
  rooms := {schema}.rooms(q.id, s, p_kinds, a);
  if q.lined then
    notes := {schema}.fold(q.id, coalesce((select m.low from unnest(s.lanes, s.lows) m(lane, low) where m.lane = - 2 * q.id), 0));
    lined := exists (
      select from unnest(rooms) k cross join lateral (
        select from {schema}.turn t where t.queue_id = q.id and t.kind = k.kind and t.no > k.low limit 1) t
      where {schema}.room_of(k.limits, room) > 0);
    -- The odd one goes to either.
    if lined then odd_one := (random() < 0.5)::int; half := (p_want + odd_one) / 2; end if;
  end if;

  for pass in 1 .. 2 loop
    if binds then
      x := {schema}.look_within(q.id, s, held, rooms,
        case when lined and pass = 1 then array(select (r + odd_one) / 2 from unnest(room) with ordinality u(r, n) order by n) else room end,
        '{0,1}', half);
    else
      x := {schema}.look(q.id, s, held, p_kinds, '{0,1}', half);
    end if;
    got := coalesce(cardinality((x.found).seqs), 0);
    held := held || (x.found).seqs;
    if not lined then
      normal := x;
      exit;
    end if;
    room := {schema}.less(room, {schema}.counts_under(a, (x.found).lanes));
    normal := {schema}.and_then(normal, x);
    exit when pass = 2;
    f := {schema}.feed(q.id, rooms, room, p_want - got);
    room := {schema}.less(room, {schema}.counts_under(a, f.lanes));
    exit when got < half and not binds;
    half := p_want - got - cardinality(f.seqs);
    exit when half <= 0;
  end loop;
  if cardinality(f.seqs) > 0 then
    normal.found := {schema}.append_part(normal.found, {schema}.fetch(f.lanes, f.seqs));
    held := held || f.seqs;
  end if;

  if p_suspects > 0 then
    if binds and not lined then
      room := {schema}.less(room, {schema}.counts_under(a, (normal.found).lanes));
    end if;
    for suspect in 2 .. 3 loop
      exit when suspect = 3 and (not p_solo or (odd.found).seqs is not null);
      continue when not exists (select from {schema}.lane l where l.queue_id = q.id and l.stage = suspect);
      if binds then
        x := {schema}.look_within(q.id, s, held, rooms, room, array[suspect::smallint], case suspect when 2 then p_suspects else 1 end);
      else
        x := {schema}.look(q.id, s, held, p_kinds, array[suspect::smallint], case suspect when 2 then p_suspects else 1 end);
      end if;
      odd := x;
      normal.lanes := normal.lanes || x.lanes; normal.tops := normal.tops || x.tops;
    end loop;
  end if;

  got := coalesce(cardinality((normal.found).seqs), 0);
  if p_ahead <> '{}' and binds and got between 1 and p_want - 1 then
    room := {schema}.less({schema}.room_in(a), {schema}.counts_under(a, (normal.found).lanes || (odd.found).lanes));
    select * into further
      from {schema}.kind_ahead(q.id, s, held, rooms, room, a, (normal.found).lanes, p_kinds, p_ahead);
    if further.slots > 0 then
      x := {schema}.look(q.id, s, held, array[further.kind], '{0,1}', least(further.more, p_want - got));
      if (x.found).seqs is not null then
        normal := {schema}.and_then(normal, x);
        slots := further.slots;
        ahead := array(select l.id from {schema}.lane l where l.queue_id = q.id and l.kind = further.kind and l.id = any((normal.found).lanes));
      end if;
    end if;
  end if;

  if q.lined then
    if coalesce(cardinality((normal.found).seqs), 0) < p_want then
      retry := {schema}.next_line(q.id, rooms, f);
    end if;
    if notes is not null then retry := 0; end if;
    if clock_timestamp() - s.marked_at >= interval '300 ms' then
      select * into line from {schema}.line_tops(q.id, rooms, notes);
      normal.lanes := normal.lanes || line.lanes; normal.tops := normal.tops || line.tops;
    end if;
  end if;
  return (normal, odd, retry, ahead, slots)::{schema}.taken;
end $$;

-- Settles what came along, then takes jobs. Runs in a transaction of its own.
create function {schema}.claim(p_queue text, p_kinds text[], p_limit int, p_lease uuid, p_worker uuid, p_lease_us bigint,
  p_suspects uuid[], p_solo boolean, p_ahead int[],
  p_lanes int[], p_seqs bigint[], p_tops bigint[], p_leases uuid[], p_verdicts smallint[], p_afters bigint[],
  p_errors text[], p_reasons text[]) returns {schema}.claimed
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
  set plan_cache_mode = force_generic_plan as $$
declare
  q {schema}.queue; s {schema}.mark; last bigint; snapshot pg_snapshot; held bigint[]; answers smallint[];
  normal {schema}.looked; odd {schema}.looked; taken {schema}.taken; limited boolean; a {schema}.allowance[] := '{}'; counts bigint[];
  c {schema}.claimed; wanted uuid[]; expires timestamptz; n int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a claim needs isolation level read committed' using errcode = '25001';
  end if;
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'a claim needs a transaction of its own' using errcode = '25001';
  end if;
  -- Losing a claim is harmless: nobody else can have relied on it.
  if p_seqs is null then perform set_config('synchronous_commit', 'off', true); end if;
  select * into q from {schema}.queue k where k.name = p_queue;
  c.contended := q.id is not null and not pg_try_advisory_xact_lock({schema}.lock_class(), q.id);
  if not c.contended then
    -- Before this transaction has an xid.
    select z.last_value into last from {schema}.seq z;
  end if;
  if p_seqs is not null then
    answers := {schema}.settle(q.id, p_lanes, p_seqs, p_tops, p_leases, p_verdicts, p_afters, p_errors, p_reasons);
  end if;
  c.answers := answers;
  if c.contended or q.id is null then return c; end if;

  wanted := p_lease || p_suspects;
  if exists (select from {schema}.lease l where l.id = any(wanted))
    or exists (select from {schema}.settled d where d.lease = any(wanted)) then
    c := {schema}.reclaim(q.id, wanted);
    c.answers := answers;
    return c;
  end if;
  if q.paused then return c; end if;
  if q.paused_kinds <> '{}' then
    select coalesce(array_agg(u.kind), '{}'), coalesce(array_agg(u.ahead) filter (where u.ahead is not null), '{}') into p_kinds, p_ahead
      from unnest(p_kinds, p_ahead) u(kind, ahead) where u.kind <> all(q.paused_kinds);
  end if;

  select * into s from {schema}.mark m where m.queue_id = q.id order by m.no desc limit 1;
  if not found then
    s := (q.id, 0, 0, 0, '0', 'epoch', 0, '{}', '{}', '{}', '{}', 0);
  end if;
  snapshot := pg_current_snapshot();
  select array_agg(u) into held from {schema}.lease l cross join unnest(l.seqs) u
    where l.queue_id = q.id and l.top > (
      select coalesce(min(coalesce(m.low, 0)), 0)
      from {schema}.lane n left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = n.id
      where n.queue_id = q.id and n.kind = any(p_kinds));
  expires := clock_timestamp() + p_lease_us * interval '1 microsecond';

  if exists (select from {schema}.limiter) then
    a := {schema}.allowances(q, p_kinds, p_limit + cardinality(p_suspects));
  end if;
  -- Limits that do not bind change nothing but what is counted.
  limited := q.lined or a <> '{}' and p_limit + cardinality(p_suspects) > any({schema}.room_in(a));
  if limited then
    taken := {schema}.take(q, s, held, p_kinds, p_limit, cardinality(p_suspects), p_solo, p_ahead, a);
    normal := taken.normal; odd := taken.odd;
  else
    normal := {schema}.look(q.id, s, held, p_kinds, '{0,1}', p_limit);
  end if;
  n := cardinality((normal.found).seqs);
  if n > 0 then
    select (normal.found).answers, false, max(x) into c.answers, c.contended, c.top from unnest((normal.found).seqs) x;
    insert into {schema}.lease (queue_id, top, id, worker, expires_at, lanes, seqs, ahead, at_once)
      select q.id, c.top, p_lease, p_worker, expires,
        array(select distinct x from unnest((normal.found).lanes) x), array(select x from unnest((normal.found).seqs) x order by x),
        taken.ahead, taken.at_once;
    normal.found.lease_no := array_fill(0::smallint, array[n]);
    c := {schema}.append_part(c, normal.found);
  end if;
  if cardinality(p_suspects) > 0 then
    if not limited then
      odd := {schema}.look(q.id, s, held, p_kinds, '{2}', cardinality(p_suspects));
      normal.lanes := normal.lanes || odd.lanes; normal.tops := normal.tops || odd.tops;
      if p_solo and (odd.found).seqs is null then
        odd := {schema}.look(q.id, s, held, p_kinds, '{3}', 1);
        normal.lanes := normal.lanes || odd.lanes; normal.tops := normal.tops || odd.tops;
      end if;
    end if;
    n := cardinality((odd.found).seqs);
    if n > 0 then
      insert into {schema}.lease (queue_id, top, id, worker, expires_at, lanes, seqs)
        select q.id, u.seq, p_suspects[u.n], p_worker, expires, array[u.lane], array[u.seq]
        from unnest((odd.found).lanes, (odd.found).seqs) with ordinality u(lane, seq, n);
      odd.found.lease_no := array(select generate_series(1, n)::smallint);
      c := {schema}.append_part(c, odd.found);
    end if;
  end if;

  perform {schema}.move_mark(s, q.id, last, snapshot, held is not null or c.seqs is not null, normal.lanes, normal.tops);
  c.answers := answers;
  c.contended := false;
  c.retry_us := taken.retry_us;
  c.at_once := taken.at_once; c.ahead := taken.ahead[1];
  if a <> '{}' then
    counts := {schema}.counts_under(a, c.lanes);
    perform {schema}.charge(a, counts);
    c.retry_us := least(c.retry_us, {schema}.retry_after(q.id, s, held || c.seqs, a, counts));
  end if;
  if c.seqs is not null then
    c.now_us := (date_part('epoch', clock_timestamp()) * 1000000)::bigint;
    c.payloads := {schema}.small_payloads(c.payloads, c.sizes);
    if array_position(c.payloads, null) is null then c.sizes := null; end if;
    -- A column with one value throughout is sent as that value.
    if c.lanes[1] = all (c.lanes) then c.lanes := c.lanes[1 : 1]; end if;
    if c.attempts[1] = all (c.attempts) then c.attempts := c.attempts[1 : 1]; end if;
    if c.maxes[1] = all (c.maxes) then c.maxes := c.maxes[1 : 1]; end if;
    if c.claims[1] = all (c.claims) then c.claims := c.claims[1 : 1]; end if;
    if c.lease_no[1] = all (c.lease_no) then c.lease_no := c.lease_no[1 : 1]; end if;
    if c.versions[1] = all (c.versions) then c.versions := c.versions[1 : 1]; end if;
  end if;
  return c;
end $$;
