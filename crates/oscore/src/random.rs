//! The layer's only source of randomness: a ChaCha20 stream from the caller's seed.

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

    pub(crate) fn message_id(&mut self) -> coap::MessageId {
        coap::MessageId(u16::from_be_bytes(self.bytes()))
    }
}
