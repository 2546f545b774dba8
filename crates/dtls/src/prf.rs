//! The pseudo-random function with SHA-256 and the transcript hash (RFC 5246 §5, §7.4.9).

use aws_lc_rs::{digest, hmac};

pub(crate) fn hmac_key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

/// `P_SHA256(key, label ‖ seed…)`. The key holds the padded midstates, so that a secret that is
/// used several times is hashed once.
pub(crate) fn prf(key: &hmac::Key, label: &[u8], seeds: &[&[u8]], out: &mut [u8]) {
    let update_seed = |context: &mut hmac::Context| {
        context.update(label);
        for seed in seeds {
            context.update(seed);
        }
    };
    let mut context = hmac::Context::with_key(key);
    update_seed(&mut context);
    let mut chain = context.sign();
    let mut blocks = out.chunks_mut(32).peekable();
    while let Some(block) = blocks.next() {
        let mut context = hmac::Context::with_key(key);
        context.update(chain.as_ref());
        update_seed(&mut context);
        block.copy_from_slice(&context.sign().as_ref()[..block.len()]);
        if blocks.peek().is_some() {
            chain = hmac::sign(key, chain.as_ref());
        }
    }
}

/// The running hash over a handshake's messages, each with its header as if unfragmented
/// (RFC 6347 §4.2.6).
#[derive(Clone)]
pub(crate) struct Transcript(digest::Context);

impl Transcript {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn add(&mut self, message: &[u8]) {
        self.0.update(message);
    }

    pub(crate) fn hash(&self) -> digest::Digest {
        self.0.clone().finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widely used test vector for the TLS 1.2 PRF with SHA-256.
    #[test]
    fn matches_the_known_vector() {
        let secret = [
            0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17, 0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71,
            0xdb, 0x35,
        ];
        let seed = [
            0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18, 0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5,
            0x19, 0x8c,
        ];
        let mut out = [0; 100];
        prf(&hmac_key(&secret), b"test label", &[&seed], &mut out);
        let hex = out
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        assert_eq!(
            hex,
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a\
             6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab\
             4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
             87347b66"
        );
    }
}
