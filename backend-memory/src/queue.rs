//! One queue.

use crate::clock::{Clock, Tick};
use crate::job::{Job, Place, Stage};
use crate::lanes::Lanes;
use crate::leases::Leases;
use crate::limits::{LimitSet, Limiters};
use crate::lines::Lines;
use crate::sync::Notify;
use crate::table::Table;
use job_core::{Kind, LimitName, OperationEntry, QueueName, ScheduleEntry, ScheduleName, seeded_bug};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) paused: bool,
    /// Kinds that are paused, whether the queue has seen them or not.
    pub(crate) paused_kinds: BTreeSet<Kind>,
    /// False while it was only asked about.
    pub(crate) had_job: bool,
    /// The dead jobs by when they died.
    pub(crate) dead: BTreeSet<(Tick, u32)>,
    /// How many completed jobs are kept.
    pub(crate) completed: u64,
    kind_numbers: HashMap<Kind, u32>,
    pub(crate) lanes: Vec<Lanes>,
    pub(crate) lines: Lines,
    /// The limits of each kind by its number, as looked up in this version of all limits.
    pub(crate) limits: Vec<(u64, LimitSet)>,
    /// The odd job of the last claim came from a line.
    pub(crate) odd_to_line: bool,
    /// Scheduled and retrying jobs by when they are due; the seq only tells equal instants apart.
    pub(crate) waiting: BTreeMap<(Tick, u64), u32>,
    pub(crate) leases: Leases,
    pub(crate) schedules: BTreeMap<ScheduleName, ScheduleEntry>,
    /// The one that began first is first.
    pub(crate) operations: VecDeque<OperationEntry>,
    pub(crate) wake: Arc<Notify>,
    /// How many callers are in `wait`.
    pub(crate) waiters: usize,
}

impl Queue {
    pub(crate) fn new(name: QueueName) -> Self {
        Self {
            name,
            paused: false,
            paused_kinds: BTreeSet::new(),
            had_job: false,
            dead: BTreeSet::new(),
            completed: 0,
            kind_numbers: HashMap::new(),
            lanes: Vec::new(),
            lines: Lines::default(),
            limits: Vec::new(),
            odd_to_line: false,
            waiting: BTreeMap::new(),
            leases: Leases::default(),
            schedules: BTreeMap::new(),
            operations: VecDeque::new(),
            wake: Arc::default(),
            waiters: 0,
        }
    }

    /// The number of a kind that the queue has seen.
    pub(crate) fn kind_number(&self, kind: &Kind) -> Option<u32> {
        self.kind_numbers.get(kind).copied()
    }

    /// The number of a kind that may be claimed.
    pub(crate) fn claimable(&self, kind: &Kind) -> Option<u32> {
        let paused = self.paused_kinds.contains(kind) && !seeded_bug!("memory_kind_pause_ignored");
        if paused { None } else { self.kind_number(kind) }
    }

    /// The limits of a kind.
    pub(crate) fn limit_set(&mut self, number: u32, kind: &Kind, limiters: &mut Limiters) -> LimitSet {
        let place = number as usize;
        if self.limits.len() <= place {
            self.limits.resize(place + 1, (0, 0));
        }
        let (version, set) = self.limits[place];
        if version == limiters.version {
            return set;
        }
        let own = [LimitName::of_queue(&self.name), LimitName::of_kind(kind)];
        let declared = self.lines.rule(number).map_or(&[][..], |rule| &rule.limits);
        let set = limiters.set_of(own.iter().chain(declared));
        self.limits[place] = (limiters.version, set);
        set
    }

    /// The kinds by their numbers.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&Kind, u32)> {
        self.kind_numbers.iter().map(|(kind, &number)| (kind, number))
    }

    /// The number of a kind, given now if it is new.
    pub(crate) fn number_kind(&mut self, kind: &Kind) -> u32 {
        if let Some(number) = self.kind_number(kind) {
            return number;
        }
        let number = u32::try_from(self.lanes.len()).expect("fewer kinds than jobs");
        self.kind_numbers.insert(kind.clone(), number);
        self.lanes.push(Lanes::default());
        number
    }

    /// Puts a job where its place says.
    pub(crate) fn admit(&mut self, job: &Job, slot: u32, clock: &Clock) {
        match (job.place, job.line()) {
            (Place::Ready, Some(line)) if is_innocent(job.stage) => {
                self.lines.push(line, job, slot, clock.now())
            }
            (Place::Ready, _) => self.lanes[job.kind_no as usize].push(job, slot),
            (Place::Waiting { due, .. }, _) => drop(self.waiting.insert((due, job.seq), slot)),
            (Place::Running | Place::Dead { .. } | Place::Completed { .. }, _) => {}
        }
    }

    /// Takes a ready or waiting job out. Its place, which was `from`, must have changed already.
    pub(crate) fn withdraw(&mut self, slot: u32, from: Place, table: &Table, clock: &Clock) {
        let Some(job) = table.get(slot) else { return };
        match (from, job.line()) {
            (Place::Ready, Some(line)) if is_innocent(job.stage) => {
                self.lines.withdraw(line, job, slot, clock.now());
            }
            (Place::Ready, _) => self.lanes[job.kind_no as usize].withdraw(slot, table),
            (Place::Waiting { due, .. }, _) => drop(self.waiting.remove(&(due, job.seq))),
            (Place::Running | Place::Dead { .. } | Place::Completed { .. }, _) => {}
        }
    }

    /// Wakes those who wait for work. If nobody does, the next one to wait returns at once: it may have looked before
    /// the work came.
    pub(crate) fn wake(&self) {
        if self.waiters == 0 {
            self.wake.notify_one();
        } else {
            if !seeded_bug!("memory_no_wake_up") {
                self.wake.notify_waiters();
            }
        }
    }

    /// True if any claim could take a job.
    pub(crate) fn has_ready(&self) -> bool {
        self.lines.waiting() > 0
            || self.lanes.iter().any(|l| !l.is_empty() || !l.suspects.is_empty() || !l.solo.is_empty())
    }
}

/// True for stages in which nothing is held against a job.
pub(crate) fn is_innocent(stage: Stage) -> bool {
    matches!(stage, Stage::Fresh | Stage::Returned)
}
