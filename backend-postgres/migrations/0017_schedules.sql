-- Schedules: how far each has been decided. Its texts mean nothing to the store.
create table {schema}.schedule (
  queue_id int not null references {schema}.queue,
  name text not null,
  version bigint not null,
  definition text not null,
  job text not null,
  watermark timestamptz not null check (isfinite(watermark)),
  paused boolean not null default false,
  primary key (queue_id, name)
) with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0
);

-- Versions only grow, also when a schedule is removed and comes back.
create sequence {schema}.schedule_version as bigint;

-- Keeps schedules. The same definition keeps version and watermark; another one begins now. Sorted, so that two calls wait for each
-- other in no circle.
create function {schema}.put_schedules(p_queue text, p_names text[], p_definitions text[], p_jobs text[]) returns void
language plpgsql as $$
declare q int := {schema}.queue_of(p_queue); d record;
begin
  for d in select * from unnest(p_names, p_definitions, p_jobs) x(name, definition, job) order by x.name loop
    update {schema}.schedule s set job = d.job
      where s.queue_id = q and s.name = d.name and s.definition = d.definition and s.job <> d.job;
    continue when found;
    insert into {schema}.schedule as s (queue_id, name, version, definition, job, watermark)
      values (q, d.name, nextval('{schema}.schedule_version'), d.definition, d.job, clock_timestamp())
      on conflict (queue_id, name) do update
        set version = excluded.version, definition = excluded.definition, job = excluded.job, watermark = clock_timestamp()
        where s.definition <> excluded.definition;
  end loop;
end $$;

-- One step of a schedule: 0 done, now or by an earlier call, 1 it is not as it was seen, 2 too early. Whoever comes at the same moment
-- waits for the row, and then finds it changed.
create function {schema}.fire(p_queue text, p_name text, p_version bigint, p_from timestamptz, p_to timestamptz,
  p_channel text, p_notify text[], p_request uuid, p_lanes int[], p_ids uuid[],
  p_payloads bytea[], p_max int[], p_versions bigint[], p_headers text[], p_delays bigint[], p_ats bigint[],
  p_iscopes bytea[], p_ikeys bytea[], p_iwindows bigint[], p_uscopes bytea[], p_ukeys bytea[], p_policies smallint[], p_max_waits bigint[],
  p_own boolean, out outcome int, out told uuid[])
language plpgsql as $$
declare s {schema}.schedule; jobs int := cardinality(p_ids);
begin
  outcome := 1;
  select x.* into s from {schema}.schedule x join {schema}.queue k on k.id = x.queue_id
    where k.name = p_queue and x.name = p_name for update of x;
  -- After the lock: the first of two equal calls may have just ended.
  if jobs > 0 then
    perform from {schema}.enqueued e where e.request = p_request;
    if found then
      outcome := 0;
      told := {schema}.enqueue(p_channel, null, p_request, p_lanes, p_ids, p_payloads, p_max, p_versions, p_headers, p_delays, p_ats,
        p_iscopes, p_ikeys, p_iwindows, p_uscopes, p_ukeys, p_policies, p_max_waits, p_own);
      return;
    end if;
  end if;
  if s.version is distinct from p_version or s.paused then return; end if;
  if jobs = 0 and s.watermark = p_to then
    outcome := 0;
    return;
  end if;
  if s.watermark <> p_from or p_to <= s.watermark then return; end if;
  if p_to > clock_timestamp() then
    outcome := 2;
    return;
  end if;
  update {schema}.schedule x set watermark = p_to where x.queue_id = s.queue_id and x.name = s.name;
  outcome := 0;
  if jobs > 0 then
    told := {schema}.enqueue(p_channel, p_notify, p_request, p_lanes, p_ids, p_payloads, p_max, p_versions, p_headers, p_delays, p_ats,
      p_iscopes, p_ikeys, p_iwindows, p_uscopes, p_ukeys, p_policies, p_max_waits, p_own);
  end if;
end $$;

-- 0 pause, 1 resume from now on, 2 remove, 3 remove if it is as it was seen.
create function {schema}.change_schedule(p_queue text, p_name text, p_change smallint, p_version bigint, p_watermark timestamptz)
returns boolean language plpgsql as $$
declare q int;
begin
  select k.id into q from {schema}.queue k where k.name = p_queue;
  if p_change >= 2 then
    delete from {schema}.schedule s where s.queue_id = q and s.name = p_name
      and (p_change = 2 or (s.version = p_version and s.watermark = p_watermark));
  else
    update {schema}.schedule s set paused = p_change = 0,
        watermark = case when p_change = 1 and s.paused then clock_timestamp() else s.watermark end
      where s.queue_id = q and s.name = p_name;
  end if;
  return found;
end $$;
