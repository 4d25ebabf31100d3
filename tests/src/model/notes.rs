//! Notes in the model.

use super::call::{Call, Number};
use super::driver::{Checked, Driver, same, undisturbed};
use super::reference::{Fate, Job, Reference};
use job_core::{JobRecord, LeaseStatus, NoteEdit};
use proptest::prelude::*;
use proptest::sample::select;

/// The name of a note, and what it says from now on.
pub(super) type Edit = (u8, Option<u8>);

impl Reference {
    pub(super) fn save(&mut self, job: Number, lease: Number, edits: &[Edit]) -> LeaseStatus {
        let held = self.leases.get(&lease).and_then(|l| l.jobs.iter().find(|(j, _)| *j == job));
        if held.is_none_or(|(_, fate)| *fate != Fate::Held) {
            self.mark("a note is refused");
            return LeaseStatus::Stale;
        }
        self.mark("a note is written");
        if let Some(job) = self.jobs.get_mut(&job) {
            for (name, value) in edits {
                match value {
                    Some(value) => drop(job.notes.insert(*name, *value)),
                    None => drop(job.notes.remove(name)),
                }
            }
        }
        LeaseStatus::Held
    }
}

impl Driver {
    pub(super) async fn save(
        &mut self,
        job: Number,
        lease: Number,
        edits: &[Edit],
        times: usize,
    ) -> Checked<()> {
        let hold = self.world.hold(job, lease);
        let edit = |(name, value): &Edit| NoteEdit {
            name: name.to_string(),
            value: value.map(|v| v.to_string().into_bytes().into()),
        };
        let new: Vec<NoteEdit> = edits.iter().map(edit).collect();
        for _ in 0..times {
            let answer =
                undisturbed("save", || self.world.backend.save(&self.world.queue, &hold, &new)).await?;
            same("save answers", &answer, &self.reference.save(job, lease, edits))?;
        }
        Ok(())
    }
}

/// A job that was looked up has the notes of the reference.
pub(super) fn check(number: Number, record: &JobRecord, job: &Job) -> Checked<()> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let notes: Vec<_> = record.notes.iter().map(|n| (n.name.clone(), text(&n.value))).collect();
    let expected: Vec<_> = job.notes.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    same(&format!("notes of j{number}"), &notes, &expected)
}

/// Notes on what is held, mostly.
pub(super) fn calls(state: &Reference) -> BoxedStrategy<Call> {
    let all: Vec<(Number, Number)> =
        state.leases.iter().flat_map(|(n, l)| l.jobs.iter().map(|(j, _)| (*j, *n))).collect();
    let held: Vec<(Number, Number)> = state
        .leases
        .iter()
        .flat_map(|(n, l)| l.jobs.iter().filter(|(_, f)| *f == Fate::Held).map(|(j, _)| (*j, *n)))
        .collect();
    let target = if held.is_empty() {
        select(all).boxed()
    } else {
        prop_oneof![4 => select(held), 1 => select(all)].boxed()
    };
    let edit = (0..3u8, prop::option::weighted(0.8, 0..9u8));
    (target, prop::collection::vec(edit, 1..=3))
        .prop_map(|((job, lease), edits)| Call::Save { job, lease, edits })
        .boxed()
}
