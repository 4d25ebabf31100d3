//! What was done to many jobs at once.

use crate::state::State;
use job_core::{OperationEntry, OperationId, QueueName, seeded_bug};

/// The most rows of a queue.
const MOST: usize = 1_000;

impl State {
    pub(crate) fn note_operation(&mut self, queue: &QueueName, id: OperationId, text: &str) {
        let now = self.wall_now(self.clock.now());
        let rows = &mut self.queue_mut(queue).operations;
        match rows.iter_mut().find(|row| row.id == id) {
            Some(row) if !seeded_bug!("memory_operation_twice") => {
                row.updated = now;
                text.clone_into(&mut row.text);
            }
            _ => rows.push_back(OperationEntry { id, began: now, updated: now, text: text.to_owned() }),
        }
        if rows.len() > MOST {
            rows.pop_front();
        }
    }

    pub(crate) fn operations(&self, queue: &QueueName, limit: u32) -> Vec<OperationEntry> {
        let Some(number) = self.queue_number(queue) else { return Vec::new() };
        self.queues[number as usize].operations.iter().rev().take(limit as usize).cloned().collect()
    }
}
