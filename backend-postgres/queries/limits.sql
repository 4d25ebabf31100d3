select name, by_code, by_people, adapted, in_use, closed_us from {schema}.limits()
