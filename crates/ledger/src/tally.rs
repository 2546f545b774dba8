//! How calls ended, and when.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::registers::History;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    /// It may have happened, or happen yet.
    Indefinite,
    Refused,
}

#[derive(Debug)]
struct Counts {
    acknowledged: u64,
    indefinite: u64,
    refused: u64,
    last: Instant,
    longest_gap: Duration,
}

#[derive(Debug)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Counts {
            acknowledged: 0,
            indefinite: 0,
            refused: 0,
            last: Instant::now(),
            longest_gap: Duration::ZERO,
        }))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that changes something has ended.
    pub(crate) fn count(&self, end: End) {
        let mut counts = self.counts();
        match end {
            End::Acknowledged => {
                counts.acknowledged += 1;
                counts.longest_gap = counts.longest_gap.max(counts.last.elapsed());
                counts.last = Instant::now();
            }
            End::Indefinite => counts.indefinite += 1,
            End::Refused => counts.refused += 1,
        }
    }

    pub(crate) fn ledger(&self, history: &History) -> String {
        let counts = self.counts();
        let mut text = String::new();
        writeln!(
            text,
            "changes: {} acknowledged, {} indefinite, {} refused; longest time without an acknowledgement {:.1?}",
            counts.acknowledged, counts.indefinite, counts.refused, counts.longest_gap
        )
        .unwrap();
        writeln!(text, "linearizable: {} calls on registers", history.len()).unwrap();
        text
    }
}
