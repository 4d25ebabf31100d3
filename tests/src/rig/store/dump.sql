-- Every job that the store has, without a word of the backend's own.
select r.id, case when l.queue_id is null then 'ready' else 'running' end as state, null::text as reason
from ready r left join lateral (
  select l.queue_id from lease l where r.seq = any (l.seqs) limit 1
) l on true
union all
select id, case state when 0 then 'scheduled' else 'retrying' end, null from later
union all
select id, 'dead', reason from dead
union all
select id, 'completed', null from completed
