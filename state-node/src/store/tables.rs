//! The rows as `device-state` reaches them.

use std::collections::BTreeMap;
use std::sync::Arc;

use device_state::{Row, RowKey, Tables};
use prost::Message;
use rocksdb::{ReadOptions, Snapshot, WriteBatch};

use crate::fail_stop::FailStop;
use crate::store::database::Database;
use crate::store::{StoreError, keys};

/// A consistent view of the rows for queries.
pub struct ReadTables<'a> {
    snapshot: Snapshot<'a>,
    database: &'a Database,
    fail_stop: &'a FailStop,
}

impl std::fmt::Debug for ReadTables<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReadTables")
    }
}

impl<'a> ReadTables<'a> {
    pub(super) fn new(database: &'a Database, fail_stop: &'a FailStop) -> Self {
        Self {
            snapshot: database.db.snapshot(),
            database,
            fail_stop,
        }
    }

    /// How many rows there are from `from` (included) to `to` (excluded; same variant): none of them is read.
    pub fn count(&self, from: &RowKey, to: &RowKey) -> u64 {
        let (from, to) = (keys::encode(from), keys::encode(to));
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let mut iterator = self.snapshot.raw_iterator_opt(options);
        iterator.seek(from);
        let mut rows = 0;
        while iterator.valid() {
            rows += 1;
            iterator.next();
        }
        rows
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            database: self.database,
            fail_stop: self.fail_stop,
        }
    }
}

/// Queries only read: a view has nothing to change, so changes are dropped.
impl Tables for ReadTables<'_> {
    fn get(&self, key: &RowKey) -> Option<Row> {
        let key = keys::encode(key);
        self.reader().found(&key, self.snapshot.get_pinned(&key))
    }

    fn put(&mut self, _row: Row) {}

    fn delete(&mut self, _key: &RowKey) {}

    fn scan(&self, from: &RowKey, to: &RowKey, limit: usize) -> Vec<Row> {
        let (from, to) = (keys::encode(from), keys::encode(to));
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let iterator = self.snapshot.iterator_opt(forward_from(&from), options);
        self.reader().collect(iterator, limit)
    }
}

/// The changes of a batch of log entries. Reads see the changes made before them.
pub struct WriteTables {
    database: Arc<Database>,
    fail_stop: FailStop,
    /// `None` deletes.
    changes: BTreeMap<Vec<u8>, Option<Row>>,
}

impl std::fmt::Debug for WriteTables {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WriteTables")
            .field("changes", &self.changes.len())
            .finish_non_exhaustive()
    }
}

impl WriteTables {
    pub(super) fn new(database: Arc<Database>, fail_stop: FailStop) -> Self {
        Self {
            database,
            fail_stop,
            changes: BTreeMap::new(),
        }
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            database: &self.database,
            fail_stop: &self.fail_stop,
        }
    }

    /// How many rows change.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn commit(self, applied: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let mut buffer = Vec::new();
        for (key, row) in self.changes {
            match row {
                Some(row) => {
                    buffer.clear();
                    proto::storage::v1::Row::from(row)
                        .encode(&mut buffer)
                        .expect("a vector takes every message");
                    batch.put(key, &buffer);
                }
                None => batch.delete(key),
            }
        }
        batch.put(keys::APPLIED, applied);
        Ok(self.database.write(batch)?)
    }
}

impl Tables for WriteTables {
    fn get(&self, key: &RowKey) -> Option<Row> {
        let key = keys::encode(key);
        if let Some(change) = self.changes.get(&key) {
            return change.clone();
        }
        self.reader().found(&key, self.database.db.get_pinned(&key))
    }

    fn put(&mut self, row: Row) {
        self.changes.insert(keys::encode(&row.key()), Some(row));
    }

    fn delete(&mut self, key: &RowKey) {
        self.changes.insert(keys::encode(key), None);
    }

    fn scan(&self, from: &RowKey, to: &RowKey, limit: usize) -> Vec<Row> {
        let (from, to) = (keys::encode(from), keys::encode(to));
        if from >= to {
            return Vec::new();
        }
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to.clone());
        let mut stored = self
            .database
            .db
            .iterator_opt(forward_from(&from), options)
            .peekable();
        let mut changed = self.changes.range(from..to).peekable();
        let mut rows = Vec::new();
        while rows.len() < limit {
            let stored_key = match stored.peek() {
                Some(Ok((key, _))) => Some(key.as_ref()),
                Some(Err(error)) => {
                    self.reader().scan_failed(error);
                    return rows;
                }
                None => None,
            };
            let take_change = match (changed.peek(), stored_key) {
                (None, None) => break,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((key, _)), Some(stored_key)) => key.as_slice() <= stored_key,
            };
            if take_change {
                let same = changed
                    .peek()
                    .is_some_and(|(key, _)| Some(key.as_slice()) == stored_key);
                if same {
                    stored.next();
                }
                rows.extend(changed.next().and_then(|(_, row)| row.clone()));
            } else if let Some(Ok((key, bytes))) = stored.next() {
                rows.extend(self.reader().decode(&key, &bytes));
            }
        }
        rows
    }
}

fn forward_from(key: &[u8]) -> rocksdb::IteratorMode<'_> {
    rocksdb::IteratorMode::From(key, rocksdb::Direction::Forward)
}

type Pair = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

/// Turns what RocksDB gives into rows, and ends the node if that is not what was written.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) database: &'a Database,
    pub(super) fail_stop: &'a FailStop,
}

impl Reader<'_> {
    fn found<B: AsRef<[u8]>>(
        self,
        key: &[u8],
        bytes: Result<Option<B>, rocksdb::Error>,
    ) -> Option<Row> {
        match bytes {
            Ok(bytes) => self.decode(key, bytes?.as_ref()),
            Err(error) => {
                let what = "a row cannot be read";
                self.database.failed(self.fail_stop, what, &error);
                None
            }
        }
    }

    fn collect(self, pairs: impl Iterator<Item = Pair>, limit: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for pair in pairs.take(limit) {
            match pair {
                Ok((key, bytes)) => rows.extend(self.decode(&key, &bytes)),
                Err(error) => {
                    self.scan_failed(&error);
                    break;
                }
            }
        }
        rows
    }

    pub(super) fn scan_failed(self, error: &rocksdb::Error) {
        let what = "rows cannot be scanned";
        self.database.failed(self.fail_stop, what, error);
    }

    /// A stored row that does not decode was damaged, or written by a newer version: guessing would make replicas differ.
    pub(super) fn decode(self, key: &[u8], bytes: &[u8]) -> Option<Row> {
        let malformed = |error: &dyn std::error::Error| {
            let reason = format!("the row {} does not decode: {error}", hex::encode(key));
            let what = "a stored row is malformed";
            self.database.corrupt(self.fail_stop, what, reason);
            None
        };
        match proto::storage::v1::Row::decode(bytes) {
            Ok(wire) => Row::try_from(wire).map_or_else(|error| malformed(&error), Some),
            Err(error) => malformed(&error),
        }
    }
}

#[cfg(test)]
mod tests;
