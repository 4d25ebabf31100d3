-- What alerts look at, without a look at every job: the dead and ready ones are counted up to p_count, and of each lane the
-- first row is read. `given` is the last seq drawn, `numbers` the lowest seq of a kind that no lease holds.
create function {schema}.gauges(p_queue text, p_count int, out paused boolean, out paused_kinds text[], out dead bigint,
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
