//! What makes a process fail at a point: the orders that it was given.

use super::history::History;
use crate::judge::event::Event;
use crate::judge::point::{Action, Order, Point};
use job_core::faults::{Faults, Injected};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The orders that a process was given.
#[derive(Debug)]
pub struct Fate {
    history: Arc<History>,
    orders: Mutex<Vec<Order>>,
    thawed: Mutex<bool>,
    thaw: Condvar,
}

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
        matches!(self.suffer(point, unsent), Some(Action::Lose))
    }

    /// Does what is due at this point; what is left for the caller to do is returned.
    fn suffer(&self, point: Point, unsent: Option<u64>) -> Option<Action> {
        let action = self.due(point)?;
        self.history.write(Event::Reached { point, action, unsent });
        match action {
            Action::Lose | Action::Hang => {}
            Action::Freeze => self.freeze(),
            Action::Kill => {
                signal_self(rustix::process::Signal::KILL);
                // SIGKILL strikes all threads at once, this one before it can return from the call.
                std::process::abort();
            }
        }
        Some(action)
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

/// The points inside of the product.
impl Faults for Fate {
    fn reached(&self, _scope: &str, point: &str) -> Injected {
        let suffered = Point::from_word(point).and_then(|point| self.suffer(point, None));
        match suffered {
            Some(Action::Lose) => Injected::Fail,
            Some(Action::Hang) => Injected::Hang,
            _ => Injected::Nothing,
        }
    }
}

fn signal_self(signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::getpid(), signal)
        .expect("a process may send itself a signal");
}

#[cfg(test)]
mod tests {
    use super::*;

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
