//! What was done to many jobs at once.

use crate::state::State;
use job_core::{OperationEntry, OperationId, QueueName, seeded_bug};

/// The most rows of a queue.
const MOST: usize = 1_000;

/// A row, and the number of the note that it shows.
#[derive(Debug)]
pub(crate) struct NotedOperation {
    number: u32,
    entry: OperationEntry,
}

impl State {
    pub(crate) fn note_operation(&mut self, queue: &QueueName, id: OperationId, number: u32, text: &str) {
        let now = self.wall_now(self.clock.now());
        let rows = &mut self.queue_mut(queue).operations;
        match rows.iter_mut().find(|row| row.entry.id == id) {
            Some(row) if !seeded_bug!("memory_operation_twice") => {
                if row.number < number || seeded_bug!("memory_late_note_counts") {
                    row.number = number;
                    row.entry.updated = now;
                    text.clone_into(&mut row.entry.text);
                }
            }
            _ => {
                let entry = OperationEntry { id, began: now, updated: now, text: text.to_owned() };
                rows.push_back(NotedOperation { number, entry });
                if rows.len() > MOST {
                    rows.pop_front();
                }
            }
        }
    }

    pub(crate) fn operations(&self, queue: &QueueName, limit: u32) -> Vec<OperationEntry> {
        let Some(number) = self.queue_number(queue) else { return Vec::new() };
        self.queues[number as usize]
            .operations
            .iter()
            .rev()
            .take(limit as usize)
            .map(|row| row.entry.clone())
            .collect()
    }
}
