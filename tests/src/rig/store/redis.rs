//! Redis under the rig: what can be done to it.

use super::redis_keys::Contents;
use super::{AnyError, Ground, fresh_name, with_parameter};
use crate::judge::Kept;
use crate::judge::storm::Storm;
use crate::servers::RedisServer;
use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, cmd};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How many clients a server takes, unless told otherwise.
const CLIENTS: u32 = 10_000;

/// A prefix of a server.
#[derive(Debug)]
pub(super) struct Redis {
    server: String,
    prefix: String,
    own: Option<RedisServer>,
}

impl Redis {
    pub(super) fn given(url: &str) -> Self {
        Self { server: url.to_owned(), prefix: fresh_name(), own: None }
    }

    /// Every write is flushed before it is answered, and the file is rewritten as often as may be.
    pub(super) fn start() -> Self {
        let options = RedisServer::options().setting("auto-aof-rewrite-min-size", "1mb");
        let own = options.setting("enable-debug-command", "yes").start();
        Self { server: own.url(), prefix: fresh_name(), own: Some(own) }
    }

    fn own(&self) -> &RedisServer {
        self.own.as_ref().expect("only a server of ours is harmed")
    }

    fn place(&self, server: &str) -> String {
        with_parameter(server, &format!("prefix={}", self.prefix))
    }

    /// A server that was told to wait may take its time for an answer.
    async fn connection(&self) -> Result<MultiplexedConnection, AnyError> {
        // What follows the question mark is for the backend.
        let url = self.server.split('?').next().unwrap_or_default();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?)
    }

    async fn contents(&self) -> Result<Contents, AnyError> {
        Ok(Contents::read(&mut self.connection().await?, &self.prefix).await?)
    }
}

/// Ends each connection but this one, with this probability.
async fn end_connections(server: &mut MultiplexedConnection, chance: f64) -> Result<(), AnyError> {
    let own: u64 = cmd("CLIENT").arg("ID").query_async(server).await?;
    let list: String = cmd("CLIENT").arg("LIST").query_async(server).await?;
    let ids =
        list.lines().filter_map(|line| line.split_once("id=")?.1.split(' ').next()?.parse::<u64>().ok());
    for id in ids.filter(|id| *id != own && rand::random_bool(chance)) {
        // It may have gone by itself.
        let _: i64 = cmd("CLIENT").arg("KILL").arg("ID").arg(id).query_async(server).await?;
    }
    Ok(())
}

async fn set(server: &mut MultiplexedConnection, name: &str, value: u64) -> Result<(), AnyError> {
    Ok(cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(server).await?)
}

/// Nobody else gets a connection, and nobody keeps one.
async fn crowd(server: &mut MultiplexedConnection, time: Duration) -> Result<(), AnyError> {
    set(server, "maxclients", 1).await?;
    end_connections(server, 1.0).await?;
    sleep(time).await;
    set(server, "maxclients", CLIENTS.into()).await
}

async fn flush_scripts(server: &mut MultiplexedConnection, time: Duration) -> Result<(), AnyError> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        cmd("SCRIPT").arg("FLUSH").exec_async(server).await?;
        // It has to do some work as well.
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn fill_memory(server: &mut MultiplexedConnection, time: Duration) -> Result<(), AnyError> {
    let info: String = cmd("INFO").arg("memory").query_async(server).await?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    // At the very limit some calls are refused; far below it, all that could be.
    let limit = if rand::random() { used.ok_or("the server does not say what it uses")? } else { 1 };
    set(server, "maxmemory", limit).await?;
    sleep(time).await;
    set(server, "maxmemory", 0).await
}

#[async_trait]
impl Ground for Redis {
    fn url(&self) -> String {
        self.place(&self.server)
    }

    fn url_at(&self, port: u16) -> String {
        self.place(&format!("redis://127.0.0.1:{port}"))
    }

    fn port(&self) -> u16 {
        self.own().port()
    }

    fn kill9(&self) {
        self.own().kill9();
    }

    fn stop(&self) {
        self.own().stop();
    }

    fn start_again(&self) {
        self.own().start_again();
    }

    async fn strike(&self, storm: Storm, time: Duration) -> Result<(), AnyError> {
        let mut connection = self.connection().await?;
        let server = &mut connection;
        match storm {
            Storm::Terminated => end_connections(server, 0.5).await,
            Storm::Crowded => crowd(server, time).await,
            Storm::ScriptsFlushed => flush_scripts(server, time).await,
            Storm::MemoryFull => fill_memory(server, time).await,
            Storm::Paused => {
                let ms = u64::try_from(time.as_millis())?;
                cmd("CLIENT").arg("PAUSE").arg(ms).arg("ALL").exec_async(server).await?;
                sleep(time).await;
                Ok(())
            }
            Storm::Stalled => {
                cmd("DEBUG").arg("SLEEP").arg(time.as_secs_f64()).exec_async(server).await?;
                Ok(())
            }
            _ => Err(format!("Redis knows no storm of {}", storm.as_str()).into()),
        }
    }

    async fn jobs(&self) -> Result<Vec<Kept>, AnyError> {
        Ok(self.contents().await?.jobs())
    }

    async fn leftovers(&self) -> Result<Vec<(String, i64)>, AnyError> {
        Ok(self.contents().await?.leftovers())
    }
}
