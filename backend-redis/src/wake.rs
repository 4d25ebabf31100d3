//! Wake-ups, on a connection of their own. Only hints: a process that hears nothing polls.

use crate::link::Target;
use futures_util::StreamExt;
use job_core::{Bells, QueueName};
use redis::RedisResult;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A connection that is silent for so long is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Wake {
    channel: String,
    listen: bool,
    listening: AtomicBool,
    /// Of those who wait in this process.
    pub(crate) bells: Bells,
}

impl Wake {
    pub(crate) fn new(channel: String, listen: bool) -> Arc<Self> {
        Arc::new(Self { channel, listen, listening: AtomicBool::new(false), bells: Bells::default() })
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// Starts to listen, once. The task ends with the backend.
    pub(crate) fn listen(self: &Arc<Self>, target: &Target) {
        if self.listen && !self.listening.swap(true, Ordering::AcqRel) {
            tokio::spawn(listen(Listening(Arc::downgrade(self)), target.clone(), self.channel.clone()));
        }
    }
}

/// Lets another task listen when this one ends with its runtime.
struct Listening(Weak<Wake>);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(wake) = self.0.upgrade() {
            wake.listening.store(false, Ordering::Release);
        }
    }
}

async fn listen(wake: Listening, target: Target, channel: String) {
    const LONGEST_PAUSE: Duration = Duration::from_secs(30);
    let mut pause = Duration::from_millis(100);
    for turn in 0.. {
        if let Err(error) = hear(&wake.0, &target, turn, &channel, &mut pause).await {
            tracing::debug!(%error, "not listening: workers find jobs when they poll");
        }
        if wake.0.strong_count() == 0 {
            return;
        }
        // Full jitter, so that a thousand processes do not come back at once.
        tokio::time::sleep(pause.mul_f64(rand::random::<f64>())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Hears until the connection ends, or does not answer.
async fn hear(
    wake: &Weak<Wake>,
    target: &Target,
    turn: usize,
    channel: &str,
    pause: &mut Duration,
) -> RedisResult<()> {
    let silent = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let (mut sink, mut messages) = target.ear(turn).await?.split();
    tokio::time::timeout(SILENCE, sink.subscribe(channel)).await.map_err(|_| silent())??;
    *pause = Duration::from_millis(100);
    // What happened while nobody listened.
    wake.upgrade().inspect(|w| w.bells.ring_all());
    loop {
        let heard = tokio::time::timeout(SILENCE, messages.next()).await;
        let Some(wake) = wake.upgrade() else { return Ok(()) };
        match heard {
            Ok(Some(message)) => {
                if let Ok(queue) = message.get_payload::<String>()
                    && let Ok(queue) = QueueName::new(queue)
                {
                    wake.bells.ring(&queue);
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                let answer = tokio::time::timeout(SILENCE, sink.ping::<redis::Value>()).await;
                answer.map_err(|_| silent())??;
            }
        }
    }
}
