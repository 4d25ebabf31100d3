//! Everything that happens, in the order in which it does.

use super::ledger::Ledger;
use crate::judge::Told;
use crate::judge::event::{Event, Record};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// A process on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(usize);

impl Process {
    pub(super) fn number(self) -> usize {
        self.0
    }
}

/// The histories of all processes, and notes of what was done to them.
#[derive(Debug)]
pub(super) struct Tape {
    start: Instant,
    state: Mutex<State>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    processes: Vec<Entry>,
    notes: Vec<(u64, usize, String)>,
}

#[derive(Debug)]
struct Entry {
    told: Told,
    dead: bool,
    /// It ended in good order, and said that it left nothing behind.
    done: bool,
}

impl Tape {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), state: Mutex::default(), ledger: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of leases; only the living may tell it anything.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds of virtual time, never the same twice.
    fn stamp(&self, state: &mut State) -> u64 {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        state.last = now.max(state.last + 1);
        state.last
    }

    pub(super) fn now(&self) -> u64 {
        self.stamp(&mut self.state())
    }

    /// A process starts.
    pub(super) fn enter(&self, name: String) -> Process {
        let mut state = self.state();
        let told = Told { by: name, records: Vec::new() };
        state.processes.push(Entry { told, dead: false, done: false });
        Process(state.processes.len() - 1)
    }

    /// A process has ended in good order, with nothing left behind.
    pub(super) fn done(&self, by: Process) {
        self.state().processes[by.0].done = true;
    }

    /// The histories of the processes of which this is true.
    pub(super) fn told_of_done(&self) -> Vec<Told> {
        self.state().processes.iter().filter(|p| p.done).map(|p| p.told.clone()).collect()
    }

    /// What this process does from now on is not on the tape.
    pub(super) fn leave(&self, by: Process) {
        self.state().processes[by.0].dead = true;
    }

    pub(super) fn write(&self, by: Process, event: Event) {
        let mut state = self.state();
        let at = self.stamp(&mut state);
        let entry = &mut state.processes[by.0];
        if !entry.dead {
            entry.told.records.push(Record { at, event });
        }
    }

    /// Says something that only people read.
    pub(super) fn note(&self, by: Process, text: String) {
        let mut state = self.state();
        let at = self.stamp(&mut state);
        if !state.processes[by.0].dead {
            state.notes.push((at, by.0, text));
        }
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.state().processes.iter().map(|p| p.told.clone()).collect()
    }

    /// The whole tape as text, and other texts about it. Ids differ from run to run, so each is called by when it was first
    /// seen, in all of the texts.
    pub(super) fn trace(&self, others: &[Vec<String>]) -> (String, Vec<Vec<String>>) {
        // Characters that are in none of them.
        let others: Vec<String> = others.iter().map(|lines| lines.join("\u{1e}")).collect();
        let named = name_ids(&[self.text(), others.join("\u{1d}")].join("\u{1d}"));
        let mut parts = named.split('\u{1d}').map(str::to_owned);
        let trace = parts.next().unwrap_or_default();
        let lines =
            |part: String| part.split('\u{1e}').filter(|l| !l.is_empty()).map(str::to_owned).collect();
        (trace, parts.map(lines).collect())
    }

    fn text(&self) -> String {
        let state = self.state();
        let mut lines: Vec<(u64, &str, String)> = state
            .notes
            .iter()
            .map(|(at, by, text)| (*at, &*state.processes[*by].told.by, format!("-- {text}")))
            .collect();
        for told in state.processes.iter().map(|p| &p.told) {
            lines.extend(told.records.iter().map(|r| (r.at, &*told.by, format!("{:?}", r.event))));
        }
        lines.sort();
        let mut trace = String::new();
        for (at, by, text) in lines {
            // A String takes whatever is written.
            let _ = writeln!(trace, "{:>12}.{:06} {by:<12} {text}", at / 1_000_000, at % 1_000_000);
        }
        trace
    }
}

/// Every id as a number, in the order of appearance.
fn name_ids(text: &str) -> String {
    const LENGTH: usize = 36;
    let bytes = text.as_bytes();
    let is_id = |at: usize| {
        bytes.get(at..at + LENGTH).is_some_and(|id| {
            id.iter().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => *b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
        })
    };
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut named = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if is_id(at) {
            let next = names.len();
            let name = *names.entry(&text[at..at + LENGTH]).or_insert(next);
            named.push_str(&text[copied..at]);
            let _ = write!(named, "#{name}");
            at += LENGTH;
            copied = at;
        } else {
            at += 1;
        }
    }
    named.push_str(&text[copied..]);
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use job_core::JobId;

    #[test]
    fn ids_are_named_in_order() {
        let (a, b) = (JobId::new(), JobId::new());
        assert_eq!(name_ids(&format!("{b} then {a}, {b}!")), "#0 then #1, #0!");
        assert_eq!(name_ids("no ids – at all"), "no ids – at all");
    }
}
