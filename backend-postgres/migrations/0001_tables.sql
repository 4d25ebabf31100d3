-- Rule 1: a transaction assigns its xid before it draws a seq; cache 1, so that seqs are drawn in the order of time.
create sequence {schema}.seq as bigint cache 1;
-- Burns seq 1: until its first use `last_value` is 1 although nothing has been drawn.
select nextval('{schema}.seq');

create table {schema}.queue (
  id int generated always as identity primary key,
  name text not null unique,
  paused boolean not null default false,
  lined boolean not null default false
);

-- stage: 0 new, 1 returned (released), 2 suspect, 3 solo, 4 let out of a line
create table {schema}.lane (
  id int generated always as identity primary key,
  queue_id int not null references {schema}.queue,
  kind text not null,
  priority smallint not null check (priority between 0 and 9),
  stage smallint not null default 0 check (stage between 0 and 4),
  unique (queue_id, kind, priority, stage)
);

-- A row is never changed in place: whatever comes back draws a new seq. max_attempts 2147483647 is unlimited.
create table {schema}.ready (
  lane int not null,
  seq bigint not null default case when pg_current_xact_id() is not null then nextval('{schema}.seq') end,
  id uuid not null,
  attempt int not null default 0 check (attempt between 0 and 2147483646),
  max_attempts int not null default 11 check (max_attempts > 0),
  claims bigint not null default 0 check (claims between 0 and 9000000000000000000),
  crashes int not null default 0 check (crashes between 0 and 2147483646),
  version bigint not null default 1 check (version between 0 and 4294967295),
  enqueued_at timestamptz not null default clock_timestamp() check (isfinite(enqueued_at)),
  payload bytea not null,
  headers jsonb check (jsonb_typeof(headers) = 'object'),
  errors jsonb check (jsonb_typeof(errors) = 'array'),
  idem_scope bytea,
  idem_key bytea,
  unique_scope bytea,
  unique_key bytea,
  line uuid,
  primary key (lane, seq),
  check ((idem_scope is null) = (idem_key is null)),
  check ((unique_scope is null) = (unique_key is null))
) with (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.5
);
create unique index ready_id on {schema}.ready (id);
create index ready_line on {schema}.ready (line, lane) where line is not null;

create table {schema}.later (
  lane int not null,
  queue_id int not null,
  state smallint not null check (state in (0, 1)), -- 0 scheduled, 1 retrying
  run_at timestamptz not null check (isfinite(run_at)),
  -- When it is due once the job that has its unique key has ended; then `run_at` says when to look for that.
  parked timestamptz,
  id uuid primary key,
  attempt int not null default 0,
  max_attempts int not null default 11,
  claims bigint not null default 0,
  crashes int not null default 0,
  version bigint not null default 1,
  enqueued_at timestamptz not null default clock_timestamp() check (isfinite(enqueued_at)),
  payload bytea not null,
  headers jsonb,
  errors jsonb,
  idem_scope bytea,
  idem_key bytea,
  unique_scope bytea,
  unique_key bytea
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index later_due on {schema}.later (queue_id, run_at, id);
create index later_parked on {schema}.later (queue_id, run_at, id) where parked is not null;

create table {schema}.dead (
  lane int not null,
  queue_id int not null,
  died_at timestamptz not null default clock_timestamp(),
  reason text not null,
  id uuid primary key,
  attempt int not null,
  max_attempts int not null,
  claims bigint not null,
  crashes int not null,
  version bigint not null,
  enqueued_at timestamptz not null check (isfinite(enqueued_at)),
  payload bytea not null,
  headers jsonb,
  errors jsonb,
  idem_scope bytea,
  idem_key bytea,
  unique_scope bytea,
  unique_key bytea
);
create index dead_queue on {schema}.dead (queue_id, id);

-- Completed jobs that are kept to be looked at.
create table {schema}.completed (
  lane int not null,
  queue_id int not null,
  completed_at timestamptz not null default clock_timestamp(),
  keep_until timestamptz not null,
  id uuid primary key,
  attempt int not null,
  max_attempts int not null,
  claims bigint not null,
  version bigint not null,
  enqueued_at timestamptz not null,
  payload bytea not null,
  headers jsonb,
  errors jsonb
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index completed_queue on {schema}.completed (queue_id, id);
create index completed_until on {schema}.completed (queue_id, keep_until);

-- One row a lease. `top` is the highest of its seqs, `lanes` every lane that they are in. Of those in the lanes of `ahead` no more
-- than `at_once` run at a time.
create table {schema}.lease (
  queue_id int not null,
  top bigint not null,
  id uuid not null,
  worker uuid not null,
  expires_at timestamptz not null,
  lanes int[] not null,
  seqs bigint[] not null,
  ahead int[],
  at_once int,
  primary key (queue_id, top, id)
) with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);
-- Compressing a thousand seqs takes longer than writing them.
alter table {schema}.lease alter column seqs set storage external;
create index lease_id on {schema}.lease (id);

-- The low-water marks of a queue. Appended, never updated: the newest is found in one step however many are dead.
create table {schema}.mark (
  queue_id int not null,
  no bigint not null,
  -- No seq up to here can appear any more, unless a straggler brings it.
  clear bigint not null,
  -- The next `clear`, once every transaction with an xid below `mark_xid` is over.
  mark_seq bigint not null,
  mark_xid xid8 not null,
  marked_at timestamptz not null,
  -- Marks still to be written after the queue fell idle.
  hot smallint not null,
  -- Lane by lane: everything up to its low is leased or gone.
  lanes int[] not null,
  lows bigint[] not null,
  -- Transactions that took too long to wait for, each with what was clear when it was passed.
  stragglers xid8[] not null,
  straggler_clears bigint[] not null,
  -- Every lease that was live at this mark has a higher top.
  lease_floor bigint not null default 0,
  primary key (queue_id, no)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Receipts: which lease settled which seqs; none for a lease that was reaped.
create table {schema}.settled (
  lease uuid not null,
  seqs bigint[] not null,
  at timestamptz not null default clock_timestamp()
);
alter table {schema}.settled alter column seqs set storage external;
create index settled_lease on {schema}.settled (lease);
create index settled_at on {schema}.settled using brin (at) with (pages_per_range = 16);

-- Receipts: which request enqueued how many jobs, by the id of its first.
create table {schema}.enqueued (
  request uuid primary key,
  jobs int not null,
  answers uuid[], -- for each job the holder of its key if that was taken, then for each the job it replaced, if one; else null
  at timestamptz not null default clock_timestamp()
);
create index enqueued_at on {schema}.enqueued using brin (at) with (pages_per_range = 16);

-- space: 0 idempotency, 1 unique, 2 who waits for the unique key. Bytes, because text cannot hold a NUL.
create table {schema}.key (
  space smallint not null check (space in (0, 1, 2)),
  scope bytea not null,
  key bytea not null,
  job uuid not null,
  expires_at timestamptz,
  primary key (space, scope, key)
);
create index key_expires on {schema}.key (expires_at) where expires_at is not null;

-- What handlers have noted about live and dead jobs. Gone with the job.
create table {schema}.note (
  job uuid not null,
  name text not null,
  value bytea not null,
  at timestamptz not null default clock_timestamp(),
  primary key (job, name)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

create table {schema}.cancel_request (
  job uuid primary key,
  queue_id int not null,
  at timestamptz not null default clock_timestamp()
);

-- Lines. A job with the header `steadfast-line` that is ready waits in `waiting`, out of the ready log. A claim lets jobs out, into
-- lanes of stage 4, and leases them in the same step; so rows of `ready` with a line are those that are out of it.
-- rank: twice the priority, and one more if it has not come back. lane: always that of stage 0.
create table {schema}.waiting (
  line uuid not null,
  rank smallint not null,
  place bigint not null,
  lane int not null,
  id uuid primary key,
  attempt int not null,
  max_attempts int not null,
  claims bigint not null,
  crashes int not null,
  version bigint not null,
  enqueued_at timestamptz not null,
  payload bytea not null,
  headers jsonb not null,
  errors jsonb,
  idem_scope bytea,
  idem_key bytea,
  unique_scope bytea,
  unique_key bytea
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index waiting_line on {schema}.waiting (line, rank, place);
create index waiting_lane on {schema}.waiting (lane, place);

-- What is remembered of a line. Written only under the claim lock of its queue, as the next three are.
create table {schema}.line (
  id uuid primary key,
  queue_id int not null,
  kind text collate "C" not null,
  key text not null,
  weight int check (weight between 2 and 1000), -- null is 1
  tat bigint,
  head uuid -- the last job that it let go, if it is ordered
);
create index line_plain on {schema}.line (queue_id) where weight is null;

-- The order of turns: lines that may have something to give, each once. `given`: how much of a turn that was cut short.
create table {schema}.turn (
  queue_id int not null,
  kind text collate "C" not null,
  no bigint not null,
  line uuid not null unique,
  given int not null default 0,
  primary key (queue_id, kind, no)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Lines that wait for a token.
create table {schema}.nap (
  line uuid primary key,
  queue_id int not null,
  kind text collate "C" not null,
  due bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index nap_due on {schema}.nap (queue_id, due);

-- Lines that a claim should look at: something came, or something that was out is not any more. Only appended: were a row of the
-- line locked, an open transaction of the application would hold up all others with its key. Numbered by rule 1, so that claims pass
-- what they have seen by the mark.
create table {schema}.line_note (
  queue_id int not null,
  no bigint not null default case when pg_current_xact_id() is not null then nextval('{schema}.seq') end,
  line uuid not null,
  primary key (queue_id, no)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
