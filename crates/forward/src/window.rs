//! Protection against repetition, wide enough for what a batch of system calls puts out of order (RFC 6479).

/// Words of 64 numbers each; one more than the window holds, so that moving on clears whole words.
const WORDS: u64 = 17;

/// The last 1024 numbers of a sender.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// One above the highest number that came.
    next: u64,
    seen: [u64; WORDS as usize],
}

impl Window {
    const SIZE: u64 = (WORDS - 1) * 64;

    /// Marks `number` as seen; `false` if it was, or is too old to tell.
    pub(crate) fn accept(&mut self, number: u64) -> bool {
        if number == u64::MAX || number.saturating_add(Self::SIZE) < self.next {
            return false;
        }
        if number >= self.next {
            self.advance(number);
        }
        let bit = 1 << (number % 64);
        let Some(word) = self.seen.get_mut((number / 64 % WORDS) as usize) else {
            return false;
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Clears the words between the highest number so far and `number`.
    fn advance(&mut self, number: u64) {
        let (newest, word) = (self.next.saturating_sub(1) / 64, number / 64);
        for cleared in (newest + 1..=word).rev().take(WORDS as usize) {
            if let Some(word) = self.seen.get_mut((cleared % WORDS) as usize) {
                *word = 0;
            }
        }
        self.next = number + 1;
    }
}
