-- Writes notes of one job, and takes away those whose value is null.
create function {schema}.write_notes(p_job uuid, p_names text[], p_values bytea[]) returns void
language plpgsql set jit = off set enable_seqscan = off as $$
begin
  delete from {schema}.note n using unnest(p_names, p_values) e(name, value)
    where n.job = p_job and n.name = e.name and e.value is null;
  insert into {schema}.note (job, name, value)
    select p_job, e.name, e.value from unnest(p_names, p_values) e(name, value) where e.value is not null
    on conflict (job, name) do update set value = excluded.value, at = excluded.at;
end $$;

-- Whether a lease is there and was granted this row.
create function {schema}.covers(p_queue text, p_top bigint, p_lease uuid, p_seq bigint) returns boolean
language plpgsql set jit = off set enable_seqscan = off as $$
begin
  return exists (
    select from {schema}.lease l join {schema}.queue q on q.id = l.queue_id
    where q.name = p_queue and l.top = p_top and l.id = p_lease and p_seq = any(l.seqs)
  );
end $$;

-- Writes notes of a job that runs. False if the lease does not hold the job. The row's lock keeps
-- the lease from being ended meanwhile; whoever takes rows away passes over locked ones or waits.
create function {schema}.save(p_queue text, p_job uuid, p_lane int, p_seq bigint, p_top bigint, p_lease uuid, p_names text[],
  p_values bytea[]) returns boolean
language plpgsql set jit = off set enable_seqscan = off as $$
begin
  perform from {schema}.ready r where r.lane = p_lane and r.seq = p_seq and r.id = p_job for share;
  if not found or not {schema}.covers(p_queue, p_top, p_lease, p_seq) then
    return false;
  end if;
  perform {schema}.write_notes(p_job, p_names, p_values);
  return true;
end $$;

-- Completes one job in the caller's transaction: 0 done, 1 this lease has settled it before, 2 the lease does not hold it. The
-- lease's row is left alone, so that a long transaction keeps nobody from extending the lease.
create function {schema}.complete_in(p_queue text, p_job uuid, p_lane int, p_seq bigint, p_top bigint, p_lease uuid) returns int
language plpgsql set jit = off set enable_seqscan = off as $$
declare r {schema}.ready;
begin
  if {schema}.covers(p_queue, p_top, p_lease, p_seq) then
    delete from {schema}.ready x where x.lane = p_lane and x.seq = p_seq and x.id = p_job returning * into r;
    if found then
      perform {schema}.finish(r.id, r.unique_scope, r.unique_key, r.headers);
      insert into {schema}.settled (lease, seqs) values (p_lease, array[p_seq]);
      return 0;
    end if;
  end if;
  return case when exists (select from {schema}.settled d where d.lease = p_lease and p_seq = any(d.seqs)) then 1 else 2 end;
end $$;
