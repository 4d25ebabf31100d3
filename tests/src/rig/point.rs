//! Where a process can be killed, frozen or cut off, and what does it.

#[cfg(all(feature = "rig", unix))]
use super::event::Event;
#[cfg(all(feature = "rig", unix))]
use super::history::History;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
#[cfg(all(feature = "rig", unix))]
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A place in the life of a job at which the process can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 7] = [
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
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, until somebody sends SIGCONT and says that it may go on.
    Freeze,
    /// The answer of the store is lost: the caller hears that the outcome is unknown.
    Lose,
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
        let action = match self.action {
            Action::Kill => "kill",
            Action::Freeze => "freeze",
            Action::Lose => "lose",
        };
        write!(f, "{action} {} {}", self.point, self.passes)
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let bad = || format!("not an order: {line:?}");
        let mut words = line.split_whitespace();
        let action = match words.next() {
            Some("kill") => Action::Kill,
            Some("freeze") => Action::Freeze,
            Some("lose") => Action::Lose,
            _ => return Err(bad()),
        };
        let word = words.next().ok_or_else(bad)?;
        let point = Point::ALL.into_iter().find(|p| p.as_str() == word).ok_or_else(bad)?;
        let passes = words.next().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
        Ok(Self { point, action, passes })
    }
}

/// The orders that a process was given.
#[cfg(all(feature = "rig", unix))]
#[derive(Debug)]
pub struct Fate {
    history: Arc<History>,
    orders: Mutex<Vec<Order>>,
    thawed: Mutex<bool>,
    thaw: Condvar,
}

#[cfg(all(feature = "rig", unix))]
impl Fate {
    /// No orders yet; what happens is written into `history` before it does.
    #[must_use]
    pub fn new(history: Arc<History>) -> Self {
        Self { history, orders: Mutex::default(), thawed: Mutex::default(), thaw: Condvar::new() }
    }

    /// A frozen process may go on.
    pub fn thaw(&self) {
        *self.thawed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.thaw.notify_all();
    }

    /// SIGSTOP stops some thread at once and this one a little later, which could still send what it has.
    fn freeze(&self) {
        signal_self(rustix::process::Signal::STOP);
        let mut thawed = self.thawed.lock().unwrap_or_else(PoisonError::into_inner);
        while !*thawed {
            thawed = self.thaw.wait(thawed).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Adds an order.
    pub fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
    }

    /// The process is at this point, with this call not sent yet. Returns true if the answer is to be lost.
    pub fn pass(&self, point: Point, unsent: Option<u64>) -> bool {
        let Some(action) = self.due(point) else { return false };
        self.history.write(Event::Reached { point, action, unsent });
        match action {
            Action::Lose => return true,
            Action::Freeze => self.freeze(),
            Action::Kill => {
                signal_self(rustix::process::Signal::KILL);
                // SIGKILL strikes all threads at once, this one before it can return from the call.
                std::process::abort();
            }
        }
        false
    }

    fn due(&self, point: Point) -> Option<Action> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let at = orders.iter().position(|o| o.point == point)?;
        if orders[at].passes > 0 {
            orders[at].passes -= 1;
            return None;
        }
        Some(orders.swap_remove(at).action)
    }
}

#[cfg(all(feature = "rig", unix))]
fn signal_self(signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::getpid(), signal)
        .expect("a process may send itself a signal");
}

#[cfg(all(test, feature = "rig", unix))]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_being_a_line() {
        for point in Point::ALL {
            let order = Order { point, action: Action::Freeze, passes: 3 };
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        for bad in
            ["", "kill", "kill nowhere 1", "kill after_claim", "kill after_claim x", "maim after_claim 1"]
        {
            assert!(bad.parse::<Order>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_order_comes_true_once_after_its_passes() {
        let history = Arc::new(History::in_memory());
        let fate = Fate::new(Arc::clone(&history));
        fate.order(Order { point: Point::AfterClaim, action: Action::Lose, passes: 2 });
        let lost: Vec<bool> = (0..5).map(|_| fate.pass(Point::AfterClaim, None)).collect();
        assert_eq!(lost, [false, false, true, false, false]);
        assert!(!fate.pass(Point::AfterSettle, None));
        assert_eq!(history.records().len(), 1);
    }
}
