//! Histories made by hand.

use crate::judge::event::{
    Answer, Answered, Asked, Conduct, Event, Held, Outcome, Record, Sent, Under, Word,
};
use crate::judge::{Dump, Kept, Rule, Told, check};
use job_core::{DeadReason, JobId, JobState, LeaseId};

const MS: u64 = 1_000_000;

/// A run that can be spoiled: processes 0 (producer), 1 and 2 (workers).
pub(super) struct Run {
    pub(super) told: Vec<Told>,
    pub(super) dump: Dump,
    at: u64,
    calls: u64,
}

impl Run {
    pub(super) fn new() -> Self {
        let told = ["producer", "one", "two"].map(|by| Told { by: by.into(), records: Vec::new() });
        Self { told: told.into(), dump: Dump::default(), at: 0, calls: 0 }
    }

    pub(super) fn write(&mut self, by: usize, event: Event) {
        self.at += MS;
        self.told[by].records.push(Record { at: self.at, event });
    }

    pub(super) fn now(&self) -> u64 {
        self.at
    }

    pub(super) fn later(&mut self, ms: u64) {
        self.at += ms * MS;
    }

    pub(super) fn ask(&mut self, conduct: Conduct, key: Option<&str>, delay_ms: u64) -> (u64, JobId) {
        self.ask_for(|plain| Asked { conduct, key: key.map(Into::into), delay_ms, ..plain })
    }

    /// A job that waits for the end of others.
    pub(super) fn stored_after(&mut self, after: &[JobId]) -> JobId {
        self.stored_as(|plain| Asked { after: after.to_vec(), ..plain })
    }

    /// A job that may have to wait for others.
    pub(super) fn stored_under(&mut self, under: Under) -> JobId {
        self.stored_as(|plain| Asked { under, ..plain })
    }

    fn ask_for(&mut self, change: impl FnOnce(Asked) -> Asked) -> (u64, JobId) {
        self.calls += 1;
        let (call, job) = (self.calls, JobId::new());
        let asked = change(Asked::plain(job, call, Conduct::Quick));
        self.write(0, Event::EnqueueSent { call, jobs: vec![asked] });
        (call, job)
    }

    fn stored_as(&mut self, change: impl FnOnce(Asked) -> Asked) -> JobId {
        let (call, job) = self.ask_for(change);
        self.ack(call, job, job);
        job
    }

    pub(super) fn ack(&mut self, call: u64, asked: JobId, job: JobId) {
        let answer = Answer { asked, job, deduplicated: asked != job };
        self.write(0, Event::EnqueueAcked { call, answers: vec![answer] });
    }

    pub(super) fn stored(&mut self, conduct: Conduct) -> JobId {
        let (call, job) = self.ask(conduct, None, 0);
        self.ack(call, job, job);
        job
    }

    pub(super) fn claim(&mut self, by: usize, job: JobId, claims: u64) -> Held {
        let held = Held { job, claims, lease: LeaseId::random() };
        self.claim_as(by, held);
        held
    }

    pub(super) fn claim_as(&mut self, by: usize, held: Held) {
        let sent = self.at;
        self.write(by, Event::Claimed { sent, holds: vec![held], slots: None });
    }

    pub(super) fn number(&self, job: JobId) -> u64 {
        let asked = self.told[0].records.iter().find_map(|r| match &r.event {
            Event::EnqueueSent { jobs, .. } if jobs[0].job == job => Some(jobs[0].n),
            _ => None,
        });
        asked.unwrap_or(0)
    }

    pub(super) fn start(&mut self, by: usize, held: Held) {
        let n = self.number(held.job);
        self.write(by, Event::Started { held, n, attempt: 1 });
    }

    pub(super) fn run(&mut self, by: usize, held: Held, outcome: Outcome) {
        self.start(by, held);
        self.write(by, Event::Effect { held });
        self.write(by, Event::Ended { held, outcome });
    }

    pub(super) fn send(&mut self, by: usize, held: Held, word: Word) -> u64 {
        self.calls += 1;
        let call = self.calls;
        self.write(by, Event::SettleSent { call, verdicts: vec![Sent { held, word }] });
        call
    }

    pub(super) fn answer(&mut self, by: usize, call: u64, answer: Answered) {
        self.write(by, Event::SettleAnswered { call, answers: vec![answer] });
    }

    pub(super) fn settle(&mut self, by: usize, held: Held, word: Word, answer: Answered) {
        let call = self.send(by, held, word);
        self.answer(by, call, answer);
    }

    /// Claimed, run and completed by process 1.
    pub(super) fn complete(&mut self, job: JobId, claims: u64) -> Held {
        let held = self.claim(1, job, claims);
        self.run(1, held, Outcome::Ok);
        self.settle(1, held, Word::Complete, Answered::Applied);
        held
    }

    pub(super) fn keep(&mut self, job: JobId, state: JobState) {
        let reason = (state == JobState::Dead).then_some(DeadReason::Permanent);
        self.dump.dead += u64::from(state == JobState::Dead);
        self.dump.jobs.push(Kept { job, state, reason });
    }

    pub(super) fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> =
            check(&self.told, &self.dump).violations.into_iter().map(|v| v.rule).collect();
        rules.sort();
        rules.dedup();
        rules
    }
}
