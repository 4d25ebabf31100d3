-- Limits that are declared by code, set by people, or closed for a while. A rule is an object with `concurrency`, with the five of a
-- rate (`count`, `per_us`, `burst`, and what follows from them: `interval_us`, `depth_us`), with both, or with nothing. If there is
-- `adaptive_min` as well, the concurrency is what processes have `asked` for, between the two.
create table {schema}.limiter (
  id int generated always as identity primary key,
  name text collate "C" not null unique,
  by_code jsonb check (jsonb_typeof(by_code) = 'object'),
  by_people jsonb check (jsonb_typeof(by_people) = 'object'),
  closed_until timestamptz,
  asked bigint,
  lowered_at timestamptz
);

-- What holds for a kind in a queue: its limits, and what each of its lines may take.
create table {schema}.kind_limit (
  queue_id int not null,
  kind text collate "C" not null,
  limits text[] not null,
  line jsonb not null check (jsonb_typeof(line) = 'object'),
  ordered boolean not null,
  primary key (queue_id, kind)
);

-- Token buckets: a limit has given all its tokens until `tat`, in microseconds. Appended, never updated, like the marks.
create table {schema}.bucket (
  limiter int not null,
  no bigint not null,
  tat bigint not null,
  primary key (limiter, no)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create index lane_kind on {schema}.lane (kind);

create function {schema}.now_us() returns bigint language sql as $$
  select (date_part('epoch', clock_timestamp()) * 1000000)::bigint
$$;

-- Whoever counts what is taken under a limit holds this to the end of its transaction; in the order of their numbers, after the
-- lock of a queue.
create function {schema}.lock_limit(p_limiter int) returns void language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtext('{schema}.limit'), p_limiter);
end $$;

create function {schema}.tat_of(p_limiter int, out no bigint, out tat bigint) language plpgsql as $$
begin
  select b.no, b.tat into no, tat from {schema}.bucket b where b.limiter = p_limiter order by b.no desc limit 1;
end $$;

-- A bucket that was filled by another rule is at worst empty by the new one.
create function {schema}.refit(p_limiter int) returns void language plpgsql as $$
declare rule jsonb; b record; full_at bigint;
begin
  perform {schema}.lock_limit(p_limiter);
  select coalesce(l.by_people, l.by_code) into rule from {schema}.limiter l where l.id = p_limiter;
  select * into b from {schema}.tat_of(p_limiter);
  full_at := {schema}.now_us() + (rule ->> 'depth_us')::bigint;
  if b.tat > full_at then
    insert into {schema}.bucket values (p_limiter, b.no + 1, full_at);
  end if;
end $$;

-- Forgets limits of which there is nothing to say.
create function {schema}.forget_limits(p_names text[]) returns void language sql as $$
  delete from {schema}.limiter l where l.name = any(p_names) and l.by_code is null and l.by_people is null
    and coalesce(l.closed_until <= clock_timestamp(), true)
$$;

-- Sets one of the two rules of a limit, null for none. Writes nothing if it is so already; else its bucket is to be refitted.
create function {schema}.put_rule(p_name text, p_by_people boolean, p_rule jsonb) returns int language plpgsql as $$
declare l {schema}.limiter;
begin
  select * into l from {schema}.limiter x where x.name = p_name;
  if (case when p_by_people then l.by_people else l.by_code end) is not distinct from p_rule then return null; end if;
  if p_by_people then
    insert into {schema}.limiter as x (name, by_people) values (p_name, p_rule)
      on conflict (name) do update set by_people = excluded.by_people returning * into l;
  else
    insert into {schema}.limiter as x (name, by_code) values (p_name, p_rule)
      on conflict (name) do update set by_code = excluded.by_code returning * into l;
  end if;
  return l.id;
end $$;

create function {schema}.set_rule(p_name text, p_rule jsonb) returns void language plpgsql as $$
declare l int := {schema}.put_rule(p_name, true, p_rule);
begin
  if l is not null then
    perform {schema}.refit(l);
    perform {schema}.forget_limits(array[p_name]);
  end if;
end $$;

create function {schema}.close_limit(p_name text, p_for bigint) returns void language sql as $$
  insert into {schema}.limiter as x (name, closed_until) values (p_name, clock_timestamp() + p_for * interval '1 microsecond')
    on conflict (name) do update set closed_until = greatest(x.closed_until, excluded.closed_until)
$$;

-- How many may run at one time under a rule. Null: any number.
create function {schema}.concurrency_of(p_rule jsonb, p_asked bigint) returns bigint language sql immutable as $$
  select case when p_rule ? 'adaptive_min'
    then least((p_rule ->> 'concurrency')::bigint, greatest(coalesce(p_asked, (p_rule ->> 'concurrency')::bigint), (p_rule ->> 'adaptive_min')::bigint))
    else (p_rule ->> 'concurrency')::bigint end
$$;

-- One more, or a quarter less because a job failed that was claimed so long ago; null if the rule does not adapt. Waits for no lock before
-- it knows that there is something to write; of two at once the second finds that it was done.
create function {schema}.adapt_limit(p_name text, p_claimed bigint) returns bigint language plpgsql as $$
declare l {schema}.limiter; rule jsonb; slots bigint; claimed_at timestamptz;
begin
  select * into l from {schema}.limiter x where x.name = p_name;
  rule := coalesce(l.by_people, l.by_code);
  if rule ? 'adaptive_min' is not true then return null; end if;
  slots := {schema}.concurrency_of(rule, l.asked);
  if p_claimed is null then
    slots := {schema}.concurrency_of(rule, slots + 1);
  else
    claimed_at := statement_timestamp() - p_claimed * interval '1 microsecond';
    -- A clock that went back has not seen that yet.
    if l.lowered_at between claimed_at and clock_timestamp() then return slots; end if;
    slots := {schema}.concurrency_of(rule, slots - (slots + 3) / 4);
  end if;
  if slots is distinct from l.asked then
    update {schema}.limiter x set asked = slots, lowered_at = case when p_claimed is null then l.lowered_at else clock_timestamp() end
      where x.id = l.id and x.asked is not distinct from l.asked and x.lowered_at is not distinct from l.lowered_at;
    if not found then select {schema}.concurrency_of(rule, x.asked) into slots from {schema}.limiter x where x.id = l.id; end if;
  end if;
  return slots;
end $$;

create function {schema}.open_limit(p_name text) returns void language plpgsql as $$
begin
  update {schema}.limiter l set closed_until = null where l.name = p_name and l.closed_until is not null;
  perform {schema}.forget_limits(array[p_name]);
end $$;

-- The lanes whose jobs are under a limit, in all queues.
create function {schema}.lanes_under(p_name text) returns int[] language plpgsql stable as $$
begin
  if p_name like 'queue/%' then
    return array(select n.id from {schema}.queue q join {schema}.lane n on n.queue_id = q.id where q.name = substr(p_name, 7));
  elsif p_name like 'kind/%' then
    return array(select n.id from {schema}.lane n where n.kind = substr(p_name, 6));
  end if;
  return array(
    select n.id from {schema}.kind_limit k join {schema}.lane n on n.queue_id = k.queue_id and n.kind = k.kind
    where p_name = any(k.limits));
end $$;

-- How many rows a lease still holds in lanes of its own that are among others.
create function {schema}.left_of(p_seqs bigint[], p_own int[], p_lanes int[]) returns bigint language plpgsql stable as $$
begin
  return (
    select count(*) from unnest(p_seqs) u(seq) cross join lateral (
      select from {schema}.ready r where r.lane = any(p_own) and r.seq = u.seq and r.lane = any(p_lanes) limit 1) r);
end $$;

-- How many slots jobs of these lanes have: rows that a live lease holds, so nothing can be left over; of what was taken ahead no
-- more than run at a time. Anything up to p_enough stands for itself: then what the leases were granted is not looked up row by row.
create function {schema}.in_use(p_lanes int[], p_enough bigint) returns bigint language plpgsql stable as $$
declare granted bigint; queues int[]; lows bigint[];
begin
  select array_agg(x.queue_id), array_agg(x.low) into queues, lows from (
    select n.queue_id, least(min(coalesce(m.low, 0)), min(coalesce(s.lease_floor, 0))) as low
    from {schema}.lane n left join lateral (
        select y.lanes, y.lows, y.lease_floor from {schema}.mark y where y.queue_id = n.queue_id order by y.no desc limit 1) s on true
      left join lateral (select z.low from unnest(s.lanes, s.lows) z(lane, low) where z.lane = n.id limit 1) m on true
    where n.id = any(p_lanes) group by n.queue_id) x;
  select coalesce(sum(cardinality(e.seqs)), 0) into granted from unnest(queues, lows) q(queue_id, low)
    join {schema}.lease e on e.queue_id = q.queue_id and e.top > q.low and e.lanes && p_lanes;
  if granted <= p_enough then return granted; end if;
  return (
    select coalesce(sum(case
        when e.at_once is null then {schema}.left_of(e.seqs, e.lanes, p_lanes)
        -- What ran first has ended first.
        else (select count(*) from (
          select from (select seq from unnest(e.seqs) seq order by seq desc) u cross join lateral (
            select from {schema}.ready r where r.lane = any(e.ahead) and r.seq = u.seq and r.lane = any(p_lanes) limit 1) r
          limit e.at_once) z)
          + case when e.lanes <@ e.ahead then 0
            else {schema}.left_of(e.seqs, array(select unnest(e.lanes) except select unnest(e.ahead)), p_lanes) end
      end), 0)
    from unnest(queues, lows) q(queue_id, low)
      join {schema}.lease e on e.queue_id = q.queue_id and e.top > q.low and e.lanes && p_lanes);
end $$;

create function {schema}.limits(
  out name text, out by_code text, out by_people text, out adapted bigint, out in_use bigint, out closed_us bigint)
returns setof record language sql as $$
  select l.name, l.by_code::text, l.by_people::text,
    case when coalesce(l.by_people, l.by_code) ? 'adaptive_min'
      then {schema}.concurrency_of(coalesce(l.by_people, l.by_code), l.asked) end,
    case when coalesce(l.by_people, l.by_code) ? 'concurrency' then {schema}.in_use({schema}.lanes_under(l.name), -1) else 0 end,
    case when l.closed_until > clock_timestamp()
      then ceil(extract(epoch from l.closed_until - clock_timestamp()) * 1000000)::bigint end
  from {schema}.limiter l
  where l.by_code is not null or l.by_people is not null or l.closed_until > clock_timestamp()
  order by l.name
$$;

-- What one limit allows a claim: how many slots and tokens there are (null for any number), or when it opens again.
create type {schema}.allowance as (
  limiter int, kinds text[], slots bigint, tokens bigint, opens bigint, interval_us bigint, depth_us bigint, no bigint, tat bigint
);

-- The limits that bind a claim of these kinds, locked. p_want is the most that it takes.
create function {schema}.allowances(q {schema}.queue, p_kinds text[], p_want int) returns {schema}.allowance[]
language plpgsql as $$
declare l record; b record; a {schema}.allowance; list {schema}.allowance[] := '{}'; now bigint;
begin
  for l in
    select x.id, x.name, coalesce(x.by_people, x.by_code) as rule, x.asked, x.closed_until, n.kinds from (
      select 'queue/' || q.name as name, p_kinds as kinds
      union all
      select 'kind/' || k, array[k] from unnest(p_kinds) k
      union all
      select u.name, array_agg(k.kind) from {schema}.kind_limit k cross join unnest(k.limits) u(name)
        where k.queue_id = q.id and k.kind = any(p_kinds) group by u.name
    ) n join {schema}.limiter x on x.name = n.name order by x.id
  loop
    a := null;
    a.limiter := l.id; a.kinds := l.kinds;
    if l.closed_until > clock_timestamp() then
      a.slots := 0;
      a.opens := ceil(date_part('epoch', l.closed_until) * 1000000);
      list := list || a;
      continue;
    end if;
    continue when coalesce(l.rule, '{}') = '{}';
    perform {schema}.lock_limit(l.id);
    if l.rule ? 'concurrency' then
      a.slots := {schema}.concurrency_of(l.rule, l.asked);
      a.slots := greatest(a.slots - {schema}.in_use({schema}.lanes_under(l.name), a.slots - p_want), 0);
    end if;
    if l.rule ? 'interval_us' then
      a.interval_us := (l.rule ->> 'interval_us')::bigint;
      a.depth_us := (l.rule ->> 'depth_us')::bigint;
      now := {schema}.now_us();
      select * into b from {schema}.tat_of(l.id);
      a.no := coalesce(b.no, 0);
      a.tat := greatest(b.tat, now);
      a.tokens := greatest((now + a.depth_us - a.tat) / a.interval_us, 0);
    end if;
    list := list || a;
  end loop;
  return list;
end $$;

-- How many jobs of these lanes count under each of the limits.
create function {schema}.counts_under(a {schema}.allowance[], p_lanes int[]) returns bigint[] language plpgsql stable as $$
declare all_kinds text[]; ns bigint[]; x {schema}.allowance; counts bigint[] := '{}'; single text;
begin
  if a = '{}' then return counts; end if;
  if p_lanes[1] = all (p_lanes) then
    select l.kind into single from {schema}.lane l where l.id = p_lanes[1];
    foreach x in array a loop
      counts := counts || case when single = any(x.kinds) then cardinality(p_lanes) else 0 end::bigint;
    end loop;
    return counts;
  end if;
  select array_agg(n.kind), array_agg(c.n) into all_kinds, ns
    from (select u.lane, count(*) as n from unnest(p_lanes) u(lane) group by u.lane) c
      cross join lateral (select l.kind from {schema}.lane l where l.id = c.lane limit 1) n;
  foreach x in array a loop
    counts := counts || (
      select coalesce(sum(u.n), 0)::bigint from unnest(all_kinds, ns) u(kind, n) where u.kind = any(x.kinds));
  end loop;
  return counts;
end $$;

-- Takes the tokens for what was claimed. They do not come back.
create function {schema}.charge(a {schema}.allowance[], p_counts bigint[]) returns void language plpgsql as $$
begin
  insert into {schema}.bucket (limiter, no, tat)
    select x.limiter, x.no + 1, x.tat + p_counts[x.i] * x.interval_us
    from unnest(a) with ordinality x(limiter, kinds, slots, tokens, opens, interval_us, depth_us, no, tat, i)
    where x.interval_us is not null and p_counts[x.i] > 0;
end $$;
