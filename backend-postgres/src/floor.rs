//! From where `promote` looks for due jobs. What has been promoted stays in the index for as long as an open snapshot could
//! see it, so whoever began at the start would read all of it again each time.
//!
//! A job is stored with a time that the clock has not reached, by a transaction that has an id by then. So once every
//! transaction has ended whose id is below one that was taken at some time, whoever looks sees all that can ever be due by that time.
//! A transaction that stays open for long is passed, and looked for from where the floor was when it has ended.

use job_core::{QueueName, seeded_bug};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How far the floor stays below the time up to which nothing is left, in microseconds: clocks may be set back a little, and a
/// statement has read the clock a little before its transaction had an id.
const SLACK: i64 = 1_000_000;

/// A transaction that is open for longer is passed.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most transactions that are passed at one time.
const LATE_MAX: usize = 100;

/// How often everything is looked through: for what stands below the floor against the rule, as after a restored backup.
const ALL_EVERY: Duration = Duration::from_secs(30);

/// What one call of `promote` says, times in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// When it began to look.
    pub(crate) at: i64,
    /// Its transaction, if it promoted anything.
    pub(crate) xid: Option<i64>,
    /// The transactions that were open just before it looked, and what is above all that had begun.
    pub(crate) running: Vec<i64>,
    pub(crate) ahead: i64,
    /// When the first of those is due that are left.
    pub(crate) next_run: Option<i64>,
}

/// From where a call looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From {
    pub(crate) floor: Option<i64>,
    generation: u64,
}

/// The floors of the queues that this process maintains.
#[derive(Debug, Default)]
pub(crate) struct Floors(Mutex<HashMap<QueueName, Floor>>);

#[derive(Debug, Default)]
struct Floor {
    /// Nothing is left that is due by then; `None` before it is known of any time.
    low: Option<i64>,
    /// The next floor, once older transactions have ended: time, transaction, and when that was.
    next: Option<(i64, i64, Instant)>,
    late: Vec<Late>,
    all: Option<Instant>,
    /// What the clock said last.
    clock: i64,
    /// Counts answers: a call that began before another one was answered raises nothing.
    generation: u64,
}

/// An open transaction that was passed.
#[derive(Debug, Clone, Copy)]
struct Late {
    xid: i64,
    from: Option<i64>,
    ended: bool,
}

impl Floors {
    fn of<T>(&self, queue: &QueueName, act: impl FnOnce(&mut Floor) -> T) -> T {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(queues.entry(queue.clone()).or_default())
    }

    /// From where the next call looks.
    pub(crate) fn begin(&self, queue: &QueueName) -> From {
        self.of(queue, |floor| floor.begin(Instant::now()))
    }

    /// A call was answered. True if another one is to follow at once.
    pub(crate) fn end(&self, queue: &QueueName, from: From, seen: &Seen) -> bool {
        self.of(queue, |floor| floor.end(Instant::now(), from, seen))
    }
}

impl Floor {
    fn begin(&mut self, now: Instant) -> From {
        let all = self.all.is_none_or(|last| now >= last + ALL_EVERY);
        if all {
            self.all = Some(now);
        }
        let all = all || seeded_bug!("postgres_promotes_from_the_start");
        let late = self.late.iter().filter(|l| l.ended).map(|l| l.from);
        let floor = if all { None } else { late.fold(self.low, Option::min) };
        From { floor, generation: self.generation }
    }

    fn end(&mut self, now: Instant, from: From, seen: &Seen) -> bool {
        let alone = from.generation == self.generation;
        self.generation += 1;
        if alone && seen.at < self.clock {
            // The clock was set back.
            *self = Self { generation: self.generation, all: Some(now), ..Self::default() };
            return true;
        }
        self.clock = self.clock.max(seen.at);
        let left = seen.next_run.map(|next| next - 1);
        if let (Some(low), Some(left)) = (self.low, left) {
            self.low = Some(low.min(left));
        }
        if !alone {
            return false;
        }
        self.late.retain(|l| !l.ended || l.from < from.floor);
        for late in &mut self.late {
            late.ended = seen.ahead > late.xid && !seen.running.contains(&late.xid);
        }
        self.rise(now, seen, left);
        self.late.iter().any(|l| l.ended)
    }

    fn rise(&mut self, now: Instant, seen: &Seen, left: Option<i64>) {
        // A snapshot from before the id was taken says nothing of what had begun by then.
        if let Some((at, xid, since)) = self.next
            && seen.ahead > xid
        {
            let passed = |x: i64| self.late.iter().any(|l| l.xid == x);
            let mut open: Vec<_> = seen.running.iter().copied().filter(|x| *x < xid && !passed(*x)).collect();
            if !open.is_empty() && (now < since + PATIENCE || self.late.len() + open.len() > LATE_MAX) {
                return;
            }
            if seeded_bug!("postgres_late_jobs_forgotten") {
                open.clear();
            }
            let from = self.low;
            self.late.extend(open.into_iter().map(|xid| Late { xid, from, ended: false }));
            let high = left.map_or(at - SLACK, |left| left.min(at - SLACK));
            self.low = self.low.max(Some(high));
            self.next = None;
        }
        if self.next.is_none() {
            self.next = seen.xid.map(|xid| (seen.at, xid, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A floor, and a call that looked from it.
    struct Queue {
        floor: Floor,
        now: Instant,
    }

    impl Queue {
        fn new() -> Self {
            Self { floor: Floor::default(), now: Instant::now() }
        }

        /// From where it looked, and whether another look is to follow.
        fn look(&mut self, seen: &Seen) -> (Option<i64>, bool) {
            let from = self.floor.begin(self.now);
            (from.floor, self.floor.end(self.now, from, seen))
        }
    }

    fn seen(at: i64, xid: i64, running: &[i64]) -> Seen {
        Seen { at: at * SECOND, xid: Some(xid), running: running.to_vec(), ahead: xid, next_run: None }
    }

    #[test]
    fn it_rises_once_older_transactions_have_ended() {
        let mut queue = Queue::new();
        assert_eq!(queue.look(&seen(100, 10, &[8])), (None, false));
        assert_eq!(queue.look(&seen(101, 11, &[8])), (None, false), "8 may still store what is due by 100");
        assert_eq!(queue.look(&seen(102, 12, &[11])), (None, false));
        assert_eq!(queue.look(&seen(103, 13, &[])).0, Some(99 * SECOND), "a second below");
    }

    #[test]
    fn it_stays_below_what_is_left() {
        let mut queue = Queue::new();
        queue.look(&seen(100, 10, &[]));
        queue.look(&Seen { next_run: Some(50 * SECOND), ..seen(101, 11, &[]) });
        assert_eq!(queue.look(&seen(102, 12, &[])).0, Some(50 * SECOND - 1));
        // Somebody has a row locked that was there all the time.
        queue.look(&Seen { next_run: Some(40 * SECOND), ..seen(103, 13, &[]) });
        assert_eq!(queue.look(&seen(104, 14, &[])).0, Some(40 * SECOND - 1));
    }

    #[test]
    fn a_long_transaction_is_passed_and_looked_for_when_it_has_ended() {
        let mut queue = Queue::new();
        queue.look(&seen(100, 10, &[]));
        queue.look(&seen(101, 11, &[]));
        assert_eq!(queue.look(&seen(102, 13, &[12])).0, Some(99 * SECOND));
        queue.now += PATIENCE;
        assert_eq!(queue.look(&seen(103, 14, &[12])).0, Some(100 * SECOND), "12 has begun after 101");
        queue.now += PATIENCE;
        queue.look(&seen(104, 15, &[12]));
        queue.now += PATIENCE;
        assert_eq!(queue.look(&seen(105, 16, &[12, 14])).0, Some(102 * SECOND), "12 was passed");
        let ended = queue.look(&seen(106, 17, &[14]));
        assert!(ended.1, "12 has ended: {ended:?}");
        let again = queue.look(&seen(107, 18, &[14]));
        assert_eq!(again.0, Some(100 * SECOND), "as it was when 12 was passed");
        assert!(!again.1);
        assert!(queue.look(&seen(108, 19, &[14])).0 > Some(102 * SECOND - 1), "and on from where it was");
    }

    #[test]
    fn each_of_those_that_were_passed_is_looked_for_when_it_has_ended() {
        let mut queue = Queue::new();
        queue.look(&seen(100, 10, &[]));
        queue.look(&seen(101, 13, &[11, 12]));
        queue.look(&seen(102, 14, &[11, 12]));
        queue.now += PATIENCE;
        queue.look(&seen(103, 15, &[11, 12]));
        assert_eq!(queue.look(&seen(104, 16, &[11, 12])).0, Some(100 * SECOND), "both were passed");
        assert!(queue.look(&seen(106, 18, &[11])).1, "12 has ended");
        assert_eq!(
            queue.look(&seen(107, 19, &[11])),
            (Some(99 * SECOND), false),
            "as it was when 12 was passed"
        );
        assert!(queue.look(&seen(108, 20, &[])).1, "11 has ended as well");
    }

    #[test]
    fn all_of_it_is_looked_through_now_and_then() {
        let mut queue = Queue::new();
        queue.look(&seen(100, 10, &[]));
        queue.look(&seen(101, 11, &[]));
        assert!(queue.floor.begin(queue.now).floor.is_some());
        queue.now += ALL_EVERY;
        assert_eq!(queue.look(&seen(131, 12, &[])).0, None);
        assert!(queue.floor.begin(queue.now).floor.is_some());
    }

    #[test]
    fn a_clock_that_was_set_back_begins_anew() {
        let mut queue = Queue::new();
        queue.look(&seen(100, 10, &[]));
        queue.look(&seen(101, 11, &[]));
        assert!(queue.look(&seen(50, 12, &[])).1);
        assert_eq!(queue.look(&seen(51, 13, &[])).0, None);
    }

    #[test]
    fn calls_beside_each_other_raise_nothing_that_one_of_them_did_not_see() {
        let mut queue = Queue::new();
        queue.look(&seen(100, 10, &[]));
        // It began before that was answered: what its snapshot did not show may have begun in between.
        let early = queue.floor.begin(queue.now);
        let other = queue.floor.begin(queue.now);
        queue.floor.end(queue.now, other, &Seen { ahead: 10, ..seen(101, 12, &[]) });
        assert_eq!(queue.floor.low, None, "10 was not begun for that snapshot");
        queue.floor.end(queue.now, early, &seen(102, 13, &[]));
        assert_eq!(queue.floor.low, None);
        queue.look(&seen(103, 14, &[]));
        assert_eq!(queue.floor.low, Some(99 * SECOND));
    }
}
