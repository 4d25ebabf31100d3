select q.name from {schema}.queue q
where exists (select from {schema}.lane l where l.queue_id = q.id) or exists (select from {schema}.schedule s where s.queue_id = q.id)
order by q.name
