//! Decides who dies how, and counts who did.

use super::checker::Floors;
use super::point::{Action, Order, Point};
use super::run::Options;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a child will die.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doom {
    /// At a point, certainly.
    At(Order),
    /// This long after it began to work, wherever it is then.
    AtRandom(Duration),
    /// First frozen at a point until its leases are over, then let go, then killed.
    Frozen(Order),
}

/// A kind of death, drawn from a bag that has one of each.
#[derive(Debug, Clone, Copy)]
enum Lot {
    At(Point),
    AtRandom,
    Frozen,
}

/// What has been done so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) at: BTreeMap<Point, u64>,
    pub(super) random: u64,
    /// Frozen and let go, with at least one verdict refused.
    pub(super) frozen: u64,
    /// Children that did not come to their point in time.
    pub(super) missed: u64,
}

impl Tally {
    pub(super) fn kills(&self) -> u64 {
        self.at.values().sum::<u64>() + self.random
    }
}

/// Shared by everybody who starts children.
#[derive(Debug)]
pub(super) struct Director {
    state: Mutex<State>,
    kills: u64,
    each: u64,
    frozen: u64,
    /// The most workers that are frozen at once: somebody has to end their leases.
    frozen_max: usize,
    deadline: Instant,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    worker_bag: Vec<Lot>,
    producer_bag: Vec<Lot>,
    tally: Tally,
    /// Workers that are frozen or about to be.
    frozen: usize,
    stopped: bool,
}

impl Director {
    /// Wants this many kills in all, and of each kind what `floors` says, before the deadline.
    pub(super) fn new(options: &Options, floors: &Floors, deadline: Instant) -> Self {
        let state = State {
            random: StdRng::seed_from_u64(options.seed),
            worker_bag: Vec::new(),
            producer_bag: Vec::new(),
            tally: Tally::default(),
            frozen: 0,
            stopped: false,
        };
        Self {
            state: Mutex::new(state),
            kills: options.kills,
            each: floors.kills_at_each,
            frozen: floors.frozen,
            frozen_max: options.workers.saturating_sub(1),
            deadline,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do to the next worker: every point in turn, in a new order each time, one frozen, one at random.
    pub(super) fn next_worker(&self) -> Doom {
        let mut state = self.state();
        if state.worker_bag.is_empty() {
            state.worker_bag = state.bag(&Point::WORKER, &[Lot::AtRandom, Lot::Frozen]);
        }
        let mut lot = state.worker_bag.pop().unwrap_or(Lot::AtRandom);
        if matches!(lot, Lot::Frozen) {
            if state.frozen < self.frozen_max && !self.has_enough(&state) {
                state.frozen += 1;
            } else {
                lot = Lot::AtRandom;
            }
        }
        state.doom(lot, 0..12)
    }

    /// A worker that was to be frozen is over that.
    pub(super) fn thawed(&self) {
        self.state().frozen -= 1;
    }

    /// What to do to the next producer.
    pub(super) fn next_producer(&self) -> Doom {
        let mut state = self.state();
        if state.producer_bag.is_empty() {
            state.producer_bag = state.bag(&Point::PRODUCER, &[Lot::AtRandom]);
        }
        let lot = state.producer_bag.pop().unwrap_or(Lot::AtRandom);
        state.doom(lot, 10..40)
    }

    /// Answers to lose in the life of a child.
    pub(super) fn losses(&self, points: &[Point]) -> Vec<Order> {
        let mut state = self.state();
        let mut losses = Vec::new();
        for &point in points {
            let passes = state.random.random_range(0..30);
            losses.push(Order { point, action: Action::Lose, passes });
        }
        losses
    }

    pub(super) fn moment(&self) -> Duration {
        self.state().moment()
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.state().tally);
    }

    pub(super) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// True once enough was killed, or time is up, or somebody gave up; and nobody waits for others to end its leases.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.stopped || (state.frozen == 0 && self.has_enough(&state))
    }

    fn has_enough(&self, state: &State) -> bool {
        let tally = &state.tally;
        let each = |p: &Point| tally.at.get(p).copied().unwrap_or(0);
        let enough = tally.kills() >= self.kills
            && tally.frozen >= self.frozen
            && Point::WORKER.iter().all(|p| each(p) >= self.each)
            && Point::PRODUCER.iter().all(|p| each(p) >= 1);
        enough || Instant::now() >= self.deadline
    }

    /// No more children: something is wrong.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
    }
}

impl State {
    fn moment(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(0..700))
    }

    fn bag(&mut self, points: &[Point], others: &[Lot]) -> Vec<Lot> {
        let mut bag: Vec<Lot> = points.iter().map(|p| Lot::At(*p)).collect();
        bag.extend(others);
        bag.shuffle(&mut self.random);
        bag
    }

    fn doom(&mut self, lot: Lot, passes: Range<u32>) -> Doom {
        let passes = self.random.random_range(passes);
        match lot {
            Lot::At(point) => Doom::At(Order { point, action: Action::Kill, passes }),
            Lot::Frozen => Doom::Frozen(Order { point: Point::BeforeSettle, action: Action::Freeze, passes }),
            Lot::AtRandom => Doom::AtRandom(self.moment()),
        }
    }
}
