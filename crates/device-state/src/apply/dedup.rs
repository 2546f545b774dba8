//! Retries: a request id gets its first outcome again.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::id::{RequestId, Timestamp};
use crate::limit::{DEDUP_AGE, DEDUP_BATCH, MAX_DEDUP_ROWS};
use crate::query;
use crate::range;
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// The first outcome of a request that was applied before. Another request of the same id is refused, as far as
    /// both tell what they are.
    pub(super) fn replay(&mut self, request_id: RequestId, asked: Option<u64>) -> Option<Outcome> {
        let Some(Row::Dedup {
            outcome,
            fingerprint,
            ..
        }) = self.tables.get(&RowKey::Dedup(request_id))
        else {
            return None;
        };
        if fingerprint
            .zip(asked)
            .is_some_and(|(first, now)| first != now)
        {
            return Some(Outcome::Rejected(Rejection::RequestIdReused));
        }
        Some(match outcome {
            // The observations to establish are those of now, and were left out of the row.
            Outcome::Registered {
                id,
                expires_at,
                quirks,
                moved_from,
                observations: _,
            } => {
                let observations = query::registration_by_id(self.tables, &id)
                    .map(|registration| query::observations(self.tables, &registration.endpoint))
                    .unwrap_or_default();
                Outcome::Registered {
                    id,
                    expires_at,
                    observations,
                    quirks,
                    moved_from,
                }
            }
            other => other,
        })
    }

    /// Keeps the outcome, a refusal as well: a retry must not succeed where the first try was
    /// refused.
    pub(super) fn remember(
        &mut self,
        request_id: RequestId,
        fingerprint: Option<u64>,
        outcome: &Outcome,
    ) {
        let outcome = match outcome {
            Outcome::Registered {
                id,
                expires_at,
                quirks,
                moved_from,
                observations: _,
            } => Outcome::Registered {
                id: id.clone(),
                expires_at: *expires_at,
                quirks: *quirks,
                moved_from: *moved_from,
                observations: Vec::new(),
            },
            other => other.clone(),
        };
        self.tables.put(Row::Dedup {
            request_id,
            outcome,
            fingerprint,
        });
        self.tables.put(Row::DedupOrder {
            at: self.now,
            request_id,
        });
        self.counters.dedup_rows += 1;
        if self.counters.dedup_rows.is_multiple_of(DEDUP_BATCH) {
            self.trim_dedup();
        }
    }

    /// Drops full batches of outcomes that are too many or too old. Two batches are looked at for
    /// each one that was written, so that the rows that a burst left behind go in time.
    fn trim_dedup(&mut self) {
        let batch = DEDUP_BATCH as usize;
        let age = u64::try_from(DEDUP_AGE.as_millis()).unwrap_or(u64::MAX);
        let oldest_kept = Timestamp(self.now.0.saturating_sub(age));
        let excess = usize::try_from(self.counters.dedup_rows.saturating_sub(MAX_DEDUP_ROWS))
            .unwrap_or(usize::MAX);
        let (from, to) = range::dedup_order();
        let rows = self.tables.scan(&from, &to, 2 * batch);
        let droppable = rows
            .iter()
            .enumerate()
            .take_while(|(place, row)| {
                *place < excess || matches!(row, Row::DedupOrder { at, .. } if *at < oldest_kept)
            })
            .count();
        let dropped = droppable - droppable % batch;
        for row in rows.iter().take(dropped) {
            if let Row::DedupOrder { request_id, .. } = row {
                self.tables.delete(&RowKey::Dedup(*request_id));
            }
            self.tables.delete(&row.key());
        }
        self.counters.dedup_rows -= dropped as u64;
    }
}
