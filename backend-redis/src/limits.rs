//! Limits, each in a hash tag of its own: what is declared and set, and what people see of it.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::{Part, Raw, Tag};
use crate::record::ms;
use crate::reply;
use crate::script::{Call, DECLARE, LIMIT};
use futures_util::future::{join_all, try_join_all};
use job_core::{
    BackendError, Declared, Kind, KindLimits, LimitName, LimitRecord, LimitRule, LimitStep, QueueName, Rate,
};
use redis::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a process believes what it has read: what others set is heard within it.
const BELIEVED: Duration = Duration::from_secs(1);

/// A limit, and where it is.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) name: LimitName,
    pub(crate) tag: Tag,
}

impl Home {
    /// The keys that claims and settlements touch where everything is on one server.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> {
        let keys = [self.tag.head()[0].as_str(), self.tag.key(Part::Leases), self.tag.key(Part::Running)];
        keys.map(str::to_owned).into_iter()
    }

    /// A call that does `what` there.
    pub(crate) fn call(&self, what: &str) -> Call {
        let mut call = LIMIT.call(&self.tag, &[]);
        call.cmd.arg(what);
        call
    }
}

/// What has been read not long ago.
#[derive(Debug)]
pub(crate) struct Recent<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Recent<T> {
    fn get(&self) -> Option<Arc<T>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, what)| Arc::clone(what))
    }

    fn set(&self, read_at: Instant, what: T) -> Arc<T> {
        let what = Arc::new(what);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((read_at, Arc::clone(&what)));
        what
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Every limit that there is, by name.
pub(crate) type Homes = BTreeMap<LimitName, Arc<Home>>;

/// The limits that are declared for the kinds of a queue.
pub(crate) type LimitsOfKinds = HashMap<Kind, Vec<LimitName>>;

/// The field of a queue that names the limits of a kind begins so.
const LIMITS_OF: &str = "limits:";

impl Inner {
    /// Every limit that anybody has ever named.
    pub(crate) async fn homes(&self) -> Result<Arc<Homes>, BackendError> {
        if let Some(known) = self.homes.get() {
            return Ok(known);
        }
        let now = Instant::now();
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(Tag::of_limits(&self.options.prefix).head()[0].as_str());
        let answer = self.link.command("limits", cmd).await?;
        let pairs = reply::pairs(answer).ok_or_else(|| unreadable("limits"))?;
        let names = pairs.into_iter().filter_map(|(name, _)| LimitName::parse(&reply::text(name)?).ok());
        Ok(self.homes.set(now, names.map(|name| (name.clone(), Arc::new(self.home(name)))).collect()))
    }

    fn home(&self, name: LimitName) -> Home {
        Home { tag: Tag::of_limit(&self.options.prefix, &name), name }
    }

    /// What is declared for the kinds of a queue.
    pub(crate) async fn limits_of_kinds(
        &self,
        queue: &crate::queue::Queue,
    ) -> Result<Arc<LimitsOfKinds>, BackendError> {
        if let Some(known) = queue.limits.get() {
            return Ok(known);
        }
        let now = Instant::now();
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(queue.shards[0].tag.head()[0].as_str());
        let answer = self.link.command("limits", cmd).await?;
        let pairs = reply::pairs(answer).ok_or_else(|| unreadable("limits"))?;
        let read = |(field, value): (Value, Value)| {
            let kind = Kind::new(reply::text(field)?.strip_prefix(LIMITS_OF)?).ok()?;
            let names = reply::text(value)?;
            Some((kind, names.split_whitespace().filter_map(|n| LimitName::parse(n).ok()).collect()))
        };
        Ok(queue.limits.set(now, pairs.into_iter().filter_map(read).collect()))
    }

    pub(crate) async fn declare(&self, queue: &QueueName, declared: &Declared) -> Result<(), BackendError> {
        self.homes.forget();
        for (name, rule) in &declared.limits {
            self.write_rule(name, "declared", *rule).await?;
        }
        if declared.kinds.is_empty() {
            return Ok(());
        }
        let queue = self.queue(queue).await?;
        let mut call = DECLARE.call(&queue.shards[0].tag, &[]);
        for kind in &declared.kinds {
            let names: Vec<_> = kind.limits.iter().map(LimitName::as_str).collect();
            call.cmd.arg(kind.kind.as_str()).arg(names.join(" ")).arg(line_text(kind));
        }
        self.link.run(call).await?;
        queue.limits.forget();
        Ok(())
    }

    /// Everybody must know that there is such a limit before it binds.
    async fn enter_limit(&self, name: &LimitName) -> Result<(), BackendError> {
        if !self.homes().await?.contains_key(name) {
            let mut cmd = redis::cmd("HSET");
            cmd.arg(Tag::of_limits(&self.options.prefix).head()[0].as_str()).arg(name.as_str()).arg(1);
            self.link.command("limits", cmd).await?;
            self.homes.forget();
        }
        Ok(())
    }

    /// Answers whether it is news.
    async fn write_rule(
        &self,
        name: &LimitName,
        which: &str,
        rule: Option<LimitRule>,
    ) -> Result<bool, BackendError> {
        if rule.is_some() {
            self.enter_limit(name).await?;
        }
        let mut call = self.home(name.clone()).call(which);
        call.cmd.arg(rule.map(|r| rule_text(&r)).unwrap_or_default());
        Ok(reply::int(&self.link.run(call).await?) == Some(1))
    }

    pub(crate) async fn close_limit(&self, name: &LimitName, period: Duration) -> Result<(), BackendError> {
        self.enter_limit(name).await?;
        let mut call = self.home(name.clone()).call("close");
        call.cmd.arg(ms(period));
        self.link.run(call).await?;
        Ok(())
    }

    pub(crate) async fn adapt_limit(
        &self,
        name: &LimitName,
        step: LimitStep,
    ) -> Result<Option<u32>, BackendError> {
        let mut call = self.home(name.clone()).call("adapt");
        call.cmd.arg(match step {
            LimitStep::Raise => String::new(),
            LimitStep::Lower { claimed } => ms(claimed).to_string(),
        });
        let answer = self.link.run(call).await?;
        let now = reply::int(&answer).ok_or_else(|| unreadable("adapt limit"))?;
        Ok(u32::try_from(now).ok())
    }

    pub(crate) async fn set_limit(
        &self,
        name: &LimitName,
        rule: Option<LimitRule>,
    ) -> Result<(), BackendError> {
        if self.write_rule(name, "set", rule).await? {
            self.wake_all().await;
        }
        Ok(())
    }

    pub(crate) async fn open_limit(&self, name: &LimitName) -> Result<(), BackendError> {
        self.link.run(self.home(name.clone()).call("open")).await?;
        self.wake_all().await;
        Ok(())
    }

    /// Any queue may have waited for a limit. Only a hint.
    async fn wake_all(&self) {
        self.wake.bells.ring_all();
        let Ok(queues) = self.all_queues().await else { return };
        let tell = |name: &QueueName| {
            let mut cmd = redis::cmd("PUBLISH");
            cmd.arg(self.wake.channel()).arg(name.as_str());
            self.link.command("wake", cmd)
        };
        join_all(queues.iter().map(|queue| tell(&queue.name))).await;
    }

    pub(crate) async fn limits(&self) -> Result<Vec<LimitRecord>, BackendError> {
        self.homes.forget();
        let homes = self.homes().await?;
        let records = try_join_all(homes.values().map(|home| self.look_at(home))).await?;
        let shown = |r: &LimitRecord| r.declared.is_some() || r.set.is_some() || r.closed_for.is_some();
        Ok(records.into_iter().filter(shown).collect())
    }

    async fn look_at(&self, home: &Home) -> Result<LimitRecord, BackendError> {
        let answer = self.link.run(home.call("look")).await?;
        let read = || {
            let [declared, set, used, closed, adapted] =
                <[Value; 5]>::try_from(reply::array(answer)?).ok()?;
            let closed = Duration::from_millis(reply::count(&closed)?);
            Some(LimitRecord {
                name: home.name.clone(),
                declared: read_rule(&reply::text(declared)?),
                set: read_rule(&reply::text(set)?),
                adapted: u32::try_from(reply::int(&adapted)?).ok(),
                in_use: u32::try_from(reply::count(&used)?).ok()?,
                closed_for: (!closed.is_zero()).then_some(closed),
            })
        };
        read().ok_or_else(|| unreadable("limits"))
    }
}

fn or_dash(number: Option<impl Display>) -> String {
    number.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

/// Concurrency, µs for a token, burst, and how low the concurrency may come are for scripts; count and ms say how people gave the rate.
fn rule_text(rule: &LimitRule) -> String {
    [
        or_dash(rule.concurrency),
        or_dash(rule.rate.map(|r| r.interval_us())),
        or_dash(rule.rate.map(|r| r.burst)),
        or_dash(rule.rate.map(|r| r.count)),
        or_dash(rule.rate.map(|r| r.per.as_millis())),
        or_dash(rule.adaptive_min),
    ]
    .join(" ")
}

fn read_rule(text: &str) -> Option<LimitRule> {
    let words: Vec<&str> = text.split(' ').collect();
    // One that was written before there were limits that adapt has no last word.
    let [concurrency, _, burst, count, per, least @ ..] = words.as_slice() else { return None };
    let rate = || {
        let per = Duration::from_millis(per.parse().ok()?);
        Some(Rate { count: count.parse().ok()?, per, burst: burst.parse().ok()? })
    };
    Some(LimitRule {
        concurrency: concurrency.parse().ok(),
        rate: rate(),
        adaptive_min: least.first().and_then(|n| n.parse().ok()),
    })
}

/// What each line of a kind may take; empty if that is anything.
fn line_text(kind: &KindLimits) -> String {
    let LimitRule { concurrency, rate, .. } = kind.line;
    if concurrency.is_none() && rate.is_none() && !kind.ordered {
        return String::new();
    }
    let (interval, burst) = (rate.map(|r| r.interval_us()), rate.map(|r| r.burst));
    [or_dash(concurrency), or_dash(interval), or_dash(burst), u8::from(kind.ordered).to_string()].join(" ")
}

/// A holder: a lease, and the number of the shard that it is in.
pub(crate) fn holder(lease: job_core::LeaseId, shard: u32) -> Vec<u8> {
    [lease.as_uuid().as_bytes().as_slice(), shard.to_string().as_bytes()].concat()
}

/// What holders have of one limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slots {
    pub(crate) limit: LimitName,
    pub(crate) holder: Vec<u8>,
    pub(crate) count: u64,
}

impl Slots {
    /// As a script answers: a name, a holder, a number.
    pub(crate) fn read(row: Vec<Value>) -> Option<Self> {
        let [limit, holder, count] = <[Value; 3]>::try_from(row).ok()?;
        let limit = LimitName::parse(&reply::text(limit)?).ok()?;
        Some(Self { limit, holder: reply::bytes(holder)?, count: reply::count(&count)? })
    }

    pub(crate) fn read_all(answer: Value) -> Option<Vec<Self>> {
        reply::array(answer)?.into_iter().map(|row| Self::read(reply::array(row)?)).collect()
    }
}

impl Inner {
    /// Tells homes what holders have left. What does not arrive is held until the holders end.
    pub(crate) async fn lower(&self, left: &[Slots]) {
        let calls = self.calls_of(left, "lower", None);
        for answer in join_all(calls.into_iter().map(|call| self.link.run(call))).await {
            if let Err(error) = answer {
                tracing::debug!(%error, "slots of a limit stay until their leases end");
            }
        }
    }

    /// One call for each home.
    pub(crate) fn calls_of(&self, slots: &[Slots], what: &str, life: Option<u64>) -> Vec<Call> {
        let mut calls: BTreeMap<&LimitName, Call> = BTreeMap::new();
        for slot in slots {
            let call = calls.entry(&slot.limit).or_insert_with(|| {
                let mut call = self.home(slot.limit.clone()).call(what);
                call.cmd.arg(life);
                call
            });
            call.cmd.arg(Raw(&slot.holder)).arg(slot.count);
        }
        calls.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_back_as_they_were() {
        let rate = Rate { count: 7, per: Duration::from_millis(1500), burst: u32::MAX };
        for rule in [
            LimitRule::default(),
            LimitRule { concurrency: Some(3), ..LimitRule::default() },
            LimitRule { rate: Some(rate), ..LimitRule::default() },
            LimitRule { concurrency: Some(u32::MAX), rate: Some(rate), adaptive_min: Some(1) },
        ] {
            assert_eq!(read_rule(&rule_text(&rule)), Some(rule));
        }
        assert_eq!(read_rule(""), None);
        let old = LimitRule { concurrency: Some(3), ..LimitRule::default() };
        assert_eq!(read_rule("3 - - - -"), Some(old));
    }
}
