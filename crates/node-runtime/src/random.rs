//! Randomness of the operating system, for keys, identifiers and the seeds of the pure engines.
//!
//! Both functions panic if the operating system cannot give random bytes. A node without
//! randomness cannot make safe keys, so there is nothing better to do.

use rand::TryRngCore;
use rand::rngs::OsRng;

/// A random number, for identifiers that must not repeat.
pub fn random_u64() -> u64 {
    OsRng
        .try_next_u64()
        .expect("the operating system gives random bytes")
}

/// A seed for a generator such as `ChaCha20Rng::from_seed`.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    OsRng
        .try_fill_bytes(&mut seed)
        .expect("the operating system gives random bytes");
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed(), seed());
        assert_ne!(random_u64(), random_u64());
    }
}
