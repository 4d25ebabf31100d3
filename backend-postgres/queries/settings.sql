select current_setting('server_version_num')::int, current_setting('fsync') = 'on', current_setting('synchronous_commit'),
  current_setting('synchronous_standby_names') <> '', current_setting('default_transaction_isolation')
