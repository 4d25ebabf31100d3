-- Two processes may start at once, and `if not exists` alone does not survive that.
begin;
select pg_advisory_xact_lock(hashtext('invoices'));
create schema if not exists invoices;
create table if not exists invoices.invoice (
    number text primary key,
    customer text not null,
    email text not null,
    cents bigint not null check (cents > 0),
    due date not null,
    note text not null
);
commit;
