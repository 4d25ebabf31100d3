//! What is done to the server and to the network while workers live and die.

use super::event::{Event, Storm};
use super::history::now;
use super::lives::Stage;
use super::store::AnyError;
use crate::servers::PostgresServer;
use crate::servers::proxy::{Proxy, Weather};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// More connections than the server has.
const CROWD: usize = 200;

/// The server and the network before it.
#[derive(Debug)]
pub(super) struct Sky {
    pub(super) server: Arc<PostgresServer>,
    pub(super) proxy: Proxy,
}

impl Sky {
    /// The server behind a proxy.
    pub(super) async fn over(server: Arc<PostgresServer>) -> Result<Self, AnyError> {
        let port = server.url().rsplit([':', '/']).nth(1).and_then(|port| port.parse().ok());
        let proxy = Proxy::start(port.ok_or("the server's URL has no port")?).await?;
        Ok(Self { server, proxy })
    }

    /// The server's URL through the proxy.
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.proxy.port())
    }

    /// One storm after the other, every kind in turn, until told to stop; fair weather at the end.
    pub(super) async fn rage(&self, stage: &Stage, mut stop: watch::Receiver<bool>) -> Result<(), AnyError> {
        let mut turns = 0;
        while !*stop.borrow() {
            let gap = Duration::from_millis(stage.director.choose(400..stage.calm_ms));
            if timeout(gap, stop.wait_for(|stop| *stop)).await.is_ok() {
                break;
            }
            // Servers are killed as often as everything else together is done.
            let storm = if turns % 2 == 0 {
                Storm::ServerKilled
            } else {
                let others = &Storm::ALL[1..];
                others[turns / 2 % others.len()]
            };
            turns += 1;
            let began = now();
            self.strike(storm, stage).await?;
            stage.history.write(Event::Storm { what: storm, began });
            stage.director.count(|t| *t.storms.entry(storm).or_default() += 1);
        }
        Ok(())
    }

    async fn strike(&self, storm: Storm, stage: &Stage) -> Result<(), AnyError> {
        let choose = |from, to| stage.director.choose(from..to);
        let ms = |from, to| Duration::from_millis(choose(from, to));
        match storm {
            Storm::ServerKilled => self.restart(PostgresServer::kill9, ms(0, 800)).await?,
            Storm::ServerStopped => self.restart(PostgresServer::stop, ms(0, 800)).await?,
            Storm::Terminated => self.terminate().await?,
            Storm::Crowded => self.crowd(ms(300, 1_200)).await?,
            Storm::AnswersCut => {
                let bytes = usize::try_from(choose(0, 3_000))?;
                self.weather(Weather::CutAnswer(bytes), ms(200, 1_000)).await;
            }
            Storm::RequestsCut => {
                let bytes = usize::try_from(choose(0, 3_000))?;
                self.weather(Weather::CutRequest(bytes), ms(200, 1_000)).await;
            }
            Storm::Silence => self.weather(Weather::Silent, stage.lease + ms(0, 1_000)).await,
            Storm::Delay => self.weather(Weather::Delay(ms(50, 600)), ms(500, 1_500)).await,
            Storm::Throttle => self.weather(Weather::Throttle(20_000), ms(500, 1_500)).await,
            Storm::Refused => self.weather(Weather::Refuse, ms(200, 1_500)).await,
        }
        Ok(())
    }

    async fn weather(&self, weather: Weather, time: Duration) {
        self.proxy.set(weather);
        sleep(time).await;
        self.proxy.set(Weather::Fair);
    }

    async fn restart(&self, end: fn(&PostgresServer), away: Duration) -> Result<(), AnyError> {
        let server = Arc::clone(&self.server);
        spawn_blocking(move || end(&server)).await?;
        sleep(away).await;
        let server = Arc::clone(&self.server);
        Ok(spawn_blocking(move || server.start_again()).await?)
    }

    async fn terminate(&self) -> Result<(), AnyError> {
        let mut connection = PgConnection::connect(&self.server.url()).await?;
        sqlx::raw_sql(include_str!("terminate.sql")).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Takes every connection that is left, and has the server end those of the workers, who cannot come back then.
    async fn crowd(&self, time: Duration) -> Result<(), AnyError> {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            match PgConnection::connect(&self.server.url()).await {
                Ok(connection) => crowd.push(connection),
                Err(_) => break,
            }
        }
        let last = crowd.last_mut().ok_or("the server takes no connection at all")?;
        sqlx::raw_sql(include_str!("terminate.sql")).execute(last).await?;
        sleep(time).await;
        for connection in crowd {
            // The server may have ended it.
            let _ = connection.close().await;
        }
        Ok(())
    }
}
