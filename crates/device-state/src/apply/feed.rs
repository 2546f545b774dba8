//! The feed: every event becomes a row, the oldest rows go.

use lwm2m::EndpointName;

use super::Change;
use crate::event::{Event, FeedEntry};
use crate::id::Revision;
use crate::limit::{FEED_SLACK, MAX_FEED_ROWS};
use crate::range;
use crate::table::Row;

/// Rows that are deleted per scan.
const BATCH: usize = 1_024;

impl Change<'_> {
    pub(super) fn emit(&mut self, endpoint: &EndpointName, event: Event) {
        self.tables.put(Row::Feed(FeedEntry {
            revision: self.revision,
            index: self.next_index,
            at: self.now,
            endpoint: endpoint.clone(),
            event,
        }));
        self.next_index += 1;
        self.counters.feed_rows += 1;
        if self.counters.feed_rows > MAX_FEED_ROWS + FEED_SLACK {
            self.trim_feed();
        }
    }

    /// Drops what exceeds the bound, whole revisions at a time so that the floor is exact. The
    /// revision that is being written stays whatever its size: no watcher could have read it yet.
    fn trim_feed(&mut self) {
        let excess = self.counters.feed_rows.saturating_sub(MAX_FEED_ROWS);
        // Scanning from the floor keeps clear of the keys that were deleted before.
        let (from, to) = range::feed(self.counters.feed_floor, self.revision);
        let oldest = self
            .tables
            .scan(&from, &to, usize::try_from(excess).unwrap_or(usize::MAX));
        let Some(Row::Feed(last)) = oldest.last() else {
            return;
        };
        let floor = Revision(last.revision.0.saturating_add(1));
        let (from, to) = range::feed(self.counters.feed_floor, floor);
        loop {
            let rows = self.tables.scan(&from, &to, BATCH);
            for row in &rows {
                self.tables.delete(&row.key());
            }
            self.counters.feed_rows = self.counters.feed_rows.saturating_sub(rows.len() as u64);
            if rows.len() < BATCH {
                break;
            }
        }
        self.counters.feed_floor = floor;
    }
}
