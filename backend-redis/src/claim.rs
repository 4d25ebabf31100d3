//! Claim.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::add_id;
use crate::permits::{Concern, Permit, Used, read_used, to_text};
use crate::queue::{Queue, Shard};
use crate::record::{decode, instant, ms};
use crate::reply;
use crate::script::{CLAIM_, Call};
use jiff::Timestamp;
use job_core::{BackendError, Claim, ClaimRequest, ClaimedJob, Hold, JobId, LeaseId, Suspicion};
use redis::{Cmd, Value};
use std::time::Duration;
use uuid::Uuid;

/// Payloads of one claim together; one job may be larger.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a claim has still to get from the shards that it has not looked at.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) request: &'a ClaimRequest<'a>,
    limit: usize,
    suspects: &'a [LeaseId],
    solo: Solo,
    /// Shards where a solo job waits.
    with_solo: Vec<u32>,
    /// What the clocks said of the shards that gave jobs, the earliest: it is ahead of none of them.
    pub(crate) now: Option<Timestamp>,
    /// The limits under which the kinds of the claim are.
    pub(crate) concerns: Vec<Concern>,
    /// When to ask again because jobs were left for a limit or a line, in ms.
    retry_in: Option<u64>,
}

/// What to do about jobs that run alone.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Solo {
    Leave,
    Take,
    /// Nobody knows yet whether another shard has a suspect that goes first.
    Tell,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(request: &'a ClaimRequest<'a>, queue: &Queue, concerns: Vec<Concern>) -> Self {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let solo = match (request.solo, queue.shards.len()) {
            (false, _) => Solo::Leave,
            (true, 1) => Solo::Take,
            (true, _) => Solo::Tell,
        };
        let suspects = request.suspect_leases;
        Self { request, limit, suspects, solo, with_solo: Vec::new(), now: None, concerns, retry_in: None }
    }

    /// The keys of the claim in this shard: leases, then lanes.
    pub(crate) fn keys(&self, shard: &Shard) -> Vec<String> {
        let leases = std::iter::once(&self.request.lease).chain(self.suspects);
        let keys = leases.map(|l| shard.tag.lease(*l));
        keys.chain(self.request.kinds.iter().map(|k| shard.tag.lane(k))).collect()
    }

    /// With what homes have permitted, unless the script looks for itself.
    pub(crate) fn add_args(&self, cmd: &mut Cmd, permits: Option<&[Permit]>) {
        add_id(cmd, self.request.worker.as_uuid());
        cmd.arg(self.limit).arg(ms(self.request.lease_for)).arg(self.solo as u8);
        cmd.arg(BYTES_MAX).arg(self.request.kinds.len()).arg(to_text(&self.concerns, permits));
        for lease in std::iter::once(&self.request.lease).chain(self.suspects) {
            add_id(cmd, lease.as_uuid());
        }
    }

    /// Reads the jobs that a shard gave, and what was used of permits.
    pub(crate) fn take(
        &mut self,
        shard: &Shard,
        answer: Value,
    ) -> Result<(Vec<ClaimedJob>, Used), BackendError> {
        let read = || {
            let [handles, stored, metas, places, now, solo, retry_in, used] =
                <[Value; 8]>::try_from(reply::array(answer)?).ok()?;
            let jobs = self.read(shard, [handles, stored, metas, places])?;
            if !jobs.is_empty() {
                self.hear(instant(reply::int(&now)?));
            }
            if reply::int(&solo)? == 1 {
                self.with_solo.push(shard.number);
            }
            self.ask_again(u64::try_from(reply::int(&retry_in)?).ok());
            Some((jobs, read_used(used)?))
        };
        let (jobs, used) = read().ok_or_else(|| unreadable("claim"))?;
        let normal = jobs.iter().filter(|j| j.hold.lease == self.request.lease).count();
        self.limit = self.limit.saturating_sub(normal);
        let odd = jobs.len() - normal;
        self.suspects = self.suspects.get(odd..).unwrap_or_default();
        if odd > 0 {
            self.solo = Solo::Leave;
        }
        Ok((jobs, used))
    }

    fn ask_again(&mut self, after: Option<u64>) {
        self.retry_in = self.retry_in.into_iter().chain(after).min();
    }

    fn hear(&mut self, now: Timestamp) {
        self.now = Some(self.now.map_or(now, |earlier| earlier.min(now)));
    }

    /// The claim of these jobs.
    pub(crate) fn claim(&self, jobs: Vec<ClaimedJob>) -> Claim {
        let mut claim = Claim::new(jobs);
        claim.now = self.now;
        claim.retry_in = self.retry_in.map(Duration::from_millis);
        claim
    }

    fn read(&self, shard: &Shard, [handles, stored, metas, places]: [Value; 4]) -> Option<Vec<ClaimedJob>> {
        let (handles, stored) = (reply::array(handles)?, reply::array(stored)?);
        let (metas, places) = (reply::array(metas)?, reply::array(places)?);
        let mut jobs = Vec::with_capacity(handles.len());
        for (index, (handle, stored)) in handles.into_iter().zip(stored).enumerate() {
            let id = Uuid::from_slice(reply::bytes(handle)?.get(..16)?).ok()?;
            let (lease, place) = match places.get(index).and_then(reply::int) {
                Some(number) => (number >> 16, number & 0xffff),
                None => (0, i64::try_from(index).ok()?),
            };
            let lease = match usize::try_from(lease).ok()? {
                0 => self.request.lease,
                n => *self.suspects.get(n - 1)?,
            };
            let meta = Meta::read(metas.get(index));
            let Ok(stored) = decode(reply::bytes(stored)?, self.request.kinds) else {
                tracing::error!(job = %id, "a stored job cannot be read: it will end in the dead-letter queue");
                continue;
            };
            jobs.push(ClaimedJob {
                hold: Hold {
                    job: JobId::from_uuid(id),
                    lease,
                    claims: meta.claims + 1,
                    locator: [place, shard.number.into(), 0],
                },
                kind: stored.kind,
                priority: stored.priority,
                attempt: meta.charged.saturating_add(1),
                max_attempts: stored.max_attempts,
                suspicion: match (lease == self.request.lease, meta.crashes) {
                    (true, _) => Suspicion::None,
                    (_, 0) => Suspicion::Suspect,
                    _ => Suspicion::Solo,
                },
                payload: stored.payload,
                version: stored.version,
                headers: stored.headers,
                idempotency_key: stored.idempotency_key,
                enqueued_at: stored.enqueued_at,
            });
        }
        Some(jobs)
    }

    fn is_met(&self) -> bool {
        self.limit == 0 && self.suspects.is_empty()
    }
}

/// What has happened to a job: nothing, if it is not written down.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) charged: u32,
    pub(crate) claims: u64,
    pub(crate) crashes: u32,
    /// Why it is dead, or when it completed.
    pub(crate) reason: String,
}

impl Meta {
    pub(crate) fn read(value: Option<&Value>) -> Self {
        let Some(Value::BulkString(text)) = value else { return Self::default() };
        let mut words = std::str::from_utf8(text).unwrap_or_default().split(' ');
        let mut number = || words.next().and_then(|w| w.parse::<u64>().ok()).unwrap_or(0);
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let (charged, claims, crashes) = (small(number()), number(), small(number()));
        Self { charged, claims, crashes, reason: words.next().unwrap_or_default().to_owned() }
    }
}

impl Inner {
    /// Claims from the shards of the queue in turn, but not from `done`, until there is enough.
    pub(crate) async fn claim_rest(
        &self,
        queue: &Queue,
        wanted: &mut Wanted<'_>,
        done: Option<u32>,
    ) -> Result<Vec<ClaimedJob>, BackendError> {
        let mut jobs = Vec::new();
        let mut claimed = done.is_some();
        for shard in queue.order(wanted.request.lease).filter(|s| Some(s.number) != done) {
            if wanted.is_met() {
                break;
            }
            let more =
                self.claim_shard(shard, wanted).await.map_err(|e| if claimed { e.in_part() } else { e })?;
            claimed = true;
            jobs.extend(more);
        }
        if wanted.solo == Solo::Tell {
            jobs.extend(self.claim_solo(queue, wanted).await.map_err(BackendError::in_part)?);
        }
        Ok(jobs)
    }

    async fn claim_shard(
        &self,
        shard: &Shard,
        wanted: &mut Wanted<'_>,
    ) -> Result<Vec<ClaimedJob>, BackendError> {
        let (mut names, mut keys) = (String::new(), wanted.keys(shard));
        let permits = if self.together {
            for Concern { home, .. } in &wanted.concerns {
                names.push_str(home.name.as_str());
                names.push(' ');
                keys.extend(home.keys());
            }
            None
        } else {
            let want = wanted.limit + wanted.suspects.len();
            Some(self.ask(shard, &wanted.concerns, wanted.request, want).await?)
        };
        let mut call: Call = CLAIM_.call(&shard.tag, &keys);
        call.cmd.arg(names);
        wanted.add_args(&mut call.cmd, permits.as_deref());
        let suspects = wanted.suspects;
        let answer = self.link.run(call).await?;
        let (jobs, used) = wanted.take(shard, answer)?;
        if let Some(permits) = permits {
            let kept = self.keep(shard, &wanted.concerns, &permits, wanted.request, suspects, &used).await;
            // Nobody may start a job before the home knows who holds its slot.
            kept.map_err(BackendError::in_part)?;
        }
        Ok(jobs)
    }

    /// Claims one job that runs alone, now that no shard has had a suspect.
    async fn claim_solo(
        &self,
        queue: &Queue,
        wanted: &mut Wanted<'_>,
    ) -> Result<Vec<ClaimedJob>, BackendError> {
        // The lease of the claim may have jobs in these shards already, which are not to come again.
        let request = ClaimRequest { lease: LeaseId::random(), limit: 0, ..wanted.request.clone() };
        let with_solo = std::mem::take(&mut wanted.with_solo);
        for shard in queue.shards.iter().filter(|s| with_solo.contains(&s.number)) {
            let concerns = std::mem::take(&mut wanted.concerns);
            let mut alone = Wanted { solo: Solo::Take, ..Wanted::new(&request, queue, concerns) };
            let jobs = self.claim_shard(shard, &mut alone).await;
            wanted.concerns = std::mem::take(&mut alone.concerns);
            let jobs = jobs?;
            wanted.ask_again(alone.retry_in);
            if !jobs.is_empty() {
                alone.now.into_iter().for_each(|now| wanted.hear(now));
                return Ok(jobs);
            }
        }
        Ok(Vec::new())
    }
}

/// A job id as bytes of an answer.
pub(crate) fn job_id(value: Value) -> Option<JobId> {
    Some(JobId::from_uuid(Uuid::from_slice(&reply::bytes(value)?).ok()?))
}
