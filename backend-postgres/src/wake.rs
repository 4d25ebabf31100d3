//! Wake-ups: NOTIFY on the leading and the trailing edge of a short window, LISTEN on a connection of its own. Only hints:
//! a process that hears nothing polls.

use crate::call::{Calls, Reply};
use crate::schema::Statements;
use job_core::{Bells, QueueName, seeded_bug};
use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// At most one NOTIFY in this time for each queue: each one takes a lock that all commits of the server share.
const WINDOW: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
struct Edge {
    last: Instant,
    trailing: bool,
}

#[derive(Debug)]
pub(crate) struct Wake {
    channel: String,
    listen: bool,
    listening: AtomicBool,
    /// Of those who wait in this process.
    pub(crate) bells: Bells,
    edges: Mutex<HashMap<QueueName, Edge>>,
}

impl Wake {
    pub(crate) fn new(channel: String, listen: bool) -> Arc<Self> {
        Arc::new(Self {
            channel,
            listen,
            listening: AtomicBool::new(false),
            bells: Bells::default(),
            edges: Mutex::default(),
        })
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// The queues that an enqueue shall notify itself; the others are notified at the end of their window.
    pub(crate) fn leading(self: &Arc<Self>, queues: &[&QueueName], calls: &Calls) -> Vec<String> {
        if !self.listen {
            return Vec::new();
        }
        let now = Instant::now();
        let mut edges = self.edges.lock().expect("no panic while it is held");
        let mut leading = Vec::new();
        for &queue in queues {
            match edges.get_mut(queue) {
                Some(edge) if now < edge.last + WINDOW => {
                    if !edge.trailing {
                        edge.trailing = true;
                        if seeded_bug!("postgres_trailing_edge_lost") {
                            continue;
                        }
                        self.trail(queue.clone(), edge.last + WINDOW, calls.clone());
                    }
                }
                _ => {
                    edges.insert(queue.clone(), Edge { last: now, trailing: false });
                    leading.push(queue.as_str().to_owned());
                }
            }
        }
        leading
    }

    /// Queues whose names go with a transaction of the user's: when it commits is not known.
    pub(crate) fn always(&self, queues: &[&QueueName]) -> Vec<String> {
        if self.listen { queues.iter().map(|q| q.as_str().to_owned()).collect() } else { Vec::new() }
    }

    /// Notifies queues whose jobs have not come by an enqueue.
    pub(crate) fn tell(self: &Arc<Self>, queues: &[&QueueName], calls: &Calls) {
        for queue in self.leading(queues, calls) {
            if let Ok(queue) = QueueName::new(queue) {
                self.trail(queue, Instant::now(), calls.clone());
            }
        }
    }

    fn trail(self: &Arc<Self>, queue: QueueName, at: Instant, calls: Calls) {
        let wake = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            wake.edges
                .lock()
                .expect("no panic while it is held")
                .insert(queue.clone(), Edge { last: Instant::now(), trailing: false });
            let args = (wake.channel.clone(), queue.as_str().to_owned());
            if let Err(error) = calls.run("notify", args, notify).await {
                tracing::debug!(%error, "a wake-up was not sent: workers find the jobs when they poll");
            }
        });
    }

    /// Starts to listen, once. The task ends with the backend.
    pub(crate) fn listen(self: &Arc<Self>, pool: &PgPool) {
        if self.listen && !self.listening.swap(true, Ordering::AcqRel) {
            tokio::spawn(listen(Arc::downgrade(self), pool.clone(), self.channel.clone()));
        }
    }
}

fn notify<'c>(
    args: &'c (String, String),
    statements: &'c Statements,
    connection: &'c mut PgConnection,
) -> Reply<'c, ()> {
    Box::pin(async move {
        sqlx::query(statements.notify.clone()).bind(&args.0).bind(&args.1).execute(connection).await?;
        Ok(())
    })
}

async fn listen(wake: Weak<Wake>, pool: PgPool, channel: String) {
    const LONGEST_PAUSE: Duration = Duration::from_secs(30);
    let mut pause = Duration::from_millis(100);
    loop {
        if let Err(error) = hear(&wake, &pool, &channel, &mut pause).await {
            tracing::debug!(%error, "not listening: workers find jobs when they poll");
        }
        if wake.strong_count() == 0 || pool.is_closed() {
            return;
        }
        // Full jitter, so that a thousand processes do not come back at once.
        tokio::time::sleep(pause.mul_f64(rand::random::<f64>())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn hear(
    wake: &Weak<Wake>,
    pool: &PgPool,
    channel: &str,
    pause: &mut Duration,
) -> Result<(), sqlx::Error> {
    const LOOK: Duration = Duration::from_secs(5);
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(channel).await?;
    *pause = Duration::from_millis(100);
    // What happened while nobody listened.
    wake.upgrade().inspect(|w| w.bells.ring_all());
    loop {
        let heard = tokio::time::timeout(LOOK, listener.try_recv()).await;
        let Some(wake) = wake.upgrade() else { return Ok(()) };
        match heard {
            Ok(Ok(Some(notification))) => {
                if let Ok(queue) = QueueName::new(notification.payload()) {
                    wake.bells.ring(&queue);
                }
            }
            // The connection was lost.
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
}
