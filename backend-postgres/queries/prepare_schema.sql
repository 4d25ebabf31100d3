select pg_advisory_xact_lock(hashtext('steadfast.migrate'), hashtext('{schema}'));
create schema if not exists {schema};
create table if not exists {schema}.migration (
  version int primary key,
  applied_at timestamptz not null default clock_timestamp()
);
