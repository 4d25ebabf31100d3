//! Effects: what a handler does to the world outside, and what is known of it when it runs again.

use crate::context::{FencingToken, JobContext};
use crate::note::NoteEdit;
use crate::outcome::JobError;
use crate::seeded_bug;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::time::Duration;

/// What becomes of an effect when a handler is run again after it may have happened.
///
/// | kind | a crash between the effect and the note of it | promise |
/// |---|---|---|
/// | [`IdempotentByKey`](Self::IdempotentByKey) | called again with the same key, which the other side folds | once |
/// | [`JobContext::verified_effect`] | the other side is asked first | once, if its answer is right |
/// | [`AtMostOnce`](Self::AtMostOnce) | never called again; the job is dead (`effect_in_doubt`) until a person decides | at most once |
/// | [`AtLeastOnce`](Self::AtLeastOnce) | called again | at least once |
///
/// What only changes the database that holds the jobs is best done in one transaction with the job's completion:
/// a backend in a database has `complete_tx` for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EffectKind {
    /// The other side remembers keys and does nothing for one that it has seen, as payment providers do.
    IdempotentByKey {
        /// How long it remembers them. An effect that was begun longer ago than this and of which nothing is known is in
        /// doubt, as with `AtMostOnce`.
        remote_ttl: Duration,
    },
    /// Rather not at all than twice.
    AtMostOnce,
    /// Rather twice than not at all.
    AtLeastOnce,
}

/// What the other side says about an effect that may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified<T> {
    /// It has happened, with this result.
    Done(T),
    /// It has not.
    NotDone,
    /// It cannot be found out: then the effect is in doubt.
    CannotTell,
}

/// One call of an effect: what to give to the other side.
#[derive(Debug, Clone)]
pub struct EffectCall {
    key: String,
    fencing_token: FencingToken,
}

impl EffectCall {
    /// The same in every attempt of the job, and different for each effect of it: at most 101 bytes.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
    /// For other sides that can refuse older holders of the job.
    #[must_use]
    pub fn fencing_token(&self) -> FencingToken {
        self.fencing_token
    }
}

/// What is noted of an effect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// It may have happened.
    Started { claims: u64 },
    /// It has, with this result.
    Done { result: serde_json::Value },
}

/// What a person has found out about an effect in doubt; see [`Amendment::resolve_effect`](crate::Amendment::resolve_effect).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EffectResolution {
    /// It has happened, with this result: later attempts get it without calling.
    Done(serde_json::Value),
    /// It has not: the next attempt calls it.
    NotDone,
}

/// The change to the notes of a job that says so.
pub(crate) fn resolution_edit(name: &str, resolution: EffectResolution) -> NoteEdit {
    let note = format!("{NOTE_PREFIX}{name}");
    match resolution {
        EffectResolution::Done(result) if !seeded_bug!("resolution_forgets_effect") => {
            // As `Record::Done` is written; a value of JSON can always be.
            NoteEdit::set(note, serde_json::json!({ "done": { "result": result } }).to_string())
        }
        _ => NoteEdit::remove(note),
    }
}

const NOTE_PREFIX: &str = "effect/";
const NAME_BYTES_MAX: usize = 64;

impl JobContext {
    /// Does something to the world outside, once as far as that is possible, whatever dies in between.
    ///
    /// The first attempt calls `run` and keeps its result; later ones get that result without calling. What happens when
    /// an attempt dies after the effect and before its result was kept is what `kind` says. The name tells the effects of a
    /// job apart: 1 to 64 letters, digits and `_ - . / :`.
    ///
    /// ```
    /// # use job_core::{EffectKind, JobContext, JobResult};
    /// # use std::time::Duration;
    /// # async fn charge(_: u64, _key: &str) -> Result<String, std::io::Error> { Ok("ch_1".into()) }
    /// # async fn handler(ctx: JobContext) -> JobResult {
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let kind = EffectKind::IdempotentByKey { remote_ttl: day };
    /// let receipt = ctx.effect("charge", kind, |call| async move { charge(1999, call.key()).await }).await?;
    /// println!("charged: {receipt}"); // in a second attempt: the same receipt, and no second charge
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error of `run`. One marked with [`not_sent`](crate::ResultExt::not_sent) says that nothing has happened, so
    /// the effect is called again in the next attempt whatever its kind; any other leaves an `AtMostOnce` effect in doubt. An
    /// effect in doubt ends the job (dead, `effect_in_doubt`), also if the handler ignores the error. An error of the
    /// store retries; nothing was called unless it was noted first. Once the lease is lost, or the handler was asked to
    /// stop, no effect is begun.
    pub async fn effect<T, E, Fut>(
        &self,
        name: &str,
        kind: EffectKind,
        run: impl FnOnce(EffectCall) -> Fut,
    ) -> Result<T, JobError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<JobError>,
        Fut: Future<Output = Result<T, E>>,
    {
        let note = note_name(name)?;
        match self.known(&note).await? {
            Some((Record::Done { result }, _)) => return kept(name, result),
            Some((Record::Started { .. }, age)) => match kind {
                EffectKind::AtMostOnce if !seeded_bug!("in_doubt_sent_again") => {
                    return Err(self.doubt(name, "an earlier attempt ended while it was under way"));
                }
                EffectKind::IdempotentByKey { remote_ttl } if age >= remote_ttl => {
                    let text = format!(
                        "an earlier attempt began it {age:?} ago, when the other side forgets keys after {remote_ttl:?}"
                    );
                    return Err(self.doubt(name, &text));
                }
                _ => {}
            },
            None if kind == EffectKind::AtLeastOnce => {}
            None => self.note_started(&note).await?,
        }
        let outcome = self.call(name, run).await?;
        self.keep(name, &note, kind == EffectKind::AtMostOnce, outcome).await
    }

    /// As [`effect`](Self::effect), for effects about which the other side can be asked: a mail provider that lists what
    /// it has sent, say. `verify` is called only if an earlier attempt may have got as far as the effect.
    ///
    /// # Errors
    /// As [`effect`](Self::effect), and those of `verify`, after which the next attempt asks again.
    pub async fn verified_effect<T, E, VerifyFut, Fut>(
        &self,
        name: &str,
        verify: impl FnOnce(EffectCall) -> VerifyFut,
        run: impl FnOnce(EffectCall) -> Fut,
    ) -> Result<T, JobError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<JobError>,
        VerifyFut: Future<Output = Result<Verified<T>, E>>,
        Fut: Future<Output = Result<T, E>>,
    {
        let note = note_name(name)?;
        match self.known(&note).await? {
            Some((Record::Done { result }, _)) => return kept(name, result),
            Some((Record::Started { .. }, _)) => {
                match verify(self.effect_call(name)).await.map_err(Into::into)? {
                    Verified::Done(result) => return self.keep(name, &note, false, Ok(result)).await,
                    Verified::NotDone => {}
                    Verified::CannotTell => {
                        return Err(self.doubt(
                            name,
                            "an earlier attempt ended while it was under way, and nobody can tell",
                        ));
                    }
                }
            }
            None => self.note_started(&note).await?,
        }
        let outcome = self.call(name, run).await?;
        self.keep(name, &note, false, outcome).await
    }

    fn effect_call(&self, name: &str) -> EffectCall {
        EffectCall { key: format!("{}/{name}", self.id()), fencing_token: self.fencing_token() }
    }

    async fn known(&self, note: &str) -> Result<Option<(Record, Duration)>, JobError> {
        let Some((found, age)) = self.read_note(note).await? else { return Ok(None) };
        let record = serde_json::from_slice(&found.value)
            .map_err(|e| JobError::permanent(format!("what is noted as {note:?} cannot be read: {e}")))?;
        Ok(Some((record, age)))
    }

    async fn note_started(&self, note: &str) -> Result<(), JobError> {
        if seeded_bug!("effect_not_noted_first") {
            return Ok(());
        }
        self.write_record(note, &Record::Started { claims: self.fencing_token().claims }).await
    }

    async fn call<T, E: Into<JobError>, Fut: Future<Output = Result<T, E>>>(
        &self,
        name: &str,
        run: impl FnOnce(EffectCall) -> Fut,
    ) -> Result<Result<T, JobError>, JobError> {
        // Whoever was asked to stop may no longer be the only one who runs this job.
        if self.is_cancelled() {
            return Err(JobError::cancelled());
        }
        Ok(run(self.effect_call(name)).await.map_err(Into::into))
    }

    async fn keep<T: Serialize>(
        &self,
        name: &str,
        note: &str,
        at_most_once: bool,
        outcome: Result<T, JobError>,
    ) -> Result<T, JobError> {
        let result = match outcome {
            Ok(result) => result,
            Err(error) if error.is_not_sent() || seeded_bug!("lost_answer_is_not_sent") => {
                self.write_note(NoteEdit::remove(note)).await?;
                return Err(error);
            }
            Err(error) if at_most_once => return Err(self.doubt(name, &error.report())),
            Err(error) => return Err(error),
        };
        let value = serde_json::to_value(&result).map_err(|e| {
            JobError::permanent(format!("the result of the effect {name:?} cannot be kept: {e}"))
        })?;
        match self.write_record(note, &Record::Done { result: value }).await {
            Ok(()) => Ok(result),
            Err(error) if error.is_lease_lost() => Err(error),
            Err(error) => {
                // It has happened: the handler had better go on. Only if this attempt fails as well is it in doubt.
                tracing::warn!(job = %self.id(), effect = name, error = %error.report(), "the result of an effect could not be kept");
                Ok(result)
            }
        }
    }

    async fn write_record(&self, note: &str, record: &Record) -> Result<(), JobError> {
        let value = serde_json::to_vec(record).map_err(JobError::permanent)?;
        self.write_note(NoteEdit::set(note, value)).await
    }
}

fn kept<T: DeserializeOwned>(name: &str, result: serde_json::Value) -> Result<T, JobError> {
    serde_json::from_value(result)
        .map_err(|e| JobError::permanent(format!("the kept result of the effect {name:?} does not fit: {e}")))
}

/// The note of an effect.
fn note_name(name: &str) -> Result<String, JobError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        return Err(JobError::permanent(format!(
            "{name:?} is no name for an effect: use 1 to {NAME_BYTES_MAX} letters, digits and _ - . / :"
        )));
    }
    Ok(format!("{NOTE_PREFIX}{name}"))
}
