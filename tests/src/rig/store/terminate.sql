-- Half of what workers and producers have, whatever it is doing.
select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'steadfast' and random() < 0.5
