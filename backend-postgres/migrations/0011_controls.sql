-- Kinds whose claims are stopped. In the row that a claim reads anyway, so that nothing is looked up when none is.
alter table {schema}.queue add column paused_kinds text[] not null default '{}';

-- Stops the claims of one kind or lets it be claimed again; the queue need not have seen it.
create function {schema}.set_kind_paused(p_queue text, p_kind text, p_paused boolean) returns void language sql as $$
  insert into {schema}.queue (name, paused_kinds) values (p_queue, case when p_paused then array[p_kind] else '{}' end)
    on conflict (name) do update set paused_kinds =
      array_remove(queue.paused_kinds, p_kind) || case when p_paused then array[p_kind] else '{}' end
$$;
