//! Reading the feed from a position.

use crate::event::FeedEntry;
use crate::id::Revision;
use crate::query;
use crate::table::{Row, RowKey, Tables};

/// A place in the feed: everything up to and including this entry was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPosition {
    pub revision: Revision,
    pub index: u32,
}

impl FeedPosition {
    /// Before the first entry that there can be.
    pub const START: Self = Self {
        revision: Revision(0),
        index: u32::MAX,
    };

    /// After everything of `revision`: where to go on after a read of rows that stood at that
    /// revision.
    pub const fn after(revision: Revision) -> Self {
        Self {
            revision,
            index: u32::MAX,
        }
    }

    /// The place of an entry.
    pub const fn of(entry: &FeedEntry) -> Self {
        Self {
            revision: entry.revision,
            index: entry.index,
        }
    }

    fn next_key(self) -> RowKey {
        match self.index.checked_add(1) {
            Some(index) => RowKey::Feed(self.revision, index),
            None => RowKey::Feed(Revision(self.revision.0.saturating_add(1)), 0),
        }
    }
}

/// Part of the feed.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedPage {
    /// The entries after the position in their order; go on from the last one. Empty at the end of
    /// the feed.
    Entries(Vec<FeedEntry>),
    /// Entries after the position are gone, everything of `floor` and above is there. The watcher
    /// has to read the rows anew and go on from the revision at which it read them.
    Compacted { floor: Revision },
}

/// The entries after `position`, at most `limit`.
pub fn feed(tables: &dyn Tables, position: FeedPosition, limit: usize) -> FeedPage {
    let floor = query::counters(tables).feed_floor;
    let lost = floor
        .0
        .checked_sub(1)
        .map(|revision| FeedPosition::after(Revision(revision)));
    if lost.is_some_and(|lost| position < lost) {
        return FeedPage::Compacted { floor };
    }
    let end = RowKey::Feed(Revision(u64::MAX), u32::MAX);
    let entries = tables
        .scan(&position.next_key(), &end, limit)
        .into_iter()
        .filter_map(|row| match row {
            Row::Feed(entry) => Some(entry),
            _ => None,
        });
    FeedPage::Entries(entries.collect())
}
