//! Maintenance: promote, reap, the outbox.

use crate::backend::Inner;
use crate::error::{refused, unreadable};
use crate::keys::{Part, add_id};
use crate::limits::Slots;
use crate::queue::{Queue, Shard};
use crate::record::ms;
use crate::reply;
use crate::script::{PROMOTE, PRUNE_DEAD, REAP, Script};
use job_core::{BackendError, ErrorKind, Kind, LeaseId, MaintainRequest, Maintained};
use redis::{Cmd, Value};
use std::time::Duration;
use uuid::Uuid;

/// Leases that one call ends: a server does nothing else meanwhile.
const REAP_AT_ONCE: usize = 100;

/// Dead jobs that one call removes.
const DEAD_AT_ONCE: u32 = 200;

impl Inner {
    /// Reads the numbers of a shard's kinds.
    pub(crate) async fn learn_kinds(&self, shard: &Shard) -> Result<(), BackendError> {
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(shard.tag.key(Part::Kinds));
        let answer = self.link.command("connect", cmd).await?;
        let mut kinds: Vec<(i64, Kind)> = Vec::new();
        for (name, number) in reply::pairs(answer).ok_or_else(|| unreadable("connect"))? {
            let name = reply::text(name).and_then(|n| Kind::new(n).ok());
            kinds.extend(reply::int(&number).zip(name));
        }
        kinds.sort_unstable_by_key(|(number, _)| *number);
        // Only hands other than ours leave a gap.
        let whole = (1..).zip(&kinds).all(|(place, (number, _))| place == *number);
        if !whole {
            let text = "the numbers of the kinds are not in order: run fsck";
            return Err(refused("connect", ErrorKind::Permanent, text));
        }
        shard.learn(kinds.into_iter().map(|(_, kind)| kind).collect());
        Ok(())
    }

    /// Runs a script that must know the lanes of all kinds, which are its keys after these.
    pub(crate) async fn with_lanes(
        &self,
        shard: &Shard,
        script: &'static Script,
        keys: &[String],
        add_args: impl Fn(&mut Cmd),
    ) -> Result<Value, BackendError> {
        for _ in 0..4 {
            let keys = [keys, &shard.lanes()].concat();
            let mut call = script.call(&shard.tag, &keys);
            add_args(&mut call.cmd);
            match self.link.run(call).await? {
                // Of a kind that is new here.
                Value::Int(_) => self.learn_kinds(shard).await?,
                answer => return Ok(answer),
            }
        }
        Err(refused(script.operation, ErrorKind::Transient, "the kinds of the queue cannot be read"))
    }

    pub(crate) async fn maintain(
        &self,
        queue: &Queue,
        request: &MaintainRequest,
    ) -> Result<Maintained, BackendError> {
        let mut done = Maintained::default();
        for shard in queue.in_turn() {
            // The limit is for the queue.
            let used = u32::try_from(done.promoted.max(done.leases_reaped)).unwrap_or(u32::MAX);
            let limit = request.limit.saturating_sub(used);
            if limit == 0 {
                done.more = true;
                break;
            }
            let expired = self.promote(queue, shard, limit, &mut done).await?;
            if request.reap {
                done.more |= expired.len() >= limit as usize;
                for part in expired.chunks(REAP_AT_ONCE) {
                    self.reap(queue, shard, request, part, &mut done).await?;
                }
            }
            if let Some(kept) = request.dead_kept {
                self.prune_dead(shard, kept, limit.min(DEAD_AT_ONCE), &mut done).await?;
            }
            done.more |= self.empty_outbox(shard).await?;
        }
        if done.promoted + done.jobs_returned > 0 {
            self.wake.bells.ring(&queue.name);
        }
        Ok(done)
    }

    /// Answers the leases that have expired.
    async fn promote(
        &self,
        queue: &Queue,
        shard: &Shard,
        limit: u32,
        done: &mut Maintained,
    ) -> Result<Vec<LeaseId>, BackendError> {
        let add_args = |cmd: &mut Cmd| {
            cmd.arg(limit).arg(self.wake.channel()).arg(queue.name.as_str());
        };
        let answer = self.with_lanes(shard, &PROMOTE, &[], add_args).await?;
        let read = || -> Option<Vec<LeaseId>> {
            let [promoted, more, next, expired, over] = <[Value; 5]>::try_from(reply::array(answer)?).ok()?;
            done.promoted += reply::count(&promoted)?;
            done.more |= reply::int(&more)? == 1;
            done.pruned += reply::count(&over)?;
            done.more |= reply::count(&over)? >= u64::from(limit);
            if let Ok(next) = u64::try_from(reply::int(&next)?) {
                let next = Duration::from_millis(next);
                done.next_due = Some(done.next_due.map_or(next, |earlier| earlier.min(next)));
            }
            let id = |v| Some(LeaseId::from_uuid(Uuid::from_slice(&reply::bytes(v)?).ok()?));
            reply::array(expired)?.into_iter().map(id).collect()
        };
        read().ok_or_else(|| unreadable("promote"))
    }

    async fn reap(
        &self,
        queue: &Queue,
        shard: &Shard,
        request: &MaintainRequest,
        leases: &[LeaseId],
        done: &mut Maintained,
    ) -> Result<(), BackendError> {
        let keys: Vec<_> = leases.iter().map(|l| shard.tag.lease(*l)).collect();
        let add_args = |cmd: &mut Cmd| {
            cmd.arg(ms(self.options.receipts)).arg(self.wake.channel()).arg(queue.name.as_str());
            cmd.arg(request.poison_limit).arg(leases.len());
            for lease in leases {
                add_id(cmd, lease.as_uuid());
            }
        };
        let answer = self.with_lanes(shard, &REAP, &keys, add_args).await?;
        let read = || {
            let [ended, returned, poisoned, left] = <[Value; 4]>::try_from(reply::array(answer)?).ok()?;
            done.leases_reaped += reply::count(&ended)?;
            done.jobs_returned += reply::count(&returned)?;
            done.poisoned += reply::count(&poisoned)?;
            Slots::read_all(left)
        };
        let left = Option::ok_or_else(read(), || unreadable("reap"))?;
        self.lower(&left).await;
        Ok(())
    }

    async fn prune_dead(
        &self,
        shard: &Shard,
        kept: Duration,
        limit: u32,
        done: &mut Maintained,
    ) -> Result<(), BackendError> {
        let mut call = PRUNE_DEAD.call(&shard.tag, &[]);
        call.cmd.arg(ms(kept)).arg(limit);
        let pruned = reply::count(&self.link.run(call).await?).ok_or_else(|| unreadable("prune"))?;
        done.dead_pruned += pruned;
        done.more |= pruned >= u64::from(limit);
        Ok(())
    }
}
