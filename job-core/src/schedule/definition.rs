//! The two texts of a schedule that a store keeps: when it comes, and what it enqueues. JSON, so that people can read them.

use super::policy::{Missed, Overlap};
use super::spec::{Schedule, ScheduleError};
use super::store::ScheduleDef;
use crate::conflict::OnConflict;
use crate::context::JobContext;
use crate::error::EnqueueError;
use crate::key::UniqueKey;
use crate::middleware::Layers;
use crate::new_job::{Headers, NewJob, Priority, When};
use crate::{JobId, Kind, QueueName, ScheduleName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// The most bytes of what a schedule enqueues: every runtime reads it every second.
const JOB_BYTES_MAX: usize = 64 * 1024;

/// Who says that a schedule is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// `cron(..)` of `#[job]`: whoever has the type has the schedule.
    Attribute,
    /// The program that builds a runtime.
    Program,
    /// Somebody at run time: it is in the store alone.
    Client,
}

/// When a schedule comes.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) schedule: Schedule,
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
}

/// The same as text; the order of the fields is part of it.
#[derive(Serialize, Deserialize)]
struct Text {
    cron: String,
    tz: String,
    /// `once`, `skip` after a grace in ms, or `all` up to a number.
    missed: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missed_bound: Option<u64>,
    overlap: Overlap,
    jitter_ms: u64,
    kind: String,
    origin: Origin,
    /// Tells other arguments apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Uuid>,
}

/// What a schedule enqueues, as text.
#[derive(Serialize, Deserialize)]
struct JobText {
    kind: String,
    priority: u8,
    max_attempts: u32,
    version: u32,
    /// As text if it is one, else in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    headers: Headers,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_conflict: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_wait_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn refused(text: String) -> EnqueueError {
    EnqueueError::rejected(text)
}

/// The id under which the arguments of a schedule are sealed.
fn schedule_id(queue: &QueueName, name: &ScheduleName) -> JobId {
    JobId::from_uuid(Uuid::new_v5(&super::tick::NAMESPACE, format!("{queue}\0{name}").as_bytes()))
}

impl Definition {
    /// What a store is to keep of a schedule and its job. Arguments go through the middleware, as in an enqueue.
    pub(crate) fn def_of(
        schedule: &Schedule,
        job: &NewJob,
        origin: Origin,
        layers: &Layers,
        payload_max: usize,
    ) -> Result<ScheduleDef, EnqueueError> {
        let name = schedule.name();
        if let Some(problem) = schedule.problem() {
            return Err(refused(format!("schedule {name} {problem}")));
        }
        if schedule.overlap != Overlap::Allow && job.unique.is_some() {
            let text = "has a unique key of its own, which says what happens if one is live: take `overlap` away, or the key";
            return Err(refused(format!("schedule {name}: {} {text}", job.kind)));
        }
        if matches!(job.when, When::At(_) | When::Batch { .. }) {
            return Err(refused(format!(
                "schedule {name}: the schedule says when the job runs, so it can have no time"
            )));
        }
        let mut job = job.clone();
        (job.id, job.idempotency) = (schedule_id(&job.queue, name), None);
        job.answer_conflicts();
        job.check(payload_max)?;
        let args = layers.is_empty().then(|| Uuid::new_v5(&super::tick::NAMESPACE, &job.payload));
        layers.enqueue(&mut job)?;
        let (missed, missed_bound) = match schedule.missed {
            Missed::Skip { grace } => ("skip", Some(ms(grace))),
            Missed::Once => ("once", None),
            Missed::All { max } => ("all", Some(u64::from(max))),
        };
        let text = Text {
            cron: schedule.cron.clone(),
            tz: schedule.zone.clone(),
            missed: missed.to_owned(),
            missed_bound,
            overlap: schedule.overlap,
            jitter_ms: ms(schedule.jitter),
            kind: job.kind.to_string(),
            origin,
            args,
        };
        let json = |e: serde_json::Error| refused(format!("schedule {name}: {e}"));
        let definition = serde_json::to_string(&text).map_err(json)?;
        let job = serde_json::to_string(&JobText::of(&job)).map_err(json)?;
        if job.len() > JOB_BYTES_MAX {
            let text =
                format!("schedule {name}: its job is {} bytes, the limit is {JOB_BYTES_MAX}", job.len());
            return Err(refused(format!("{text}: store the data elsewhere")));
        }
        Ok(ScheduleDef { name: name.clone(), definition, job })
    }

    /// What the text of a store says; an error if it was written by other hands, or by a later version of this library.
    pub(crate) fn read(def: &ScheduleDef) -> Result<Self, ScheduleError> {
        let unreadable = |e: String| ScheduleError::new(format!("schedule {} cannot be read: {e}", def.name));
        let text: Text = serde_json::from_str(&def.definition).map_err(|e| unreadable(e.to_string()))?;
        let bound = text.missed_bound.unwrap_or_default();
        let missed = match text.missed.as_str() {
            "skip" => Missed::Skip { grace: Duration::from_millis(bound) },
            "once" => Missed::Once,
            "all" => Missed::All { max: u32::try_from(bound).unwrap_or(u32::MAX).min(Missed::ALL_MAX) },
            other => return Err(unreadable(format!("{other:?} is not known"))),
        };
        let schedule = Schedule::new(&def.name, text.cron)?
            .tz(text.tz)?
            .missed(missed)
            .overlap(text.overlap)
            .jitter(Duration::from_millis(text.jitter_ms))?;
        let kind = Kind::new(&text.kind).map_err(|e| unreadable(e.to_string()))?;
        Ok(Self { schedule, kind, origin: text.origin })
    }

    /// The job that a schedule enqueues, its arguments opened, without the id of a tick. May panic, if middleware does.
    pub(crate) fn job_of(def: &ScheduleDef, queue: &QueueName, layers: &Layers) -> Result<NewJob, String> {
        let text: JobText = serde_json::from_str(&def.job).map_err(|e| e.to_string())?;
        let mut job = text.into_job(queue)?;
        job.id = schedule_id(queue, &def.name);
        if !layers.is_empty() {
            let ctx = JobContext::of_schedule(&job);
            job.payload = layers.open(&ctx, job.payload.clone()).map_err(|e| e.report())?;
        }
        Ok(job)
    }
}

impl JobText {
    fn of(job: &NewJob) -> Self {
        let payload = std::str::from_utf8(&job.payload).ok().map(str::to_owned);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let on_conflict = match job.on_conflict {
            OnConflict::Existing | OnConflict::Error => None,
            OnConflict::Replace => Some("replace"),
            OnConflict::Debounce { .. } => Some("debounce"),
            OnConflict::Latest => Some("latest"),
        };
        Self {
            kind: job.kind.to_string(),
            priority: job.priority.level(),
            max_attempts: job.max_attempts,
            version: job.version,
            payload_hex: payload.is_none().then(|| hex(&job.payload)),
            payload,
            headers: job.headers.clone(),
            unique: job.unique.as_ref().map(|key| (key.scope.clone(), key.key.as_str().to_owned())),
            on_conflict: on_conflict.map(str::to_owned),
            max_wait_ms: job.on_conflict.max_wait().map(ms),
            delay_ms: match job.when {
                When::After(delay) => Some(ms(delay)),
                _ => None,
            },
        }
    }

    fn into_job(self, queue: &QueueName) -> Result<NewJob, String> {
        let payload = match (self.payload, self.payload_hex) {
            (Some(text), _) => Bytes::from(text),
            (None, Some(digits)) => {
                Bytes::from(unhex(&digits).ok_or("its arguments are no hexadecimal digits")?)
            }
            (None, None) => return Err("it has no arguments".to_owned()),
        };
        let max_wait = Duration::from_millis(self.max_wait_ms.unwrap_or(u64::MAX));
        let mut job = NewJob::new(Kind::new(&self.kind).map_err(|e| e.to_string())?, queue.clone(), payload);
        job.priority = Priority::new(self.priority).ok_or("its priority is not 0 to 9")?;
        (job.max_attempts, job.version, job.headers) = (self.max_attempts, self.version, self.headers);
        job.unique = self.unique.map(|(scope, key)| UniqueKey { scope, key: key.into() });
        job.on_conflict = match self.on_conflict.as_deref() {
            Some("replace") => OnConflict::Replace,
            Some("debounce") => OnConflict::Debounce { max_wait },
            Some("latest") => OnConflict::Latest,
            _ => OnConflict::Existing,
        };
        job.when = self.delay_ms.map_or(When::Now, |delay| When::After(Duration::from_millis(delay)));
        Ok(job)
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly() -> Schedule {
        let schedule =
            Schedule::new("nightly", "0 3 * * *").expect("good").tz("Europe/Berlin").expect("a zone");
        schedule.missed(Missed::skip()).jitter(Duration::from_secs(30)).expect("short")
    }

    fn job() -> NewJob {
        let mut job = NewJob::new(Kind::from_static("digest"), QueueName::from_static("q"), r#"{"a":1}"#);
        job.headers.insert("tenant".into(), "acme".into());
        job
    }

    fn def(schedule: &Schedule, job: &NewJob) -> Result<ScheduleDef, EnqueueError> {
        Definition::def_of(schedule, job, Origin::Client, &Layers::default(), NewJob::PAYLOAD_BYTES_MAX)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut job = job();
        job.unique = Some(UniqueKey { scope: "s".into(), key: "k".into() });
        job.on_conflict = OnConflict::Debounce { max_wait: Duration::from_secs(60) };
        job.when = When::After(Duration::from_secs(5));
        let def = def(&nightly(), &job).expect("good");
        let read = Definition::read(&def).expect("readable");
        assert_eq!((&read.kind, read.origin), (&job.kind, Origin::Client));
        assert_eq!(
            (read.schedule.cron, read.schedule.zone, read.schedule.missed, read.schedule.jitter),
            ("0 3 * * *".into(), "Europe/Berlin".into(), Missed::skip(), Duration::from_secs(30))
        );
        let again = Definition::job_of(&def, &job.queue, &Layers::default()).expect("readable");
        assert_eq!(again, NewJob { id: again.id, ..job });
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let raw = NewJob { payload: Bytes::from_static(&[0, 159, 255]), ..job() };
        let def = def(&nightly(), &raw).expect("good");
        let again = Definition::job_of(&def, &raw.queue, &Layers::default()).expect("readable");
        assert_eq!(again.payload, raw.payload);
    }

    #[test]
    fn other_arguments_are_another_definition_and_other_options_are_not() {
        let first = def(&nightly(), &job()).expect("good");
        let urgent = def(&nightly(), &NewJob { priority: Priority::HIGH, ..job() }).expect("good");
        assert_eq!(first.definition, urgent.definition);
        assert_ne!(first.job, urgent.job);
        let other = NewJob { payload: Bytes::from_static(b"{}"), ..job() };
        assert_ne!(first.definition, def(&nightly(), &other).expect("good").definition);
        assert_ne!(
            first.definition,
            def(&nightly().overlap(Overlap::Skip), &job()).expect("good").definition
        );
        assert_eq!(first, def(&nightly(), &job()).expect("good"), "the same each time");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let text = |schedule: &Schedule, job: &NewJob| def(schedule, job).expect_err("refused").to_string();
        let keyed = NewJob { unique: Some(UniqueKey { scope: "s".into(), key: "k".into() }), ..job() };
        assert!(text(&nightly().overlap(Overlap::Queue), &keyed).contains("unique key"));
        assert!(text(&nightly().missed(Missed::All { max: 0 }), &job()).contains("1 to 1000"));
        assert!(
            text(&nightly(), &NewJob { when: When::At(jiff::Timestamp::MAX), ..job() }).contains("no time")
        );
        let large = NewJob { payload: Bytes::from(vec![b'x'; JOB_BYTES_MAX]), ..job() };
        assert!(text(&nightly(), &large).contains("elsewhere"));
    }
}
