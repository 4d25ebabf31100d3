//! Lines of jobs of one queue: who waits behind whom, and whose turn it is.

use crate::clock::Tick;
use crate::job::{Job, Stage};
use crate::limits::Bucket;
use crate::table::Table;
use job_core::{Kind, KindLimits, LineRecord, Priority, seeded_bug};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What comes first in a line: priority, returned jobs before fresh ones, order.
type Rank = (Priority, bool, u64);

fn rank(job: &Job) -> Rank {
    (job.priority, job.stage == Stage::Fresh, job.seq)
}

#[derive(Debug)]
struct Line {
    kind: u32,
    key: Arc<str>,
    waiting: BTreeMap<Rank, u32>,
    /// Jobs in the store that are of this line, wherever they are.
    jobs: usize,
    /// Jobs that were claimed and have neither ended nor come back.
    out: u32,
    /// In an ordered line, the job that has to end before the next one.
    head: Option<u32>,
    /// Where that job waits, if it has come back.
    head_rank: Option<Rank>,
    bucket: Bucket,
    weight: u32,
    /// Its place in the order of turns, if it may give a job.
    turn: Option<u64>,
    /// How many jobs it has given in a turn that goes on.
    given: u32,
}

#[derive(Debug, Default)]
struct OfKind {
    numbers: HashMap<Arc<str>, u32>,
    turns: BTreeMap<u64, u32>,
    /// The waiting jobs by their age.
    ages: BTreeSet<(u64, u32)>,
    rule: Option<KindLimits>,
}

#[derive(Debug, Default)]
pub(crate) struct Lines {
    all: Vec<Option<Line>>,
    free: Vec<u32>,
    kinds: Vec<OfKind>,
    last_turn: u64,
    /// Lines that get a token then, or are to be forgotten.
    timed: BTreeSet<(Tick, u32)>,
    waiting: usize,
}

impl Lines {
    fn of_kind(&mut self, kind: u32) -> &mut OfKind {
        let kind = kind as usize;
        if self.kinds.len() <= kind {
            self.kinds.resize_with(kind + 1, OfKind::default);
        }
        &mut self.kinds[kind]
    }

    fn line(&mut self, number: u32) -> Option<&mut Line> {
        self.all.get_mut(number as usize)?.as_mut()
    }

    /// Jobs that wait in lines.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The seq and slot of the job of a kind that has waited longest.
    pub(crate) fn oldest(&self, kind: u32) -> Option<(u64, u32)> {
        self.kinds.get(kind as usize)?.ages.first().copied()
    }

    /// The number of a line, given now if it is new. Whoever asks has a job for it, see [`join`](Self::join).
    pub(crate) fn number(&mut self, kind: u32, key: &str) -> u32 {
        if let Some(&number) = self.of_kind(kind).numbers.get(key) {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            u32::try_from(self.all.len() - 1).expect("fewer lines than jobs")
        });
        let key: Arc<str> = key.into();
        self.of_kind(kind).numbers.insert(Arc::clone(&key), number);
        self.all[number as usize] = Some(Line {
            kind,
            key,
            waiting: BTreeMap::new(),
            jobs: 0,
            out: 0,
            head: None,
            head_rank: None,
            bucket: Bucket::default(),
            weight: 1,
            turn: None,
            given: 0,
        });
        number
    }

    /// The line has one more job in the store.
    pub(crate) fn join(&mut self, number: u32) {
        if let Some(line) = self.line(number) {
            line.jobs += 1;
        }
    }

    /// A job has taken the place of another one of its line.
    pub(crate) fn replaced(&mut self, number: u32) {
        if let Some(line) = self.line(number) {
            line.jobs -= 1;
        }
    }

    /// A job of the line is in the store no more.
    pub(crate) fn part(&mut self, number: u32, slot: u32, was_out: bool, now: Tick) {
        self.come_back(number, slot, was_out, true, now);
        if let Some(line) = self.line(number) {
            line.jobs -= 1;
        }
        self.forget_if_idle(number, now);
    }

    /// A job that had left is no longer out; `ended` if it does not hold an ordered line any longer either.
    pub(crate) fn come_back(&mut self, number: u32, slot: u32, was_out: bool, ended: bool, now: Tick) {
        let Some(line) = self.line(number) else { return };
        if was_out {
            line.out = line.out.saturating_sub(1);
        }
        if ended && line.head == Some(slot) {
            (line.head, line.head_rank) = (None, None);
        }
        self.look_at(number, now);
    }

    fn forget_if_idle(&mut self, number: u32, now: Tick) {
        let Some(line) = self.line(number).filter(|l| l.jobs == 0 && l.weight == 1) else { return };
        if line.bucket.full_at > now {
            let at = line.bucket.full_at;
            self.timed.insert((at, number));
            return;
        }
        let (kind, key) = (line.kind, Arc::clone(&line.key));
        self.of_kind(kind).numbers.remove(&key);
        self.all[number as usize] = None;
        self.free.push(number);
    }

    /// Puts a ready job into its line.
    pub(crate) fn push(&mut self, number: u32, job: &Job, slot: u32, now: Tick) {
        let Some(line) = self.line(number) else { return };
        line.waiting.insert(rank(job), slot);
        if line.head == Some(slot) {
            line.head_rank = Some(rank(job));
        }
        let kind = line.kind;
        self.of_kind(kind).ages.insert((job.seq, slot));
        self.waiting += 1;
        self.look_at(number, now);
    }

    /// Takes a job out of its line that has not been claimed.
    pub(crate) fn withdraw(&mut self, number: u32, job: &Job, slot: u32, now: Tick) {
        let Some(line) = self.line(number) else { return };
        if line.waiting.remove(&rank(job)).is_none() {
            return;
        }
        line.head_rank = line.head_rank.filter(|first| *first != rank(job));
        let kind = line.kind;
        self.of_kind(kind).ages.remove(&(job.seq, slot));
        self.waiting -= 1;
        self.look_at(number, now);
    }

    /// How many jobs a line may give now; if none although some wait, when it may, if time is all that is missing.
    fn may_give(&self, number: u32, now: Tick) -> Result<u32, Option<Tick>> {
        let Some(line) = self.all.get(number as usize).and_then(Option::as_ref) else { return Ok(0) };
        if line.waiting.is_empty() {
            return Ok(0);
        }
        let rule = self.kinds.get(line.kind as usize).and_then(|k| k.rule.as_ref());
        let waiting = u32::try_from(line.waiting.len()).unwrap_or(u32::MAX);
        let Some(rule) = rule else { return Ok(waiting) };
        let ordered = rule.ordered && !seeded_bug!("memory_order_ignored");
        let most = match line.head {
            Some(_) if ordered && line.head_rank.is_none() => return Err(None),
            _ if ordered => 1,
            _ => rule.line.concurrency.unwrap_or(u32::MAX),
        };
        let free =
            if seeded_bug!("memory_line_concurrency_ignored") { most } else { most.saturating_sub(line.out) };
        if free == 0 {
            return Err(None);
        }
        match rule.line.rate.map(|rate| (line.bucket.tokens(&rate, now), rate)) {
            Some((0, rate)) => Err(Some(line.bucket.next_token(&rate))),
            Some((tokens, _)) => Ok(waiting.min(free).min(tokens)),
            None => Ok(waiting.min(free)),
        }
    }

    /// Gives a line a place in the order of turns if it may give a job and has none; takes it from one that may not.
    fn look_at(&mut self, number: u32, now: Tick) {
        let may = self.may_give(number, now);
        let last_turn = self.last_turn;
        let Some(line) = self.line(number) else { return };
        let (kind, turn) = (line.kind, line.turn);
        match (may, turn) {
            (Ok(1..), None) => {
                line.turn = Some(last_turn + 1);
                line.given = 0;
                self.last_turn += 1;
                let turn = self.last_turn;
                self.of_kind(kind).turns.insert(turn, number);
            }
            (Ok(0) | Err(_), Some(turn)) => {
                line.turn = None;
                self.of_kind(kind).turns.remove(&turn);
            }
            _ => {}
        }
        if let Err(Some(at)) = may {
            self.timed.insert((at, number));
        }
    }

    /// Looks at the lines whose time has come.
    pub(crate) fn catch_up(&mut self, now: Tick) {
        while let Some(&(at, number)) = self.timed.first().filter(|(at, _)| *at <= now) {
            self.timed.remove(&(at, number));
            self.look_at(number, now);
            self.forget_if_idle(number, now);
        }
    }

    /// When a line can give a job that cannot now, if time is all that is missing.
    pub(crate) fn next_time(&self) -> Option<Tick> {
        self.timed.first().map(|&(at, _)| at)
    }

    /// The kind whose turn it is among these, and the place of its line in the order of turns.
    pub(crate) fn next(&self, kinds: impl Iterator<Item = u32>) -> Option<u32> {
        let first = |kind: u32| Some((*self.kinds.get(kind as usize)?.turns.first_key_value()?.0, kind));
        kinds.filter_map(first).min().map(|(_, kind)| kind)
    }

    /// Takes the next job of the line of this kind whose turn it is.
    pub(crate) fn pop(&mut self, kind: u32, table: &Table, now: Tick) -> Option<u32> {
        let (&turn, &number) = self.kinds.get(kind as usize)?.turns.first_key_value()?;
        let rule = self.kinds[kind as usize].rule.as_ref();
        let (rate, ordered) = rule.map_or((None, false), |rule| (rule.line.rate, rule.ordered));
        let line = self.all[number as usize].as_mut()?;
        let first = line.head_rank.take().filter(|_| ordered);
        let rank = first.or_else(|| line.waiting.first_key_value().map(|(rank, _)| *rank))?;
        let slot = line.waiting.remove(&rank)?;
        line.out += 1;
        if ordered {
            line.head = Some(slot);
        }
        if let Some(rate) = rate {
            line.bucket.take(&rate, now);
        }
        line.given += 1;
        let weight = if seeded_bug!("memory_weight_ignored") { 1 } else { line.weight };
        if line.given >= weight && !seeded_bug!("memory_turns_kept") {
            line.turn = None;
            self.kinds[kind as usize].turns.remove(&turn);
        }
        self.waiting -= 1;
        if let Some(job) = table.get(slot) {
            self.of_kind(kind).ages.remove(&(job.seq, slot));
        }
        self.look_at(number, now);
        Some(slot)
    }

    /// Says what holds for the lines of a kind.
    pub(crate) fn set_rule(&mut self, kind: u32, rule: &KindLimits, now: Tick) {
        let of_kind = self.of_kind(kind);
        if of_kind.rule.as_ref() == Some(rule) {
            return;
        }
        of_kind.rule = Some(rule.clone());
        let numbers: Vec<u32> = of_kind.numbers.values().copied().collect();
        for number in numbers {
            if let Some(line) = self.line(number).filter(|_| !rule.ordered) {
                (line.head, line.head_rank) = (None, None);
            }
            self.look_at(number, now);
        }
    }

    /// What was declared for a kind.
    pub(crate) fn rule(&self, kind: u32) -> Option<&KindLimits> {
        self.kinds.get(kind as usize)?.rule.as_ref()
    }

    pub(crate) fn set_weight(&mut self, kind: u32, key: &str, weight: u32, now: Tick) {
        let number = self.number(kind, key);
        if let Some(line) = self.line(number) {
            line.weight = weight.clamp(1, 1_000);
        }
        self.forget_if_idle(number, now);
    }

    /// The lines of a kind in which jobs wait, in no order.
    pub(crate) fn records(&self, kind: u32, name: &Kind) -> impl Iterator<Item = LineRecord> {
        let numbers = self.kinds.get(kind as usize).into_iter().flat_map(|k| k.numbers.values());
        let lines = numbers.filter_map(|&number| self.all[number as usize].as_ref());
        lines.filter(|line| !line.waiting.is_empty()).map(move |line| LineRecord {
            kind: name.clone(),
            key: line.key.to_string(),
            waiting: line.waiting.len() as u64,
            out: line.out,
            weight: line.weight,
        })
    }
}
