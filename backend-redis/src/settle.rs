//! Settle.

use crate::backend::Inner;
use crate::claim::Wanted;
use crate::enqueue::{Options, handle};
use crate::error::{refused, unreadable};
use crate::keys::{Part, Raw, add_id};
use crate::queue::{Queue, Shard, number_of};
use crate::record::{encode, encode_whole, ms};
use crate::reply;
use crate::script::{REGISTER, SETTLE_, SETTLE_AND_CLAIM};
use job_core::{BackendError, ClaimedJob, ErrorKind, LeaseId, NewJob, Settled, Settlement, Verdict};
use redis::Value;
use std::collections::HashMap;

/// The verdicts for one shard, in the order of the script.
#[derive(Debug, Default)]
pub(crate) struct Verdicts<'a> {
    leases: Vec<LeaseId>,
    /// For each lease the place of each completed job and the number of its settlement.
    completed: Vec<(Vec<u8>, Vec<usize>)>,
    others: Vec<Other<'a>>,
}

#[derive(Debug)]
struct Other<'a> {
    /// Counted from 1.
    lease: usize,
    place: u16,
    number: usize,
    settlement: &'a Settlement,
}

impl<'a> Verdicts<'a> {
    fn add(&mut self, lease: usize, place: u16, number: usize, settlement: &'a Settlement) {
        if settlement.verdict == Verdict::Complete && settlement.follow_ups.is_empty() {
            let (packed, numbers) = &mut self.completed[lease];
            packed.extend_from_slice(&place.to_be_bytes());
            packed.extend_from_slice(settlement.hold.job.as_uuid().as_bytes());
            numbers.push(number);
        } else {
            self.others.push(Other { lease: lease + 1, place, number, settlement });
        }
    }

    fn lease(&mut self, lease: LeaseId) -> usize {
        // Verdicts of one lease mostly come together.
        if let Some(at) = self.leases.iter().rposition(|l| *l == lease) {
            return at;
        }
        self.leases.push(lease);
        self.completed.push(Default::default());
        self.leases.len() - 1
    }

    fn releases(&self) -> bool {
        self.others.iter().any(|o| o.settlement.verdict == Verdict::Release)
    }

    /// The follow-ups that go to the shard itself, or those that do not, with the numbers of their verdicts.
    fn follow_ups(&self, queue: &Queue, shard: &Shard, here: bool) -> Vec<(usize, &'a NewJob)> {
        let all =
            (1..).zip(&self.others).flat_map(|(n, o)| o.settlement.follow_ups.iter().map(move |f| (n, f)));
        all.filter(|(_, job)| is_here(queue, shard, job) == here).collect()
    }

    /// The call's own keys, before those of a claim, and its arguments.
    fn prepare(&self, inner: &Inner, queue: &Queue, shard: &Shard) -> (Vec<String>, Vec<Vec<u8>>) {
        let (away, here) = (self.follow_ups(queue, shard, false), self.follow_ups(queue, shard, true));
        let kinds = if self.releases() || !here.is_empty() { shard.kinds() } else { Default::default() };
        let mut keys: Vec<String> = self.leases.iter().map(|l| shard.tag.lease(*l)).collect();
        keys.extend(kinds.iter().map(|k| shard.tag.lane(k)));
        let requests = here.iter().filter_map(|(_, job)| job.idempotency.as_ref());
        keys.extend(requests.clone().map(|k| shard.tag.idempotency(&k.scope, k.key.as_str())));
        let counts =
            [self.leases.len(), kinds.len(), self.others.len(), away.len(), here.len(), requests.count()];
        let mut args: Vec<Vec<u8>> = vec![
            ms(inner.options.receipts).to_string().into(),
            inner.wake.channel().into(),
            queue.name.as_str().into(),
        ];
        let number = |n: usize| n.to_string().into_bytes();
        args.extend(counts.map(number));
        args.extend(self.completed.iter().map(|(packed, _)| packed.clone()));
        for other in &self.others {
            let (what, detail, error) = words(&other.settlement.verdict);
            args.extend([number(other.lease), number(other.place.into())]);
            args.push(other.settlement.hold.job.as_uuid().as_bytes().to_vec());
            args.extend([what.into(), detail.into(), error.into()]);
        }
        for (verdict, job) in away {
            args.extend([number(verdict), job.id.as_uuid().as_bytes().to_vec(), encode_whole(job)]);
        }
        let mut request = 0;
        for (verdict, job) in here {
            let kind = number_of(&kinds, &job.kind);
            let key = job.idempotency.as_ref().map_or(0, |_| {
                request += 1;
                request
            });
            let options = Options::of(job);
            args.extend([
                number(verdict),
                handle(job, kind).to_vec(),
                encode(job, kind),
                options.when.into(),
            ]);
            args.extend([number(key), options.window.to_string().into(), options.unique.into()]);
        }
        args.extend(self.leases.iter().map(|l| l.as_uuid().as_bytes().to_vec()));
        (keys, args)
    }

    fn read(&self, answer: Value, all: &mut [Settled]) -> Option<()> {
        let mut letters = reply::array(answer)?.into_iter();
        for (_, numbers) in &self.completed {
            note(numbers.iter().copied(), &reply::bytes(letters.next()?)?, all);
        }
        note(self.others.iter().map(|o| o.number), &reply::bytes(letters.next()?)?, all);
        Some(())
    }
}

fn note(numbers: impl Iterator<Item = usize>, letters: &[u8], all: &mut [Settled]) {
    for (number, letter) in numbers.zip(letters) {
        all[number] = match letter {
            b'A' => Settled::Applied,
            b'R' => Settled::AlreadyApplied,
            _ => Settled::Stale,
        };
    }
}

/// A verdict as the script knows it: what, the delay in ms or the reason, the error.
fn words(verdict: &Verdict) -> (&'static str, String, &str) {
    match verdict {
        Verdict::Retry { after, error } => ("retry", ms(*after).to_string(), error.as_str()),
        Verdict::Snooze { delay } => ("snooze", ms(*delay).to_string(), ""),
        Verdict::Release => ("release", String::new(), ""),
        Verdict::Dead { reason, error } => ("dead", reason.as_str().to_owned(), error.as_str()),
        // Complete and Cancel. A verdict of a later contract ends the job rather than running it for ever.
        _ => ("end", String::new(), ""),
    }
}

/// The verdicts by shard, and for each that repeats an earlier one of the batch the number of that one.
fn sort<'a>(queue: &Queue, settlements: &'a [Settlement]) -> (Vec<Verdicts<'a>>, Vec<(usize, usize)>) {
    let mut shards: Vec<Verdicts<'a>> = queue.shards.iter().map(|_| Verdicts::default()).collect();
    let mut first = HashMap::with_capacity(settlements.len());
    let mut repeats = Vec::new();
    for (number, settlement) in settlements.iter().enumerate() {
        let hold = &settlement.hold;
        let [place, shard, _] = hold.locator;
        let shard = usize::try_from(shard).ok().filter(|s| *s < shards.len());
        let (Some(shard), Ok(place)) = (shard, u16::try_from(place)) else { continue };
        match first.entry((hold.lease, hold.job)) {
            std::collections::hash_map::Entry::Occupied(earlier) => repeats.push((number, *earlier.get())),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(number);
                let lease = shards[shard].lease(hold.lease);
                shards[shard].add(lease, place, number, settlement);
            }
        }
    }
    (shards, repeats)
}

fn is_here(queue: &Queue, shard: &Shard, job: &NewJob) -> bool {
    job.queue == queue.name && queue.shards[queue.shard_of(job)].number == shard.number
}

impl Inner {
    /// Settles, and claims in the same call where one shard has all verdicts and is the first to be claimed from.
    pub(crate) async fn settle(
        &self,
        queue: &Queue,
        settlements: &[Settlement],
        mut wanted: Option<&mut Wanted<'_>>,
    ) -> Result<(Vec<Settled>, Vec<ClaimedJob>), BackendError> {
        let mut answers = vec![Settled::Stale; settlements.len()];
        let mut jobs = Vec::new();
        let (shards, repeats) = sort(queue, settlements);
        let mut busy: Vec<_> =
            shards.iter().zip(&queue.shards).filter(|(v, _)| !v.leases.is_empty()).collect();
        let first = wanted.as_ref().and_then(|w| queue.order(w.request.lease).next());
        // The one that is claimed from comes last.
        busy.sort_by_key(|(_, s)| first.is_some_and(|f| f.number == s.number));
        let mut begun = false;
        let mut claimed = None;
        for (verdicts, shard) in busy {
            let with_claim = first.filter(|f| f.number == shard.number).and(wanted.as_deref_mut());
            let sent = match with_claim {
                None => self.settle_shard(queue, shard, verdicts, None).await,
                Some(wanted) => {
                    claimed = Some(shard.number);
                    self.settle_shard(queue, shard, verdicts, Some(wanted)).await
                }
            };
            let (letters, claim) = sent.map_err(|e| if begun { e.in_part() } else { e })?;
            begun = true;
            verdicts.read(letters, &mut answers).ok_or_else(|| unreadable("settle"))?;
            jobs.extend(claim);
        }
        for (number, earlier) in repeats {
            answers[number] = match answers[earlier] {
                Settled::Stale => Settled::Stale,
                _ => Settled::AlreadyApplied,
            };
        }
        if settlements.iter().any(|s| s.verdict == Verdict::Release) {
            self.wake.bells.ring(&queue.name);
        }
        self.forward(queue, settlements, &answers).await;
        if let Some(wanted) = wanted {
            let rest = self.claim_rest(queue, wanted, claimed).await;
            jobs.extend(rest.map_err(|e| if begun { e.in_part() } else { e })?);
        }
        Ok((answers, jobs))
    }

    async fn settle_shard(
        &self,
        queue: &Queue,
        shard: &Shard,
        verdicts: &Verdicts<'_>,
        mut wanted: Option<&mut Wanted<'_>>,
    ) -> Result<(Value, Vec<ClaimedJob>), BackendError> {
        for _ in 0..4 {
            let (mut keys, args) = verdicts.prepare(self, queue, shard);
            let script = match &wanted {
                None => &SETTLE_,
                Some(wanted) => {
                    keys.extend(wanted.keys(shard));
                    &SETTLE_AND_CLAIM
                }
            };
            let mut call = script.call(&shard.tag, &keys);
            for arg in &args {
                call.cmd.arg(Raw(arg));
            }
            if let Some(wanted) = &wanted {
                wanted.add_args(&mut call.cmd);
            }
            let answer = self.link.run(call).await?;
            match (answer, wanted.as_mut()) {
                (Value::Int(_), _) => self.register(shard, &verdicts.follow_ups(queue, shard, true)).await?,
                (letters, None) => return Ok((letters, Vec::new())),
                (both, Some(wanted)) => {
                    let both = reply::array(both).ok_or_else(|| unreadable("settle and claim"))?;
                    let [letters, claim] =
                        <[Value; 2]>::try_from(both).map_err(|_| unreadable("settle and claim"))?;
                    let jobs = wanted.take(shard, claim)?;
                    return Ok((letters, jobs));
                }
            }
        }
        Err(refused("settle", ErrorKind::Transient, "the kinds of the queue cannot be read"))
    }

    /// Gives the kinds of these jobs their numbers, and learns those of all.
    async fn register(&self, shard: &Shard, jobs: &[(usize, &NewJob)]) -> Result<(), BackendError> {
        if !jobs.is_empty() {
            let mut call = REGISTER.call(&shard.tag, &[]);
            for (_, job) in jobs {
                call.cmd.arg(job.kind.as_str());
            }
            self.link.run(call).await?;
        }
        self.learn_kinds(shard).await
    }

    /// Brings the follow-ups of applied verdicts to their queues; what does not arrive now is brought by maintenance.
    async fn forward(&self, queue: &Queue, settlements: &[Settlement], answers: &[Settled]) {
        for (settlement, answer) in settlements.iter().zip(answers) {
            let shard = usize::try_from(settlement.hold.locator[1]).ok().and_then(|s| queue.shards.get(s));
            let Some(shard) = shard.filter(|_| !settlement.follow_ups.is_empty()) else { continue };
            let forwarded = match answer {
                Settled::Applied => self.forward_all(queue, shard, &settlement.follow_ups).await,
                // Whoever was told so first may not have come this far.
                Settled::AlreadyApplied => self.empty_outbox(shard).await,
                Settled::Stale => Ok(()),
            };
            if let Err(error) = forwarded {
                tracing::debug!(%error, job = %settlement.hold.job, "its follow-ups wait in the outbox");
            }
        }
    }

    async fn forward_all(&self, queue: &Queue, shard: &Shard, jobs: &[NewJob]) -> Result<(), BackendError> {
        for job in jobs {
            if is_here(queue, shard, job) {
                self.wake.bells.ring(&queue.name);
            } else {
                self.deliver(shard, job).await?;
            }
        }
        Ok(())
    }

    /// Enqueues a job of the outbox, which may have been done before, and takes it out.
    pub(crate) async fn deliver(&self, shard: &Shard, job: &NewJob) -> Result<(), BackendError> {
        Box::pin(self.enqueue(std::slice::from_ref(job))).await?;
        let mut cmd = redis::cmd("HDEL");
        cmd.arg(shard.tag.key(Part::Outbox));
        add_id(&mut cmd, job.id.as_uuid());
        self.link.command("settle", cmd).await?;
        Ok(())
    }
}
