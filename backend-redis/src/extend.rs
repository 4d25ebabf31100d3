//! Extensions.

use crate::backend::Inner;
use crate::claim::job_id;
use crate::error::unreadable;
use crate::keys::add_id;
use crate::limits::Slots;
use crate::permits::life;
use crate::queue::{Queue, Shard};
use crate::record::ms;
use crate::reply;
use crate::script::EXTEND;
use futures_util::future::try_join_all;
use job_core::{BackendError, Extended, JobId, LeaseId, LeaseStatus};
use redis::Value;
use std::time::Duration;

/// What a shard says.
struct Answer {
    /// A letter for each lease.
    letters: Vec<u8>,
    cancel: Vec<JobId>,
    /// What the leases take of limits, with the number of each lease.
    slots: Vec<(usize, Slots)>,
}

impl Answer {
    fn read(answer: Value) -> Option<Self> {
        let [letters, cancel, slots] = <[Value; 3]>::try_from(reply::array(answer)?).ok()?;
        let slot = |row| {
            let mut row = reply::array(row)?;
            let number = usize::try_from(reply::int(&row.remove(0))?).ok()?;
            Some((number.checked_sub(1)?, Slots::read(row)?))
        };
        Some(Self {
            letters: reply::bytes(letters)?,
            cancel: reply::array(cancel)?.into_iter().map(job_id).collect::<Option<_>>()?,
            slots: reply::array(slots)?.into_iter().map(slot).collect::<Option<_>>()?,
        })
    }
}

impl Inner {
    pub(crate) async fn extend(
        &self,
        queue: &Queue,
        leases: &[LeaseId],
        lease_for: Duration,
    ) -> Result<Extended, BackendError> {
        let mut extended = Extended { leases: vec![LeaseStatus::Stale; leases.len()], cancel: Vec::new() };
        for shard in &queue.shards {
            let mut answer = self.extend_in(shard, leases, lease_for, false).await?;
            if answer.letters.contains(&b't') {
                self.extend_limited(shard, leases, lease_for, &mut answer).await?;
            }
            for (status, letter) in extended.leases.iter_mut().zip(answer.letters) {
                if letter == b'1' {
                    *status = LeaseStatus::Held;
                }
            }
            extended.cancel.extend(answer.cancel);
        }
        Ok(extended)
    }

    async fn extend_in(
        &self,
        shard: &Shard,
        leases: &[LeaseId],
        lease_for: Duration,
        told: bool,
    ) -> Result<Answer, BackendError> {
        let keys: Vec<_> = leases.iter().map(|l| shard.tag.lease(*l)).collect();
        let mut call = EXTEND.call(&shard.tag, &keys);
        call.cmd.arg(ms(lease_for)).arg(u8::from(told));
        for lease in leases {
            add_id(&mut call.cmd, lease.as_uuid());
        }
        Answer::read(self.urgent.run(call).await?).ok_or_else(|| unreadable("extend"))
    }

    /// Extends leases that take of limits: what they hold there first, so that it never ends before them.
    async fn extend_limited(
        &self,
        shard: &Shard,
        leases: &[LeaseId],
        lease_for: Duration,
        answer: &mut Answer,
    ) -> Result<(), BackendError> {
        let wait = |number: usize| answer.letters.get(number) == Some(&b't');
        let before: Vec<_> =
            answer.slots.iter().filter(|(n, s)| wait(*n) && s.count > 0).map(|(_, s)| s.clone()).collect();
        let calls = self.calls_of(&before, "extend", Some(life(ms(lease_for))));
        try_join_all(calls.into_iter().map(|call| self.urgent.run(call))).await?;
        let numbers: Vec<_> = (0..leases.len()).filter(|n| wait(*n)).collect();
        let waiting: Vec<_> = numbers.iter().map(|n| leases[*n]).collect();
        let after = self.extend_in(shard, &waiting, lease_for, true).await?;
        for (number, letter) in numbers.into_iter().zip(after.letters) {
            answer.letters[number] = letter;
        }
        answer.cancel.extend(after.cancel);
        // A verdict that came in between has told the homes before they were told here.
        let left = |slot: &Slots| {
            let same = |other: &&(usize, Slots)| other.1.limit == slot.limit && other.1.holder == slot.holder;
            after.slots.iter().find(same).map_or(0, |(_, s)| s.count)
        };
        let fewer = |slot: &Slots| Some(left(slot)).filter(|now| *now < slot.count);
        let lower: Vec<_> =
            before.into_iter().filter_map(|s| fewer(&s).map(|count| Slots { count, ..s })).collect();
        self.lower(&lower).await;
        Ok(())
    }
}
