select r.alerts from {schema}.alert_report r where r.valid_until > clock_timestamp()
