-- Kinds whose claims are stopped. In the row that a claim reads anyway, so that nothing is looked up when none is.
alter table {schema}.queue add column paused_kinds text[] not null default '{}';

-- Stops the claims of one kind or lets it be claimed again; the queue need not have seen it.
create function {schema}.set_kind_paused(p_queue text, p_kind text, p_paused boolean) returns void language sql as $$
  insert into {schema}.queue (name, paused_kinds) values (p_queue, case when p_paused then array[p_kind] else '{}' end)
    on conflict (name) do update set paused_kinds =
      array_remove(queue.paused_kinds, p_kind) || case when p_paused then array[p_kind] else '{}' end
$$;

create index dead_died on {schema}.dead (queue_id, died_at);

-- Removes jobs that have been dead for too long, the oldest first. Whoever replays or changes one at the same moment wins. A time
-- beyond a century is one.
create function {schema}.prune_dead(p_queue text, p_kept_us bigint, p_limit int) returns bigint
language plpgsql set jit = off set enable_seqscan = off as $$
declare
  q int; gone uuid[];
  before timestamptz := clock_timestamp() - least(p_kept_us, 3155760000000000) * interval '1 microsecond';
begin
  select k.id into q from {schema}.queue k where k.name = p_queue;
  with old as (
    select d.ctid from {schema}.dead d where d.queue_id = q and d.died_at < before
    order by d.died_at limit p_limit for update skip locked
  ), gone as (
    delete from {schema}.dead d using old where d.ctid = old.ctid returning d.id, d.headers
  ), told as (
    select g.id, {schema}.arrive(g.id, g.headers, false) from gone g
  )
  select coalesce(array_agg(t.id), '{}') into gone from told t;
  delete from {schema}.note n where n.job = any(gone);
  return cardinality(gone);
end $$;
