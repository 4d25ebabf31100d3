insert into invoices.invoice (number, customer, email, cents, due, note)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]::date[], $6::text[])
on conflict (number) do nothing
returning number
