//! What makes two failures the same failure.

use crate::operate::{AttemptError, JobRecord};
use crate::seeded_bug;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The shape of an error text: equal for errors that differ only in what changes from job to job.
///
/// Left out are numbers, times, UUIDs, hexadecimal and other ids made of letters and digits, addresses (network, memory,
/// e-mail) and whatever stands in quotes. What is left is hashed with 64-bit FNV-1a. The same text has the same fingerprint in
/// every version of this crate and on every machine, so it can be kept in tickets and alert rules.
///
/// ```
/// use job_core::Fingerprint;
///
/// let one = Fingerprint::of_text("no customer for invoice 8 (10.0.0.7:5432, after 1.2 s)");
/// let two = Fingerprint::of_text("no customer for invoice 1042 (10.0.0.9:5432, after 31 s)");
/// assert_eq!(one, two);
/// assert_ne!(one, Fingerprint::of_text("no address for invoice 8 (10.0.0.7:5432, after 1.2 s)"));
/// assert_eq!(one.to_string().parse(), Ok(one)); // 16 hexadecimal digits
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of an error text.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        if seeded_bug!("fingerprint_of_the_very_text") {
            return Self(fnv1a(text.as_bytes()));
        }
        Self(fnv1a(shape(text).as_bytes()))
    }

    /// Of the last error of a job; of the reason's word if it died without one.
    #[must_use]
    pub fn of(job: &JobRecord) -> Self {
        match job.errors.last() {
            Some(error) => error.fingerprint(),
            None => Self::of_text(job.dead_reason.map_or("", crate::DeadReason::as_str)),
        }
    }
}

impl AttemptError {
    /// What it has in common with equal failures of other jobs.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_text(&self.error)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:016x}", self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fingerprint: it has 16 hexadecimal digits")]
pub struct InvalidFingerprint(String);

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;
    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| InvalidFingerprint(text.chars().take(100).collect()))
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What stands for everything that changes from job to job.
const HOLE: char = '#';

/// The text with holes. Only ASCII is looked at, because what other characters count as changes with Unicode.
fn shape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if first.is_ascii_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            first.len_utf8()
        } else if let Some(quoted) = quoted(rest, &out) {
            out.push(HOLE);
            quoted
        } else if is_delimiter(first) {
            out.push(first);
            first.len_utf8()
        } else {
            let end = rest.find(|c: char| c.is_ascii_whitespace() || is_delimiter(c)).unwrap_or(rest.len());
            token(&rest[..end], &mut out);
            end
        };
        rest = &rest[taken..];
    }
    out.trim().to_owned()
}

/// Ends a token. `:` and `.` do not: they stand in times and addresses.
fn is_delimiter(c: char) -> bool {
    matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';' | '=' | '"' | '`' | '\'' | '|')
}

/// The length of the quoted text that begins here, if one does. An apostrophe inside a word begins none.
fn quoted(text: &str, before: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    if quote == '\'' && before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == HOLE) {
        return None;
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Writes a token with its holes.
fn token(token: &str, out: &mut String) {
    let body = token.trim_end_matches([':', '.', '!', '?']);
    let tail = &token[body.len()..];
    if is_address(body) {
        out.push(HOLE);
    } else {
        let mut parts = String::with_capacity(body.len());
        let mut rest = body;
        while let Some(first) = rest.chars().next() {
            let taken = if let Some(uuid) = uuid(rest) {
                parts.push(HOLE);
                uuid
            } else if first.is_ascii_alphanumeric() {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                run(&rest[..end], &mut parts);
                end
            } else {
                parts.push(first);
                first.len_utf8()
            };
            rest = &rest[taken..];
        }
        join_holes(&parts, out);
    }
    out.push_str(tail);
}

/// An IP address, with or without a port, or an e-mail address.
fn is_address(text: &str) -> bool {
    let mail = text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains(['@', '/']) && !name.contains("://")
    });
    mail || text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}

/// The length of the UUID that this begins with, if it does.
fn uuid(text: &str) -> Option<usize> {
    const LENGTH: usize = 36;
    let bytes = text.as_bytes().get(..LENGTH)?;
    let good = bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    let ends = text.as_bytes().get(LENGTH).is_none_or(|b| !b.is_ascii_alphanumeric());
    (good && ends).then_some(LENGTH)
}

/// Writes a run of letters and digits: whole words as they are, ids as holes, and of a word with a number at one end the word.
fn run(run: &str, out: &mut String) {
    let bytes = run.as_bytes();
    let digits = bytes.iter().any(u8::is_ascii_digit);
    let hex = bytes.iter().all(u8::is_ascii_hexdigit);
    let prefixed = run.strip_prefix("0x").or_else(|| run.strip_prefix("0X"));
    let changes = bytes.windows(2).filter(|w| w[0].is_ascii_digit() != w[1].is_ascii_digit()).count();
    let is_id = prefixed.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
        || (hex && (digits || bytes.len() >= 8))
        || changes >= 2;
    if is_id {
        out.push(HOLE);
    } else if digits {
        let number = |c: char| c.is_ascii_digit();
        let (head, tail) = (run.trim_start_matches(number), run.trim_end_matches(number));
        if head.len() < run.len() {
            out.push(HOLE);
            out.push_str(head);
        } else {
            out.push_str(tail);
            out.push(HOLE);
        }
    } else {
        out.push_str(run);
    }
}

/// Several holes with nothing but marks or the letters of a timestamp between them are one: 3, 1.5 and
/// 2026-01-02T03:04:05.678Z look alike.
fn join_holes(parts: &str, out: &mut String) {
    let mark = |c: char| "-.:/+,_".contains(c);
    let mut text = parts.replace("#T#", "#:#");
    for zone in ["#Z", "#z"] {
        if let Some(rest) = text.strip_suffix(zone) {
            text = format!("{rest}{HOLE}");
        }
    }
    // A sign belongs to its number.
    let mut rest = text.strip_prefix(['-', '+']).filter(|t| t.starts_with(HOLE)).unwrap_or(&text);
    while let Some(at) = rest.find(HOLE) {
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        while let Some(next) = rest.find(HOLE).filter(|next| rest[..*next].chars().all(mark)) {
            rest = &rest[next + 1..];
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
#[path = "fingerprint_tests.rs"]
mod tests;
