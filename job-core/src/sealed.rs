//! How an encrypted payload looks in a store, for everybody who meets one, with keys or without.
//!
//! ```text
//! 00 's' 'f' 'a' 'e' 'a' 'd' 01   what it is; no JSON begins with a zero byte
//! n, then n bytes                 the id of the key
//! 24 bytes                        the nonce
//! the rest                        the arguments and 16 bytes of authentication
//! ```

/// The first bytes.
pub(crate) const MAGIC: [u8; 8] = *b"\0sfaead\x01";
/// Bytes of a nonce.
pub(crate) const NONCE: usize = 24;

/// An encrypted payload, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sealed<'a> {
    pub(crate) key: &'a str,
    // Read with the feature `encryption` only.
    #[cfg_attr(not(feature = "encryption"), allow(dead_code))]
    pub(crate) nonce: [u8; NONCE],
    #[cfg_attr(not(feature = "encryption"), allow(dead_code))]
    pub(crate) body: &'a [u8],
}

/// The parts, if it is one.
pub(crate) fn parse(payload: &[u8]) -> Option<Sealed<'_>> {
    let (length, rest) = payload.strip_prefix(&MAGIC)?.split_first()?;
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let (nonce, body) = rest.split_first_chunk()?;
    Some(Sealed { key: std::str::from_utf8(key).ok()?, nonce: *nonce, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_envelopes_are_taken_apart() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(b"\x02k1");
        bytes.extend_from_slice(&[7; NONCE]);
        assert_eq!(parse(&bytes), Some(Sealed { key: "k1", nonce: [7; NONCE], body: b"" }));
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), None, "{end} bytes");
        }
        assert_eq!(parse(b"{}"), None);
    }
}
