//! Handlers that do something outside of the system, and one of its other sides: a file that hears of every call.

use super::history::History;
use super::http::Caller;
use super::job::{QUEUE, Rig, RigJob};
use super::store::{AnyError, Books};
use crate::judge::event::{Asked, Conduct, Event, Held};
use crate::judge::outside::{Call, Reach, Via, happened};
use job_core::{
    EffectCall, EffectKind, Job as _, JobContext, JobError, NewJob, ResultExt as _, Verified, faults,
};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file of the other side, in the directory of a run.
const FILE: &str = "outside.log";
/// Longer than any run.
const REMOTE_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time for a transaction, whatever storm there is.
const TRANSACTION_MAX: Duration = Duration::from_secs(3);
/// What sets the number of a follow-up apart from that of its parent.
const CHILD: u64 = 1 << 62;

/// The other side. Each call is one `write` to a file that all processes append to, so it happens at one moment and whatever
/// dies afterwards does not undo it.
#[derive(Debug)]
pub(super) struct OtherSide {
    path: PathBuf,
    file: File,
}

impl OtherSide {
    /// That of the run in this directory.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        Ok(Self { path, file })
    }

    /// Everything that it has heard.
    pub(super) fn heard(&self) -> io::Result<Vec<Call>> {
        self.lines("")
    }

    fn lines(&self, key: &str) -> io::Result<Vec<Call>> {
        let text = std::fs::read_to_string(&self.path)?;
        text.lines().filter(|l| l.contains(key)).map(|l| Ok(serde_json::from_str(l)?)).collect()
    }

    fn tell(&self, call: &Call) -> io::Result<()> {
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        (&self.file).write_all(&line)
    }

    /// Whether the call of this key has happened. If not, it will not by an older claim either.
    fn ask(&self, key: &str, held: Held) -> io::Result<bool> {
        self.tell(&Call { key: key.to_owned(), held, asks: true, via: Via::File })?;
        Ok(!happened(&self.lines(key)?).is_empty())
    }
}

/// One attempt of a job that reaches out.
struct Attempt<'a> {
    rig: &'a Rig,
    ctx: &'a JobContext,
    held: Held,
    via: Via,
}

/// What such a handler does.
pub(super) async fn run(
    rig: &Rig,
    ctx: &JobContext,
    held: Held,
    n: u64,
    reach: Reach,
) -> Result<(), JobError> {
    let attempt = Attempt { rig, ctx, held, via: Via::of(n) };
    let found = ctx.checkpoint().await?;
    attempt.write(Event::Resumed { held, found });
    attempt.save(1).await?;
    if reach != Reach::Transaction {
        attempt.effect(reach).await?;
        attempt.save(2).await?;
    }
    attempt.announce(n)?;
    if reach == Reach::Transaction {
        attempt.commit().await?;
    }
    Ok(())
}

impl Attempt<'_> {
    fn history(&self) -> &History {
        &self.rig.history
    }

    fn write(&self, event: Event) {
        self.history().write(event);
    }

    /// Later attempts have higher numbers.
    async fn save(&self, step: u64) -> Result<(), JobError> {
        let value = self.held.claims * 10 + step;
        self.ctx.save(&value).await?;
        self.write(Event::Saved { held: self.held, value });
        Ok(())
    }

    async fn effect(&self, reach: Reach) -> Result<String, JobError> {
        let kind = match reach {
            Reach::AtMostOnce => EffectKind::AtMostOnce,
            Reach::AtLeastOnce => EffectKind::AtLeastOnce,
            Reach::ByKey => EffectKind::IdempotentByKey { remote_ttl: REMOTE_TTL },
            Reach::Verified | Reach::Transaction => {
                let ask = |call: EffectCall| async move {
                    let happened = match self.via {
                        Via::File => self.rig.outside.file.ask(call.key(), self.held)?,
                        Via::Http => self.rig.outside.http.get(call.key(), self.held).await?,
                    };
                    Ok(if happened { Verified::Done(String::from("found")) } else { Verified::NotDone })
                };
                return self.ctx.verified_effect("send", ask, |call| self.send(call)).await;
            }
        };
        self.ctx.effect("send", kind, |call| self.send(call)).await
    }

    /// The effect itself.
    async fn send(&self, call: EffectCall) -> Result<String, JobError> {
        if faults::reach(QUEUE.as_str(), "effect.before_call").await {
            return Ok(Err("the other side cannot be reached").not_sent()?);
        }
        self.write(Event::Calling { held: self.held });
        let answer = match self.via {
            Via::File => {
                let (key, held) = (call.key().to_owned(), self.held);
                self.rig.outside.file.tell(&Call { key, held, asks: false, via: Via::File })?;
                String::from("received")
            }
            Via::Http => self.rig.outside.http.post(call.key(), self.held).await?,
        };
        if faults::reach(QUEUE.as_str(), "effect.after_call").await {
            return Err(JobError::retry("the answer of the other side is lost"));
        }
        Ok(answer)
    }

    fn announce(&self, n: u64) -> Result<(), JobError> {
        let (n, conduct) = (n | CHILD, Conduct::Quick);
        let mut job = NewJob::of(&RigJob { n, conduct })?;
        job.max_attempts = RigJob::spec().max_attempts;
        let child = Asked::plain(job.id, n, conduct);
        self.write(Event::Announced { held: self.held, child });
        Ok(self.ctx.then_new(job)?)
    }

    async fn commit(&self) -> Result<(), JobError> {
        let books =
            self.rig.outside.books.as_ref().ok_or_else(|| JobError::permanent("only on PostgreSQL"))?;
        match tokio::time::timeout(TRANSACTION_MAX, self.commit_in(books)).await {
            Ok(done) => done,
            Err(_) => Err(JobError::retry("the transaction takes too long")),
        }
    }

    async fn commit_in(&self, books: &Books) -> Result<(), JobError> {
        let mut tx = books.begin(self.held.job).await?;
        books.jobs.complete_tx(&mut tx, self.ctx).await?;
        let _ = faults::reach(QUEUE.as_str(), "transaction.before_commit").await;
        self.write(Event::Committing { held: self.held });
        tx.commit().await?;
        self.write(Event::Committed { held: self.held });
        let _ = faults::reach(QUEUE.as_str(), "transaction.after_commit").await;
        Ok(())
    }
}

/// Everything outside that handlers reach.
#[derive(Debug)]
pub(super) struct Outside {
    file: OtherSide,
    http: Caller,
    /// Where handlers write rows in the transactions that complete their jobs.
    books: Option<Books>,
}

impl Outside {
    /// For a worker with this history that has its jobs at this URL; the service listens at `port`.
    pub(super) async fn open(url: &str, port: u16, path: &Path) -> Result<Self, AnyError> {
        let dir = path.parent().ok_or("a history is in a directory")?;
        Ok(Self { file: OtherSide::open(dir)?, http: Caller::new(port), books: Books::open(url).await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job_core::{JobId, LeaseId};

    #[test]
    fn whoever_asks_shuts_older_claims_out() {
        let dir = std::env::temp_dir().join(format!("rig-outside-{}", LeaseId::random()));
        std::fs::create_dir(&dir).expect("a new directory");
        let side = OtherSide::open(&dir).expect("a new file");
        let job = JobId::new();
        let call = |claims| Call {
            key: "key".into(),
            held: Held { job, claims, lease: LeaseId::random() },
            asks: false,
            via: Via::File,
        };
        assert!(!side.ask("key", call(2).held).expect("room"));
        side.tell(&call(1)).expect("room");
        assert!(!side.ask("key", call(3).held).expect("room"), "the call of an older claim was refused");
        side.tell(&call(3)).expect("room");
        assert!(side.ask("key", call(4).held).expect("room"));
        let heard = side.heard().expect("readable");
        assert_eq!((heard.len(), happened(&heard).len()), (5, 1));
        std::fs::remove_dir_all(&dir).expect("it exists");
    }
}
