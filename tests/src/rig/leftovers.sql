-- What must be gone when every job is over.
select 'rows in ready', count(*) from ready
union all select 'rows in later', count(*) from later
union all select 'leases', count(*) from lease
