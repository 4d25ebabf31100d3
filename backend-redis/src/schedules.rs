//! Schedules: in the first shard of their queue, and so are the jobs that they fire.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::queue::Shard;
use crate::reply;
use crate::script::{CHANGE_SCHEDULE, Call, FIRE, PUT_SCHEDULES, SCHEDULES, Script};
use jiff::Timestamp;
use job_core::{
    BackendError, FireRequest, Fired, QueueName, ScheduleChange, ScheduleDef, ScheduleEntry, ScheduleName,
    Schedules,
};
use redis::{Cmd, Value};

/// A step of a schedule, as a script is told of it.
#[derive(Debug)]
pub(crate) struct Step {
    name: ScheduleName,
    version: u64,
    from: i64,
    to: i64,
}

impl Step {
    pub(crate) fn add_to(&self, cmd: &mut Cmd) {
        cmd.arg(self.name.as_str()).arg(self.version).arg(self.from).arg(self.to);
    }
}

fn call(shard: &Shard, script: &'static Script) -> Call {
    script.call(&shard.tag, &[shard.tag.schedules()])
}

impl Inner {
    pub(crate) async fn put_schedules(
        &self,
        queue: &QueueName,
        schedules: &[ScheduleDef],
    ) -> Result<(), BackendError> {
        let queue = self.queue(queue).await?;
        let mut call = call(&queue.shards[0], &PUT_SCHEDULES);
        for ScheduleDef { name, definition, job } in schedules {
            call.cmd.arg(name.as_str()).arg(definition).arg(job);
        }
        self.link.run(call).await?;
        Ok(())
    }

    pub(crate) async fn schedules(&self, queue: &QueueName) -> Result<Schedules, BackendError> {
        let queue = self.queue(queue).await?;
        let answer = self.link.run(call(&queue.shards[0], &SCHEDULES)).await?;
        read(answer).ok_or_else(|| unreadable("schedules"))
    }

    pub(crate) async fn fire(
        &self,
        queue: &QueueName,
        request: &FireRequest<'_>,
    ) -> Result<Fired, BackendError> {
        let step = Step {
            name: request.schedule.clone(),
            version: request.version,
            from: request.from.as_millisecond(),
            to: request.to.as_millisecond(),
        };
        let queue = self.queue(queue).await?;
        let shard = &queue.shards[0];
        if request.jobs.is_empty() {
            let mut call = call(shard, &FIRE);
            step.add_to(&mut call.cmd);
            let answer = reply::array(self.link.run(call).await?).ok_or_else(|| unreadable("fire"))?;
            return match answer.first().and_then(reply::int) {
                Some(0) => Ok(Fired::Applied(Vec::new())),
                Some(3) => Ok(Fired::Stale),
                Some(4) => Ok(Fired::Early),
                _ => Err(unreadable("fire")),
            };
        }
        let jobs: Vec<_> = request.jobs.iter().collect();
        let fired = self.enqueue_part(&queue.name, shard, &jobs, Some(&step)).await?;
        if let Fired::Applied(answers) = &fired {
            self.wake.bells.ring(&queue.name);
            if answers.iter().any(|answer| answer.replaced.is_some()) {
                Box::pin(self.tell_batches(shard)).await;
            }
        }
        Ok(fired)
    }

    pub(crate) async fn change_schedule(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<bool, BackendError> {
        let queue = self.queue(queue).await?;
        let mut call = call(&queue.shards[0], &CHANGE_SCHEDULE);
        let cmd = call.cmd.arg(name.as_str());
        match change {
            ScheduleChange::Pause => cmd.arg("pause"),
            ScheduleChange::Resume => cmd.arg("resume"),
            ScheduleChange::RemoveUnchanged { version, watermark } => {
                cmd.arg("unchanged").arg(version).arg(watermark.as_millisecond())
            }
            _ => cmd.arg("remove"),
        };
        Ok(reply::int(&self.link.run(call).await?) == Some(1))
    }
}

fn read(answer: Value) -> Option<Schedules> {
    let mut items = reply::array(answer)?.into_iter();
    let now = instant(&items.next()?)?;
    let mut entries: Vec<_> = items.map(entry).collect::<Option<_>>()?;
    entries.sort_unstable_by(|a, b| a.def.name.cmp(&b.def.name));
    Some(Schedules { now, entries })
}

fn entry(item: Value) -> Option<ScheduleEntry> {
    let [name, version, watermark, paused, definition, job] =
        <[Value; 6]>::try_from(reply::array(item)?).ok()?;
    let name = ScheduleName::new(reply::text(name)?).ok()?;
    Some(ScheduleEntry {
        def: ScheduleDef { name, definition: reply::text(definition)?, job: reply::text(job)? },
        version: reply::count(&version)?,
        watermark: instant(&watermark)?,
        paused: reply::int(&paused)? == 1,
    })
}

pub(crate) fn instant(ms: &Value) -> Option<Timestamp> {
    Timestamp::from_millisecond(reply::int(ms)?).ok()
}
