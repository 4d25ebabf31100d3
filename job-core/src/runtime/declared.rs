//! Schedules that are part of a program: given to the builder, or with the types of its jobs.

use super::builder::RuntimeBuilder;
use super::queue::Queue;
use crate::QueueName;
use crate::error::EnqueueError;
use crate::job::Job;
use crate::new_job::NewJob;
use crate::schedule::{Definition, Origin, Schedule, ScheduleDef};
use std::collections::{BTreeMap, HashSet};

/// A schedule and what it enqueues.
#[derive(Debug)]
pub(super) struct Declared {
    schedule: Schedule,
    job: Result<NewJob, EnqueueError>,
    origin: Origin,
}

impl RuntimeBuilder {
    /// Enqueues this job by the clock, into the queue of its type. The schedule is stored when the runtime starts, and every runtime
    /// that has the same one fires it, each tick once. Its type need not be registered here, but this runtime has to work on its
    /// queue. One that is taken out of the program is not fired any more; remove it from the store with
    /// [`Client::schedules`](crate::Client::schedules).
    ///
    /// ```
    /// # use job_core::{Job, Runtime, RuntimeBuilder, Schedule};
    /// # fn example<J: Job>(builder: RuntimeBuilder, digest: J) -> Result<RuntimeBuilder, Box<dyn std::error::Error>> {
    /// let nightly = Schedule::new("nightly-digest", "0 3 * * *")?.tz("Europe/Berlin")?;
    /// let builder = builder.schedule(nightly, digest);
    /// # Ok(builder)
    /// # }
    /// ```
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a job is given away")]
    pub fn schedule<J: Job>(mut self, schedule: Schedule, job: J) -> Self {
        self.declared.push(Declared { schedule, job: NewJob::of(&job), origin: Origin::Program });
        self
    }

    /// What is to be stored of the schedules of each queue that is worked on. `all` has those as well that this process leaves to
    /// others.
    pub(super) fn check_schedules(
        &mut self,
        all: &HashSet<QueueName>,
        queues: &BTreeMap<QueueName, Queue>,
    ) -> BTreeMap<QueueName, Vec<ScheduleDef>> {
        let mut declared = std::mem::take(&mut self.declared);
        for registration in &self.registrations {
            for schedule in &registration.spec().schedules {
                let job = registration.scheduled();
                declared.push(Declared { schedule: schedule.clone(), job, origin: Origin::Attribute });
            }
        }
        let mut defs: BTreeMap<QueueName, Vec<ScheduleDef>> = BTreeMap::new();
        for Declared { schedule, job, origin } in declared {
            let name = schedule.name();
            let def = job.and_then(|job| {
                let def =
                    Definition::def_of(&schedule, &job, origin, &self.layers, NewJob::PAYLOAD_BYTES_MAX)?;
                Ok((job.queue, def))
            });
            match def {
                Err(error) => self.problems.push(format!("schedule {name}: {error}")),
                Ok((queue, _)) if !all.contains(&queue) => self.problems.push(format!(
                    "schedule {name} is for queue {queue}, on which this runtime does not work; add .queue({queue:?}, …)"
                )),
                Ok((queue, def)) => {
                    let of_queue = defs.entry(queue).or_default();
                    if of_queue.iter().any(|other| other.name == def.name) {
                        self.problems.push(format!("schedule {name} is declared twice in one queue; give one another name"));
                    }
                    of_queue.push(def);
                }
            }
        }
        defs.retain(|queue, _| queues.contains_key(queue));
        defs
    }
}
