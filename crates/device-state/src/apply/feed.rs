//! The feed: every event becomes a row, the oldest rows go.

use super::Change;
use crate::event::{Event, FeedEntry};
use crate::id::Revision;
use crate::limit::{FEED_SLACK, FEED_SLACK_BYTES, MAX_FEED_BYTES, MAX_FEED_ROWS};
use crate::name::DeviceName;
use crate::range;
use crate::table::{Row, RowKey};

/// Rows that are looked at per scan.
const BATCH: usize = 256;

impl Change<'_> {
    pub(super) fn emit(&mut self, endpoint: &DeviceName, event: Event) {
        let entry = FeedEntry {
            revision: self.revision,
            index: self.next_index,
            at: self.now,
            endpoint: endpoint.clone(),
            event,
        };
        self.next_index += 1;
        self.counters.feed_rows += 1;
        self.counters.feed_bytes += entry.weight();
        self.tables.put(Row::Feed(entry));
        if self.counters.feed_rows > MAX_FEED_ROWS + FEED_SLACK
            || self.counters.feed_bytes > MAX_FEED_BYTES + FEED_SLACK_BYTES
        {
            self.trim_feed();
        }
    }

    /// Drops what exceeds the bounds, whole revisions at a time so that the floor is exact. The
    /// revision that is being written stays whatever its size: no watcher could have read it yet.
    fn trim_feed(&mut self) {
        while self.counters.feed_rows > MAX_FEED_ROWS || self.counters.feed_bytes > MAX_FEED_BYTES {
            // Scanning from the floor keeps clear of the keys that were deleted before.
            let (from, to) = range::feed(self.counters.feed_floor, self.revision);
            let rows = self.tables.scan(&from, &to, BATCH);
            let Some(floor) = self.drop_oldest(&rows) else {
                return;
            };
            self.drop_below(floor);
        }
    }

    /// Drops of the oldest rows as many as exceed the bounds. The revision below which no row may stay then; `None` if
    /// there are no rows.
    fn drop_oldest(&mut self, rows: &[Row]) -> Option<Revision> {
        let mut last = None;
        for row in rows {
            let Row::Feed(entry) = row else { continue };
            if self.counters.feed_rows <= MAX_FEED_ROWS
                && self.counters.feed_bytes <= MAX_FEED_BYTES
            {
                break;
            }
            self.drop_entry(entry);
            last = Some(entry.revision);
        }
        last.map(|revision| Revision(revision.0.saturating_add(1)))
    }

    /// What is left of a revision whose first entries were dropped goes, too.
    fn drop_below(&mut self, floor: Revision) {
        let (from, to) = range::feed(Revision(floor.0.saturating_sub(1)), floor);
        loop {
            let rows = self.tables.scan(&from, &to, BATCH);
            for row in &rows {
                if let Row::Feed(entry) = row {
                    self.drop_entry(entry);
                }
            }
            if rows.len() < BATCH {
                break;
            }
        }
        self.counters.feed_floor = floor;
    }

    fn drop_entry(&mut self, entry: &FeedEntry) {
        let key = RowKey::Feed(entry.revision, entry.index);
        self.tables.delete(&key);
        self.counters.feed_rows = self.counters.feed_rows.saturating_sub(1);
        self.counters.feed_bytes = self.counters.feed_bytes.saturating_sub(entry.weight());
    }
}
