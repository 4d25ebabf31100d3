//! Limits of a claim. Where everything is on one server, the script of the claim reads and writes their homes itself. In a cluster they
//! are elsewhere: permits are asked for before the claim, and what was not used is given back after it, so that there are never
//! more jobs under a limit than it allows.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::Raw;
use crate::limits::{Home, holder};
use crate::queue::{Queue, Shard};
use crate::record::ms;
use crate::reply;
use futures_util::future::try_join_all;
use job_core::{BackendError, ClaimRequest, Kind, LeaseId, LimitName};
use redis::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// A limit, and the kinds of a claim that are under it, counted from 1.
#[derive(Debug)]
pub(crate) struct Concern {
    pub(crate) home: Arc<Home>,
    places: Vec<usize>,
}

/// What one home lets a claim take.
#[derive(Debug)]
pub(crate) struct Permit {
    count: u64,
    /// When to ask again, in ms.
    wait: u64,
    /// 1 if it is counted how many jobs run under the limit, -1 if it limits nothing.
    counted: i64,
}

/// What a claim has used of one limit: in all, and what each of its leases holds.
pub(crate) type Used = BTreeMap<String, (u64, Vec<u64>)>;

/// The limits of a claim as its script reads them.
pub(crate) fn to_text(concerns: &[Concern], permits: Option<&[Permit]>) -> String {
    let mut text = String::new();
    for (number, Concern { home, places }) in concerns.iter().enumerate() {
        let places: Vec<_> = places.iter().map(ToString::to_string).collect();
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {} ", home.name, places.join(","));
        let _ = match permits.and_then(|p| p.get(number)) {
            None => writeln!(text, "- - -"),
            Some(permit) => writeln!(text, "{} {} {}", permit.count, permit.wait, permit.counted),
        };
    }
    text
}

pub(crate) fn read_used(answer: Value) -> Option<Used> {
    let mut used = Used::new();
    for row in reply::array(answer)? {
        let mut row = reply::array(row)?.into_iter();
        let (name, total) = (reply::text(row.next()?)?, reply::count(&row.next()?)?);
        let held = row.map(|count| reply::count(&count)).collect::<Option<Vec<_>>>()?;
        used.insert(name, (total, held));
    }
    Some(used)
}

/// How long who holds permits does, in ms: a lease that nobody ends is reaped within its own length after its end, or later than
/// anybody works under it.
pub(crate) const fn life(lease_ms: u64) -> u64 {
    2 * lease_ms + 1_000
}

impl Inner {
    /// The limits under which jobs of these kinds are, as far as anybody has named them.
    pub(crate) async fn concerns(&self, queue: &Queue, kinds: &[Kind]) -> Result<Vec<Concern>, BackendError> {
        let known = self.homes().await?;
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let declared = self.limits_of_kinds(queue).await?;
        let of_queue = LimitName::of_queue(&queue.name);
        let mut concerns: BTreeMap<&LimitName, Concern> = BTreeMap::new();
        for (place, kind) in (1..).zip(kinds) {
            let own = [LimitName::of_kind(kind)];
            let names = declared.get(kind).into_iter().flatten().chain(&own).chain([&of_queue]);
            for (name, home) in names.filter_map(|name| known.get_key_value(name)) {
                let concern = concerns
                    .entry(name)
                    .or_insert_with(|| Concern { home: Arc::clone(home), places: Vec::new() });
                if concern.places.last() != Some(&place) {
                    concern.places.push(place);
                }
            }
        }
        let concerns: Vec<_> = concerns.into_values().collect();
        queue.note_homes(concerns.iter().map(|c| Arc::clone(&c.home)).collect());
        Ok(concerns)
    }

    /// Asks each home for permits, up to `want`. Asked again for the same lease, it gives the same.
    pub(crate) async fn ask(
        &self,
        shard: &Shard,
        concerns: &[Concern],
        request: &ClaimRequest<'_>,
        want: usize,
    ) -> Result<Vec<Permit>, BackendError> {
        let one = async |concern: &Concern| {
            let mut call = concern.home.call("permit");
            call.cmd
                .arg(Raw(&holder(request.lease, shard.number)))
                .arg(want)
                .arg(life(ms(request.lease_for)));
            let answer = self.link.run(call).await?;
            let read = || {
                let [count, wait, counted] = <[Value; 3]>::try_from(reply::array(answer)?).ok()?;
                let (count, wait) = (reply::count(&count)?, reply::count(&wait)?);
                Some(Permit { count, wait, counted: reply::int(&counted)? })
            };
            read().ok_or_else(|| unreadable("claim"))
        };
        try_join_all(concerns.iter().map(one)).await
    }

    /// Gives back what a claim has not used, and says what its other leases hold.
    pub(crate) async fn keep(
        &self,
        shard: &Shard,
        concerns: &[Concern],
        permits: &[Permit],
        request: &ClaimRequest<'_>,
        suspects: &[LeaseId],
        used: &Used,
    ) -> Result<(), BackendError> {
        let mut calls = Vec::new();
        for (Concern { home, .. }, permit) in concerns.iter().zip(permits) {
            let (total, held) = used.get(home.name.as_str()).map_or((0, &[][..]), |(t, h)| (*t, h));
            if permit.counted < 0 || total >= permit.count && held.iter().skip(1).all(|n| *n == 0) {
                continue;
            }
            let mut call = home.call("keep");
            let cmd = &mut call.cmd;
            cmd.arg(Raw(&holder(request.lease, shard.number))).arg(total).arg(life(ms(request.lease_for)));
            for (number, lease) in std::iter::once(&request.lease).chain(suspects).enumerate() {
                let held = held.get(number).copied().unwrap_or(0);
                cmd.arg(Raw(&holder(*lease, shard.number))).arg(held);
            }
            calls.push(self.link.run(call));
        }
        try_join_all(calls).await.map(drop)
    }
}
