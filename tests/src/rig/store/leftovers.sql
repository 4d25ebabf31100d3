-- What must not be there when every job is over.
select 'rows in ready', count(*) from ready
union all select 'rows in later', count(*) from later
union all select 'leases', count(*) from lease
union all select 'jobs in two places', count(*) from (
  select id from (select id from ready union all select id from later union all select id from dead
    union all select id from completed) j
  group by id having count(*) > 1
) twice
union all select 'unique keys without a job', count(*) from key k
  where k.space = 1 and not exists (select from dead d where d.id = k.job)
union all select 'notes of jobs that are gone', count(*) from note n
  where not exists (select from dead d where d.id = n.job) and not exists (select from completed c where c.id = n.job)
union all select 'ends that no batch has counted', count(*) from arrival
union all select 'batches that are not over', count(*) from batch where over_at is null
union all select 'cancel requests for nobody', count(*) from cancel_request
union all select 'jobs that wait in lines', count(*) from waiting
