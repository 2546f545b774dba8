//! AES-128-CBC with HMAC-SHA256 in the order of encrypt_then_mac (RFC 7366).
//!
//! A record's payload is IV ‖ ciphertext ‖ MAC. The MAC covers all the rest and is checked before
//! anything is decrypted, so that a peer learns nothing from bad padding.

use aes::cipher::{BlockDecrypt as _, BlockEncrypt as _, KeyInit as _};
use aes::{Aes128Dec, Aes128Enc, Block};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use zeroize::Zeroize as _;

use crate::prf::hmac_key;

const BLOCK: usize = 16;
pub(super) const IV: usize = BLOCK;
pub(super) const MAC: usize = 32;

/// One direction of a CBC suite.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CbcKey {
    pub(super) mac: [u8; MAC],
    pub(super) key: [u8; BLOCK],
}

/// Both directions.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CbcKeys {
    pub(super) read: CbcKey,
    pub(super) write: CbcKey,
}

impl Drop for CbcKey {
    fn drop(&mut self) {
        self.mac.zeroize();
        self.key.zeroize();
    }
}

/// Length of the ciphertext of `content` bytes, which has at least one byte of padding.
pub(super) const fn ciphertext_length(content: usize) -> usize {
    (content / BLOCK + 1) * BLOCK
}

impl CbcKey {
    fn tag(&self, described: &[u8], payload: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac_key(&self.mac));
        context.update(described);
        context.update(payload);
        context.sign()
    }

    /// RFC 5246 §6.2.3.2: the IV must be unpredictable, which a function of the record's number
    /// under a secret key is. The label keeps its input apart from that of every MAC, which begins
    /// with an epoch or with 0xFF.
    fn initialization_vector(&self, number: u64) -> [u8; IV] {
        let mut iv = [0; IV];
        let tag = self.tag(b"initialization vector", &number.to_be_bytes());
        iv.copy_from_slice(&tag.as_ref()[..IV]);
        iv
    }

    /// Decrypts IV ‖ ciphertext ‖ MAC in place to the content without padding. `described` is what
    /// the MAC covers first.
    pub(super) fn open<'a>(&self, described: &[u8], payload: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (sealed, mac) = payload.split_at_mut_checked(payload.len().checked_sub(MAC)?)?;
        let expected = self.tag(described, sealed);
        verify_slices_are_equal(expected.as_ref(), mac).ok()?;
        let (iv, content) = sealed.split_first_chunk_mut::<IV>()?;
        if content.is_empty() || !content.len().is_multiple_of(BLOCK) {
            return None;
        }
        let cipher = Aes128Dec::new(&Block::from(self.key));
        let mut chain = *iv;
        for block in content.chunks_exact_mut(BLOCK) {
            let mut plain = Block::clone_from_slice(block);
            cipher.decrypt_block(&mut plain);
            for (byte, mask) in plain.iter_mut().zip(chain) {
                *byte ^= mask;
            }
            chain.copy_from_slice(block);
            block.copy_from_slice(&plain);
        }
        // RFC 5246 §6.2.3.2: each byte of the padding, its length included, is the padding length.
        let padding = *content.last()?;
        let length = content.len().checked_sub(usize::from(padding) + 1)?;
        let (content, tail) = content.split_at_mut(length);
        tail.iter().all(|&byte| byte == padding).then_some(content)
    }

    /// Turns `out[start..]`, which begins with room for the IV, into IV ‖ ciphertext and appends
    /// the MAC. `number` has never been used before.
    pub(super) fn seal(&self, described: &[u8], number: u64, out: &mut Vec<u8>, start: usize) {
        let content = out.len() - start - IV;
        let padding = ciphertext_length(content) - content;
        out.resize(out.len() + padding, padding as u8 - 1);
        let mut chain = self.initialization_vector(number);
        out[start..start + IV].copy_from_slice(&chain);
        let cipher = Aes128Enc::new(&Block::from(self.key));
        for block in out[start + IV..].chunks_exact_mut(BLOCK) {
            for (byte, mask) in block.iter_mut().zip(chain) {
                *byte ^= mask;
            }
            cipher.encrypt_block(Block::from_mut_slice(block));
            chain.copy_from_slice(block);
        }
        let tag = self.tag(described, &out[start..]);
        out.extend_from_slice(tag.as_ref());
    }
}
