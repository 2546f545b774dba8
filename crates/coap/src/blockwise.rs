//! Block-wise transfer (RFC 7959): the options, and the four directions a body can travel.
//!
//! | | we request | we serve |
//! |---|---|---|
//! | request body (Block1) | [`Upload`] | [`Reassembly`] |
//! | response body (Block2) | [`Download`] | [`StoredBody`] |

mod download;
mod portion;
mod reassembly;
mod stored;
mod upload;

pub(crate) use download::{Download, DownloadStep};
pub(crate) use portion::Portion;
pub(crate) use reassembly::{Accepted, Part, Reassembly};
pub(crate) use stored::{StoredBody, cut};
pub(crate) use upload::{Upload, UploadStep};

use crate::option::{Options, uint};

/// Largest number of a block, 20 bits.
const MAX_NUMBER: u32 = 0x000f_ffff;

/// Size of a block: a power of two from 16 to 1024 bytes, and on a stream several times 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u8);

impl BlockSize {
    pub const B16: Self = Self(0);
    pub const B32: Self = Self(1);
    pub const B64: Self = Self(2);
    pub const B128: Self = Self(3);
    pub const B256: Self = Self(4);
    pub const B512: Self = Self(5);
    pub const B1024: Self = Self(6);
    /// Any multiple of 1024 bytes, counted in units of 1024; on a stream only (RFC 8323 §6).
    pub const BERT: Self = Self(7);

    /// The largest block size of at most `bytes`; 16 when even that is too much.
    pub fn at_most(bytes: usize) -> Self {
        let exponent = bytes.clamp(16, 1024).ilog2() - 4;
        Self(exponent as u8)
    }

    /// Bytes of a full block, or of its unit in the case of [`Self::BERT`].
    pub const fn bytes(self) -> usize {
        match self.0 {
            7 => 1024,
            exponent => 16 << exponent,
        }
    }

    /// Whether a payload of `len` bytes is a block that others follow.
    pub(crate) fn is_full(self, len: usize) -> bool {
        if self == Self::BERT {
            len > 0 && len.is_multiple_of(self.bytes())
        } else {
            len == self.bytes()
        }
    }

    /// Whether a payload of `len` bytes is a block at all.
    pub(crate) fn holds(self, len: usize) -> bool {
        self == Self::BERT || len <= self.bytes()
    }
}

/// The value of a Block1 or Block2 option (RFC 7959 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Position in units of `size`, below 2^20.
    pub number: u32,
    /// Whether blocks follow (Block1 of a request, Block2 of a response).
    pub more: bool,
    pub size: BlockSize,
}

impl Block {
    /// Reads an option value of a datagram; size exponent 7 is reserved.
    pub fn from_value(value: &[u8]) -> Option<Self> {
        Self::up_to(BlockSize::B1024, value)
    }

    /// Reads an option value with a size of at most `largest`.
    pub(crate) fn up_to(largest: BlockSize, value: &[u8]) -> Option<Self> {
        let value = uint(value, 3)?;
        let size = BlockSize((value & 0b111) as u8);
        (size <= largest).then_some(Self {
            number: value >> 4,
            more: value & 0b1000 != 0,
            size,
        })
    }

    pub(crate) fn push(self, number: u16, options: &mut Options) {
        let more = if self.more { 0b1000 } else { 0 };
        options.push_uint(number, self.number << 4 | more | u32::from(self.size.0));
    }

    /// Position in bytes; below 2^30.
    pub fn offset(self) -> usize {
        self.number as usize * self.size.bytes()
    }

    /// Where this block starts in units of `size`: a requester that uses larger blocks than it is
    /// given counts in its own.
    pub(crate) fn number_in(self, size: BlockSize) -> u32 {
        Self::at(self.offset(), size).map_or(self.number, |block| block.number)
    }

    /// The block of `size` that starts at `offset`, `None` past the 20-bit numbers.
    pub(crate) fn at(offset: usize, size: BlockSize) -> Option<Self> {
        let number = u32::try_from(offset / size.bytes()).ok()?;
        (number <= MAX_NUMBER).then_some(Self {
            number,
            more: false,
            size,
        })
    }
}

/// Whether a body of `len` bytes can be numbered in blocks of `size`.
pub(crate) fn fits(len: usize, size: BlockSize) -> bool {
    len.div_ceil(size.bytes()) <= MAX_NUMBER as usize + 1
}

/// Bytes of bodies in transfer, all peers together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: usize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    /// Takes `bytes` if that many are left.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let used = self.used.saturating_add(bytes);
        if used > self.limit {
            return Err(OverBudget);
        }
        self.used = used;
        Ok(())
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

/// The bodies in transfer reached [`crate::Config::max_body_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

#[cfg(test)]
mod tests;
