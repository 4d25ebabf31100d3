//! What an operator does: replays, discards, pauses.

use super::call::Number;
use super::driver::{Checked, Driver, same, undisturbed};
use super::world::World;
use job_core::JobId;

impl Driver {
    pub(super) async fn administer(&mut self, jobs: &[Number], replay: bool, times: usize) -> Checked<()> {
        let ids: Vec<JobId> = jobs.iter().map(|n| self.world.job(*n)).collect();
        for _ in 0..times {
            let (answers, expected): (_, Vec<bool>) = if replay {
                let answers = undisturbed("replay", || self.world.backend.replay(&ids)).await?;
                (answers, jobs.iter().map(|n| self.reference.replay(*n)).collect())
            } else {
                let answers = undisturbed("discard", || self.world.backend.discard(&ids)).await?;
                (answers, jobs.iter().map(|n| self.reference.discard(*n)).collect())
            };
            same(if replay { "replay answers" } else { "discard answers" }, &answers, &expected)?;
        }
        Ok(())
    }

    pub(super) async fn pause(&mut self, pause: bool, times: usize) -> Checked<()> {
        self.reference.paused = pause;
        for _ in 0..times {
            if pause {
                undisturbed("pause", || self.world.backend.pause(&self.world.queue)).await?;
            } else {
                undisturbed("resume", || self.world.backend.resume(&self.world.queue)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn pause_kind(&mut self, kind: u8, pause: bool, times: usize) -> Checked<()> {
        if pause {
            self.reference.paused_kinds.insert(kind);
        } else {
            self.reference.paused_kinds.remove(&kind);
        }
        let (queue, kind) = (&self.world.queue, World::kind(kind));
        for _ in 0..times {
            undisturbed("pause of a kind", || self.world.backend.set_kind_paused(queue, &kind, pause))
                .await?;
        }
        Ok(())
    }
}
