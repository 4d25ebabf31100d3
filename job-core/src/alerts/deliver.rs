//! Telling those who want to know: for each a task and a bounded queue of its own, so that nobody holds up anybody else.

use super::alert::AlertChange;
use futures_util::FutureExt as _;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How many changes wait for one receiver; of more the oldest are dropped.
const WAITING_MAX: usize = 256;
/// How long one callback, or one request, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

type Callback = dyn Fn(AlertChange) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Somebody who is told.
#[derive(Clone)]
pub(super) enum Sink {
    Callback(Arc<Callback>),
    #[cfg(feature = "webhook")]
    Webhook(String),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callback(_) => f.write_str("Callback"),
            // Its path is often a secret.
            #[cfg(feature = "webhook")]
            Self::Webhook(_) => f.write_str("Webhook"),
        }
    }
}

impl Sink {
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Callback(_) => None,
            #[cfg(feature = "webhook")]
            Self::Webhook(url) => super::webhook::Target::parse(url).err(),
        }
    }

    async fn tell(&self, change: AlertChange) {
        match self {
            Self::Callback(callback) => {
                let key = change.alert.key.clone();
                let call = AssertUnwindSafe(async { callback(change).await }).catch_unwind();
                match timeout(PATIENCE, call).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => tracing::error!(key, "the callback of an alert panicked"),
                    Err(_) => tracing::error!(key, "the callback of an alert took longer than {PATIENCE:?}"),
                }
            }
            #[cfg(feature = "webhook")]
            Self::Webhook(url) => super::webhook::deliver(url, &change).await,
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<AlertChange>,
    dropped: u64,
    /// One is being told.
    busy: bool,
}

/// The changes that wait for one receiver.
#[derive(Debug, Default)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, change: AlertChange) {
        let mut waiting = self.lock();
        if waiting.changes.len() == WAITING_MAX {
            waiting.changes.pop_front();
            waiting.dropped += 1;
            if waiting.dropped.is_power_of_two() {
                tracing::error!(
                    dropped = waiting.dropped,
                    "a receiver of alerts is too slow, the oldest are dropped"
                );
            }
        }
        waiting.changes.push_back(change);
        self.changed.notify_waiters();
    }

    /// The next change; waits for one.
    async fn next(&self) -> AlertChange {
        self.until(|waiting| {
            let next = waiting.changes.pop_front();
            waiting.busy = next.is_some();
            next
        })
        .await
    }

    async fn until<T>(&self, look: impl Fn(&mut Waiting) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

/// Everybody who is told. Dropping it ends their tasks.
#[derive(Debug)]
pub(super) struct Delivery(Vec<(Arc<Mailbox>, AbortOnDropHandle<()>)>);

impl Delivery {
    pub(super) fn start(sinks: Vec<Sink>) -> Self {
        let start = |sink| {
            let mailbox = Arc::<Mailbox>::default();
            let task = tokio::spawn(serve(sink, Arc::clone(&mailbox)));
            (mailbox, AbortOnDropHandle::new(task))
        };
        Self(sinks.into_iter().map(start).collect())
    }

    pub(super) fn tell(&self, change: &AlertChange) {
        for (mailbox, _) in &self.0 {
            mailbox.put(change.clone());
        }
    }

    /// Waits until everybody has been told everything.
    pub(super) async fn told(&self) {
        for (mailbox, _) in &self.0 {
            mailbox.until(|w| (w.changes.is_empty() && !w.busy).then_some(())).await;
        }
    }
}

async fn serve(sink: Sink, mailbox: Arc<Mailbox>) {
    loop {
        let change = mailbox.next().await;
        sink.tell(change).await;
        mailbox.lock().busy = false;
        mailbox.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::alert::{AlertEvent, Found};
    use crate::{QueueName, WorkerId};
    use jiff::Timestamp;

    fn change(value: u64) -> AlertChange {
        let found = Found {
            event: AlertEvent::Raised,
            rule: "dead_depth".into(),
            queue: QueueName::from_static("email"),
            kind: None,
            value,
            threshold: 1,
            unit: "jobs",
            message: "m".into(),
        };
        let alert = found.into_alert(Timestamp::UNIX_EPOCH, WorkerId::random());
        AlertChange { event: AlertEvent::Raised, at: Timestamp::UNIX_EPOCH, alert }
    }

    #[tokio::test]
    async fn the_oldest_of_too_many_are_dropped_and_counted() {
        let mailbox = Mailbox::default();
        (0..WAITING_MAX as u64 + 3).for_each(|n| mailbox.put(change(n)));
        assert_eq!(mailbox.lock().dropped, 3);
        assert_eq!(mailbox.next().await.alert.value, 3);
        assert_eq!(mailbox.lock().changes.len(), WAITING_MAX - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_ends_or_panics_holds_nobody_up() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let odd: Arc<Callback> = Arc::new(move |change: AlertChange| {
            let tell = tell.clone();
            assert!(change.alert.value != 1, "on purpose");
            Box::pin(async move {
                let _ = tell.send(change.alert.value);
                if change.alert.value == 0 {
                    std::future::pending::<()>().await;
                }
                assert!(change.alert.value != 2, "on purpose");
            })
        });
        let delivery = Delivery::start(vec![Sink::Callback(odd)]);
        (0..4).for_each(|n| delivery.tell(&change(n)));
        delivery.told().await;
        let seen: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert_eq!(seen, [0, 2, 3]);
    }

    #[test]
    fn the_body_is_one_line_of_plain_names() {
        let mut one = change(7);
        one.alert.worker = "w".into();
        let body = one.to_json();
        assert_eq!(
            body,
            r#"{"event":"raised","at":"1970-01-01T00:00:00Z","key":"dead_depth/email","rule":"dead_depth","queue":"email","kind":null,"since":"1970-01-01T00:00:00Z","value":7,"threshold":1,"unit":"jobs","message":"m","worker":"w"}"#
        );
        assert_eq!(serde_json::from_str::<AlertChange>(&body).expect("it can be read back"), one);
    }
}
