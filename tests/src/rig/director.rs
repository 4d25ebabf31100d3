//! Decides who dies how, and counts who did.

use super::run::Options;
use super::store::Store;
use crate::judge::Floors;
use crate::judge::point::{Action, Order, Point};
use crate::judge::storm::Storm;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::{BTreeMap, VecDeque};
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
    /// Loses an answer, or a call for ever, and is killed some time later.
    Hurt(Order),
    /// Told to end this long after it began to work, which it does by itself.
    Told(Duration),
}

/// A kind of death, drawn from a bag.
#[derive(Debug, Clone, Copy)]
enum Lot {
    AtRandom,
    Told,
    At(Point, Action),
}

/// What has been done so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// What struck at which point.
    pub at: BTreeMap<(Point, Action), u64>,
    /// Killed at a random moment.
    pub random: u64,
    /// Frozen before they sent a verdict, and let go, with at least one verdict refused.
    pub frozen: u64,
    /// Ended by themselves when told to.
    pub told: u64,
    /// Children that did not come to their point in time.
    pub missed: u64,
    /// Children whose clock was an hour off.
    pub clocks: u64,
    /// Calls that the service outside refused before it heard of them.
    pub refused: u64,
    /// Those that it heard and whose answers it lost.
    pub unanswered: u64,
    /// What was done to the server and the network.
    pub storms: BTreeMap<Storm, u64>,
}

impl Tally {
    /// Kills, wherever they struck.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let killed = |(at, n): (&(Point, Action), &u64)| (at.1 == Action::Kill).then_some(*n);
        self.at.iter().filter_map(killed).sum::<u64>() + self.random
    }

    /// How often this was done at this point.
    #[must_use]
    pub fn struck(&self, point: Point, action: Action) -> u64 {
        self.at.get(&(point, action)).copied().unwrap_or(0)
    }

    pub(super) fn strike(&mut self, order: Order) {
        *self.at.entry((order.point, order.action)).or_default() += 1;
    }
}

/// Shared by everybody who starts children.
#[derive(Debug)]
pub(super) struct Director {
    state: Mutex<State>,
    store: Store,
    kills: u64,
    floors: Floors,
    /// The most workers that are frozen at once: somebody has to end their leases.
    frozen_max: usize,
    deadline: Instant,
    whole_time: bool,
    /// How long a worker lives at most, if all that happens to them is a death at random.
    life: Option<Duration>,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    worker_bag: Vec<Lot>,
    producer_bag: Vec<Lot>,
    /// Every action at every point inside of the product, in turn.
    within: VecDeque<Lot>,
    tally: Tally,
    /// Workers that are frozen or about to be.
    frozen: usize,
    stopped: bool,
}

impl Director {
    /// Wants this many kills in all, and of each kind what `floors` says, before the deadline.
    pub(super) fn new(options: &Options, floors: Floors, deadline: Instant) -> Self {
        let mut random = StdRng::seed_from_u64(options.seed);
        let mut within: Vec<Lot> = struck_within(options.store).map(|(p, a)| Lot::At(p, a)).collect();
        within.shuffle(&mut random);
        let state = State {
            random,
            worker_bag: Vec::new(),
            producer_bag: Vec::new(),
            within: within.into(),
            tally: Tally::default(),
            frozen: 0,
            stopped: false,
        };
        Self {
            state: Mutex::new(state),
            store: options.store,
            kills: options.kills,
            floors,
            frozen_max: options.workers.saturating_sub(1),
            deadline,
            whole_time: options.whole_time,
            life: options.pace.map(|pace| pace * 2 * u32::try_from(options.workers).unwrap_or(1)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do to the next worker: every point around a call in turn, in a new order each time, some of those inside,
    /// one frozen, one told to end, and some at random.
    pub(super) fn next_worker(&self) -> Doom {
        let mut state = self.state();
        if let Some(life) = self.life {
            return Doom::AtRandom(life.mul_f64(state.random.random()));
        }
        if state.worker_bag.is_empty() {
            let mut bag: Vec<Lot> = Point::WORKER.map(|p| Lot::At(p, Action::Kill)).repeat(2);
            bag.extend([Lot::AtRandom, Lot::AtRandom, Lot::Told]);
            bag.push(Lot::At(Point::BeforeSettle, Action::Freeze));
            bag.push(Lot::At(Point::Within("effect.after_call"), Action::Kill));
            let within = self.within_at_once(&state);
            bag.extend(state.next_within(within));
            bag.shuffle(&mut state.random);
            state.worker_bag = bag;
        }
        let may_freeze = state.frozen < self.frozen_max && !self.has_enough(&state);
        let fits = |lot: &Lot| may_freeze || !matches!(lot, Lot::At(_, Action::Freeze));
        // One that cannot be frozen now is left for the next who can.
        let at = state.worker_bag.iter().rposition(fits);
        let lot = at.map_or(Lot::AtRandom, |at| state.worker_bag.swap_remove(at));
        state.frozen += usize::from(matches!(lot, Lot::At(_, Action::Freeze)));
        state.doom(lot, 0..12)
    }

    /// So many that all have struck by the time that the points around calls have, twice a bag.
    fn within_at_once(&self, state: &State) -> usize {
        let bags = usize::try_from(self.floors.kills_at_each / 2).unwrap_or(usize::MAX).max(1);
        let all = if self.floors.each_within > 0 { state.within.len() } else { 0 };
        all.div_ceil(bags).max(12)
    }

    /// A worker that was to be frozen is over that.
    pub(super) fn thawed(&self) {
        self.state().frozen -= 1;
    }

    /// What to do to the next producer.
    pub(super) fn next_producer(&self) -> Doom {
        let mut state = self.state();
        if let Some(life) = self.life {
            return Doom::AtRandom(life);
        }
        if state.producer_bag.is_empty() {
            let mut bag: Vec<Lot> = Point::PRODUCER.map(|p| Lot::At(p, Action::Kill)).into();
            bag.push(Lot::AtRandom);
            bag.shuffle(&mut state.random);
            state.producer_bag = bag;
        }
        let lot = state.producer_bag.pop().unwrap_or(Lot::AtRandom);
        state.doom(lot, 10..40)
    }

    /// Answers to lose in the life of a child.
    pub(super) fn losses(&self, points: &[Point]) -> Vec<Order> {
        if self.life.is_some() {
            return Vec::new();
        }
        let mut state = self.state();
        let mut lose =
            |&point| Order { point, action: Action::Lose, passes: state.random.random_range(0..30) };
        points.iter().map(&mut lose).collect()
    }

    /// How far the clock of the next child is off, in hours; mostly not at all.
    pub(super) fn clock(&self) -> Option<i32> {
        match self.state().random.random_range(0..10) {
            _ if self.life.is_some() => None,
            0 => Some(1),
            1 => Some(-1),
            _ => None,
        }
    }

    pub(super) fn moment(&self) -> Duration {
        self.state().moment()
    }

    /// A number for whoever has to choose something.
    pub(super) fn choose(&self, range: Range<u64>) -> u64 {
        self.state().random.random_range(range)
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
        let enough = tally.kills() >= self.kills
            && tally.frozen >= self.floors.frozen
            && self.missing(tally).is_empty();
        (enough && !self.whole_time) || Instant::now() >= self.deadline
    }

    /// What was not struck often enough, or not hit by enough storms.
    pub(super) fn missing(&self, tally: &Tally) -> Vec<String> {
        let floors = &self.floors;
        let around = Point::WORKER.into_iter().map(|p| (p, Action::Kill, floors.kills_at_each));
        let once = floors.kills_at_each.min(1);
        let around = around.chain(Point::PRODUCER.into_iter().map(|p| (p, Action::Kill, once)));
        let within = struck_within(self.store).map(|(p, a)| (p, a, floors.each_within));
        let too_few = |(point, action, floor): (Point, Action, u64)| {
            let struck = tally.struck(point, action);
            (struck < floor).then(|| format!("{action:?} at {point}: {struck}, needs {floor}"))
        };
        let mut missing: Vec<String> = around.chain(within).filter_map(too_few).collect();
        for &storm in self.store.storms() {
            let floor = if storm == Storm::ServerKilled { floors.server_kills } else { floors.storms };
            let had = tally.storms.get(&storm).copied().unwrap_or(0);
            if had < floor {
                missing.push(format!("{}: {had}, needs {floor}", storm.as_str()));
            }
        }
        missing
    }

    /// No more children: something is wrong.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
    }
}

/// Everything that can be done at a point inside of the product.
fn struck_within(store: Store) -> impl Iterator<Item = (Point, Action)> {
    store.points().flat_map(|point| point.actions().iter().map(move |action| (point, *action)))
}

impl State {
    /// The next lots inside of the product, those that have struck nobody yet before all others.
    fn next_within(&mut self, n: usize) -> Vec<Lot> {
        let mut within: Vec<Lot> = self.within.drain(..).collect();
        within.sort_by_key(|lot| match lot {
            Lot::At(point, action) => self.tally.struck(*point, *action) > 0,
            _ => true,
        });
        let next: Vec<Lot> = within.drain(..n.min(within.len())).collect();
        self.within.extend(within.into_iter().chain(next.iter().copied()));
        next
    }

    fn moment(&mut self) -> Duration {
        // Some live long enough for the slowest jobs.
        let long = self.random.random_range(0..10) == 0;
        Duration::from_millis(self.random.random_range(if long { 2_500..6_000 } else { 0..700 }))
    }

    fn doom(&mut self, lot: Lot, passes: Range<u32>) -> Doom {
        match lot {
            Lot::AtRandom => Doom::AtRandom(self.moment()),
            Lot::Told => Doom::Told(self.moment()),
            Lot::At(point, action) => {
                // Some points inside are passed a few times a second only.
                let passes = if matches!(point, Point::Within(_)) { 0..4 } else { passes };
                let order = Order { point, action, passes: self.random.random_range(passes) };
                match action {
                    Action::Kill => Doom::At(order),
                    Action::Freeze => Doom::Frozen(order),
                    Action::Lose | Action::Hang => Doom::Hurt(order),
                }
            }
        }
    }
}
