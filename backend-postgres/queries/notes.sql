select (date_part('epoch', clock_timestamp()) * 1000000)::bigint as now_us, n.name, n.value,
    (date_part('epoch', n.at) * 1000000)::bigint as at_us
  from (select) here left join {schema}.note n on n.job = $1 order by n.name
