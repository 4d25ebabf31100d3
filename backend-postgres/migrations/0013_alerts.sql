-- What workers have raised: the last report of each, as JSON, and when it ends.
create table {schema}.alert_report (
  worker uuid primary key,
  valid_until timestamptz not null check (isfinite(valid_until)),
  alerts text not null
);

-- Keeps the report of a worker in place of its last one, none if p_alerts is null, and forgets those that are over. Waits for no
-- other worker.
create function {schema}.report_alerts(p_worker uuid, p_valid_us bigint, p_alerts text) returns void language plpgsql as $$
begin
  delete from {schema}.alert_report r using (
    select o.worker from {schema}.alert_report o
    where o.valid_until <= clock_timestamp() and o.worker <> p_worker for update skip locked
  ) x where r.worker = x.worker;
  if p_alerts is null then
    delete from {schema}.alert_report r where r.worker = p_worker;
  else
    insert into {schema}.alert_report (worker, valid_until, alerts)
      values (p_worker, clock_timestamp() + p_valid_us * interval '1 microsecond', p_alerts)
      on conflict (worker) do update set valid_until = excluded.valid_until, alerts = excluded.alerts;
  end if;
end $$;
