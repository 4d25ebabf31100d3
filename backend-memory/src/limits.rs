//! Limits that all queues share.

use crate::clock::Tick;
use job_core::{LimitName, LimitRecord, LimitRule, LimitStep, Rate, seeded_bug};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How soon to ask again for what others may free at any time.
const ASK_AGAIN: Duration = Duration::from_millis(50);

fn interval(rate: &Rate) -> Duration {
    Duration::from_micros(rate.interval_us())
}

/// A bucket of tokens that fills up by time, as one instant: when it will be full again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    pub(crate) full_at: Tick,
}

impl Bucket {
    /// How many tokens it has.
    pub(crate) fn tokens(self, rate: &Rate, now: Tick) -> u32 {
        let burst = if seeded_bug!("memory_burst_ignored") { u32::MAX } else { rate.burst };
        let missing = self.full_at.saturating_sub(now).as_nanos().div_ceil(interval(rate).as_nanos());
        burst.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// When it has one.
    pub(crate) fn next_token(self, rate: &Rate) -> Tick {
        self.full_at.saturating_sub(interval(rate).saturating_mul(rate.burst.saturating_sub(1)))
    }

    pub(crate) fn take(&mut self, rate: &Rate, now: Tick) {
        self.full_at = self.full_at.max(now).saturating_add(interval(rate));
    }
}

#[derive(Debug, Default)]
struct Limiter {
    declared: Option<LimitRule>,
    set: Option<LimitRule>,
    closed_until: Tick,
    bucket: Bucket,
    in_use: u32,
    /// The concurrency that the last step came to.
    asked: Option<u32>,
    lowered_at: Option<Tick>,
}

impl Limiter {
    fn rule(&self) -> LimitRule {
        self.set.or(self.declared).unwrap_or_default()
    }

    /// How many jobs it lets through; if none, when to ask again.
    fn budget(&self, now: Tick) -> Result<u32, Tick> {
        if self.closed_until > now && !seeded_bug!("memory_closed_limit_open") {
            return Err(self.closed_until);
        }
        let rule = self.rule();
        let asked = self.asked.filter(|_| !seeded_bug!("memory_adapt_ignored"));
        let free = rule.adapted(asked).map_or(u32::MAX, |most| most.saturating_sub(self.in_use));
        let tokens = rule.rate.map_or(u32::MAX, |rate| self.bucket.tokens(&rate, now));
        match (free.min(tokens), rule.rate) {
            (0, Some(rate)) if tokens == 0 => Err(self.bucket.next_token(&rate)),
            (0, _) => Err(now.saturating_add(ASK_AGAIN)),
            (budget, _) => Ok(budget),
        }
    }
}

/// The limits under which a kind is, by a number that fits into a lease: 0 for none.
pub(crate) type LimitSet = u32;

#[derive(Debug, Default)]
pub(crate) struct Limiters {
    numbers: HashMap<LimitName, u32>,
    all: Vec<Limiter>,
    sets: Vec<Arc<[u32]>>,
    set_numbers: HashMap<Arc<[u32]>, LimitSet>,
    /// Grows whenever a set that was looked up may have become another one.
    pub(crate) version: u64,
}

impl Limiters {
    /// True if no kind can be under any limit.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn get_or_make(&mut self, name: &LimitName) -> &mut Limiter {
        let number = self.numbers.get(name).copied().unwrap_or_else(|| {
            let number = u32::try_from(self.all.len()).expect("fewer limits than u32::MAX");
            self.numbers.insert(name.clone(), number);
            self.all.push(Limiter::default());
            self.version += 1;
            number
        });
        &mut self.all[number as usize]
    }

    pub(crate) fn declare(&mut self, name: &LimitName, rule: Option<LimitRule>) {
        if rule.is_some() || self.numbers.contains_key(name) {
            self.get_or_make(name).declared = rule;
        }
    }

    pub(crate) fn set(&mut self, name: &LimitName, rule: Option<LimitRule>) {
        self.get_or_make(name).set = rule;
    }

    pub(crate) fn close(&mut self, name: &LimitName, until: Tick) {
        let limiter = self.get_or_make(name);
        limiter.closed_until = limiter.closed_until.max(until);
    }

    pub(crate) fn adapt(&mut self, name: &LimitName, step: LimitStep, now: Tick) -> Option<u32> {
        let limiter = &mut self.all[*self.numbers.get(name)? as usize];
        let rule = limiter.rule();
        let next = rule.step(limiter.asked, &step)?;
        if let LimitStep::Lower { claimed } = step {
            if limiter.lowered_at.is_some_and(|at| at.saturating_add(claimed) >= now)
                && !seeded_bug!("memory_adapt_each_failure")
            {
                return rule.adapted(limiter.asked);
            }
            limiter.lowered_at = Some(now);
        }
        limiter.asked = Some(next);
        Some(next)
    }

    pub(crate) fn open(&mut self, name: &LimitName) {
        if self.numbers.contains_key(name) {
            self.get_or_make(name).closed_until = Tick::ZERO;
        }
    }

    pub(crate) fn records(&self, now: Tick) -> Vec<LimitRecord> {
        let record = |(name, &number): (&LimitName, &u32)| {
            let limiter = &self.all[number as usize];
            let closed = limiter.closed_until.saturating_sub(now);
            LimitRecord {
                name: name.clone(),
                declared: limiter.declared,
                set: limiter.set,
                adapted: limiter.rule().adaptive_min.and_then(|_| limiter.rule().adapted(limiter.asked)),
                in_use: limiter.in_use,
                closed_for: (!closed.is_zero()).then_some(closed),
            }
        };
        let known = |r: &LimitRecord| {
            r.declared.is_some() || r.set.is_some() || r.closed_for.is_some() || r.in_use > 0
        };
        let mut records: Vec<_> = self.numbers.iter().map(record).filter(known).collect();
        records.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        records
    }

    /// The set of those of these limits that there are.
    pub(crate) fn set_of<'a>(&mut self, names: impl Iterator<Item = &'a LimitName>) -> LimitSet {
        let numbers: BTreeSet<u32> = names.filter_map(|n| self.numbers.get(n).copied()).collect();
        if numbers.is_empty() {
            return 0;
        }
        let set: Arc<[u32]> = numbers.into_iter().collect();
        if let Some(&number) = self.set_numbers.get(&set) {
            return number;
        }
        self.sets.push(Arc::clone(&set));
        let number = LimitSet::try_from(self.sets.len()).expect("fewer sets than u32::MAX");
        self.set_numbers.insert(set, number);
        number
    }

    /// A job that was claimed under these limits is no longer held.
    pub(crate) fn free(&mut self, set: LimitSet) {
        for &number in members(&self.sets, set) {
            let limiter = &mut self.all[number as usize];
            limiter.in_use = limiter.in_use.saturating_sub(1);
        }
    }
}

/// The numbers of the limits of a set.
fn members(sets: &[Arc<[u32]>], set: LimitSet) -> &[u32] {
    (set as usize).checked_sub(1).map_or(&[], |place| &sets[place])
}

/// What one claim may take.
#[derive(Debug)]
pub(crate) struct Budgets<'a> {
    limiters: &'a mut Limiters,
    now: Tick,
    /// By limiter; looked up when it is first asked for.
    left: BTreeMap<u32, Result<u32, Tick>>,
    /// By limiter; kept from what is taken now.
    reserved: BTreeMap<u32, u32>,
    retry_at: Option<Tick>,
}

impl<'a> Budgets<'a> {
    pub(crate) fn new(limiters: &'a mut Limiters, now: Tick) -> Self {
        Self { limiters, now, left: BTreeMap::new(), reserved: BTreeMap::new(), retry_at: None }
    }

    /// How many jobs under these limits may still be taken. If none may, the claim has left some.
    pub(crate) fn left(&mut self, set: LimitSet) -> u32 {
        let mut left = u32::MAX;
        for &number in members(&self.limiters.sets, set) {
            let limiter = &self.limiters.all[number as usize];
            match self.left.entry(number).or_insert_with(|| limiter.budget(self.now)) {
                Ok(budget) => {
                    let reserved = self.reserved.get(&number).copied().unwrap_or(0);
                    left = left.min(budget.saturating_sub(reserved));
                }
                Err(_) => left = 0,
            }
        }
        left
    }

    /// Half of what is left under all these limits is not for what is taken next; the odd one is, if `odd` is 1.
    pub(crate) fn reserve_half(&mut self, sets: impl Iterator<Item = LimitSet>, odd: u32) {
        for set in sets {
            self.left(set);
        }
        let half = |budget: u32| budget - (budget / 2 + budget % 2 * odd);
        self.reserved =
            self.left.iter().filter_map(|(number, left)| Some((*number, half(left.ok()?)))).collect();
    }

    pub(crate) fn release_half(&mut self) {
        self.reserved.clear();
    }

    /// One job is taken under these limits.
    pub(crate) fn take(&mut self, set: LimitSet) {
        let Limiters { all, sets, .. } = &mut *self.limiters;
        for &number in members(sets, set) {
            let limiter = &mut all[number as usize];
            limiter.in_use += 1;
            if let Some(rate) = limiter.rule().rate {
                limiter.bucket.take(&rate, self.now);
            }
            let budget = limiter.budget(self.now);
            self.left.insert(number, budget);
        }
    }

    /// Jobs under these limits are left where they are.
    pub(crate) fn leave(&mut self, set: LimitSet) {
        let times =
            members(&self.limiters.sets, set).iter().filter_map(|number| self.left.get(number)?.err());
        if let Some(first) = times.min() {
            self.retry_at(first);
        }
    }

    /// Something that is left can be had then.
    pub(crate) fn retry_at(&mut self, at: Tick) {
        self.retry_at = Some(self.retry_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(crate) fn retry_in(&self) -> Option<Duration> {
        self.retry_at.map(|at| at.saturating_sub(self.now))
    }
}
