//! Enqueue.

use crate::backend::Inner;
use crate::batches::Wait;
use crate::error::{NAME, refused, unreadable};
use crate::keys::{Raw, joined};
use crate::lines::line_of;
use crate::queue::{Queue, Shard, number_of};
use crate::record::{at_ms, conflict, encode, ms, place};
use crate::reply;
use crate::schedules::Step;
use crate::script::{Call, ENQUEUE_, FIRE};
use job_core::{
    BackendError, Enqueued, ErrorKind, Fired, JobId, KeyName, KeyTaken, Kind, NewJob, QueueName, When,
};
use redis::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

impl Inner {
    /// Stores jobs, shard by shard: what goes to one shard is stored as a whole.
    pub(crate) async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, BackendError> {
        let mut seen = HashSet::with_capacity(jobs.len());
        let mut parts: BTreeMap<(&QueueName, usize), Vec<&NewJob>> = BTreeMap::new();
        let mut last: Option<Arc<Queue>> = None;
        for job in jobs.iter().filter(|j| jobs.len() == 1 || seen.insert(j.id)) {
            // Mostly all jobs go to one queue.
            let queue = match last.take() {
                Some(queue) if job.queue == queue.name => queue,
                _ => self.queue(&job.queue).await?,
            };
            parts.entry((&job.queue, queue.shard_of(job))).or_default().push(job);
            last = Some(queue);
        }
        let mut answers = HashMap::new();
        for (number, ((name, shard), part)) in parts.into_iter().enumerate() {
            let queue = self.queue(name).await?;
            let shard = &queue.shards[shard];
            let stored = self.enqueue_part(name, shard, &part, None).await;
            let stored = match stored.map_err(|e| if number > 0 { e.in_part() } else { e })? {
                Fired::Applied(stored) => stored,
                Fired::Stale | Fired::Early => return Err(unreadable("enqueue").in_part()),
            };
            self.wake.bells.ring(name);
            self.bring_waits(shard, &part).await;
            let stands_in = part.iter().zip(&stored).any(|(job, answer)| {
                answer.replaced.is_some() || (answer.deduplicated && job.batch().is_some())
            });
            if stands_in {
                Box::pin(self.tell_batches(shard)).await;
            }
            if part.len() == jobs.len() {
                return Ok(stored);
            }
            answers.extend(part.iter().map(|j| j.id).zip(stored));
        }
        Ok(jobs.iter().map(|j| answers.get(&j.id).copied().unwrap_or(Enqueued::stored(j.id))).collect())
    }

    /// Stores jobs of one shard; those of a step of a schedule together with the step, or not at all.
    pub(crate) async fn enqueue_part(
        &self,
        queue: &QueueName,
        shard: &Shard,
        jobs: &[&NewJob],
        step: Option<&Step>,
    ) -> Result<Fired, BackendError> {
        const OPERATION: &str = "enqueue";
        let mut kinds: Vec<&Kind> = Vec::new();
        for job in jobs {
            if !kinds.contains(&&job.kind) {
                kinds.push(&job.kind);
            }
        }
        // Only somebody who empties the server meanwhile can make this go round again.
        for _ in 0..4 {
            let call = self.enqueue_call(queue, shard, jobs, &kinds, step);
            let (answer, kept) = self.run_and_keep(call, "stored").await?;
            let mut items = reply::array(answer).ok_or_else(|| unreadable(OPERATION))?.into_iter();
            match (items.next().as_ref().and_then(reply::int), items.next()) {
                (Some(0), Some(letters)) => {
                    kept?;
                    let letters = reply::bytes(letters).ok_or_else(|| unreadable(OPERATION))?;
                    let mut letters = letters.chunks_exact(17);
                    let answers = jobs.iter().map(|job| enqueued(job.id, letters.next())).collect();
                    return Ok(Fired::Applied(answers));
                }
                (Some(2), Some(number)) => {
                    return Err(refusal(jobs, &number, items).ok_or_else(|| unreadable(OPERATION))?);
                }
                (Some(1), None) => self.learn_kinds(shard).await?,
                (Some(3), None) => return Ok(Fired::Stale),
                (Some(4), None) => return Ok(Fired::Early),
                _ => return Err(unreadable(OPERATION)),
            }
        }
        Err(refused(OPERATION, ErrorKind::Transient, "the kinds of the queue cannot be numbered"))
    }

    fn enqueue_call(
        &self,
        queue: &QueueName,
        shard: &Shard,
        jobs: &[&NewJob],
        kinds: &[&Kind],
        step: Option<&Step>,
    ) -> Call {
        let known = shard.kinds();
        let numbers: Vec<u16> = kinds.iter().map(|k| number_of(&known, k)).collect();
        let mut keys: Vec<_> = step.map(|_| shard.tag.schedules()).into_iter().collect();
        keys.push(shard.tag.receipt(jobs[0].id.as_uuid()));
        keys.extend(kinds.iter().map(|k| shard.tag.lane(k)));
        let mut places = HashMap::new();
        for key in jobs.iter().filter_map(|j| j.idempotency.as_ref()) {
            let name = shard.tag.idempotency(&key.scope, key.key.as_str());
            places.entry(name).or_insert_with_key(|name| {
                keys.push(name.clone());
                shard.tag.head().len() + keys.len()
            });
        }
        let mut call = if step.is_some() { &FIRE } else { &ENQUEUE_ }.call(&shard.tag, &keys);
        let cmd = &mut call.cmd;
        if let Some(step) = step {
            step.add_to(cmd);
        }
        cmd.arg(ms(self.options.receipts)).arg(self.wake.channel()).arg(queue.as_str()).arg(kinds.len());
        for kind in kinds {
            cmd.arg(kind.as_str());
        }
        cmd.arg(&numbers).arg(jobs.len());
        for job in jobs {
            let kind = kinds.iter().position(|k| **k == job.kind).map_or(0, |k| numbers[k]);
            cmd.arg(Raw(&handle(job, kind))).arg(Raw(&encode(job, kind)));
        }
        for (number, job) in (1_usize..).zip(jobs) {
            let plain = job.when == When::Now && job.idempotency.is_none() && job.unique.is_none();
            if plain && job.batch().is_none() && job.line().is_none() {
                continue;
            }
            let options = Options::of(job);
            let key = job.idempotency.as_ref().map(|k| shard.tag.idempotency(&k.scope, k.key.as_str()));
            cmd.arg(number)
                .arg(Raw(&options.when))
                .arg(key.and_then(|k| places.get(&k).copied()).unwrap_or(0));
            cmd.arg(options.window).arg(options.unique).arg(options.on_conflict).arg(options.max_wait);
            cmd.arg(Raw(&options.batch)).arg(Raw(&options.line));
        }
        call
    }
}

/// What a script is told about a job besides the job itself.
pub(crate) struct Options {
    /// Empty, `d` and a delay in ms, `a` and an instant in ms, or `w` and for which batch it waits.
    pub(crate) when: Vec<u8>,
    /// Of the idempotency key, in ms.
    pub(crate) window: u64,
    /// The unique key, or nothing.
    pub(crate) unique: String,
    /// The id of its batch, or nothing.
    pub(crate) batch: Vec<u8>,
    /// The name of its line, or nothing.
    pub(crate) line: Vec<u8>,
    /// What happens if a key is taken, and the longest wait in ms.
    pub(crate) on_conflict: u8,
    pub(crate) max_wait: u64,
}

impl Options {
    pub(crate) fn of(job: &NewJob) -> Self {
        let (on_conflict, max_wait) = conflict(job.on_conflict);
        Self {
            on_conflict,
            max_wait,
            when: match job.when {
                When::Now => Vec::new(),
                When::After(delay) => format!("d{}", ms(delay)).into_bytes(),
                When::At(at) => format!("a{}", at_ms(at)).into_bytes(),
                When::Batch { .. } => {
                    let wait = Wait::of(job).map(|wait| wait.to_bytes());
                    [b"w".as_slice(), wait.as_deref().unwrap_or_default()].concat()
                }
            },
            window: job.idempotency.as_ref().map_or(0, |k| ms(k.window).min(WINDOW_MAX)),
            unique: job.unique.as_ref().map(|k| joined(&k.scope, k.key.as_str())).unwrap_or_default(),
            line: line_of(job),
            batch: job.batch().map(|b| b.as_uuid().into_bytes().to_vec()).unwrap_or_default(),
        }
    }
}

/// When a job is due that waits for a batch, in ms: the last day of the year 9999.
pub(crate) const NEVER: u64 = 253_402_214_400_000;

/// The job's id, the number of its kind, and its priority.
pub(crate) fn handle(job: &NewJob, kind: u16) -> [u8; 19] {
    let mut handle = [0; 19];
    handle[..16].copy_from_slice(job.id.as_uuid().as_bytes());
    handle[16..].copy_from_slice(&place(kind, job.priority));
    handle
}

/// The longest window in ms, ten thousand years: the server adds it to its clock.
const WINDOW_MAX: u64 = 10_000 * 366 * 24 * 60 * 60 * 1_000;

fn other(bytes: &[u8]) -> Option<JobId> {
    Some(JobId::from_uuid(Uuid::from_slice(bytes).ok()?))
}

/// What a letter and an id say about a job.
fn enqueued(id: JobId, letter: Option<&[u8]>) -> Enqueued {
    match letter {
        Some([1, holder @ ..]) => match other(holder) {
            Some(holder) if holder != id => Enqueued::existing(holder),
            _ => Enqueued::stored(id),
        },
        Some([2, replaced @ ..]) => Enqueued { replaced: other(replaced), ..Enqueued::stored(id) },
        _ => Enqueued::stored(id),
    }
}

/// The error for a job that asked for one if a key is taken.
fn refusal(jobs: &[&NewJob], number: &Value, rest: impl Iterator<Item = Value>) -> Option<BackendError> {
    let job = jobs.get(usize::try_from(reply::int(number)?).ok()?.checked_sub(1)?)?;
    let [which, holder] = <[Value; 2]>::try_from(rest.collect::<Vec<_>>()).ok()?;
    let name = if reply::int(&which)? == 1 { KeyName::Idempotency } else { KeyName::Unique };
    let holder = other(&reply::bytes(holder)?)?;
    Some(BackendError::of_key_taken(NAME, KeyTaken::of(job, name, holder)))
}
