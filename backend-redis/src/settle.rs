//! Settle.

use crate::backend::Inner;
use crate::claim::Wanted;
use crate::enqueue::{Options, handle};
use crate::error::{refused, unreadable};
use crate::keys::{Part, Raw, add_id};
use crate::limits::{Home, Slots};
use crate::queue::{Queue, Shard, number_of};
use crate::record::{encode, encode_whole, ms};
use crate::reply;
use crate::script::{REGISTER, SETTLE_, SETTLE_AND_CLAIM};
use job_core::{
    BackendError, ClaimedJob, ErrorKind, IdempotencyKey, Kind, LeaseId, NewJob, QueueName, Settled,
    Settlement, Verdict, When,
};
use redis::{Cmd, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

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

    /// What to send to a shard, as far as the kinds there are known now.
    fn sending(&self, queue: &Queue, shard: &Shard) -> Sending<'_, 'a> {
        let follow_ups =
            (1..).zip(&self.others).flat_map(|(n, o)| o.settlement.follow_ups.iter().map(move |f| (n, f)));
        let (here, away): (Vec<_>, Vec<_>) = follow_ups.partition(|(_, job)| is_here(queue, shard, job));
        let releases = self.others.iter().any(|o| o.settlement.verdict == Verdict::Release);
        let kinds = if releases || !here.is_empty() { shard.kinds() } else { Default::default() };
        Sending { verdicts: self, kinds, here, away, homes: Vec::new() }
    }

    /// Reads the letters; what is left are slots of which homes have to be told.
    fn read(&self, answer: Value, all: &mut [Settled]) -> Option<Vec<Slots>> {
        let mut letters = reply::array(answer)?.into_iter();
        for (_, numbers) in &self.completed {
            note(numbers.iter().copied(), &reply::bytes(letters.next()?)?, all);
        }
        note(self.others.iter().map(|o| o.number), &reply::bytes(letters.next()?)?, all);
        letters.next().map_or_else(|| Some(Vec::new()), Slots::read_all)
    }
}

/// A call of the script.
struct Sending<'v, 'a> {
    verdicts: &'v Verdicts<'a>,
    /// Those whose lanes the script may need.
    kinds: Arc<Vec<Kind>>,
    /// Follow-ups for the shard itself, with the numbers of their verdicts.
    here: Vec<(usize, &'a NewJob)>,
    /// Those for other places.
    away: Vec<(usize, &'a NewJob)>,
    /// The homes that the script may touch.
    homes: Vec<Arc<Home>>,
}

impl Sending<'_, '_> {
    fn requests(&self) -> impl Iterator<Item = &IdempotencyKey> {
        self.here.iter().filter_map(|(_, job)| job.idempotency.as_ref())
    }

    fn keys(&self, shard: &Shard) -> Vec<String> {
        let mut keys: Vec<String> = self.verdicts.leases.iter().map(|l| shard.tag.lease(*l)).collect();
        keys.extend(self.kinds.iter().map(|k| shard.tag.lane(k)));
        keys.extend(self.requests().map(|k| shard.tag.idempotency(&k.scope, k.key.as_str())));
        keys.extend(self.homes.iter().flat_map(|home| home.keys()));
        keys
    }

    fn add_args(&self, inner: &Inner, queue: &QueueName, cmd: &mut Cmd) {
        let Verdicts { leases, completed, others } = self.verdicts;
        cmd.arg(ms(inner.options.receipts)).arg(inner.wake.channel()).arg(queue.as_str());
        cmd.arg(leases.len()).arg(self.kinds.len()).arg(others.len());
        cmd.arg(self.away.len()).arg(self.here.len()).arg(self.requests().count());
        let names: Vec<_> = self.homes.iter().map(|home| home.name.as_str()).collect();
        cmd.arg(names.join(" "));
        for (packed, _) in completed {
            cmd.arg(Raw(packed));
        }
        for other in others {
            let (what, detail, error) = words(&other.settlement.verdict);
            cmd.arg(other.lease).arg(other.place);
            add_id(cmd, other.settlement.hold.job.as_uuid());
            cmd.arg(what).arg(detail).arg(error);
        }
        for (verdict, job) in &self.away {
            cmd.arg(verdict);
            add_id(cmd, job.id.as_uuid());
            cmd.arg(Raw(&encode_whole(job)));
        }
        let mut requests = 0;
        for (verdict, job) in &self.here {
            let kind = number_of(&self.kinds, &job.kind);
            let options = Options::of(job);
            requests += usize::from(job.idempotency.is_some());
            let request = if job.idempotency.is_some() { requests } else { 0 };
            cmd.arg(verdict)
                .arg(Raw(&handle(job, kind)))
                .arg(Raw(&encode(job, kind)))
                .arg(Raw(&options.when));
            cmd.arg(request)
                .arg(options.window)
                .arg(options.unique)
                .arg(options.on_conflict)
                .arg(options.max_wait)
                .arg(Raw(&options.batch))
                .arg(Raw(&options.line));
        }
        for lease in leases {
            add_id(cmd, lease.as_uuid());
        }
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
        Verdict::Keep(kept) => {
            let result = kept.result.as_deref().and_then(|r| std::str::from_utf8(r).ok());
            ("keep", ms(kept.period).to_string(), result.unwrap_or_default())
        }
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
        let Some((shard, place)) = queue.place_of(hold) else { continue };
        match first.entry((hold.lease, hold.job)) {
            Entry::Occupied(earlier) => repeats.push((number, *earlier.get())),
            Entry::Vacant(new) => {
                new.insert(number);
                let lease = shards[shard].lease(hold.lease);
                shards[shard].add(lease, place, number, settlement);
            }
        }
    }
    (shards, repeats)
}

/// True if the script that settles stores the follow-up. Whoever brings one that waits for a batch tells the batch at once.
fn is_here(queue: &Queue, shard: &Shard, job: &NewJob) -> bool {
    !matches!(job.when, When::Batch { .. })
        && job.queue == queue.name
        && queue.shards[queue.shard_of(job)].number == shard.number
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
        // Elsewhere permits are asked for between the verdicts, which free some, and the claim.
        let at_once = wanted.as_ref().filter(|w| self.together || w.concerns.is_empty());
        let first = at_once.and_then(|w| queue.order(w.request.lease).next());
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
            let left = verdicts.read(letters, &mut answers).ok_or_else(|| unreadable("settle"))?;
            self.lower(&left).await;
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
            let mut sending = verdicts.sending(queue, shard);
            if self.together {
                sending.homes = queue.homes();
            }
            let mut keys = sending.keys(shard);
            let script = match &wanted {
                None => &SETTLE_,
                Some(wanted) => {
                    keys.extend(wanted.keys(shard));
                    &SETTLE_AND_CLAIM
                }
            };
            let mut call = script.call(&shard.tag, &keys);
            sending.add_args(self, &queue.name, &mut call.cmd);
            if let Some(wanted) = &wanted {
                wanted.add_args(&mut call.cmd, None);
            }
            let answer = self.link.run(call).await?;
            match (answer, wanted.as_mut()) {
                (Value::Int(_), _) => self.register(shard, &sending.here).await?,
                (letters, None) => return Ok((letters, Vec::new())),
                (both, Some(wanted)) => {
                    let both = reply::array(both).ok_or_else(|| unreadable("settle and claim"))?;
                    let [letters, claim] =
                        <[Value; 2]>::try_from(both).map_err(|_| unreadable("settle and claim"))?;
                    let (jobs, _) = wanted.take(shard, claim)?;
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
            let place = queue.place_of(&settlement.hold).filter(|_| !settlement.follow_ups.is_empty());
            let Some(shard) = place.map(|(shard, _)| &queue.shards[shard]) else { continue };
            let forwarded = match answer {
                Settled::Applied => self.forward_all(queue, shard, &settlement.follow_ups).await,
                // Whoever was told so first may not have come this far.
                Settled::AlreadyApplied => self.empty_outbox(shard).await.map(drop),
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
