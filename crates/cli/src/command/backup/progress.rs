//! What is told while a backup is made or read: to standard error, for people.

use std::cell::Cell;
use std::time::{Duration, Instant};

use backup::Progress;

use crate::output::note;
use crate::view::backup::size;

/// Between two lines about bytes.
const PERIOD: Duration = Duration::from_secs(5);

/// Counts bytes.
pub(super) struct Written {
    bytes: Cell<u64>,
    /// Bytes that are known to be ahead.
    expected: Cell<u64>,
    told: Cell<Instant>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            bytes: Cell::default(),
            expected: Cell::default(),
            told: Cell::new(Instant::now()),
        }
    }
}

impl Written {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub(super) fn note(&self, progress: Progress) {
        match progress {
            Progress::Prepared { shard, bytes, new } => {
                self.expected.set(self.expected.get() + new);
                note(&format!(
                    "shard {shard}: {}, {} new",
                    size(bytes),
                    size(new)
                ));
            }
            Progress::Written { bytes } => self.count(bytes, "written"),
            Progress::Finished { shard } => note(&format!("shard {shard}: done")),
        }
    }

    /// So many bytes of `all` were read.
    pub(super) fn read(&self, bytes: u64, all: u64) {
        self.expected.set(all);
        self.count(bytes, "read");
    }

    fn count(&self, bytes: u64, what: &str) {
        self.bytes.set(self.bytes.get() + bytes);
        if self.told.get().elapsed() >= PERIOD {
            self.told.set(Instant::now());
            let (done, all) = (size(self.bytes.get()), size(self.expected.get()));
            note(&format!("{done} of {all} {what}"));
        }
    }
}
