//! Calls about schedules.

use super::call::{Answered, Call};
use super::fault::Operation;
use jiff::Timestamp;
use job_core::{FireRequest, Fired, NewJob, Operate, QueueName, ScheduleDef, ScheduleName, Schedules};

pub(super) struct PutSchedules(pub(super) QueueName, pub(super) Vec<ScheduleDef>);

impl Call for PutSchedules {
    type Answer = ();
    const OPERATION: Operation = Operation::PutSchedules;

    async fn send(&self, store: &dyn Operate) -> Answered<()> {
        store.put_schedules(&self.0, &self.1).await
    }
}

pub(super) struct ReadSchedules(pub(super) QueueName);

impl Call for ReadSchedules {
    type Answer = Schedules;
    const OPERATION: Operation = Operation::Schedules;

    async fn send(&self, store: &dyn Operate) -> Answered<Schedules> {
        store.schedules(&self.0).await
    }
}

pub(super) struct Fire {
    queue: QueueName,
    schedule: ScheduleName,
    version: u64,
    from: Timestamp,
    to: Timestamp,
    jobs: Vec<NewJob>,
}

impl Fire {
    pub(super) fn new(queue: &QueueName, request: &FireRequest<'_>) -> Self {
        Self {
            queue: queue.clone(),
            schedule: request.schedule.clone(),
            version: request.version,
            from: request.from,
            to: request.to,
            jobs: request.jobs.to_vec(),
        }
    }
}

impl Call for Fire {
    type Answer = Fired;
    const OPERATION: Operation = Operation::Fire;

    async fn send(&self, store: &dyn Operate) -> Answered<Fired> {
        let Self { queue, schedule, version, from, to, jobs } = self;
        let request = FireRequest { schedule, version: *version, from: *from, to: *to, jobs };
        store.fire(queue, &request).await
    }
}
