-- What a claim returns: the answers to the verdicts that came with it, and its jobs as columns. `lease_no` is 0 for the
-- shared lease, else the place of the suspect's own lease in the request. A null payload is to be fetched: the queue's
-- claim lock is held until the reply is sent, so the reply has to be small. Null columns mean "nothing in any job", a
-- column of one value the same in all. `now_us` is what the clock says, if there are jobs. Of the jobs in lanes of the same kind as
-- `ahead` no more than `at_once` may run at a time, if they are there.
create type {schema}.claimed as (
  answers smallint[], contended boolean, top bigint, lanes int[], seqs bigint[], ids uuid[], attempts int[], maxes int[],
  claims bigint[], lease_no smallint[], versions bigint[], enqueued bigint[], payloads bytea[], headers text[],
  idem_scopes bytea[], idem_keys bytea[], sizes int[], now_us bigint, retry_us bigint, at_once int, ahead int
);

-- The first rows of some lanes, in the order of their seqs, that no lease holds.
create function {schema}.scan(p_lanes int[], p_lows bigint[], p_held bigint[], p_want int) returns {schema}.claimed
language plpgsql as $$
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
    select x.* from unnest(p_lanes, p_lows) w(lane, low) cross join lateral (
      select r.lane, r.seq, r.id, r.attempt, r.max_attempts, r.claims, r.version,
        (date_part('epoch', r.enqueued_at) * 1000000)::bigint as enqueued,
        case when octet_length(r.payload) <= 4096 then r.payload end as payload, octet_length(r.payload) as size,
        r.headers::text as headers, r.idem_scope, r.idem_key
      from {schema}.ready r
      where r.lane = w.lane and r.seq > w.low and (p_held is null or r.seq not in (select unnest(p_held)))
      order by r.seq limit p_want
    ) x order by x.seq limit p_want
  ) y;
  return part;
end $$;

-- Only the first 64 KiB of payloads travel with the reply.
create function {schema}.small_payloads(p_payloads bytea[], p_sizes int[]) returns bytea[] language plpgsql as $$
declare total bigint := 0; n int := 0; size int;
begin
  foreach size in array p_sizes loop
    if size <= 4096 then
      total := total + size;
      exit when total > 65536;
    end if;
    n := n + 1;
  end loop;
  if n = cardinality(p_sizes) then return p_payloads; end if;
  return p_payloads[1 : n] || array_fill(null::bytea, array[cardinality(p_sizes) - n]);
end $$;

create function {schema}.append_part(p {schema}.claimed, x {schema}.claimed) returns {schema}.claimed
language plpgsql as $$
declare had int := cardinality(p.seqs); n int := cardinality(x.seqs);
begin
  if n is null then return p; end if;
  if had is null then
    x.answers := p.answers; x.contended := p.contended; x.top := p.top;
    return x;
  end if;
  if x.headers is not null or p.headers is not null then
    p.headers := coalesce(p.headers, array_fill(null::text, array[had])) || coalesce(x.headers, array_fill(null::text, array[n]));
  end if;
  if x.idem_keys is not null or p.idem_keys is not null then
    p.idem_keys := coalesce(p.idem_keys, array_fill(null::bytea, array[had])) || coalesce(x.idem_keys, array_fill(null::bytea, array[n]));
    p.idem_scopes := coalesce(p.idem_scopes, array_fill(null::bytea, array[had])) || coalesce(x.idem_scopes, array_fill(null::bytea, array[n]));
  end if;
  p.lanes := p.lanes || x.lanes; p.seqs := p.seqs || x.seqs; p.ids := p.ids || x.ids;
  p.attempts := p.attempts || x.attempts; p.maxes := p.maxes || x.maxes; p.claims := p.claims || x.claims;
  p.versions := p.versions || x.versions; p.enqueued := p.enqueued || x.enqueued;
  p.payloads := p.payloads || x.payloads; p.sizes := p.sizes || x.sizes; p.lease_no := p.lease_no || x.lease_no;
  return p;
end $$;

-- The jobs that leases still hold, for a claim that is repeated.
create function {schema}.reclaim(p_queue int, p_leases uuid[]) returns {schema}.claimed
language plpgsql as $$
declare c {schema}.claimed;
begin
  select null, false, max(x.top) filter (where x.no = 0), array_agg(x.lane), array_agg(x.seq), array_agg(x.id),
      array_agg(x.attempt + 1), array_agg(x.max_attempts), array_agg(x.claims + 1), array_agg(x.no), array_agg(x.version),
      array_agg((date_part('epoch', x.enqueued_at) * 1000000)::bigint), array_agg(null::bytea),
      array_agg(x.headers::text), array_agg(x.idem_scope), array_agg(x.idem_key), array_agg(octet_length(x.payload)),
      (date_part('epoch', clock_timestamp()) * 1000000)::bigint, null, max(x.at_once), max(x.ahead[1])
    into c
    from (
      select l.top, (a.n - 1)::smallint as no, l.at_once, l.ahead, r.*
      from unnest(p_leases) with ordinality a(id, n)
      join {schema}.lease l on l.id = a.id and l.queue_id = p_queue
      cross join lateral unnest(l.seqs) with ordinality u(seq, m)
      cross join lateral (select k.* from {schema}.ready k where k.lane = any(l.lanes) and k.seq = u.seq) r
      join {schema}.lane n on n.id = r.lane
      order by a.n > 1, n.priority, n.stage desc, r.seq
    ) x;
  c.contended := false;
  return c;
end $$;

-- Up to where no lease is live: those since the mark have rows above its lows.
create function {schema}.no_lease_to(s {schema}.mark, p_queue int) returns bigint language plpgsql stable as $$
begin
  return (
    select least(s.lease_floor, min(coalesce(m.low, 0)))
    from {schema}.lane n left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = n.id where n.queue_id = p_queue);
end $$;

-- The same, for a mark: as far as that can be said now.
create function {schema}.lease_floor(s {schema}.mark, p_queue int) returns bigint language plpgsql stable as $$
declare floor bigint := {schema}.no_lease_to(s, p_queue);
begin
  return coalesce((
    select e.top - 1 from {schema}.lease e where e.queue_id = p_queue and e.top > floor order by e.top limit 1
  ), 9223372036854775807);
end $$;

-- Moves the low-water marks. The order of four things keeps late commits from being lost: producers assign their xid
-- before they draw a seq; p_last was read before this transaction got its own xid; the mark stores that own xid; a row
-- that comes back draws a new seq.
create function {schema}.move_mark(s {schema}.mark, p_queue int, p_last bigint, p_snapshot pg_snapshot, p_hot boolean,
  p_lanes int[], p_tops bigint[]) returns void
language plpgsql as $$
declare running xid8[]; blockers xid8[]; ended_clear bigint; hot smallint; since interval;
begin
  hot := case when p_hot then 2 else coalesce(s.hot, 0) - 1 end;
  since := clock_timestamp() - s.marked_at;
  if cardinality(s.stragglers) > 0 then
    select coalesce(array_agg(x), '{}') into running from pg_snapshot_xip(p_snapshot) x;
    select min(c) into ended_clear from unnest(s.stragglers, s.straggler_clears) z(x, c)
      where x <> all(running) and x < pg_snapshot_xmax(p_snapshot);
    if ended_clear is not null then
      -- One ended: look once more from what was clear when it was passed.
      insert into {schema}.mark select p_queue, s.no + 1, s.clear, p_last, pg_current_xact_id(), clock_timestamp(), 2, s.lanes,
        (select array_agg(least(l, ended_clear) order by n) from unnest(s.lows) with ordinality y(l, n)),
        coalesce(array_agg(x), '{}'), coalesce(array_agg(c), '{}'), s.lease_floor
        from unnest(s.stragglers, s.straggler_clears) z(x, c)
        where x = any(running) or x >= pg_snapshot_xmax(p_snapshot);
      return;
    end if;
  end if;
  if hot < 0 or since < interval '300 ms' or s.mark_xid > pg_snapshot_xmax(p_snapshot) then return; end if;
  select coalesce(array_agg(x), '{}') into blockers from pg_snapshot_xip(p_snapshot) x
    where x < s.mark_xid and x <> all(s.stragglers);
  if cardinality(blockers) > 0 and since < interval '1 s' then return; end if;
  insert into {schema}.mark select p_queue, coalesce(s.no, 0) + 1, greatest(s.clear, s.mark_seq), p_last, pg_current_xact_id(),
    clock_timestamp(), hot, coalesce(array_agg(m.lane), '{}'), coalesce(array_agg(m.low), '{}'),
    s.stragglers || blockers, s.straggler_clears || array_fill(s.clear, array[cardinality(blockers)]),
    {schema}.lease_floor(s, p_queue)
    from (
      -- A lane was scanned up to its top, or to its end if that is null.
      select lane, greatest(coalesce(a.low, 0),
        case when b.lane is null then 0 else least(greatest(s.clear, s.mark_seq), coalesce(b.top, 9223372036854775807)) end)
      from unnest(s.lanes, s.lows) a(lane, low) full join unnest(p_lanes, p_tops) b(lane, top) using (lane)
    ) m(lane, low);
end $$;

-- What one claim has looked at: its jobs, and how far it looked in which lane (to the end where the top is null).
create type {schema}.looked as (found {schema}.claimed, lanes int[], tops bigint[]);

-- Looks through the lanes of some stages, in order, for `p_want` jobs.
create function {schema}.look(p_queue int, s {schema}.mark, p_held bigint[], p_kinds text[], p_stages smallint[], p_want int)
returns {schema}.looked language plpgsql as $$
declare g record; x {schema}.claimed; found {schema}.claimed; lanes int[] := '{}'; tops bigint[] := '{}'; want int := p_want;
begin
  for g in
    select array_agg(l.id) as ids, array_agg(coalesce(m.low, 0)) as lows
    from {schema}.lane l left join unnest(s.lanes, s.lows) m(lane, low) on m.lane = l.id
    where l.queue_id = p_queue and l.kind = any(p_kinds) and l.stage = any(p_stages)
    group by l.priority, l.stage order by l.priority, l.stage desc
  loop
    exit when want <= 0;
    x := {schema}.scan(g.ids, g.lows, p_held, want);
    lanes := lanes || g.ids;
    tops := tops || array_fill(case when cardinality(x.seqs) = want then x.seqs[want] end, array[cardinality(g.ids)]);
    continue when x.seqs is null;
    want := want - cardinality(x.seqs);
    found := {schema}.append_part(found, x);
  end loop;
  return (found, lanes, tops);
end $$;
