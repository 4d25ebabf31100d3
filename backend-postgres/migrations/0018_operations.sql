-- What was done to many jobs at once. The texts mean nothing to the store.
create table {schema}.operation (
  queue_id int not null references {schema}.queue,
  id uuid not null,
  number bigint not null,
  began_at timestamptz not null,
  updated_at timestamptz not null,
  text text not null,
  primary key (queue_id, id)
);
create index operation_began on {schema}.operation (queue_id, began_at);

create function {schema}.note_operation(p_queue text, p_id uuid, p_number bigint, p_kept_us bigint, p_text text)
returns void language plpgsql as $$
declare q int := {schema}.queue_of(p_queue); now timestamptz := clock_timestamp(); began timestamptz;
begin
  insert into {schema}.operation as o (queue_id, id, number, began_at, updated_at, text)
    values (q, p_id, p_number, now, now, p_text)
    on conflict (queue_id, id) do update
      set updated_at = excluded.updated_at, number = excluded.number, text = excluded.text
      where o.number < excluded.number
    returning o.began_at into began;
  -- Others go when a row has just been made, not whenever one is noted.
  if began = now then
    delete from {schema}.operation o where o.queue_id = q and o.began_at < greatest(
      now - least(p_kept_us, 3155760000000000) * interval '1 microsecond',
      (select x.began_at from {schema}.operation x where x.queue_id = q order by x.began_at desc offset 999 limit 1));
  end if;
end $$;
