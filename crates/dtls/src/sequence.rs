//! The write sequence of the protected epoch.

/// The 48-bit sequence number as 16 bits of owner generation and a 32-bit counter. A new owner of
/// the session gets a higher generation before it sends anything, so no two owners can use the
/// same number, which is the nonce, even when they do not know of each other. Never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteSequence {
    generation: u16,
    counter: u32,
}

impl WriteSequence {
    pub(crate) const fn of_generation(generation: u16) -> Self {
        Self {
            generation,
            counter: 0,
        }
    }

    pub(crate) const fn generation(self) -> u16 {
        self.generation
    }

    /// `None` when the generation's numbers are used up.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let next = self.counter.checked_add(1)?;
        let sequence = u64::from(self.generation) << 32 | u64::from(self.counter);
        self.counter = next;
        Some(sequence)
    }

    #[cfg(test)]
    pub(crate) const fn skip_to_the_end(&mut self) {
        self.counter = u32::MAX;
    }
}
