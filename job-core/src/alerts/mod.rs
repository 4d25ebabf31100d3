//! Alerts: a queue that goes wrong says so. Rules, their evaluation in every runtime, and who is told.

mod alert;
mod board;
mod deliver;
mod evaluate;
mod history;
mod latch;
mod report;
mod reporter;
mod rule;
mod watch;
#[cfg(feature = "webhook")]
mod webhook;

pub use alert::{ActiveAlert, AlertChange, AlertEvent};
pub(crate) use board::Board;
pub use report::{AlertReport, RaisedAlert};
pub use rule::Rule;
pub(crate) use watch::{Watched, Watcher};

use deliver::Sink;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// What a runtime watches, and whom it tells. On unless [`off`](Self::off) says otherwise.
///
/// Every runtime looks at every queue of the store, every 10 s unless set, also at queues that it does not work on, and
/// says at level ERROR of `tracing` what is raised, at INFO what is over. So a dead job is noticed although nobody has
/// configured anything. The default rules:
///
/// | name | raised when |
/// |---|---|
/// | `dead_depth` | a queue has a dead job |
/// | `dead_growth` | 10 jobs died within 5 min |
/// | `oldest_ready` | a job has been ready for 5 min |
/// | `missed_schedule` | a tick of a schedule has been due for 5 min, and nobody has fired it |
/// | `no_worker` | jobs of a kind that this runtime does not handle are ready, and nobody takes the first for 2 min |
///
/// Several processes see the same and each says so: receivers tell repetitions by [`ActiveAlert::key`]. What is raised is
/// told at least once by every process that sees it, and so is its end, as far as the process lives to see it.
///
/// ```
/// use job_core::{AlertEvent, Alerts, Rule};
/// use std::time::Duration;
///
/// let alerts = Alerts::default()
///     .rule(Rule::queue_depth(50_000).clears_below(10_000))
///     .rule(Rule::oldest_ready(Duration::from_secs(30)).only_queue("email")) // instead of the default one
///     .without("dead_growth")
///     .on_change(|change| async move {
///         if change.event == AlertEvent::Raised {
///             eprintln!("{}: {}", change.alert.key, change.alert.message);
///         }
///     });
/// ```
#[derive(Debug, Clone)]
pub struct Alerts {
    rules: Vec<Rule>,
    every: Duration,
    sinks: Vec<Sink>,
}

impl Default for Alerts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let rules = vec![
            Rule::dead_depth(1),
            Rule::dead_growth(10, minutes(5)),
            Rule::oldest_ready(minutes(5)),
            Rule::no_worker(minutes(2)),
            Rule::missed_schedule(minutes(5)),
        ];
        Self { rules, every: Duration::from_secs(10), sinks: Vec::new() }
    }
}

impl Alerts {
    /// No alerts at all; a runtime that is started so says that once, at level WARN. Nobody will be told of dead jobs.
    #[must_use]
    pub fn off() -> Self {
        Self { rules: Vec::new(), ..Self::default() }
    }

    /// Adds a rule, in place of one of the same name if there is one.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self = self.without(rule.name());
        self.rules.push(rule);
        self
    }

    /// Removes the rule of this name. A runtime without any rule says so at level WARN.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.rules.retain(|rule| rule.name() != name);
        self
    }

    /// How often every queue is looked at; 10 s unless set, 100 ms at least. A look costs the store one short call a queue.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    /// Calls this for everything that is raised or cleared, in order, in a task of its own. One that panics is logged; one
    /// that takes longer than 10 s is dropped. Of more than 256 changes that wait the oldest are dropped, and counted in
    /// the log. May be used several times.
    #[must_use]
    pub fn on_change<F>(mut self, callback: impl Fn(AlertChange) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.sinks.push(Sink::Callback(Arc::new(move |change| Box::pin(callback(change)))));
        self
    }

    /// Posts everything that is raised or cleared to this URL (`http://` or `https://`), in order, as one line of JSON. Any
    /// answer but 2xx, and none within 10 s, is tried again for an hour, with exponential backoff from 1 s to 1 min and full
    /// jitter. Waiting changes are bounded as for [`on_change`](Self::on_change). May be used several times.
    #[cfg(feature = "webhook")]
    #[must_use]
    pub fn webhook(mut self, url: impl Into<String>) -> Self {
        self.sinks.push(Sink::Webhook(url.into()));
        self
    }

    /// What is wrong with it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self.rules.iter().filter_map(Rule::problem).collect();
        if self.every < Duration::from_millis(100) {
            problems.push(format!("alerts are looked for every {:?}; 100 ms is the least", self.every));
        }
        problems.extend(self.sinks.iter().filter_map(Sink::problem));
        problems
    }
}
