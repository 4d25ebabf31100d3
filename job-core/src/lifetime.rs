//! How long a job is worth running. It travels with the job as headers, so that a store needs to know nothing of it.

use crate::context::JobContext;
use crate::new_job::{Headers, NewJob, When};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

impl NewJob {
    /// The header with the time within which the job has to start, in milliseconds.
    pub const TTL_HEADER: &str = "steadfast-ttl-ms";
    /// The header with what that time is counted from, if the job does not start at once: `+` and a delay in milliseconds, or
    /// an instant.
    pub const TTL_FROM_HEADER: &str = "steadfast-ttl-from";
    /// The header with the instant after which the job is not run, as RFC 3339 text.
    pub const DEADLINE_HEADER: &str = "steadfast-deadline";

    /// Sets the time within which the job has to start, counted by the store's clock from when the store took it, or from
    /// when it was due if it came with a delay or a time; a job that waits for a batch is never too late. It is kept in whole milliseconds, one at least.
    pub fn set_ttl(&mut self, ttl: Duration) {
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(u64::from(!ttl.is_zero()));
        self.headers.insert(Self::TTL_HEADER.to_owned(), ms.to_string());
    }

    /// Sets the instant of the store's clock after which the job is not run.
    pub fn set_deadline(&mut self, deadline: Timestamp) {
        self.headers.insert(Self::DEADLINE_HEADER.to_owned(), deadline.to_string());
    }

    /// True if it has to start within some time after it is due.
    pub(crate) fn has_ttl(&self) -> bool {
        self.headers.contains_key(Self::TTL_HEADER)
    }

    /// Notes what the time to live is counted from, once it is certain when the job may run.
    pub(crate) fn note_due(&mut self) {
        if !self.has_ttl() {
            return;
        }
        let from = match self.when {
            When::Now => None,
            When::After(delay) => Some(format!("+{}", delay.as_millis())),
            When::At(at) => Some(at.to_string()),
            // Nobody knows when that will be.
            When::Batch { .. } => Some(Timestamp::MAX.to_string()),
        };
        match from {
            Some(from) => drop(self.headers.insert(Self::TTL_FROM_HEADER.to_owned(), from)),
            None => drop(self.headers.remove(Self::TTL_FROM_HEADER)),
        }
    }

    /// What is wrong with the headers that are ours.
    pub(crate) fn lifetime_problem(&self) -> Option<String> {
        let of = |name: &str| self.headers.get(name).map(String::as_str);
        if let Some(ttl) = of(Self::TTL_HEADER) {
            match ttl.parse::<u64>() {
                Ok(0) => return Some(format!("the ttl of {} is zero: it would never run", self.kind)),
                Ok(_) => {}
                Err(_) => return Some(reserved(self, Self::TTL_HEADER)),
            }
        }
        if of(Self::DEADLINE_HEADER).is_some_and(|text| text.parse::<Timestamp>().is_err()) {
            return Some(reserved(self, Self::DEADLINE_HEADER));
        }
        None
    }
}

fn reserved(job: &NewJob, header: &str) -> String {
    format!("the header {header} of {} cannot be read: use `.ttl(…)` or `.deadline(…)`", job.kind)
}

/// The instant after which the job is not run.
pub(crate) fn deadline(headers: &Headers) -> Option<Timestamp> {
    headers.get(NewJob::DEADLINE_HEADER)?.parse().ok()
}

/// The instant by which it has to have started.
pub(crate) fn ttl_end(headers: &Headers, enqueued_at: Timestamp) -> Option<Timestamp> {
    let ttl = headers.get(NewJob::TTL_HEADER)?.parse().ok()?;
    let from = match headers.get(NewJob::TTL_FROM_HEADER).map(String::as_str) {
        None => enqueued_at,
        Some(text) => match text.strip_prefix('+') {
            Some(delay) => later(enqueued_at, Duration::from_millis(delay.parse().ok()?)),
            None => text.parse::<Timestamp>().ok()?.max(enqueued_at),
        },
    };
    Some(later(from, Duration::from_millis(ttl)))
}

/// So much later, or the end of time.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).ok();
    by.and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

impl JobContext {
    /// The instant of the store's clock after which the job is not run any more, if it has one. A running attempt is asked to
    /// stop then.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        deadline(self.headers())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, QueueName};

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn job(ttl: Duration, when: When) -> NewJob {
        let mut job = NewJob::new(Kind::from_static("k"), QueueName::from_static("q"), "{}");
        job.when = when;
        job.set_ttl(ttl);
        job.note_due();
        job
    }

    fn ends(ttl: u64, when: When) -> i64 {
        let job = job(Duration::from_secs(ttl), when);
        assert_eq!(job.lifetime_problem(), None);
        ttl_end(&job.headers, START).expect("it has one").as_second()
    }

    #[test]
    fn a_ttl_is_counted_from_when_the_job_may_run() {
        let at = |second| When::At(Timestamp::from_second(second).expect("in range"));
        assert_eq!(ends(10, When::Now), 10);
        assert_eq!(ends(10, When::After(Duration::from_secs(60))), 70);
        assert_eq!(ends(10, at(60)), 70);
        assert_eq!(ends(10, at(-60)), 10, "the past means at once");
        assert_eq!(ends(u64::MAX, at(60)), Timestamp::MAX.as_second());
    }

    #[test]
    fn what_was_noted_of_an_earlier_time_is_forgotten() {
        let mut job = job(Duration::from_secs(10), When::After(Duration::from_secs(60)));
        job.when = When::Now;
        job.note_due();
        assert_eq!(ttl_end(&job.headers, START).expect("it has one").as_second(), 10);
    }

    #[test]
    fn headers_that_cannot_be_read_are_refused() {
        let problem = |name: &str, text: &str| {
            let mut job = NewJob::new(Kind::from_static("k"), QueueName::from_static("q"), "{}");
            job.headers.insert(name.into(), text.into());
            job.lifetime_problem()
        };
        assert!(problem(NewJob::TTL_HEADER, "0").expect("zero").contains("never run"));
        assert!(problem(NewJob::TTL_HEADER, "10m").expect("no number").contains(".ttl("));
        assert!(problem(NewJob::DEADLINE_HEADER, "noon").expect("no time").contains(".deadline("));
        assert_eq!(
            job(Duration::from_nanos(1), When::Now).lifetime_problem(),
            None,
            "a little is not nothing"
        );
        assert!(job(Duration::ZERO, When::Now).lifetime_problem().is_some());
    }
}
