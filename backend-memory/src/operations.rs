//! What was done to many jobs at once.

use crate::state::State;
use job_core::{OperationEntry, OperationNote, QueueName, seeded_bug};

/// The most rows of a queue.
const MOST: usize = 1_000;

impl State {
    pub(crate) fn note_operation(&mut self, queue: &QueueName, note: &OperationNote) {
        let now = self.wall_now(self.clock.now());
        let OperationNote { id, number, kept, ref text } = *note;
        let rows = &mut self.queue_mut(queue).operations;
        if let Some(row) = rows.iter_mut().find(|row| row.id == id)
            && !seeded_bug!("memory_operation_twice")
        {
            if number > row.number || seeded_bug!("memory_late_operation_note") {
                (row.number, row.updated) = (number, now);
                text.clone_into(&mut row.text);
            }
            return;
        }
        rows.push_back(OperationEntry { id, number, began: now, updated: now, text: text.clone() });
        let is_old = |row: &OperationEntry| {
            now.duration_since(row.began).unsigned_abs() > kept && !seeded_bug!("memory_old_operations_stay")
        };
        while (rows.len() > MOST && !seeded_bug!("memory_all_operations_stay"))
            || rows.front().is_some_and(is_old)
        {
            rows.pop_front();
        }
    }

    pub(crate) fn operations(&self, queue: &QueueName, limit: u32) -> Vec<OperationEntry> {
        let Some(number) = self.queue_number(queue) else { return Vec::new() };
        self.queues[number as usize].operations.iter().rev().take(limit as usize).cloned().collect()
    }
}
