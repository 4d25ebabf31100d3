//! The job of a tick: its id, its time, its delay, and what it does if another one is live.

use super::definition::Definition;
use super::policy::Overlap;
use super::store::ScheduleEntry;
use crate::conflict::OnConflict;
use crate::context::JobContext;
use crate::key::UniqueKey;
use crate::middleware::Layers;
use crate::new_job::{NewJob, When};
use crate::runtime::panic_text;
use crate::{JobId, QueueName, ScheduleName, seeded_bug};
use jiff::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use uuid::Uuid;

/// What the ids of ticks are made within.
pub(super) const NAMESPACE: Uuid = Uuid::from_u128(0x6d3f_5f0c_21b4_4c61_9a5e_1f43_c7d0_8e52);

impl NewJob {
    /// The header with the name of the schedule whose tick a job is.
    pub const SCHEDULE_HEADER: &str = "steadfast-schedule";
    /// The header with the time of that tick, as RFC 3339 text.
    pub const TICK_HEADER: &str = "steadfast-tick";
}

impl JobContext {
    /// The tick of a schedule that this job is for, without jitter: the time that its cron expression names, however late it
    /// was fired. `None` if no schedule has enqueued it; one that was [run now](crate::ScheduleStore::run_now) has the time at
    /// which that was asked for.
    #[must_use]
    pub fn scheduled_for(&self) -> Option<Timestamp> {
        self.headers().get(NewJob::TICK_HEADER)?.parse().ok()
    }

    /// The name of the schedule that has enqueued this job, if one has.
    #[must_use]
    pub fn schedule(&self) -> Option<&str> {
        self.headers().get(NewJob::SCHEDULE_HEADER).map(String::as_str)
    }
}

/// The identity of a tick.
fn id_of(queue: &QueueName, name: &ScheduleName, version: u64, tick: Timestamp) -> JobId {
    let text = format!("{queue}\0{name}\0{version}\0{}", tick.as_second());
    let seed = if seeded_bug!("tick_ids_are_random") { Uuid::new_v4() } else { NAMESPACE };
    JobId::from_uuid(Uuid::new_v5(&seed, text.as_bytes()))
}

/// Up to `most`, the same for the same tick.
fn delay_of(id: JobId, most: Duration) -> Duration {
    let [a, b, c, d, ..] = *id.as_uuid().as_bytes();
    let range = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let share = u64::from(u32::from_be_bytes([a, b, c, d]));
    // A day at most, so the product fits.
    Duration::from_millis(share.saturating_mul(range) >> 32)
}

/// Gives a job what its schedule says about others that are live.
pub(crate) fn set_overlap(job: &mut NewJob, name: &ScheduleName, overlap: Overlap) {
    let on_conflict = match overlap {
        Overlap::Allow => return,
        Overlap::Skip => OnConflict::Existing,
        Overlap::Queue => OnConflict::Latest,
    };
    job.unique =
        Some(UniqueKey { scope: "schedule".to_owned(), key: format!("{}/{name}", job.queue).into() });
    job.on_conflict = on_conflict;
}

/// The jobs of some ticks; the error says why there are none, such as middleware that refuses them.
pub(crate) fn jobs_of(
    entry: &ScheduleEntry,
    definition: &Definition,
    queue: &QueueName,
    layers: &Layers,
    ticks: &[Timestamp],
) -> Result<Vec<NewJob>, String> {
    let made = catch_unwind(AssertUnwindSafe(|| Definition::job_of(&entry.def, queue, layers)));
    let template = made.unwrap_or_else(|panic| Err(format!("the middleware {}", panic_text(&*panic))))?;
    let name = &entry.def.name;
    let (overlap, jitter) = (definition.schedule.overlap, definition.schedule.jitter);
    let job = |tick: &Timestamp| {
        let mut job = template.clone();
        job.id = id_of(queue, name, entry.version, *tick);
        if !jitter.is_zero() {
            job.when = When::At(crate::lifetime::later(*tick, delay_of(job.id, jitter)));
        }
        set_overlap(&mut job, name, overlap);
        job.headers.insert(NewJob::SCHEDULE_HEADER.to_owned(), name.to_string());
        job.headers.insert(NewJob::TICK_HEADER.to_owned(), tick.to_string());
        layers.enqueue(&mut job).map_err(|e| e.to_string())?;
        Ok(job)
    };
    ticks.iter().map(job).collect()
}

#[cfg(test)]
mod tests {
    use super::super::definition::Origin;
    use super::super::spec::Schedule;
    use super::*;
    use crate::Kind;

    const QUEUE: QueueName = QueueName::from_static("q");

    fn entry(schedule: &Schedule, version: u64) -> ScheduleEntry {
        let job = NewJob::new(Kind::from_static("k"), QUEUE, "{}");
        let def =
            Definition::def_of(schedule, &job, Origin::Client, &Layers::default(), 1_000).expect("good");
        ScheduleEntry { def, version, watermark: Timestamp::UNIX_EPOCH, paused: false }
    }

    fn jobs(schedule: &Schedule, version: u64, ticks: &[i64]) -> Vec<NewJob> {
        let entry = entry(schedule, version);
        let definition = Definition::read(&entry.def).expect("readable");
        let ticks: Vec<_> = ticks.iter().map(|s| Timestamp::from_second(*s).expect("in range")).collect();
        jobs_of(&entry, &definition, &QUEUE, &Layers::default(), &ticks).expect("made")
    }

    #[test]
    fn a_tick_has_one_id_whoever_makes_it() {
        let minutely = Schedule::new("s", "* * * * *").expect("good");
        let ids =
            |version, ticks: &[i64]| jobs(&minutely, version, ticks).iter().map(|j| j.id).collect::<Vec<_>>();
        assert_eq!(ids(1, &[60, 120]), ids(1, &[60, 120]));
        let all = [ids(1, &[60, 120]), ids(2, &[60, 120])].concat();
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{all:?}");
        let other = Schedule::new("t", "* * * * *").expect("good");
        assert_ne!(ids(1, &[60])[0], jobs(&other, 1, &[60])[0].id);
    }

    #[test]
    fn jitter_spreads_runs_and_is_the_same_for_everybody() {
        let spread =
            Schedule::new("s", "* * * * *").expect("good").jitter(Duration::from_secs(30)).expect("short");
        let ticks: Vec<i64> = (1..=200).map(|n| n * 60).collect();
        let delays: Vec<i64> = jobs(&spread, 1, &ticks)
            .iter()
            .zip(&ticks)
            .map(|(job, tick)| match job.when {
                When::At(at) => at.as_millisecond() - tick * 1000,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(delays.iter().all(|d| (0..=30_000).contains(d)), "{delays:?}");
        assert!(delays.iter().any(|d| *d < 5_000) && delays.iter().any(|d| *d > 25_000), "{delays:?}");
        let again: Vec<When> = jobs(&spread, 1, &ticks).iter().map(|j| j.when).collect();
        assert_eq!(again, jobs(&spread, 1, &ticks).iter().map(|j| j.when).collect::<Vec<_>>());
    }

    #[test]
    fn a_tick_is_told_and_overlap_is_a_key() {
        let queued = Schedule::new("s", "* * * * *").expect("good").overlap(Overlap::Queue);
        let job = jobs(&queued, 1, &[60]).remove(0);
        assert_eq!(job.headers[NewJob::TICK_HEADER], "1970-01-01T00:01:00Z");
        assert_eq!(
            (job.headers[NewJob::SCHEDULE_HEADER].as_str(), job.on_conflict),
            ("s", OnConflict::Latest)
        );
        assert_eq!(job.unique.as_ref().map(|k| k.key.as_str()), Some("q/s"));
        let allowed = jobs(&Schedule::new("s", "* * * * *").expect("good"), 1, &[60]).remove(0);
        assert_eq!(allowed.unique, None);
    }
}
