select name, by_code, by_people, in_use, closed_us from {schema}.limits()
