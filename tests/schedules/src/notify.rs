//! `tokio::sync::Notify` as its documentation says it works, on locks that are scheduled.

use shuttle::sync::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard as StdGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Wakes those who wait for a change.
#[derive(Debug, Default)]
pub struct Notify {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// A point at which another thread may go on, before everything that others can see.
    turn: Mutex<()>,
    state: std::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A `notify_one` that found nobody.
    permit: bool,
    /// How often everybody was notified.
    rounds: u64,
    next: u64,
    waiting: Vec<Waiting>,
    /// Notified alone, and has not looked yet.
    chosen: Vec<u64>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    waker: Option<Waker>,
}

impl Shared {
    fn state(&self) -> StdGuard<'_, State> {
        drop(self.turn.lock());
        // Never held across a point where another thread goes on, so it is never contended.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify_one(&self) {
        let waker = {
            let mut state = self.state();
            if state.waiting.is_empty() {
                state.permit = true;
                return;
            }
            let first = state.waiting.remove(0);
            state.chosen.push(first.number);
            first.waker
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Notify {
    /// Without a permit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notifies everybody who has asked before, and leaves no permit.
    pub fn notify_waiters(&self) {
        let woken = {
            let mut state = self.shared.state();
            state.rounds += 1;
            std::mem::take(&mut state.waiting)
        };
        woken.into_iter().filter_map(|waiting| waiting.waker).for_each(Waker::wake);
    }

    /// Notifies the first who waits, or else the next who will.
    pub fn notify_one(&self) {
        self.shared.notify_one();
    }

    /// From now on the future hears of every `notify_waiters`; of a `notify_one` once it is polled or enabled.
    #[must_use]
    pub fn notified(&self) -> Notified {
        let rounds = self.shared.state().rounds;
        Notified { shared: Arc::clone(&self.shared), rounds, number: None, done: false }
    }

    /// The same for a shared one.
    #[must_use]
    pub fn notified_owned(self: Arc<Self>) -> Notified {
        self.notified()
    }
}

/// Waits for a notification.
#[derive(Debug)]
pub struct Notified {
    shared: Arc<Shared>,
    rounds: u64,
    /// Its number among those who wait, once it does.
    number: Option<u64>,
    done: bool,
}

impl Notified {
    /// Joins those who wait; true if it was notified already.
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        self.look(None)
    }

    fn look(&mut self, waker: Option<&Waker>) -> bool {
        if self.done {
            return true;
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        let chosen = self.number.and_then(|number| state.chosen.iter().position(|n| *n == number));
        if state.rounds != self.rounds {
            self.done = true;
        } else if let Some(at) = chosen {
            state.chosen.swap_remove(at);
            self.done = true;
        } else if self.number.is_none() && state.permit {
            state.permit = false;
            self.done = true;
        } else {
            let number = *self.number.get_or_insert_with(|| {
                state.next += 1;
                state.next
            });
            match state.waiting.iter_mut().find(|waiting| waiting.number == number) {
                Some(waiting) => waiting.waker = waker.cloned().or(waiting.waker.take()),
                None => state.waiting.push(Waiting { number, waker: waker.cloned() }),
            }
        }
        self.done
    }
}

impl Future for Notified {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.look(Some(context.waker())) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        let Some(number) = self.number.filter(|_| !self.done) else { return };
        if std::thread::panicking() {
            return;
        }
        let pass_on = {
            let mut state = self.shared.state();
            state.waiting.retain(|waiting| waiting.number != number);
            let chosen = state.chosen.len();
            state.chosen.retain(|n| *n != number);
            state.chosen.len() < chosen
        };
        if pass_on {
            self.shared.notify_one();
        }
    }
}
