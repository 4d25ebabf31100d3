//! What the URL says.

use crate::schema::Schema;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;

/// The parts of the URL that are ours; the rest is the driver's.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) connect: PgConnectOptions,
    pub(crate) schema: Schema,
    pub(crate) listen: bool,
    pub(crate) pool: u32,
}

impl Options {
    /// Errors never hold the URL, which may contain a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        let mut options = (Schema::new("steadfast")?, true, 10);
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "schema" => options.0 = Schema::new(value)?,
                "listen" => {
                    options.1 = value.parse().map_err(|_| format!("listen={value:?}: use true or false"))?;
                }
                "pool" => {
                    options.2 =
                        value.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| {
                            format!("pool={value:?}: use a number of connections, 1 to 1000")
                        })?;
                }
                _ => rest.push(part),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let connect = PgConnectOptions::from_str(&url)
            .map_err(|_| {
                "the URL cannot be read: use postgres://user:password@host:port/database".to_owned()
            })?
            .application_name("steadfast");
        let (schema, listen, pool) = options;
        Ok(Self { connect, schema, listen, pool })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_parameters_are_taken_out() {
        let options =
            Options::parse("postgres://u@h/d?schema=jobs&sslmode=require&listen=false&pool=3").expect("good");
        assert_eq!((options.schema.as_str(), options.listen, options.pool), ("jobs", false, 3));
        assert!(matches!(options.connect.get_ssl_mode(), sqlx::postgres::PgSslMode::Require));
    }

    #[test]
    fn bad_parameters_are_refused_without_the_password() {
        for bad in [
            "postgres://u:secret@h:99999999/d",
            "postgres://u:secret@h/d?schema=a-b",
            "postgres://u:secret@h/d?pool=0",
            "postgres://u:secret@h/d?listen=maybe",
        ] {
            let error = Options::parse(bad).expect_err(bad);
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
