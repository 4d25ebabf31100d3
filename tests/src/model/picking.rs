//! Claims of the reference: which jobs may be taken, and in which order.

use super::call::{Ask, Number};
use super::reference::{Fate, Job, Lane, Lease, Place, Reference, Taken};
use job_core::Suspicion;

/// A job and the lease that it came under, as a backend answered.
pub(super) type Seen = (Number, Number);

impl Reference {
    /// Claims as the backend did, where the contract leaves the choice, and in any order without an answer.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(super) fn claim(&mut self, ask: &Ask, seen: Option<&[Seen]>) -> Result<Vec<Taken>, String> {
        let offered = |lease: Number| lease == ask.lease || ask.suspect_leases.contains(&lease);
        if let Some((job, lease)) = seen.into_iter().flatten().find(|(_, lease)| !offered(*lease)) {
            return Err(format!("j{job} came under l{lease}, which the claim did not offer"));
        }
        let part = |suspects: bool| -> Option<Vec<Seen>> {
            let of = |lease: Number| ask.suspect_leases.contains(&lease) == suspects;
            seen.map(|seen| seen.iter().copied().filter(|(_, lease)| of(*lease)).collect())
        };
        let (normal, mut suspects) = (part(false), part(true));
        let mut taken = Vec::new();
        if let Some(known) = self.known(ask) {
            self.mark("a claim is repeated");
            let held = |suspects: bool| {
                known
                    .iter()
                    .copied()
                    .filter(move |(_, lease)| ask.suspect_leases.contains(lease) == suspects)
                    .collect::<Vec<Seen>>()
            };
            let mut again = held(true);
            again.sort_unstable();
            if let Some(suspects) = &mut suspects {
                suspects.sort_unstable();
            }
            let right = normal.is_none_or(|n| n == held(false)) && suspects.is_none_or(|s| s == again);
            if !right {
                return Err(format!("a repeated claim returns what it holds still: {}", text(&known)));
            }
            taken.extend(known.iter().map(|&(job, lease)| self.taken(job, lease)));
            return Ok(taken);
        }
        if !self.paused {
            let mut from = Choice::new(normal);
            for _ in 0..ask.limit {
                let Some((job, _)) =
                    from.next(&self.first(ask, &[Lane::Returned, Lane::Fresh]), ask.lease)?
                else {
                    break;
                };
                taken.push(self.take(job, ask.lease, ask));
            }
            from.end()?;
            taken.extend(self.claim_suspects(ask, suspects)?);
        } else if seen.is_some_and(|seen| !seen.is_empty()) {
            return Err("a paused queue gives nothing away".into());
        }
        Ok(taken)
    }

    fn claim_suspects(&mut self, ask: &Ask, seen: Option<Vec<Seen>>) -> Result<Vec<Taken>, String> {
        let mut from = Choice::new(seen);
        let mut taken: Vec<Taken> = Vec::new();
        for &offered in &ask.suspect_leases {
            let Some((job, lease)) = from.next(&self.first(ask, &[Lane::Suspect]), offered)? else { break };
            if taken.iter().any(|t| t.lease == lease) {
                return Err(format!("two suspects share l{lease}"));
            }
            taken.push(self.take(job, lease, ask));
        }
        if let (true, true, Some(&offered)) = (taken.is_empty(), ask.solo, ask.suspect_leases.first())
            && let Some((job, lease)) = from.next(&self.first(ask, &[Lane::Solo]), offered)?
        {
            taken.push(self.take(job, lease, ask));
        }
        from.end()?;
        Ok(taken)
    }

    /// What an earlier claim with these leases holds still, if there was one that got something.
    fn known(&self, ask: &Ask) -> Option<Vec<Seen>> {
        let numbers = std::iter::once(&ask.lease).chain(&ask.suspect_leases);
        let known: Vec<_> = numbers.filter_map(|n| Some((*n, self.leases.get(n)?))).collect();
        if known.is_empty() {
            return None;
        }
        let held = |(number, lease): (Number, &Lease)| {
            let held = lease.jobs.iter().filter(|(_, fate)| *fate == Fate::Held);
            held.map(|(job, _)| (*job, number)).collect::<Vec<_>>()
        };
        Some(known.into_iter().flat_map(held).collect())
    }

    /// The jobs that may be taken next from these lanes: one, or several with equal rights.
    fn first(&self, ask: &Ask, lanes: &[Lane]) -> Vec<Number> {
        let asked = |kind| ask.kinds.contains(&kind) && !self.paused_kinds.contains(&kind);
        let rank = |job: &Job| match job.place {
            Place::Ready { lane, turn } if lanes.contains(&lane) && asked(job.new.kind) => {
                Some((job.new.priority, lane, turn))
            }
            _ => None,
        };
        let best = self.jobs.values().filter_map(rank).min();
        let equal = self.jobs.iter().filter(|(_, j)| best.is_some() && rank(j) == best);
        equal.map(|(number, _)| *number).collect()
    }

    fn take(&mut self, number: Number, lease: Number, ask: &Ask) -> Taken {
        if let Some(job) = self.jobs.get_mut(&number)
            && let Place::Ready { lane, .. } = job.place
        {
            job.place = Place::Running(lane);
            job.claims += 1;
            match lane {
                Lane::Suspect => self.mark("a suspect is taken"),
                Lane::Solo => self.mark("a solo job is taken"),
                Lane::Returned | Lane::Fresh => {}
            }
        }
        let expires = ask.lasts.after(self.now);
        let granted = self.leases.entry(lease).or_insert_with(|| Lease { jobs: Vec::new(), expires });
        granted.jobs.push((number, Fate::Held));
        self.taken(number, lease)
    }

    fn taken(&self, number: Number, lease: Number) -> Taken {
        let job = &self.jobs[&number];
        let suspicion = match job.place {
            Place::Running(Lane::Suspect) => Suspicion::Suspect,
            Place::Running(Lane::Solo) => Suspicion::Solo,
            _ => Suspicion::None,
        };
        Taken { job: number, lease, attempt: job.charged + 1, claims: job.claims, suspicion }
    }
}

/// The choice among equals: the backend's, or the first if there is no backend yet.
struct Choice(Option<std::vec::IntoIter<Seen>>);

impl Choice {
    fn new(seen: Option<Vec<Seen>>) -> Self {
        Self(seen.map(Vec::into_iter))
    }

    fn next(&mut self, allowed: &[Number], lease: Number) -> Result<Option<Seen>, String> {
        let Some(&first) = allowed.first() else { return Ok(None) };
        let Some(seen) = &mut self.0 else { return Ok(Some((first, lease))) };
        let Some(one) = seen.next() else {
            return Err(format!("the claim stops short: j{first} could have been taken"));
        };
        if !allowed.contains(&one.0) {
            return Err(format!("j{} was taken where it is the turn of j{first}", one.0));
        }
        Ok(Some(one))
    }

    fn end(&mut self) -> Result<(), String> {
        let rest: Vec<Seen> = self.0.iter_mut().flatten().collect();
        if rest.is_empty() { Ok(()) } else { Err(format!("too much was taken: {}", text(&rest))) }
    }
}

/// For people: which job under which lease.
pub(super) fn text(seen: &[Seen]) -> String {
    let list: Vec<_> = seen.iter().map(|(job, lease)| format!("j{job} under l{lease}")).collect();
    if list.is_empty() { "nothing".into() } else { list.join(", ") }
}
