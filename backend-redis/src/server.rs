//! What the server's own settings promise.

use crate::error::{refused, unreadable};
use crate::link::Link;
use crate::reply;
use job_core::{BackendError, DurabilityClass, ErrorKind};
use redis::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The lowest version with every command that the scripts use.
const VERSION_MIN: (u32, u32) = (6, 2);

type Facts = HashMap<String, String>;

fn facts(info: Value) -> Option<Facts> {
    let text = reply::text(info)?;
    let pair = |line: &str| line.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
    Some(text.lines().filter_map(pair).collect())
}

async fn info(link: &Arc<Link>, section: &str) -> Result<Vec<Facts>, BackendError> {
    let mut cmd = redis::cmd("INFO");
    cmd.arg(section);
    let answers = link.each_master("connect", cmd).await?;
    answers.into_iter().map(|a| facts(a).ok_or_else(|| unreadable("connect"))).collect()
}

/// True if the server is a node of a cluster.
pub(crate) async fn is_cluster(link: &Arc<Link>) -> Result<bool, BackendError> {
    let facts = info(link, "cluster").await?;
    Ok(facts.iter().any(|f| f.get("cluster_enabled").is_some_and(|e| e == "1")))
}

/// Refuses servers that are too old or that throw keys away.
pub(crate) async fn check(link: &Arc<Link>) -> Result<(), BackendError> {
    for facts in info(link, "server").await? {
        let version = facts.get("redis_version").map(String::as_str).unwrap_or_default();
        let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < VERSION_MIN {
            let text = format!("Redis {version} is too old: 6.2 or newer, or Valkey, is needed");
            return Err(refused("connect", ErrorKind::Permanent, text));
        }
    }
    match evicts(link).await? {
        None => Ok(()),
        Some(text) => Err(refused("connect", ErrorKind::Permanent, text)),
    }
}

/// What is wrong with a server that would delete jobs when it is full.
pub(crate) async fn evicts(link: &Arc<Link>) -> Result<Option<String>, BackendError> {
    let servers = info(link, "memory").await?;
    let policies = servers.iter().filter_map(|facts| facts.get("maxmemory_policy"));
    Ok(policies.into_iter().find(|policy| *policy != "noeviction").map(|policy| {
        format!(
            "maxmemory-policy is {policy}: this server deletes jobs and leases when its memory is full. Fix it with \
             `redis-cli CONFIG SET maxmemory-policy noeviction`, and in redis.conf"
        )
    }))
}

/// The worst class of all servers.
pub(crate) async fn durability(link: &Arc<Link>) -> Result<DurabilityClass, BackendError> {
    let aof: Vec<bool> = info(link, "persistence")
        .await?
        .iter()
        .map(|f| f.get("aof_enabled").is_some_and(|e| e == "1"))
        .collect();
    let mut cmd = redis::cmd("CONFIG");
    cmd.arg("GET").arg("appendfsync");
    // Hosted servers may refuse CONFIG: then the usual setting is assumed, which promises less.
    let always = match link.each_master("connect", cmd).await {
        Ok(answers) => answers.into_iter().all(|answer| {
            let setting = reply::pairs(answer).and_then(|mut pairs| pairs.pop());
            setting.and_then(|(_, value)| reply::text(value)).is_some_and(|v| v == "always")
        }),
        Err(error) if error.is_transient() => return Err(error),
        Err(_) => false,
    };
    let class = match (aof.iter().all(|on| *on), always) {
        (false, _) => DurabilityClass::Volatile,
        (true, false) => DurabilityClass::ProcessCrash,
        (true, true) => DurabilityClass::LocalDisk,
    };
    if class < DurabilityClass::LocalDisk {
        tracing::warn!(
            appendonly = aof.iter().all(|on| *on),
            appendfsync_always = always,
            "this server can lose acknowledged jobs in a crash: see appendonly and appendfsync"
        );
    }
    Ok(class)
}
