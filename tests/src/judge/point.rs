//! Where a process can be killed, frozen or cut off.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A place at which a process can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// An enqueue is about to be sent.
    BeforeEnqueue,
    /// An enqueue was committed, its caller has not been told.
    AfterEnqueue,
    /// A claim was committed, the runtime has not been told.
    AfterClaim,
    /// The handler has begun.
    InHandler,
    /// The handler has done what the job is for.
    AfterEffect,
    /// Verdicts are about to be sent.
    BeforeSettle,
    /// Verdicts were committed, the runtime has not been told.
    AfterSettle,
    /// A `fault_point!` of the runtime or of a backend, by its name.
    Within(&'static str),
}

/// The points of the runtime, all of which a worker passes all the time.
pub const RUNTIME: [&str; 15] = [
    "claimer.wake",
    "claimer.poll",
    "claimer.planned",
    "claimer.answered",
    "settler.flush",
    "settler.answered",
    "keeper.tick",
    "keeper.extended",
    "maintainer.tick",
    "maintainer.answered",
    "listener.woken",
    "job.started",
    "job.returned",
    "notes.before_save",
    "notes.after_save",
];

/// Those of the handlers that do something outside: before the call of the other side, after it when its result is not
/// noted yet. A lost answer before the call is a request that was not sent.
pub const EFFECT: [&str; 2] = ["effect.before_call", "effect.after_call"];

/// Those of the handlers that complete their jobs in a transaction.
pub const TRANSACTION: [&str; 2] = ["transaction.before_commit", "transaction.after_commit"];

/// Those of a scheduler: in the runtime, on PostgreSQL, on Redis. Workers of a run without schedules do not pass the steps.
pub const SCHEDULER: [&str; 6] = [
    "scheduler.tick",
    "scheduler.fired",
    "postgres.fire.before_send",
    "postgres.fire.after_commit",
    "redis.fire.before_send",
    "redis.fire.after_reply",
];

/// Those of the PostgreSQL backend.
pub const POSTGRES: [&str; 12] = [
    "postgres.claim.before_send",
    "postgres.claim.after_commit",
    "postgres.settle_and_claim.before_send",
    "postgres.settle_and_claim.after_commit",
    "postgres.settle.before_send",
    "postgres.settle.after_commit",
    "postgres.extend.before_send",
    "postgres.extend.after_commit",
    "postgres.promote.before_send",
    "postgres.promote.after_commit",
    "postgres.reap.before_send",
    "postgres.reap.after_commit",
];

/// Those of the Redis backend.
pub const REDIS: [&str; 12] = [
    "redis.claim.before_send",
    "redis.claim.after_reply",
    "redis.settle_and_claim.before_send",
    "redis.settle_and_claim.after_reply",
    "redis.settle.before_send",
    "redis.settle.after_reply",
    "redis.extend.before_send",
    "redis.extend.after_reply",
    "redis.promote.before_send",
    "redis.promote.after_reply",
    "redis.reap.before_send",
    "redis.reap.after_reply",
];

impl Point {
    /// Every point around a call or in a handler.
    pub const AROUND: [Self; 7] = [
        Self::BeforeEnqueue,
        Self::AfterEnqueue,
        Self::AfterClaim,
        Self::InHandler,
        Self::AfterEffect,
        Self::BeforeSettle,
        Self::AfterSettle,
    ];
    /// Those of a worker.
    pub const WORKER: [Self; 5] =
        [Self::AfterClaim, Self::InHandler, Self::AfterEffect, Self::BeforeSettle, Self::AfterSettle];
    /// Those of a producer.
    pub const PRODUCER: [Self; 2] = [Self::BeforeEnqueue, Self::AfterEnqueue];

    /// The points inside of the runtime and of every backend.
    pub fn within() -> impl Iterator<Item = Self> {
        let runtime = RUNTIME.into_iter().chain(SCHEDULER).chain(EFFECT).chain(TRANSACTION);
        runtime.chain(POSTGRES).chain(REDIS).map(Self::Within)
    }

    /// What can be done there to any purpose: a point of the runtime has no answer that could be lost, and no call that
    /// could hang.
    #[must_use]
    pub fn actions(self) -> &'static [Action] {
        match self {
            Self::Within(name) if RUNTIME.contains(&name) || TRANSACTION.contains(&name) => {
                &[Action::Kill, Action::Freeze]
            }
            _ => &Action::ALL,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeEnqueue => "before_enqueue",
            Self::AfterEnqueue => "after_enqueue",
            Self::AfterClaim => "after_claim",
            Self::InHandler => "in_handler",
            Self::AfterEffect => "after_effect",
            Self::BeforeSettle => "before_settle",
            Self::AfterSettle => "after_settle",
            Self::Within(name) => name,
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::AROUND.into_iter().chain(Self::within()).find(|p| p.as_str() == word)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        Self::from_word(&word).ok_or_else(|| D::Error::custom("no such point"))
    }
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, until somebody sends SIGCONT and says that it may go on.
    Freeze,
    /// The answer of the store is lost: the caller hears that the outcome is unknown.
    Lose,
    /// The call never comes to its end.
    Hang,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Freeze, Self::Lose, Self::Hang];

    fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Lose => "lose",
            Self::Hang => "hang",
        }
    }
}

/// An order to fail: at this point, after passing it so many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Where.
    pub point: Point,
    /// What.
    pub action: Action,
    /// How often the point is passed unharmed before.
    pub passes: u32,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action.as_str(), self.point, self.passes)
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let bad = || format!("not an order: {line:?}");
        let mut words = line.split_whitespace();
        let word = words.next().ok_or_else(bad)?;
        let action = Action::ALL.into_iter().find(|a| a.as_str() == word).ok_or_else(bad)?;
        let point = words.next().and_then(Point::from_word).ok_or_else(bad)?;
        let passes = words.next().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
        Ok(Self { point, action, passes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_being_a_line() {
        for point in Point::AROUND.into_iter().chain(Point::within()) {
            for action in Action::ALL {
                let order = Order { point, action, passes: 3 };
                assert_eq!(order.to_string().parse(), Ok(order));
            }
        }
        for bad in
            ["", "kill", "kill nowhere 1", "kill after_claim", "kill after_claim x", "maim after_claim 1"]
        {
            assert!(bad.parse::<Order>().is_err(), "{bad:?}");
        }
    }
}
