//! Pages of jobs, shard by shard.

use crate::backend::Inner;
use crate::error::{refused, unreadable};
use crate::keys::{Part, Raw};
use crate::operate::record;
use crate::queue::{Queue, Shard, number_of};
use crate::reply;
use crate::script::{LIST, LIST_RUNNING};
use job_core::{BackendError, Cursor, ErrorKind, JobRecord, JobState, LeaseId, ListFilter, Page};
use redis::Value;
use std::fmt::Write as _;
use uuid::Uuid;

/// Where a page of one shard ends: in a sorted set the score and the member, among running jobs the number of the claim
/// and the place there. Empty at the beginning.
#[derive(Debug, Clone, Default, PartialEq)]
struct Spot {
    score: String,
    member: Vec<u8>,
}

impl Spot {
    fn is_begin(&self) -> bool {
        self.score.is_empty()
    }

    fn to_cursor(&self, shard: usize) -> Cursor {
        let mut text = format!("{shard}.{}.", self.score);
        for byte in &self.member {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Cursor(text)
    }

    fn parse(cursor: &Cursor) -> Option<(usize, Self)> {
        let mut parts = cursor.0.split('.');
        let (shard, score, hex) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let good = parts.next().is_none() && score.bytes().all(|b| b.is_ascii_digit()) && hex.is_ascii();
        let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let member: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        Some((shard, Self { score: score.to_owned(), member: member? })).filter(|_| good)
    }
}

impl Inner {
    pub(crate) async fn list(&self, queue: &Queue, filter: &ListFilter) -> Result<Page, BackendError> {
        let foreign = || refused("list", ErrorKind::Rejected, "the cursor is not one of this store");
        let (first, mut spot) = match &filter.after {
            Some(cursor) => Spot::parse(cursor).ok_or_else(foreign)?,
            None => (0, Spot::default()),
        };
        let limit = usize::try_from(filter.limit.max(1)).unwrap_or(usize::MAX);
        let mut page = Page::default();
        for number in first..queue.shards.len() {
            let shard = &queue.shards[number];
            self.learn_kinds(shard).await?;
            let Some(only) = only_kind(shard, filter) else { continue };
            loop {
                let left = limit - page.jobs.len();
                let (rows, end) = match filter.state {
                    JobState::Ready => self.list_ready(queue, shard, filter, &spot, left).await?,
                    JobState::Running => self.list_running(queue, shard, only, &spot, left).await?,
                    JobState::Scheduled | JobState::Retrying | JobState::Completed | JobState::Dead => {
                        let part = match filter.state {
                            JobState::Scheduled => Part::Scheduled,
                            JobState::Retrying => Part::Retrying,
                            JobState::Completed => Part::Completed,
                            _ => Part::Dead,
                        };
                        let key = shard.tag.key(part);
                        let (rows, end) =
                            self.list_key(queue, shard, key, filter.state, only, &spot, left).await?;
                        (rows.into_iter().map(|(record, _)| record).collect(), end)
                    }
                    // These are not kept.
                    JobState::Cancelled => return Ok(page),
                };
                page.jobs.extend(rows);
                let Some(end) = end else { break };
                spot = end;
                if page.jobs.len() == limit {
                    page.next = Some(spot.to_cursor(number));
                    return Ok(page);
                }
            }
            spot = Spot::default();
        }
        Ok(page)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, told apart by its arguments")]
    async fn list_key(
        &self,
        queue: &Queue,
        shard: &Shard,
        key: &str,
        state: JobState,
        (only, kind): (u8, u16),
        spot: &Spot,
        limit: usize,
    ) -> Result<(Vec<(JobRecord, i64)>, Option<Spot>), BackendError> {
        let mut call = LIST.call(&shard.tag, &[key.to_owned()]);
        call.cmd.arg(&spot.score).arg(Raw(&spot.member)).arg(limit).arg(only).arg(kind).arg(state.as_str());
        let answer = self.link.run(call).await?;
        let read = || {
            let [rows, score, member] = <[Value; 3]>::try_from(reply::array(answer)?).ok()?;
            let rows = reply::array(rows)?;
            let rows = rows.into_iter().map(|r| record(r, &queue.name)).collect::<Option<Vec<_>>>()?;
            let end = Spot { score: reply::text(score)?, member: reply::bytes(member)? };
            Some((rows, (!end.is_begin()).then_some(end)))
        };
        read().ok_or_else(|| unreadable("list"))
    }

    /// Over all lanes in the order of claims; scores of one shard are all different.
    async fn list_ready(
        &self,
        queue: &Queue,
        shard: &Shard,
        filter: &ListFilter,
        spot: &Spot,
        limit: usize,
    ) -> Result<(Vec<JobRecord>, Option<Spot>), BackendError> {
        // The first score that has not been shown.
        let from = match spot.score.parse::<u64>() {
            Ok(shown) => Spot { score: (shown + 1).to_string(), member: Vec::new() },
            Err(_) => Spot::default(),
        };
        let mut all = Vec::new();
        let mut more = false;
        for kind in shard.kinds().iter().filter(|k| filter.kind.as_ref().is_none_or(|f| f == *k)) {
            let lane = shard.tag.lane(kind);
            let (rows, end) =
                self.list_key(queue, shard, &lane, JobState::Ready, (0, 0), &from, limit).await?;
            more |= end.is_some();
            all.extend(rows);
        }
        all.sort_unstable_by_key(|(_, score)| *score);
        more |= all.len() > limit;
        all.truncate(limit);
        let end = all.last().map(|(_, score)| Spot { score: score.to_string(), member: Vec::new() });
        Ok((all.into_iter().map(|(record, _)| record).collect(), end.filter(|_| more)))
    }

    /// By the number of their claim, which says when they were claimed.
    async fn list_running(
        &self,
        queue: &Queue,
        shard: &Shard,
        (only, kind): (u8, u16),
        spot: &Spot,
        limit: usize,
    ) -> Result<(Vec<JobRecord>, Option<Spot>), BackendError> {
        const LEASES: usize = 100;
        let number: i64 = spot.score.parse().unwrap_or(0);
        let place = spot.member.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        let mut cmd = redis::cmd("ZRANGEBYSCORE");
        cmd.arg(shard.tag.key(Part::Claims)).arg(number).arg("+inf").arg("WITHSCORES");
        cmd.arg("LIMIT").arg(0).arg(LEASES);
        let answer = self.link.command("list", cmd).await?;
        let leases: Vec<(LeaseId, i64)> = read_leases(answer).ok_or_else(|| unreadable("list"))?;
        if leases.is_empty() {
            return Ok((Vec::new(), None));
        }
        let keys: Vec<_> = leases.iter().map(|(l, _)| shard.tag.lease(*l)).collect();
        let mut call = LIST_RUNNING.call(&shard.tag, &keys);
        call.cmd.arg(number).arg(place).arg(limit).arg(only).arg(kind);
        for (lease, claim) in &leases {
            call.cmd.arg(Raw(lease.as_uuid().as_bytes())).arg(claim);
        }
        let answer = self.link.run(call).await?;
        let read = || {
            let [rows, score, place] = <[Value; 3]>::try_from(reply::array(answer)?).ok()?;
            let rows = reply::array(rows)?.into_iter().map(|r| Some(record(r, &queue.name)?.0));
            let place = u64::try_from(reply::int(&place)?).ok()?;
            let end = Spot { score: reply::text(score)?, member: place.to_be_bytes().to_vec() };
            Some((rows.collect::<Option<Vec<_>>>()?, end))
        };
        let (rows, end) = read().ok_or_else(|| unreadable("list"))?;
        // Nothing new was seen, and there are no more leases.
        let over = rows.len() < limit && leases.len() < LEASES;
        Ok((rows, (!over).then_some(end)))
    }
}

/// Whether there is only one kind to show, and its number; nothing if the shard never had it.
fn only_kind(shard: &Shard, filter: &ListFilter) -> Option<(u8, u16)> {
    let Some(kind) = &filter.kind else { return Some((0, 0)) };
    Some((1, number_of(&shard.kinds(), kind))).filter(|(_, number)| *number > 0)
}

/// Members and scores of leases.
pub(crate) fn read_leases(answer: Value) -> Option<Vec<(LeaseId, i64)>> {
    let mut items = reply::array(answer)?.into_iter();
    let mut leases = Vec::new();
    while let (Some(id), Some(number)) = (items.next(), items.next()) {
        leases.push((LeaseId::from_uuid(Uuid::from_slice(&reply::bytes(id)?).ok()?), reply::int(&number)?));
    }
    Some(leases)
}
