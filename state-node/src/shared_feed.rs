//! The newest entries of a shard's feed, read and encoded once for all who follow it.
//!
//! ```text
//!   rows   ─────────────●───────────────────────────●   the feed, up to the end
//!   tail                 after ├───────────────────┤ end
//!   readers    a                     b             c
//! ```
//!
//! Reader `b` gets what is in memory, `c` reads on for everybody, `a` reads rows for itself until it has caught up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use device_state::query::{self, FeedPage, FeedPosition};
use device_state::{FeedEntry, Tables};
use prost::Message;
use proto::drover::v1 as public;

use crate::store::ShardStore;

/// Entries of a page at most.
pub const PAGE: usize = 256;
/// What an entry takes in memory for each byte that it weighs: itself, and encoded.
const MEMORY_PER_WEIGHT: u64 = 3;

/// An entry of the feed, shared by its readers.
#[derive(Debug)]
pub struct SharedEntry {
    entry: FeedEntry,
    encoded: OnceLock<Bytes>,
}

impl SharedEntry {
    fn new(entry: FeedEntry) -> Arc<Self> {
        Arc::new(Self {
            entry,
            encoded: OnceLock::new(),
        })
    }

    /// The entry itself.
    pub fn entry(&self) -> &FeedEntry {
        &self.entry
    }

    /// The public event, encoded when it is first asked for.
    pub fn encoded(&self) -> Bytes {
        let encode = || encode(self.entry.clone());
        self.encoded.get_or_init(encode).clone()
    }
}

/// An entry as the encoded public event.
pub fn encode(entry: FeedEntry) -> Bytes {
    public::Event::from(entry).encode_to_vec().into()
}

/// Part of the feed.
#[derive(Clone, Debug)]
pub enum SharedPage {
    /// The entries after the position; fewer than [`PAGE`] at the end of the feed.
    Entries(Vec<Arc<SharedEntry>>),
    /// Entries after the position are gone; the page after this position is there.
    Compacted { resume: FeedPosition },
}

/// The feed of a shard with its newest entries in memory.
#[derive(Debug)]
pub struct SharedFeed {
    store: Arc<ShardStore>,
    /// Bytes that the tail may take.
    capacity: u64,
    tail: Mutex<Tail>,
}

impl SharedFeed {
    /// The feed in the rows of `store`; about `capacity` bytes of it stay in memory.
    pub fn new(store: Arc<ShardStore>, capacity: usize) -> Self {
        Self {
            store,
            capacity: capacity as u64,
            tail: Mutex::default(),
        }
    }

    /// The entries after a position.
    pub fn read(&self, position: FeedPosition) -> SharedPage {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if position < tail.after {
            // Many may be behind: they do not wait for each other.
            drop(tail);
            return self.rows(position);
        }
        let known = tail.after(position);
        if !known.is_empty() {
            return SharedPage::Entries(known);
        }
        self.advance(&mut tail, position)
    }

    /// Reads on where the tail ends, or where the reader is if that is too far.
    fn advance(&self, tail: &mut Tail, position: FeedPosition) -> SharedPage {
        if let SharedPage::Entries(entries) = self.rows(tail.end()) {
            let is_last = entries.len() < PAGE;
            let new = entries
                .iter()
                .filter(|new| FeedPosition::of(new.entry()) > position);
            let new: Vec<_> = new.cloned().collect();
            tail.extend(entries, self.capacity);
            if is_last || !new.is_empty() {
                return SharedPage::Entries(new);
            }
        }
        let page = self.rows(position);
        if let SharedPage::Entries(entries) = &page {
            *tail = Tail {
                after: position,
                ..Tail::default()
            };
            tail.extend(entries.clone(), self.capacity);
        }
        page
    }

    fn rows(&self, position: FeedPosition) -> SharedPage {
        self.store.read(|tables| page(tables, position))
    }
}

/// A page of the feed that `tables` hold.
pub fn page(tables: &dyn Tables, position: FeedPosition) -> SharedPage {
    match query::feed(tables, position, PAGE) {
        FeedPage::Entries(entries) => {
            SharedPage::Entries(entries.into_iter().map(SharedEntry::new).collect())
        }
        FeedPage::Compacted { floor } => SharedPage::Compacted {
            resume: FeedPosition::after(device_state::Revision(floor.0.saturating_sub(1))),
        },
    }
}

/// What is in memory: every entry after a position up to the last of them.
#[derive(Debug, Default)]
struct Tail {
    after: FeedPosition,
    entries: VecDeque<Arc<SharedEntry>>,
    bytes: u64,
}

impl Tail {
    fn end(&self) -> FeedPosition {
        let last = self.entries.back();
        last.map_or(self.after, |last| FeedPosition::of(last.entry()))
    }

    fn after(&self, position: FeedPosition) -> Vec<Arc<SharedEntry>> {
        let first = self
            .entries
            .partition_point(|known| FeedPosition::of(known.entry()) <= position);
        self.entries.range(first..).take(PAGE).cloned().collect()
    }

    fn extend(&mut self, entries: Vec<Arc<SharedEntry>>, capacity: u64) {
        for shared in entries {
            self.bytes += memory(&shared);
            self.entries.push_back(shared);
        }
        while self.bytes > capacity
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= memory(&oldest);
            self.after = FeedPosition::of(oldest.entry());
        }
    }
}

fn memory(shared: &SharedEntry) -> u64 {
    shared.entry().weight() * MEMORY_PER_WEIGHT
}

#[cfg(test)]
mod tests;
