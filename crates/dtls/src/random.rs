//! The engine's only source of randomness: a ChaCha20 stream from the caller's seed.

use std::hash::{BuildHasher, DefaultHasher, Hasher as _};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

pub(crate) struct Random(ChaCha20Rng);

impl Random {
    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// Uniform within `0..bound` up to a bias of 2^-16 at most.
    pub(crate) fn below(&mut self, bound: u16) -> u16 {
        let scaled = u64::from(self.0.next_u32()) * u64::from(bound);
        (scaled >> 32) as u16
    }

    pub(crate) fn hash_key(&mut self) -> KeyedState {
        KeyedState([self.0.next_u64(), self.0.next_u64()])
    }
}

/// SipHash under a secret prefix, so that a peer cannot choose addresses or Connection IDs that
/// collide in our tables.
#[derive(Clone)]
pub(crate) struct KeyedState([u64; 2]);

impl BuildHasher for KeyedState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0[0]);
        hasher.write_u64(self.0[1]);
        hasher
    }
}
