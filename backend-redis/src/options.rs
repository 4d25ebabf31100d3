//! What the URL says.

use redis::{Cmd, ConnectionInfo, IntoConnectionInfo, Value};
use std::time::Duration;

/// How long receipts are kept unless the URL says otherwise.
const RECEIPTS: Duration = Duration::from_secs(24 * 60 * 60);

/// The parts of the URL that are ours; the rest is the driver's.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where to find the server, or the first nodes of a cluster.
    pub(crate) nodes: Vec<ConnectionInfo>,
    pub(crate) prefix: String,
    pub(crate) shards: u32,
    pub(crate) listen: bool,
    pub(crate) receipts: Duration,
    pub(crate) wait: Option<Wait>,
    /// Certificates of who signed the server's, as PEM.
    pub(crate) ca: Option<Vec<u8>>,
}

/// What an enqueue waits for after the server has stored the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) replicas: u32,
    pub(crate) fsync: bool,
    pub(crate) time: Duration,
}

impl Wait {
    /// What asks the server for it.
    pub(crate) fn command(self) -> Cmd {
        self.command_for(self.replicas)
    }

    pub(crate) fn command_for(self, replicas: u32) -> Cmd {
        let mut cmd = redis::cmd(if self.fsync { "WAITAOF" } else { "WAIT" });
        if self.fsync {
            cmd.arg(1);
        }
        cmd.arg(replicas).arg(u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX));
        cmd
    }

    /// Whether this answer says that it is so.
    pub(crate) fn is_met(self, answer: &Value) -> bool {
        let enough = |replicas: &i64| *replicas >= i64::from(self.replicas);
        match answer {
            Value::Int(replicas) => enough(replicas),
            Value::Array(counts) => {
                matches!(counts.as_slice(), [Value::Int(local), Value::Int(n)] if *local >= 1 && enough(n))
            }
            _ => false,
        }
    }
}

impl Options {
    /// Errors never hold the URL, which may contain a password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        let mut prefix = "steadfast".to_owned();
        let (mut shards, mut listen, mut receipts) = (1, true, RECEIPTS);
        let (mut replicas, mut fsync, mut wait_ms) = (0, false, 1_000);
        let mut ca = None;
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "prefix" => prefix = name_of(value)?,
                "shards" => shards = number(name, value, 1, 64)?,
                "listen" => listen = truth(name, value)?,
                "receipts" => {
                    receipts = Duration::from_secs(number(name, value, 1, 30 * 24 * 60 * 60)?.into())
                }
                "wait" => replicas = number(name, value, 0, 100)?,
                "wait_fsync" => fsync = truth(name, value)?,
                "wait_ms" => wait_ms = number(name, value, 1, 60_000)?,
                "ca" => ca = Some(certificates(value)?),
                _ => rest.push(part),
            }
        }
        let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
        let nodes: Result<Vec<_>, String> = nodes_of(base)
            .iter()
            .map(|node| {
                format!("{node}{query}").into_connection_info().map_err(|_| {
                    "the URL cannot be read: use redis://user:password@host:port/database, rediss:// for TLS, or \
                     redis+unix:///path/of/socket"
                        .to_owned()
                })
            })
            .collect();
        let wait = (replicas > 0 || fsync).then_some(Wait {
            replicas,
            fsync,
            time: Duration::from_millis(wait_ms.into()),
        });
        Ok(Self { nodes: nodes?, prefix, shards, listen, receipts, wait, ca })
    }
}

fn certificates(path: &str) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("ca={path:?}: it cannot be read: {e}"))?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if bytes.windows(begin.len()).any(|part| part == begin) {
        Ok(bytes)
    } else {
        Err(format!("ca={path:?}: there is no certificate in it, in PEM form"))
    }
}

/// `redis://user@a:1,b:2/0` names two nodes.
fn nodes_of(base: &str) -> Vec<String> {
    let Some((scheme, rest)) = base.split_once("://") else { return vec![base.to_owned()] };
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    let (user, hosts) =
        authority.rsplit_once('@').map_or((String::new(), authority), |(u, h)| (format!("{u}@"), h));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

fn name_of(value: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-' || c == '.';
    if (1..=64).contains(&value.len()) && value.chars().all(good) {
        Ok(value.to_owned())
    } else {
        Err(format!("prefix={value:?}: use 1-64 of a-z 0-9 _ - ."))
    }
}

fn number(name: &str, value: &str, least: u32, most: u32) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| format!("{name}={value:?}: use a number, {least} to {most}"))
}

fn truth(name: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("{name}={value:?}: use true or false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_parameters_are_taken_out() {
        let url = "redis://u:p@h:7000,i:7001/3?prefix=app&protocol=resp3&shards=4&wait=1&receipts=60";
        let options = Options::parse(url).expect("good");
        assert_eq!((options.prefix.as_str(), options.shards), ("app", 4));
        assert_eq!(options.receipts, Duration::from_secs(60));
        let nodes: Vec<_> = options.nodes.iter().map(|n| n.addr().to_string()).collect();
        assert_eq!(nodes, ["h:7000", "i:7001"]);
        assert!(options.nodes.iter().all(|n| n.redis_settings().db() == 3));
        assert_eq!(options.wait.map(|w| (w.replicas, w.fsync)), Some((1, false)));
    }

    #[test]
    fn sockets_are_found() {
        let options = Options::parse("redis+unix:///run/redis.sock?db=2&prefix=a").expect("good");
        assert_eq!(options.nodes[0].addr().to_string(), "/run/redis.sock");
        assert_eq!(options.nodes[0].redis_settings().db(), 2);
    }

    #[test]
    fn bad_parameters_are_refused_without_the_password() {
        for bad in [
            "redis://u:secret@h:99999999",
            "redis://u:secret@h?prefix={a}",
            "redis://u:secret@h?shards=0",
            "redis://u:secret@h?listen=maybe",
            "http://u:secret@h",
        ] {
            let error = Options::parse(bad).expect_err(bad);
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
