//! What is done to the server and to the network while workers live and die.

use super::history::now;
use super::lives::Stage;
use super::store::{AnyError, Ground};
use crate::judge::event::Event;
use crate::judge::storm::Storm;
use crate::servers::proxy::{Proxy, Weather};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// The server and the network before it.
#[derive(Debug)]
pub(super) struct Sky {
    ground: Arc<dyn Ground>,
    proxy: Proxy,
}

impl Sky {
    /// The server behind a proxy.
    pub(super) async fn over(ground: Arc<dyn Ground>) -> Result<Self, AnyError> {
        let proxy = Proxy::start(ground.port()).await?;
        Ok(Self { ground, proxy })
    }

    /// The URL through the proxy.
    pub(super) fn url(&self) -> String {
        self.ground.url_at(self.proxy.port())
    }

    /// One storm after the other, every kind in turn, until told to stop; fair weather at the end.
    pub(super) async fn rage(&self, stage: &Stage, mut stop: watch::Receiver<bool>) -> Result<(), AnyError> {
        let others = &stage.store.storms()[1..];
        let calm = u64::try_from(stage.calm.as_millis())?;
        let mut turns = 0;
        while !*stop.borrow() {
            let gap = Duration::from_millis(stage.director.choose(400..calm));
            if timeout(gap, stop.wait_for(|stop| *stop)).await.is_ok() {
                break;
            }
            // Servers are killed as often as everything else together is done.
            let storm = if turns % 2 == 0 { Storm::ServerKilled } else { others[turns / 2 % others.len()] };
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
        let lease = u64::try_from(stage.lease.as_millis())?;
        match storm {
            Storm::ServerKilled => self.restart(|server| server.kill9(), ms(0, 800)).await?,
            Storm::ServerStopped => self.restart(|server| server.stop(), ms(0, 800)).await?,
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
            Storm::Paused | Storm::Stalled => self.ground.strike(storm, ms(200, lease + 1_000)).await?,
            Storm::Terminated | Storm::Crowded | Storm::ScriptsFlushed | Storm::MemoryFull => {
                self.ground.strike(storm, ms(300, 1_200)).await?;
            }
        }
        Ok(())
    }

    async fn weather(&self, weather: Weather, time: Duration) {
        self.proxy.set(weather);
        sleep(time).await;
        self.proxy.set(Weather::Fair);
    }

    async fn restart(&self, end: fn(&dyn Ground), away: Duration) -> Result<(), AnyError> {
        let ground = Arc::clone(&self.ground);
        spawn_blocking(move || end(&*ground)).await?;
        sleep(away).await;
        let ground = Arc::clone(&self.ground);
        Ok(spawn_blocking(move || ground.start_again()).await?)
    }
}
