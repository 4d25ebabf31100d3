-- One row a batch that some job waits for.
create table {schema}.batch (
  id uuid primary key,
  members int not null check (members > 0),
  ended int not null default 0,
  deaths int not null default 0,
  on_complete uuid,
  on_death uuid,
  over_at timestamptz
);
create index batch_over on {schema}.batch (over_at) where over_at is not null;

-- Ends and deaths of members that are not counted yet. Whoever ends a job only appends here: were the batch's row locked, all
-- members would wait for each other, and for the transactions of the application.
create table {schema}.arrival (
  batch uuid not null,
  job uuid not null,
  died boolean not null,
  at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index arrival_batch on {schema}.arrival (batch);

-- Members that have died, once each however often they did.
create table {schema}.batch_death (
  batch uuid not null references {schema}.batch on delete cascade,
  job uuid not null,
  primary key (batch, job)
);

-- The batch that headers name; null if they name none.
create function {schema}.batch_of(p_headers jsonb) returns uuid language sql immutable as $$
  select case when p_headers ->> 'steadfast-batch' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    then (p_headers ->> 'steadfast-batch')::uuid end
$$;

create function {schema}.arrive(p_id uuid, p_headers jsonb, p_died boolean) returns void language plpgsql as $$
declare b uuid := case when p_headers is not null then {schema}.batch_of(p_headers) end;
begin
  if b is not null then
    insert into {schema}.arrival (batch, job, died) values (b, p_id, p_died);
  end if;
end $$;

-- A job, which is stored, waits for an event of a batch.
create function {schema}.wait_for_batch(p_batch uuid, p_members int, p_death boolean, p_job uuid) returns void
language plpgsql as $$
declare b {schema}.batch;
begin
  insert into {schema}.batch (id, members, on_complete, on_death)
    values (p_batch, p_members, case when not p_death then p_job end, case when p_death then p_job end)
    on conflict (id) do update set on_complete = coalesce(excluded.on_complete, {schema}.batch.on_complete),
      on_death = coalesce(excluded.on_death, {schema}.batch.on_death)
    returning * into b;
  -- It may come too late to wait.
  if (p_death and b.deaths > 0) or (not p_death and b.over_at is not null) then
    perform {schema}.run_now(p_job);
  end if;
end $$;

-- Makes a job ready that waits for its time. Its queue, null if it does not wait.
create function {schema}.run_now(p_id uuid) returns text language plpgsql set enable_seqscan = off as $$
declare d {schema}.later;
begin
  delete from {schema}.later l where l.id = p_id and l.parked is null returning * into d;
  if not found then return null; end if;
  insert into {schema}.ready (lane, id, attempt, max_attempts, claims, crashes, version, enqueued_at, payload, headers,
      errors, idem_scope, idem_key, unique_scope, unique_key)
    values (d.lane, d.id, d.attempt, d.max_attempts, d.claims, d.crashes, d.version, d.enqueued_at, d.payload, d.headers,
      d.errors, d.idem_scope, d.idem_key, d.unique_scope, d.unique_key);
  return (select q.name from {schema}.queue q where q.id = d.queue_id);
end $$;

-- Counts what has arrived, and makes those jobs ready whose event has come. Returns their queues.
create function {schema}.advance(p_limit int) returns text[]
language plpgsql set jit = off set enable_seqscan = off as $$
declare b {schema}.batch; ended int; deaths int; woken text[] := '{}';
begin
  for b in
    select x.* from {schema}.batch x
      where x.id in (
        select distinct a.batch from {schema}.arrival a where exists (select from {schema}.batch y where y.id = a.batch) limit p_limit)
      order by x.id for update skip locked
  loop
    with gone as (
      delete from {schema}.arrival a where a.batch = b.id returning a.job, a.died
    ), dead as (
      insert into {schema}.batch_death (batch, job) select distinct b.id, g.job from gone g where g.died
        on conflict do nothing returning 1
    )
    select (select count(*) from gone g where not g.died), (select count(*) from dead) into ended, deaths;
    b.ended := b.ended + ended;
    b.deaths := b.deaths + deaths;
    -- Once: from then on it runs and fails like any other job.
    if deaths > 0 and deaths = b.deaths and b.on_death is not null then
      woken := woken || {schema}.run_now(b.on_death);
    end if;
    if b.ended >= b.members and b.over_at is null then
      b.over_at := clock_timestamp();
      if b.on_complete is not null then
        woken := woken || {schema}.run_now(b.on_complete);
      end if;
      if b.deaths = 0 and b.on_death is not null then
        perform {schema}.cancel(b.on_death);
      end if;
    end if;
    update {schema}.batch x set ended = b.ended, deaths = b.deaths, over_at = b.over_at where x.id = b.id;
  end loop;
  return array(select distinct w from unnest(woken) w where w is not null order by w);
end $$;
