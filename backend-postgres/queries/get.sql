select j.id, j.kind, j.priority, j.state, j.attempt, j.max_attempts, j.claims, j.crashes, j.payload, j.reason,
    (date_part('epoch', j.enqueued_at) * 1000000)::bigint as enqueued_us,
    (date_part('epoch', j.run_at) * 1000000)::bigint as run_us,
    (date_part('epoch', j.completed_at) * 1000000)::bigint as completed_us,
    (date_part('epoch', j.died_at) * 1000000)::bigint as died_us, j.errors::text as errors, j.headers::text as headers, q.name as queue
  from {schema}.job j join {schema}.queue q on q.id = j.queue_id where j.id = $1
