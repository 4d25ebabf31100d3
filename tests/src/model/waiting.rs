//! Jobs that wait for their time, and are told to run at once.

use super::call::Number;
use super::driver::{Checked, Driver, same, undisturbed};
use super::keys::NEVER;
use super::reference::{Lane, Place, Reference};

impl Reference {
    pub(super) fn run_now(&mut self, number: Number) -> bool {
        let turn = self.next_turn();
        let Some(job) = self.jobs.get_mut(&number) else { return false };
        // One that waits for the end of another job has its turn when that has ended.
        let waits = matches!(job.place, Place::Waiting { due, .. } if due != NEVER);
        if waits {
            job.place = Place::Ready { lane: Lane::Fresh, turn };
            self.mark("a waiting job is run at once");
        }
        waits
    }
}

impl Driver {
    pub(super) async fn run_now(&mut self, job: Number, times: usize) -> Checked<()> {
        let id = self.world.job(job);
        for _ in 0..times {
            let answer = undisturbed("run_now", || self.world.backend.run_now(id)).await?;
            same("run_now answers", &answer, &self.reference.run_now(job))?;
        }
        Ok(())
    }
}
