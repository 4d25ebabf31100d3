//! Jobs as bytes. What a script must know stands first, at fixed places; the rest means nothing to it.

use bytes::Bytes;
use jiff::Timestamp;
use job_core::{
    BatchEvent, BatchId, Headers, IdempotencyKey, JobId, Kind, NewJob, OnConflict, Priority, QueueName,
    UniqueKey, When,
};
use std::time::Duration;
use uuid::Uuid;

/// The first byte of what follows the fixed places; another one means another layout.
const FORMAT: u8 = 1;
/// When it was enqueued (13 digits), kind number and priority (3), attempts (4).
const FIXED: usize = 20;

/// Nobody can read these bytes.
#[derive(Debug)]
pub(crate) struct Unreadable;

#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // Everything with a length of its own is limited by `NewJob::check` to far less.
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn headers(&mut self, headers: &Headers) {
        self.u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
        for (name, value) in headers {
            self.text(name);
            self.text(value);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable)
    }

    fn u8(&mut self) -> Result<u8, Unreadable> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| Unreadable)?)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable)
    }

    fn headers(&mut self) -> Result<Headers, Unreadable> {
        let count = self.u32()?;
        let mut headers = Headers::new();
        for _ in 0..count {
            headers.insert(self.text()?.to_owned(), self.text()?.to_owned());
        }
        Ok(headers)
    }
}

/// The number of a kind and a priority, as they end a handle.
pub(crate) fn place(kind: u16, priority: Priority) -> [u8; 3] {
    let [high, low] = kind.to_be_bytes();
    [high, low, priority.level()]
}

/// A job to store; the server puts before it when it came.
pub(crate) fn encode(job: &NewJob, kind: u16) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(64 + job.payload.len()));
    out.0.extend_from_slice(&place(kind, job.priority));
    out.u32(job.max_attempts);
    out.0.push(FORMAT);
    out.text(job.kind.as_str());
    out.u32(job.version);
    match &job.idempotency {
        None => out.0.push(0),
        Some(key) => {
            out.0.push(1);
            out.text(&format!("{}:{}", key.scope, key.key.as_str()));
        }
    }
    out.headers(&job.headers);
    out.0.extend_from_slice(&job.payload);
    out.0
}

/// A stored job.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) enqueued_at: Timestamp,
    pub(crate) priority: Priority,
    pub(crate) max_attempts: u32,
    pub(crate) kind: Kind,
    pub(crate) version: u32,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// Reads a stored job; `known` are the kinds that need not be made again.
pub(crate) fn decode(bytes: Vec<u8>, known: &[Kind]) -> Result<Stored, Unreadable> {
    let bytes = Bytes::from(bytes);
    let (fixed, rest) = bytes.split_at_checked(FIXED).ok_or(Unreadable)?;
    let ms = std::str::from_utf8(&fixed[..13]).ok().and_then(|t| t.parse().ok()).ok_or(Unreadable)?;
    let mut reader = Reader(rest);
    if reader.u8()? != FORMAT {
        return Err(Unreadable);
    }
    let kind = reader.text()?;
    let kind = match known.iter().find(|k| k.as_str() == kind) {
        Some(kind) => kind.clone(),
        None => Kind::new(kind).map_err(|_| Unreadable)?,
    };
    let version = reader.u32()?;
    let idempotency_key = if reader.u8()? == 0 { None } else { Some(reader.text()?.to_owned()) };
    let headers = reader.headers()?;
    Ok(Stored {
        enqueued_at: instant(ms),
        priority: Priority::new(fixed[15]).ok_or(Unreadable)?,
        max_attempts: u32::from_be_bytes(fixed[16..20].try_into().map_err(|_| Unreadable)?),
        kind,
        version,
        idempotency_key,
        headers,
        payload: bytes.slice_ref(reader.0),
    })
}

/// What stands before the payload of a stored job.
pub(crate) fn before_payload(stored: &[u8]) -> Result<&[u8], Unreadable> {
    let job = decode(stored.to_vec(), &[])?;
    Ok(&stored[..stored.len() - job.payload.len()])
}

/// An instant of the server's clock. One beyond what can be shown is shown as the last that can.
pub(crate) fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// A whole job, for the outbox.
pub(crate) fn encode_whole(job: &NewJob) -> Vec<u8> {
    let mut out = Writer::default();
    out.0.push(FORMAT);
    out.0.extend_from_slice(job.id.as_uuid().as_bytes());
    out.text(job.queue.as_str());
    out.text(job.kind.as_str());
    out.0.push(job.priority.level());
    out.u32(job.max_attempts);
    out.u32(job.version);
    let (when, number) = when(job.when);
    out.0.push(when);
    out.0.extend_from_slice(&number.to_be_bytes());
    if let When::Batch { batch, event, .. } = job.when {
        out.0.extend_from_slice(batch.as_uuid().as_bytes());
        out.0.push(u8::from(event == BatchEvent::Death));
    }
    out.0.push(u8::from(job.idempotency.is_some()));
    if let Some(key) = &job.idempotency {
        out.text(&key.scope);
        out.text(key.key.as_str());
        out.0.extend_from_slice(&ms(key.window).to_be_bytes());
    }
    out.0.push(u8::from(job.unique.is_some()));
    if let Some(key) = &job.unique {
        out.text(&key.scope);
        out.text(key.key.as_str());
    }
    let (on_conflict, max_wait) = conflict(job.on_conflict);
    out.0.push(on_conflict);
    out.0.extend_from_slice(&max_wait.to_be_bytes());
    out.headers(&job.headers);
    out.0.extend_from_slice(&job.payload);
    out.0
}

pub(crate) fn decode_whole(bytes: &[u8]) -> Result<NewJob, Unreadable> {
    let mut reader = Reader(bytes);
    if reader.u8()? != FORMAT {
        return Err(Unreadable);
    }
    let id = Uuid::from_bytes(reader.array()?);
    let queue = QueueName::new(reader.text()?).map_err(|_| Unreadable)?;
    let kind = Kind::new(reader.text()?).map_err(|_| Unreadable)?;
    let mut job = NewJob::new(kind, queue, Bytes::new());
    job.id = JobId::from_uuid(id);
    job.priority = Priority::new(reader.u8()?).ok_or(Unreadable)?;
    job.max_attempts = reader.u32()?;
    job.version = reader.u32()?;
    job.when = match (reader.u8()?, reader.u64()?) {
        (0, _) => When::Now,
        (1, delay) => When::After(Duration::from_millis(delay)),
        (3, members) => When::Batch {
            members: u32::try_from(members).map_err(|_| Unreadable)?,
            batch: BatchId::from_uuid(Uuid::from_bytes(reader.array()?)),
            event: if reader.u8()? == 1 { BatchEvent::Death } else { BatchEvent::Complete },
        },
        (_, at) => When::At(instant(i64::try_from(at).unwrap_or(i64::MAX))),
    };
    if reader.u8()? == 1 {
        let (scope, key) = (reader.text()?.to_owned(), reader.text()?.into());
        job.idempotency = Some(IdempotencyKey { scope, key, window: Duration::from_millis(reader.u64()?) });
    }
    if reader.u8()? == 1 {
        job.unique = Some(UniqueKey { scope: reader.text()?.to_owned(), key: reader.text()?.into() });
    }
    job.on_conflict = match (reader.u8()?, Duration::from_millis(reader.u64()?)) {
        (2, _) => OnConflict::Replace,
        (3, max_wait) => OnConflict::Debounce { max_wait },
        (4, _) => OnConflict::Latest,
        // An error would have nobody to hear it.
        _ => OnConflict::Existing,
    };
    job.headers = reader.headers()?;
    job.payload = Bytes::copy_from_slice(reader.0);
    Ok(job)
}

/// What scripts know it by, and the longest wait in ms.
pub(crate) fn conflict(on_conflict: OnConflict) -> (u8, u64) {
    match on_conflict {
        OnConflict::Error => (1, 0),
        OnConflict::Replace => (2, 0),
        OnConflict::Debounce { max_wait } => (3, ms(max_wait)),
        OnConflict::Latest => (4, 0),
        _ => (0, 0),
    }
}

/// 0 at once, 1 after so many ms, 2 at this ms of the clock, 3 when something has happened to a batch of so many.
fn when(when: When) -> (u8, u64) {
    match when {
        When::Now => (0, 0),
        When::After(delay) => (1, ms(delay)),
        When::At(at) => (2, at_ms(at)),
        When::Batch { members, .. } => (3, members.into()),
    }
}

/// The longest time that is told apart from for ever: scripts count in floating point, exactly up to 2^53.
const MS_MAX: u64 = 1 << 52;

/// In ms, rounded up: nothing starts too early.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).min(MS_MAX)
}

/// An instant in ms of the clock, rounded up; one before 1970 is as good as now.
pub(crate) fn at_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond().max(0).unsigned_abs().div_ceil(1_000_000))
        .unwrap_or(u64::MAX)
        .min(MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> NewJob {
        let queue = QueueName::from_static("q");
        let mut job = NewJob::new(Kind::from_static("k"), queue, Bytes::from_static(b"\0\xffpayload"));
        job.when = When::After(Duration::from_micros(1_500));
        job.idempotency =
            Some(IdempotencyKey { scope: "s".into(), key: "a:b".into(), window: Duration::from_secs(5) });
        job.unique = Some(UniqueKey { scope: "t".into(), key: "\0".into() });
        job.on_conflict = OnConflict::Debounce { max_wait: Duration::from_secs(60) };
        job.headers.insert("trace".into(), "é".into());
        job.max_attempts = u32::MAX;
        job
    }

    #[test]
    fn a_job_in_the_outbox_comes_out_as_it_went_in() {
        let mut job = job();
        let read = decode_whole(&encode_whole(&job)).expect("readable");
        job.when = When::After(Duration::from_millis(2));
        assert_eq!(read, job);
    }

    #[test]
    fn a_stored_job_is_read() {
        let job = job();
        let stored = [b"1700000000123".as_slice(), &encode(&job, 7)].concat();
        let read = decode(stored.clone(), &[]).expect("readable");
        assert_eq!((read.payload, read.headers), (job.payload, job.headers));
        assert_eq!(read.enqueued_at.as_millisecond(), 1_700_000_000_123);
        assert_eq!((read.max_attempts, read.idempotency_key.as_deref()), (u32::MAX, Some("s:a:b")));
        for end in 0..stored.len() - 9 {
            assert!(decode(stored[..end].to_vec(), &[]).is_err(), "cut at {end}");
        }
    }
}
