//! What must hold in every state, judged by what the store has answered and shows, not by how it works.

use super::step::{ATTEMPTS, Asked, JOBS, LASTS, POISON_LIMIT, Request};
use super::store::Answer;
use crate::model::call::{Ending, Instant, Number};
use crate::model::reference::{Fate, Job, Place, Reference, Taken};
use job_core::{Cancelled, DeadReason, LeaseStatus, Settled, Suspicion};
use std::fmt::Debug;

/// Broken, with the reason.
pub(super) type Kept<T = ()> = Result<T, String>;

fn same<T: PartialEq + Debug>(what: impl FnOnce() -> String, got: &T, right: &T) -> Kept {
    if got == right {
        return Ok(());
    }
    Err(format!("{}: the store says {got:?}, the contract {right:?}", what()))
}

fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Kept {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// The claim that a job runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) lease: u8,
    pub(super) suspicion: Suspicion,
    pub(super) expires: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Final {
    Gone,
    Dead(DeadReason),
}

/// What was seen of one job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// The producer knows that the store has it.
    pub(super) acknowledged: bool,
    /// The store took it, whoever knows.
    pub(super) stored: bool,
    /// The other job had its key.
    pub(super) duplicate: bool,
    claims: u64,
    pub(super) grant: Option<Grant>,
    /// Leases that it came under, and those whose verdict was accepted, as bits.
    pub(super) granted: u64,
    pub(super) settled: u64,
    pub(super) charged: u32,
    pub(super) crashes: u32,
    pub(super) asked_to_stop: bool,
    pub(super) end: Option<Final>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) jobs: [Life; JOBS],
}

impl Witness {
    /// Holds an answer against everything seen before, and the store's state against the answer.
    pub(super) fn hear(&mut self, asked: Asked, answer: &Answer, store: &Reference, unique: bool) -> Kept {
        match (asked, answer) {
            (Asked::Request(Request::Enqueue(_)), Answer::Enqueued(answers)) => {
                for (job, answer) in answers {
                    self.enqueued(*job, *answer, unique)?;
                }
            }
            (Asked::Request(Request::Claim { lease, limit, .. }), Answer::Claimed(taken)) => {
                self.claimed(lease, limit, taken, store.now)?;
            }
            (Asked::Request(Request::Settle { job, lease, ending }), Answer::Settled(answer)) => {
                self.settled(job.into(), lease, ending, *answer)?;
            }
            (Asked::Request(Request::Extend(_)), Answer::Extended(answers)) => {
                for (lease, status) in answers {
                    self.extended(*lease, *status, store.now)?;
                }
            }
            (Asked::Maintain, Answer::Maintained) => self.maintained(store)?,
            (Asked::Cancel(job), Answer::Cancelled(answer)) => self.cancelled(job.into(), *answer)?,
            (Asked::Replay(job), Answer::Done(done)) => self.replayed(job.into(), *done, unique)?,
            (Asked::Discard(job), Answer::Done(done)) => self.discarded(job.into(), *done)?,
            _ => unreachable!("{answer:?} does not answer {asked:?}"),
        }
        (0..JOBS).try_for_each(|number| self.look(number, store))
    }

    fn is_live(&self, job: Number) -> bool {
        self.jobs[job].stored && self.jobs[job].end.is_none()
    }

    fn enqueued(&mut self, job: Number, answer: (Number, bool), unique: bool) -> Kept {
        let other = 1 - job;
        let duplicate =
            !self.jobs[job].stored && (self.jobs[job].duplicate || (unique && self.is_live(other)));
        let right = if duplicate { (other, true) } else { (job, false) };
        same(|| format!("enqueue of j{job} answers"), &answer, &right)?;
        self.jobs[job].stored |= !duplicate;
        self.jobs[job].duplicate |= duplicate;
        Ok(())
    }

    fn claimed(&mut self, lease: u8, limit: u8, taken: &[Taken], now: Instant) -> Kept {
        let both = 0b11u64 << lease;
        let repeated = self.jobs.iter().any(|life| life.granted & both != 0);
        if repeated {
            let holds = |life: &Life| life.grant.is_some_and(|g| g.lease == lease || g.lease == lease + 1);
            let mut still: Vec<_> = (0..JOBS).filter(|job| holds(&self.jobs[*job])).collect();
            let mut got: Vec<_> = taken.iter().map(|t| t.job).collect();
            still.sort_unstable();
            got.sort_unstable();
            same(|| format!("a repeated claim of l{lease} gives jobs"), &got, &still)?;
        }
        let normal = taken.iter().filter(|t| t.lease == Number::from(lease)).count();
        holds(normal <= usize::from(limit), || format!("l{lease} asked for {limit} and got {normal}"))?;
        for one in taken {
            self.granted(one, repeated, now)?;
        }
        Ok(())
    }

    fn granted(&mut self, taken: &Taken, repeated: bool, now: Instant) -> Kept {
        let Taken { job, lease, attempt, claims, suspicion } = *taken;
        let life = &mut self.jobs[job];
        let bit = 1u64 << lease;
        holds(life.stored, || format!("j{job} was given and never enqueued"))?;
        holds(life.end.is_none(), || format!("j{job} was given although it had ended: {:?}", life.end))?;
        same(|| format!("attempt of j{job}"), &attempt, &(life.charged + 1))?;
        holds(attempt <= ATTEMPTS, || format!("attempt {attempt} of j{job}, which has {ATTEMPTS}"))?;
        if repeated {
            return same(|| format!("claims of j{job} at a repeated claim"), &claims, &life.claims);
        }
        if let Some(grant) = life.grant {
            return Err(format!("j{job} has two live leases: l{} and l{lease}", grant.lease));
        }
        holds(claims > life.claims, || {
            format!("claims of j{job} do not grow: {} and then {claims}", life.claims)
        })?;
        life.claims = claims;
        life.granted |= bit;
        let lease = u8::try_from(lease).expect("few leases");
        life.grant = Some(Grant { lease, suspicion, expires: LASTS.after(now) });
        Ok(())
    }

    fn settled(&mut self, job: Number, lease: u8, ending: Ending, answer: Settled) -> Kept {
        let life = &mut self.jobs[job];
        let right = if life.settled & (1 << lease) != 0 {
            Settled::AlreadyApplied
        } else if life.grant.is_some_and(|grant| grant.lease == lease) {
            Settled::Applied
        } else {
            Settled::Stale
        };
        same(|| format!("settle of j{job} of l{lease} answers"), &answer, &right)?;
        if answer != Settled::Applied {
            return Ok(());
        }
        life.settled |= 1 << lease;
        life.grant = None;
        let fails = matches!(ending, Ending::Retry(_) | Ending::Dead);
        let comes_back = matches!(ending, Ending::Retry(_) | Ending::Snooze(_) | Ending::Release);
        if comes_back && life.asked_to_stop {
            life.end = Some(Final::Gone);
            return Ok(());
        }
        life.charged += u32::from(fails);
        life.end = match ending {
            Ending::Complete | Ending::Keep | Ending::Cancel => Some(Final::Gone),
            Ending::Dead => Some(Final::Dead(DeadReason::Permanent)),
            Ending::Retry(_) if life.charged >= ATTEMPTS => Some(Final::Dead(DeadReason::Exhausted)),
            Ending::Retry(_) | Ending::Snooze(_) | Ending::Release => None,
        };
        if life.end.is_none() {
            life.crashes = 0;
        }
        Ok(())
    }

    fn extended(&mut self, lease: u8, answer: LeaseStatus, now: Instant) -> Kept {
        let current = |life: &&mut Life| life.grant.is_some_and(|grant| grant.lease == lease);
        let right = if self.jobs.iter_mut().any(|life| current(&life)) {
            LeaseStatus::Held
        } else {
            LeaseStatus::Stale
        };
        same(|| format!("extend of l{lease} answers"), &answer, &right)?;
        for life in self.jobs.iter_mut().filter(current) {
            if let Some(grant) = &mut life.grant {
                grant.expires = grant.expires.max(LASTS.after(now));
            }
        }
        Ok(())
    }

    /// Every lease that is over has been ended, and no other one; and what that does to its jobs.
    fn maintained(&mut self, store: &Reference) -> Kept {
        for (number, life) in self.jobs.iter_mut().enumerate() {
            let Some(grant) = life.grant.filter(|grant| grant.expires < store.now) else { continue };
            let place = store.jobs.get(&number).map(|job| job.place);
            holds(!matches!(place, Some(Place::Running(_))), || {
                format!("l{} of j{number} is over and was not reaped", grant.lease)
            })?;
            life.grant = None;
            if life.asked_to_stop {
                life.end = Some(Final::Gone);
                continue;
            }
            // Nothing is held against a job that shared a lease; one that ran alone pays for its crash.
            life.crashes += u32::from(grant.suspicion != Suspicion::None);
            life.charged += u32::from(grant.suspicion == Suspicion::Solo);
            if grant.suspicion == Suspicion::Solo {
                if life.crashes >= POISON_LIMIT {
                    life.end = Some(Final::Dead(DeadReason::Poisoned));
                } else if life.charged >= ATTEMPTS {
                    life.end = Some(Final::Dead(DeadReason::Exhausted));
                }
            }
        }
        Ok(())
    }

    fn cancelled(&mut self, job: Number, answer: Cancelled) -> Kept {
        let live = self.is_live(job);
        let life = &mut self.jobs[job];
        let right = match life.grant {
            _ if !live => Cancelled::NotFound,
            Some(_) => Cancelled::Asked,
            None => Cancelled::Now,
        };
        same(|| format!("cancel of j{job} answers"), &answer, &right)?;
        match answer {
            Cancelled::Now => life.end = Some(Final::Gone),
            Cancelled::Asked => life.asked_to_stop = true,
            _ => {}
        }
        Ok(())
    }

    fn replayed(&mut self, job: Number, done: bool, unique: bool) -> Kept {
        let key_taken = unique && self.is_live(1 - job);
        let dead = matches!(self.jobs[job].end, Some(Final::Dead(_)));
        same(|| format!("replay of j{job} answers"), &done, &(dead && !key_taken))?;
        if done {
            let life = &mut self.jobs[job];
            (life.end, life.charged, life.crashes, life.asked_to_stop) = (None, 0, 0, false);
        }
        Ok(())
    }

    fn discarded(&mut self, job: Number, done: bool) -> Kept {
        let dead = matches!(self.jobs[job].end, Some(Final::Dead(_)));
        same(|| format!("discard of j{job} answers"), &done, &dead)?;
        if done {
            self.jobs[job].end = Some(Final::Gone);
        }
        Ok(())
    }

    /// The store shows of a job what must have become of it.
    fn look(&self, number: Number, store: &Reference) -> Kept {
        let life = &self.jobs[number];
        let Some(job) = store.jobs.get(&number) else {
            return holds(!life.stored, || format!("j{number} has vanished"));
        };
        holds(life.stored, || format!("j{number} is stored and nobody was told"))?;
        holds(!life.acknowledged || life.end.is_some() || job.place != Place::Gone, || {
            format!("j{number} was acknowledged, and is gone without a verdict")
        })?;
        let seen = match job.place {
            Place::Running(_) => Shown::Running,
            Place::Dead(reason) => Shown::Ended(Final::Dead(reason)),
            Place::Kept | Place::Gone => Shown::Ended(Final::Gone),
            Place::Ready { .. } | Place::Waiting { .. } => Shown::Waiting,
        };
        let right = match (life.end, life.grant) {
            (Some(end), _) => Shown::Ended(end),
            (None, Some(_)) => Shown::Running,
            (None, None) => Shown::Waiting,
        };
        same(|| format!("state of j{number}"), &seen, &right)?;
        if life.end.is_none() {
            let got = (job.charged, job.crashes);
            same(|| format!("attempts and crashes of j{number}"), &got, &(life.charged, life.crashes))?;
        }
        look_at_leases(number, life, job, store)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Waiting,
    Running,
    Ended(Final),
}

fn look_at_leases(number: Number, life: &Life, job: &Job, store: &Reference) -> Kept {
    let held = store.leases.iter().filter(|(_, lease)| lease.jobs.contains(&(number, Fate::Held)));
    let mut held = held.map(|(lease, _)| *lease);
    let (first, second) = (held.next(), held.next());
    holds(second.is_none(), || format!("j{number} has two live leases: l{first:?} and l{second:?}"))?;
    let right = life.grant.map(|grant| Number::from(grant.lease));
    same(|| format!("lease of j{number}"), &first, &right)?;
    same(|| format!("claims of j{number}"), &job.claims, &life.claims)
}
