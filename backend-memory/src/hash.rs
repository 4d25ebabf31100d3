//! A hash for ids, which are mostly random bits already: mixing them once is enough and much cheaper than SipHash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let product = u128::from(self.0 ^ u64::from_le_bytes(word)) * u128::from(MIX);
            #[expect(clippy::cast_possible_truncation, reason = "both halves are folded together")]
            let folded = (product as u64) ^ ((product >> 64) as u64);
            self.0 = folded.rotate_left(29);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length prefix of a fixed-size id says nothing.
    }
}
