select o.id, (extract(epoch from o.began_at) * 1000000)::bigint as began, (extract(epoch from o.updated_at) * 1000000)::bigint as updated,
  o.number, o.text
from {schema}.operation o join {schema}.queue k on k.id = o.queue_id
where k.name = $1 order by o.began_at desc, o.id desc limit $2
