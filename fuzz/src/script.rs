//! Fuzzers' bytes as a sequence of numbers and chunks.

use aws_lc_rs::digest::{SHA256, digest};

/// What all keys of a run are made of. A fuzzer sees what is compared, and learns to forge tags under keys that stay; these
/// are others for every script, and the same when it is run again.
pub(crate) fn secret(script: &[u8]) -> [u8; 32] {
    let mut secret = [0; 32];
    secret.copy_from_slice(digest(&SHA256, script).as_ref());
    secret
}

/// What is left of a script. Past its end everything is zero or empty.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let length = self.0.len().min(N);
        let (head, tail) = self.0.split_at(length);
        bytes[..length].copy_from_slice(head);
        self.0 = tail;
        bytes
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes())
    }

    /// Two bytes of length, then so many, or what is left.
    pub(crate) fn chunk(&mut self) -> &'a [u8] {
        let length = usize::from(self.number()).min(self.0.len());
        let (chunk, rest) = self.0.split_at(length);
        self.0 = rest;
        chunk
    }

    /// Whatever is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Changes a few bytes of a datagram, or cuts it; whether anything changed.
    pub(crate) fn damage(&mut self, datagram: &mut Vec<u8>) -> bool {
        let before = datagram.clone();
        let changes = self.byte();
        for _ in 0..changes & 7 {
            let (at, value) = (usize::from(self.number()), self.byte());
            let length = datagram.len().max(1);
            if let Some(byte) = datagram.get_mut(at % length) {
                *byte ^= value;
            }
        }
        if changes & 8 != 0 {
            datagram.truncate(usize::from(self.number()) % (datagram.len() + 1));
        }
        if changes & 16 != 0 {
            datagram.extend_from_slice(self.chunk());
        }
        *datagram != before
    }
}

/// The other way: what [`Script::chunk`] reads.
pub(crate) fn put_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}
