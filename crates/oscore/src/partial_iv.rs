//! Sequence numbers: the Partial IV, and how the numbers that we send with are made.

/// A sequence number of 40 bits, the Partial IV of a message (RFC 8613 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartialIv(u64);

impl PartialIv {
    /// RFC 8613 §7.2.1: "The maximum Sender Sequence Number is algorithm dependent"; with the
    /// algorithms here it is 2^40 - 1.
    pub const MAX: Self = Self((1 << 40) - 1);

    /// `None` above [`PartialIv::MAX`].
    pub const fn new(number: u64) -> Option<Self> {
        if number > Self::MAX.0 {
            return None;
        }
        Some(Self(number))
    }

    /// The sequence number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// In network byte order at full width, as in the nonce.
    pub(crate) const fn to_array(self) -> [u8; 5] {
        let [_, _, _, low @ ..] = self.0.to_be_bytes();
        low
    }

    /// RFC 8613 §6.1: without leading zeros, but zero itself takes one byte.
    pub(crate) fn with_encoded<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        let bytes = self.to_array();
        let skip = bytes.iter().take(4).take_while(|byte| **byte == 0).count();
        f(bytes.get(skip..).unwrap_or(&bytes))
    }

    /// Strict: 1 to 5 bytes in the shortest form. A longer form of the same number would be
    /// another additional data for the same nonce.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let number = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        match bytes {
            [] | [0, _, ..] => None,
            _ if bytes.len() > 5 => None,
            _ => Some(Self(number)),
        }
    }
}

/// The sender's 40-bit numbers as 16 bits of owner generation and a 24-bit counter. A new owner of
/// the context gets a higher generation before it sends anything, so no two owners can use the
/// same number, which makes the nonce, even when they do not know of each other; and a restart
/// needs no number to have been written down. Never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderSequence {
    generation: u16,
    counter: u32,
}

impl SenderSequence {
    /// Numbers of one generation.
    const COUNT: u32 = 1 << 24;

    pub(crate) const fn of_generation(generation: u16) -> Self {
        Self {
            generation,
            counter: 0,
        }
    }

    pub(crate) const fn generation(self) -> u16 {
        self.generation
    }

    /// How many numbers are left.
    pub(crate) const fn remaining(self) -> u32 {
        Self::COUNT - self.counter
    }

    /// `None` when the generation's numbers are used up.
    pub(crate) const fn next(&mut self) -> Option<PartialIv> {
        if self.counter >= Self::COUNT {
            return None;
        }
        let number = (self.generation as u64) << 24 | self.counter as u64;
        self.counter += 1;
        Some(PartialIv(number))
    }

    #[cfg(test)]
    pub(crate) const fn skip_to(&mut self, counter: u32) {
        self.counter = counter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_takes_one_byte_and_leading_zeros_are_refused() {
        for (number, bytes) in [
            (0, &[0][..]),
            (20, &[20]),
            (0x0100, &[1, 0]),
            ((1 << 40) - 1, &[0xFF; 5]),
        ] {
            let iv = PartialIv(number);
            assert!(iv.with_encoded(|encoded| encoded == bytes));
            assert_eq!(PartialIv::decode(bytes), Some(iv));
        }
        for bytes in [&[][..], &[0, 1], &[0, 0], &[1; 6]] {
            assert_eq!(PartialIv::decode(bytes), None);
        }
        assert_eq!(PartialIv::new(1 << 40), None);
    }

    #[test]
    fn generations_never_share_a_number() {
        let mut old = SenderSequence::of_generation(6);
        old.skip_to((1 << 24) - 1);
        let last = old.next().map(PartialIv::number);
        assert_eq!(last, Some(0x06FF_FFFF));
        assert_eq!((old.next(), old.remaining()), (None, 0));
        let first = SenderSequence::of_generation(7).next();
        assert_eq!(first.map(PartialIv::number), Some(0x0700_0000));
        let mut newest = SenderSequence::of_generation(u16::MAX);
        newest.skip_to((1 << 24) - 1);
        assert_eq!(newest.next(), Some(PartialIv::MAX));
    }
}
