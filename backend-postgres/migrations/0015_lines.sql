create function {schema}.line_of(p_queue int, p_kind text, p_key text) returns uuid language sql stable as $$
  select encode(substring(sha256(convert_to(p_queue::text || '/' || p_kind || '/' || p_key, 'UTF8')) for 16), 'hex')::uuid
$$;

-- From now on claims of this queue look for lines.
create function {schema}.open_lines(p_queue int) returns void language plpgsql as $$
begin
  if not (select q.lined from {schema}.queue q where q.id = p_queue) then
    update {schema}.queue q set lined = true where q.id = p_queue and not q.lined;
  end if;
end $$;

-- Whatever becomes ready and has a line goes there, whoever makes it ready. What was reaped stays among suspects, where it is
-- still out.
create function {schema}.into_line() returns trigger language plpgsql as $$
declare n {schema}.lane; key text := new.headers ->> 'steadfast-line'; note text;
begin
  if key is null then return new; end if;
  select * into n from {schema}.lane x where x.id = new.lane;
  new.line := {schema}.line_of(n.queue_id, n.kind, key);
  if n.stage >= 2 then return new; end if;
  perform {schema}.open_lines(n.queue_id);
  insert into {schema}.waiting
    values (new.line, n.priority * 2 + (n.stage = 0)::int, new.seq,
      case when n.stage = 0 then n.id else {schema}.stage_lane(n.id, 0::smallint) end, new.id, new.attempt, new.max_attempts,
      new.claims, new.crashes, new.version, new.enqueued_at, new.payload, new.headers, new.errors, new.idem_scope, new.idem_key,
      new.unique_scope, new.unique_key);
  -- One note says it for all that a transaction brings, one after the other, into one line.
  note := tg_relid || ' ' || new.line;
  if current_setting('steadfast.noted', true) is distinct from note then
    insert into {schema}.line_note (queue_id, line) values (n.queue_id, new.line);
    perform set_config('steadfast.noted', note, true);
  end if;
  return null;
end $$;
create trigger into_line before insert on {schema}.ready for each row
  when (new.line is null and new.headers ? 'steadfast-line') execute function {schema}.into_line();

create function {schema}.out_of_ready() returns trigger language plpgsql as $$
begin
  insert into {schema}.line_note (queue_id, line) select n.queue_id, old.line from {schema}.lane n where n.id = old.lane;
  return null;
end $$;
create trigger out_of_ready after delete on {schema}.ready for each row
  when (old.line is not null) execute function {schema}.out_of_ready();

-- A line that is ordered may stand still for a job that waits for its time.
create function {schema}.out_of_later() returns trigger language plpgsql as $$
begin
  insert into {schema}.line_note (queue_id, line)
    select n.queue_id, {schema}.line_of(n.queue_id, n.kind, old.headers ->> 'steadfast-line')
    from {schema}.lane n where n.id = old.lane and old.headers ->> 'steadfast-line' is not null;
  return null;
end $$;
create trigger out_of_later after delete on {schema}.later for each row
  when (old.headers ? 'steadfast-line') execute function {schema}.out_of_later();

-- Puts lines that were spoken of, and those that have a token again, at the end of the order. `top`: how far the notes were read, null
-- if to their end.
create function {schema}.fold(p_queue int, p_low bigint, out top bigint) language plpgsql as $$
declare notes tid[]; naps tid[]; lines uuid[]; nos bigint[]; due uuid[]; now bigint := {schema}.now_us();
begin
  select array_agg(n.ctid), array_agg(n.line), array_agg(n.no) into notes, lines, nos from (
    select x.ctid, x.line, x.no from {schema}.line_note x where x.queue_id = p_queue and x.no > p_low order by x.no limit 1000) n;
  select array_agg(n.ctid), array_agg(n.line) into naps, due from (
    select x.ctid, x.line from {schema}.nap x where x.queue_id = p_queue and x.due <= now
    order by x.due limit 1000) n;
  if naps is not null then
    delete from {schema}.nap n where n.ctid = any(naps);
    lines := due || lines;
    nos := array_fill(0::bigint, array[cardinality(due)]) || nos;
  end if;
  if lines is null then return; end if;
  if cardinality(notes) = 1000 then top := nos[cardinality(nos)]; end if;
  delete from {schema}.line_note n where n.ctid = any(notes);
  insert into {schema}.turn (queue_id, kind, line, no)
    select p_queue, x.kind, x.line, nextval('{schema}.seq') from (
      select w.kind, u.line from (
          select z.line, min(z.n) as n from unnest(lines) with ordinality z(line, n) group by z.line) u
        cross join lateral (
          select n.kind from {schema}.waiting w join {schema}.lane n on n.id = w.lane where w.line = u.line limit 1) w
      where not exists (select from {schema}.turn t where t.line = u.line)
        and not exists (select from {schema}.nap p where p.line = u.line)
      order by u.n) x;
end $$;

-- A kind whose jobs a claim may take: above which number its turns are, which of the claim's limits it is under, and what each of
-- its lines may take.
create type {schema}.kind_room as (
  kind text, low bigint, limits int[], concurrency bigint, interval_us bigint, depth_us bigint, ordered boolean
);

-- How many jobs limits have room for, of which this much is left.
create function {schema}.room_of(p_limits int[], p_left bigint[]) returns bigint language plpgsql immutable as $$
declare room bigint := 1000000; i int;
begin
  foreach i in array p_limits loop
    room := least(room, p_left[i]);
  end loop;
  return room;
end $$;

-- Moves jobs out of their lines into the ready log, in this order. Whoever takes one away at this moment is not waited for.
create function {schema}.let_out(p_queue int, p_ids uuid[], p_lines uuid[], out lanes int[], out seqs bigint[])
language plpgsql as $$
begin
  with mine as (
    select w.ctid as tid, u.n from unnest(p_ids) with ordinality u(id, n)
      cross join lateral (select x.ctid from {schema}.waiting x where x.id = u.id for update skip locked) w
  ), gone as (
    delete from {schema}.waiting w using mine m where w.ctid = m.tid returning w.*, m.n
  ), out as (
    insert into {schema}.ready (lane, id, attempt, max_attempts, claims, crashes, version, enqueued_at, payload, headers, errors,
        idem_scope, idem_key, unique_scope, unique_key, line)
      select coalesce(s.id, {schema}.stage_lane(g.lane, 4::smallint)), g.id, g.attempt, g.max_attempts, g.claims, g.crashes,
        g.version, g.enqueued_at, g.payload, g.headers, g.errors, g.idem_scope, g.idem_key, g.unique_scope, g.unique_key, g.line
      from gone g join {schema}.lane b on b.id = g.lane
        left join {schema}.lane s on s.queue_id = b.queue_id and s.kind = b.kind and s.priority = b.priority and s.stage = 4
      order by g.n
      returning lane, seq
  )
  select coalesce(array_agg(o.lane order by o.seq), '{}'), coalesce(array_agg(o.seq order by o.seq), '{}') into lanes, seqs from out o;
  if cardinality(seqs) < cardinality(p_ids) then
    insert into {schema}.line_note (queue_id, line) select p_queue, x from (select distinct u from unnest(p_lines) u) y(x);
  end if;
end $$;

-- What some lines of the order can give, as one row for each job: `most` is what the line may give, `cap` what is asked of it now. A
-- row beyond these says only that there is more. p_look lines at most: if there are no more, each is asked for as many turns as it takes.
create function {schema}.offers(p_queue int, p_rooms {schema}.kind_room[], p_left bigint[], p_look int, p_want int)
returns table (tid tid, o int, kind text, line uuid, given int, weight int, most bigint, cap bigint, tokens bigint, next_us bigint,
  keeps boolean, all_lines boolean, limits int[], id uuid, k bigint)
language plpgsql stable as $$
#variable_conflict use_column
begin
  return query with first as (
    select t.*, row_number() over (order by t.no)::int as o, count(*) over () as n from (
      select x.*, k.concurrency, k.interval_us, k.depth_us, k.ordered, k.limits
      from unnest(p_rooms) k cross join lateral (
        select t.ctid as tid, t.kind, t.no, t.line, t.given from {schema}.turn t
        where t.queue_id = p_queue and t.kind = k.kind and t.no > k.low order by t.no limit p_look) x
      where {schema}.room_of(k.limits, p_left) > 0
      order by x.no limit p_look
    ) t
  ), able as (
    select f.*, l.head, coalesce(l.weight, 1) as weight, greatest(l.tat, x.now) - f.depth_us + f.interval_us as next_us,
      case when f.interval_us is not null then greatest((x.now + f.depth_us - greatest(l.tat, x.now)) / f.interval_us, 0) end as tokens,
      greatest(least(
        f.concurrency - (
          select count(*) from (select from {schema}.ready r where r.line = f.line limit coalesce(f.concurrency, 0)) z),
        case when f.ordered then case
          when exists (select from {schema}.ready r where r.line = f.line) then 0
          when exists (select from {schema}.later z where z.id = l.head) then 0 else 1 end end,
        1000000), 0) as free
    from first f cross join (select {schema}.now_us()) x(now)
      left join lateral (select z.weight, z.tat, z.head from {schema}.line z where z.id = f.line limit 1) l on true
  ), asked as (
    select a.*, least(a.free, a.tokens) as most, b.given as had,
      a.weight * case when a.n < p_look then (p_want + a.n - 1) / a.n else 1 end - b.given as cap,
      case when a.ordered then (select w.id from {schema}.waiting w where w.id = a.head) end as only
    from able a cross join lateral (select case when a.given < a.weight then a.given else 0 end) b(given)
  )
  select a.tid, a.o, a.kind, a.line, a.had, a.weight, a.most, a.cap, a.tokens, a.next_us, a.ordered or a.interval_us is not null,
    a.n < p_look, a.limits, w.id, w.k
  from asked a left join lateral (
    select z.id, row_number() over (order by z.rank, z.place) as k from (
      (select w.id, w.rank, w.place from {schema}.waiting w where a.only is null and w.line = a.line
        order by w.rank, w.place limit least(a.most, a.cap) + 1)
      union all
      select w.id, w.rank, w.place from {schema}.waiting w where w.id = a.only
    ) z
  ) w on true
  order by (a.had + coalesce(w.k, 1) - 1) / a.weight, a.o, w.k;
end $$;

-- What a claim got out of lines. `stalled`: some were passed over that wait for no time.
create type {schema}.fed as (lanes int[], seqs bigint[], stalled boolean, cut boolean);

-- Lets lines give, in turn, up to p_want jobs.
create function {schema}.feed(p_queue int, p_rooms {schema}.kind_room[], p_left bigint[], p_want int)
returns {schema}.fed language plpgsql as $$
declare
  f {schema}.fed; c record; i int; n int; want int := p_want; look int := p_want; everything boolean; moved record;
  tids tid[]; kinds text[]; lines uuid[]; givens int[]; weights int[]; free bigint[]; tokens bigint[]; nexts bigint[]; keeps boolean[];
  gave int[]; more boolean[]; last int[]; heads uuid[]; ids uuid[]; of uuid[]; out_tids tid[]; ends int[]; naps int[];
begin
  f := ('{}', '{}', false, true);
  for pass in 1 .. 12 loop
    n := 0; everything := true; ids := '{}'; of := '{}'; out_tids := '{}'; ends := '{}'; naps := '{}';
    for c in select * from {schema}.offers(p_queue, p_rooms, p_left, look, want) loop
      everything := c.all_lines;
      if c.o > n or tids[c.o] is null then
        n := greatest(n, c.o);
        tids[c.o] := c.tid; kinds[c.o] := c.kind; lines[c.o] := c.line; givens[c.o] := c.given; weights[c.o] := c.weight;
        free[c.o] := c.most; tokens[c.o] := c.tokens; nexts[c.o] := c.next_us; keeps[c.o] := c.keeps;
        gave[c.o] := 0; more[c.o] := false; last[c.o] := 0; heads[c.o] := null;
      end if;
      continue when c.id is null;
      if c.k > c.most or c.k > c.cap or cardinality(ids) >= want or {schema}.room_of(c.limits, p_left) <= 0 then
        more[c.o] := true;
        continue;
      end if;
      ids := ids || c.id; of := of || c.line;
      gave[c.o] := gave[c.o] + 1; last[c.o] := cardinality(ids); heads[c.o] := c.id;
      foreach i in array c.limits loop p_left[i] := p_left[i] - 1; end loop;
    end loop;
    exit when n = 0;
    for o in 1 .. n loop
      if not more[o] or free[o] <= gave[o] then
        out_tids := out_tids || tids[o];
        if more[o] then
          if tokens[o] <= gave[o] then naps := naps || o; else f.stalled := true; end if;
        end if;
      elsif gave[o] > 0 then
        if (givens[o] + gave[o]) % weights[o] = 0 then
          out_tids := out_tids || tids[o];
          ends := ends || o;
        else
          update {schema}.turn t set given = (givens[o] + gave[o]) % weights[o] where t.ctid = tids[o];
        end if;
      end if;
    end loop;
    delete from {schema}.turn t where t.ctid = any(out_tids);
    if cardinality(ends) > 0 then
      insert into {schema}.turn (queue_id, kind, line, no)
        select p_queue, kinds[x.o], lines[x.o], nextval('{schema}.seq')
        from (select u from unnest(ends) u order by last[u]) x(o);
    end if;
    if cardinality(ids) > 0 then
      select * into moved from {schema}.let_out(p_queue, ids, of);
      f.lanes := f.lanes || moved.lanes; f.seqs := f.seqs || moved.seqs;
      want := want - cardinality(ids);
      if true = any(keeps) then
        insert into {schema}.line as l (id, queue_id, kind, key, tat, head)
          select lines[o], p_queue, kinds[o], r.headers ->> 'steadfast-line',
            nexts[o] + gave[o] * z.interval_us + z.depth_us - z.interval_us, case when z.ordered then heads[o] end
          from generate_series(1, n) o cross join lateral (
              select k.interval_us, k.depth_us, k.ordered from unnest(p_rooms) k where k.kind = kinds[o] limit 1) z
            cross join lateral (select x.headers from {schema}.ready x where x.id = heads[o] limit 1) r
          where keeps[o] and gave[o] > 0
          on conflict (id) do update set tat = excluded.tat, head = coalesce(excluded.head, l.head);
      end if;
    end if;
    if cardinality(naps) > 0 then
      insert into {schema}.nap (line, queue_id, kind, due)
        select lines[o], p_queue, kinds[o], nexts[o] + gave[o] * z.interval_us
        from unnest(naps) o cross join lateral (
          select k.interval_us from unnest(p_rooms) k where k.kind = kinds[o] limit 1) z
        on conflict (line) do update set due = excluded.due;
    end if;
    f.cut := false;
    exit when want <= 0 or everything and cardinality(ids) = 0;
    f.cut := true;
    look := least(look * 2, 1000);
    tids := null;
  end loop;
  if n = 0 then f.cut := false; end if;
  return f;
end $$;

-- Who has waiting jobs, by kind and key.
create function {schema}.lines(p_queue text, p_kind text, p_key text, p_limit int)
returns table (kind text, key text, waiting bigint, "out" bigint, weight int) language sql as $$
  select x.kind, x.key, x.waiting, (select count(*) from {schema}.ready r where r.line = x.line),
    coalesce((select l.weight from {schema}.line l where l.id = x.line), 1)
  from (
    select n.kind, w.headers ->> 'steadfast-line' as key, w.line, count(*) as waiting
    from {schema}.queue q join {schema}.lane n on n.queue_id = q.id join {schema}.waiting w on w.lane = n.id
    where q.name = p_queue and (p_kind is null
      or (n.kind collate "C", (w.headers ->> 'steadfast-line') collate "C") > (p_kind, p_key))
    group by 1, 2, 3 order by n.kind collate "C", (w.headers ->> 'steadfast-line') collate "C" limit p_limit
  ) x order by x.kind collate "C", x.key collate "C"
$$;

create function {schema}.set_weight(p_queue text, p_kind text, p_key text, p_weight int) returns void language plpgsql as $$
declare q int;
begin
  select r.queue_id into q from {schema}.register(p_queue, '{}', '{}') r limit 1;
  perform pg_advisory_xact_lock({schema}.lock_class(), q);
  insert into {schema}.line as l (id, queue_id, kind, key, weight)
    values ({schema}.line_of(q, p_kind, p_key), q, p_kind, p_key, nullif(greatest(least(p_weight, 1000), 1), 1))
    on conflict (id) do update set weight = excluded.weight;
end $$;

-- Forgets lines that differ from others in nothing any more. Writes what claims write, so not beside one.
create function {schema}.forget_lines(p_queue int, p_limit int) returns void language plpgsql as $$
begin
  if not pg_try_advisory_xact_lock({schema}.lock_class(), p_queue) then return; end if;
  delete from {schema}.line l where l.ctid = any(array(
    select x.ctid from {schema}.line x
    where x.queue_id = p_queue and x.weight is null and coalesce(x.tat <= {schema}.now_us(), true)
      and not exists (select from {schema}.ready r where r.id = x.head)
      and not exists (select from {schema}.later r where r.id = x.head)
      and not exists (select from {schema}.waiting r where r.id = x.head)
    limit p_limit));
end $$;

-- What holds for a kind in a queue, in place of what did. Lines that stood still by the old rule are looked at by the new one.
create function {schema}.declare_kind(p_queue int, p_kind text, p_limits text[], p_line jsonb, p_ordered boolean) returns void
language plpgsql as $$
declare was {schema}.kind_limit; depth bigint := (p_line ->> 'depth_us')::bigint;
begin
  select * into was from {schema}.kind_limit k where k.queue_id = p_queue and k.kind = p_kind;
  if (coalesce(was.limits, '{}'), coalesce(was.line, '{}'), coalesce(was.ordered, false)) = (p_limits, p_line, p_ordered) then
    return;
  end if;
  perform pg_advisory_xact_lock({schema}.lock_class(), p_queue);
  insert into {schema}.kind_limit values (p_queue, p_kind, p_limits, p_line, p_ordered)
    on conflict (queue_id, kind) do update set limits = excluded.limits, line = excluded.line, ordered = excluded.ordered;
  if was.line is not distinct from p_line and was.ordered is not distinct from p_ordered then return; end if;
  update {schema}.line l set tat = {schema}.now_us() + depth
    where l.queue_id = p_queue and l.kind = p_kind and l.tat > {schema}.now_us() + depth;
  delete from {schema}.nap n where n.queue_id = p_queue and n.kind = p_kind;
  insert into {schema}.line_note (queue_id, line)
    select p_queue, x.line from (
      select distinct w.line from {schema}.lane n join {schema}.waiting w on w.lane = n.id
      where n.queue_id = p_queue and n.kind = p_kind) x
    where not exists (select from {schema}.turn t where t.line = x.line);
end $$;

-- What code says of limits, and of kinds in one queue; a limit with a null rule is taken back. Writes nothing that is so already. Locks
-- in the order of claims: first the queue, then limits by number.
create function {schema}.declare(p_queue text, p_names text[], p_rules jsonb[], p_kinds text[], p_limits jsonb[], p_lines jsonb[],
  p_ordered boolean[]) returns void language plpgsql set enable_seqscan = off as $$
declare q int; d record; changed int[] := '{}';
begin
  if cardinality(p_kinds) > 0 then
    select r.queue_id into q from {schema}.register(p_queue, '{}', '{}') r limit 1;
  end if;
  for d in select * from unnest(p_kinds, p_limits, p_lines, p_ordered) x(kind, limits, line, ordered) order by x.kind collate "C" loop
    perform {schema}.declare_kind(q, d.kind, array(select jsonb_array_elements_text(d.limits)), d.line, d.ordered);
  end loop;
  for d in select x.n, x.r from unnest(p_names, p_rules) x(n, r) order by x.n collate "C" loop
    changed := changed || {schema}.put_rule(d.n, false, d.r);
  end loop;
  perform {schema}.refit(x.id) from (select u from unnest(changed) u where u is not null order by u) x(id);
  perform {schema}.forget_limits(p_names);
end $$;

-- Deletes what no longer matters of limits and lines, a bounded amount.
create function {schema}.prune_limits(p_queue text, p_limit int) returns void
language plpgsql set jit = off set enable_seqscan = off as $$
declare q {schema}.queue;
begin
  delete from {schema}.bucket b using {schema}.limiter l where b.limiter = l.id
    and b.no < (select x.no from {schema}.bucket x where x.limiter = l.id order by x.no desc limit 1);
  perform {schema}.forget_limits(array(select l.name from {schema}.limiter l));
  delete from {schema}.bucket b where not exists (select from {schema}.limiter l where l.id = b.limiter);
  select * into q from {schema}.queue k where k.name = p_queue;
  if q.lined then perform {schema}.forget_lines(q.id, p_limit); end if;
end $$;
