select k.seq, k.payload from unnest($1::int[], $2::bigint[]) w(lane, seq)
  cross join lateral (select r.seq, r.payload from {schema}.ready r where r.lane = w.lane and r.seq = w.seq limit 1) k
