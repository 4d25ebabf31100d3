//! Arguments that the store cannot read.

use crate::context::JobContext;
use crate::error::EnqueueError;
use crate::middleware::Middleware;
use crate::new_job::NewJob;
use crate::outcome::JobError;
use crate::sealed::{self, MAGIC, NONCE, Sealed};
use crate::{JobId, Kind, QueueName, seeded_bug};
use bytes::Bytes;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::TryRng as _;
use rand::rngs::SysRng;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A key of 256 bits. Never printed; erased from memory when it is dropped.
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// The key with these bytes, which must have been made by chance: a password is no key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key from 64 hexadecimal digits, as `openssl rand -hex 32` makes them. Space around them is ignored.
    ///
    /// # Errors
    /// [`KeyError`] if it is anything else; the text never shows the digits.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().as_bytes();
        let mut bytes = Zeroizing::new([0; 32]);
        if digits.len() != 64 {
            return Err(KeyError(format!(
                "a key is 64 hexadecimal digits (openssl rand -hex 32), not {} characters",
                digits.len()
            )));
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(KeyError("a key is 64 hexadecimal digits, and this has other characters".into()));
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }

    /// A new key, from the operating system's source of chance.
    ///
    /// # Errors
    /// [`KeyError`] if the operating system gives none.
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(&mut *bytes).map_err(|e| KeyError(e.to_string()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Why a key or keyring was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

/// The keys of a deployment: the current one encrypts, it and the older ones decrypt. Keys have ids, which are stored
/// with each job in the clear. `Debug` shows ids only.
///
/// To change keys: give the new one to every process with [`older`](Self::older) first, then make it the current one, and
/// drop the old one when no job of it is left, dead ones included.
pub struct Keyring {
    /// The current one first.
    keys: Vec<(String, XChaCha20Poly1305)>,
}

impl Keyring {
    /// A keyring with one key, which encrypts. The id is 1-64 visible ASCII characters, such as `2026-11`.
    ///
    /// # Errors
    /// [`KeyError`] if the id is not that.
    pub fn new(id: impl Into<String>, key: SecretKey) -> Result<Self, KeyError> {
        Self { keys: Vec::new() }.with(id.into(), key)
    }

    /// The same with one more key, which only decrypts.
    ///
    /// # Errors
    /// [`KeyError`] if the id is bad, or taken.
    pub fn older(self, id: impl Into<String>, key: SecretKey) -> Result<Self, KeyError> {
        self.with(id.into(), key)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a key is given away, and erased here")]
    fn with(mut self, id: String, key: SecretKey) -> Result<Self, KeyError> {
        if !(1..=64).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(KeyError(format!("the key id {id:?} is not 1-64 visible ASCII characters")));
        }
        if self.cipher(&id).is_some() {
            return Err(KeyError(format!("the key id {id:?} is given twice")));
        }
        let cipher = XChaCha20Poly1305::new((&*key.0).into());
        self.keys.push((id, cipher));
        Ok(self)
    }

    fn cipher(&self, id: &str) -> Option<&XChaCha20Poly1305> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, cipher)| cipher)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

/// A [`Middleware`] that encrypts arguments with XChaCha20-Poly1305 before they are stored, and decrypts them before the
/// handler runs. Give it to every client and runtime, after all other middleware. Clones share the keys.
///
/// A payload is bound to its job: moved to another job, kind (as it was enqueued) or queue, or changed by one bit, it does
/// not decrypt. A job that cannot be decrypted, or whose key this process does not have, is dead as `undecodable` with a text
/// that names the key: nothing is lost, and it can be replayed once the key is there. Jobs that were stored before
/// encryption was switched on run as before, unless [`require`](Self::require) is set.
///
/// Kind, queue, headers and keys (`idempotency`, `unique`) stay readable, and error texts are stored as they are. The
/// client's limit holds for the arguments before encryption, which adds at most 113 bytes. A job enqueued in a
/// transaction of your own has to be [prepared](crate::EnqueueJob::prepare) by a client with this middleware.
///
/// ```
/// use job_core::{Encryption, Keyring, SecretKey};
/// # fn example(key_of_this_year: &str, key_of_last_year: &str) -> Result<(), job_core::KeyError> {
/// let keys = Keyring::new("2026", SecretKey::from_hex(key_of_this_year)?)?
///     .older("2025", SecretKey::from_hex(key_of_last_year)?)?;
/// let encryption = Encryption::new(keys); // .middleware(encryption.clone())
/// assert_eq!(format!("{encryption:?}"), r#"Encryption { keys: ["2026", "2025"], require: false }"#);
/// # Ok(())
/// # }
/// # let hex = |c: char| c.to_string().repeat(64);
/// # example(&hex('a'), &hex('b')).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Encryption {
    keys: Arc<Keyring>,
    require: bool,
}

impl Encryption {
    /// Encrypts with the current key of the ring.
    #[must_use]
    pub fn new(keys: Keyring) -> Self {
        Self { keys: Arc::new(keys), require: false }
    }

    /// Runs no job whose arguments are stored in the clear: it is dead as `undecodable`. Without this, whoever can write to
    /// the store can enqueue jobs without having a key.
    #[must_use]
    pub fn require(mut self) -> Self {
        self.require = true;
        self
    }
}

impl Middleware for Encryption {
    fn enqueue(&self, job: &mut NewJob) -> Result<(), EnqueueError> {
        if let Some(sealed) = sealed::parse(&job.payload) {
            // It has been here before.
            return match self.keys.open(&sealed, &Bound::of(job)) {
                Ok(_) => Ok(()),
                Err(text) => Err(EnqueueError::rejected(format!("the arguments of {} {text}", job.kind))),
            };
        }
        let bound = Bound::of(job);
        let sealed = self.keys.seal(&job.payload, &bound).map_err(|text| {
            EnqueueError::rejected(format!("the arguments of {} cannot be encrypted: {text}", job.kind))
        })?;
        job.payload = sealed.into();
        Ok(())
    }

    fn open(&self, ctx: &JobContext, payload: Bytes) -> Result<Bytes, JobError> {
        match sealed::parse(&payload) {
            Some(sealed) => {
                let bound = Bound { id: ctx.id(), kind: ctx.kind(), queue: ctx.queue() };
                let opened = self.keys.open(&sealed, &bound);
                opened.map(Bytes::from).map_err(|text| JobError::permanent(format!("the arguments {text}")))
            }
            None if self.require && !seeded_bug!("encryption_not_required") => Err(JobError::permanent(
                "the arguments are not encrypted, and encryption is required here".to_owned(),
            )),
            None => Ok(payload),
        }
    }
}

/// What a payload belongs to.
struct Bound<'a> {
    id: JobId,
    kind: &'a Kind,
    queue: &'a QueueName,
}

impl<'a> Bound<'a> {
    fn of(job: &'a NewJob) -> Self {
        Self { id: job.id, kind: &job.kind, queue: &job.queue }
    }

    /// As the cipher authenticates it; each part with its length, so that no two differ only in where a part ends.
    fn data(&self, key: &str) -> Vec<u8> {
        if seeded_bug!("encryption_unbound") {
            return Vec::new();
        }
        let mut data = MAGIC.to_vec();
        let id = self.id.to_string();
        for part in [key, &id, self.kind.as_str(), self.queue.as_str()] {
            data.extend_from_slice(&(part.len() as u64).to_le_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

impl Keyring {
    fn seal(&self, plain: &[u8], bound: &Bound<'_>) -> Result<Vec<u8>, String> {
        let (id, cipher) = self.keys.first().ok_or("there is no key")?;
        let mut nonce = [0; NONCE];
        SysRng.try_fill_bytes(&mut nonce).map_err(|e| e.to_string())?;
        let data = bound.data(id);
        let body = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &data })
            .map_err(|_| "they are too large".to_owned())?;
        let mut out = Vec::with_capacity(MAGIC.len() + 1 + id.len() + NONCE + body.len());
        out.extend_from_slice(&MAGIC);
        out.push(u8::try_from(id.len()).map_err(|e| e.to_string())?);
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// The arguments, or the end of a sentence that says why not.
    fn open(&self, sealed: &Sealed<'_>, bound: &Bound<'_>) -> Result<Vec<u8>, String> {
        let key = sealed.key;
        let cipher = self.cipher(key).ok_or_else(|| {
            format!(
                "are encrypted with the key {key:?}, which is not in the keyring: add it, then replay the job"
            )
        })?;
        let data = bound.data(key);
        cipher.decrypt(&XNonce::from(sealed.nonce), Payload { msg: sealed.body, aad: &data }).map_err(|_| {
            format!(
                "do not decrypt with the key {key:?}: they were changed in the store or belong to another job, or \
                 the key is another one of the same id"
            )
        })
    }
}

#[cfg(test)]
#[path = "encryption_tests.rs"]
mod tests;
