select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now, s.name, s.version, s.definition, s.job,
  (extract(epoch from s.watermark) * 1000000)::bigint as watermark, s.paused
from (select) one left join (
  select x.* from {schema}.schedule x join {schema}.queue k on k.id = x.queue_id where k.name = $1
) s on true order by s.name collate "C"
