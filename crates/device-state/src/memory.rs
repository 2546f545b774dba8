//! Rows in memory, for tests and simulations.

use std::collections::BTreeMap;

use crate::table::{Row, RowKey, Tables};

/// The rows of one shard in an ordered map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryTables {
    rows: BTreeMap<RowKey, Row>,
}

impl MemoryTables {
    /// A shard without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// All rows in key order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl FromIterator<Row> for MemoryTables {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        Self {
            rows: rows.into_iter().map(|row| (row.key(), row)).collect(),
        }
    }
}

impl Tables for MemoryTables {
    fn get(&self, key: &RowKey) -> Option<Row> {
        self.rows.get(key).cloned()
    }

    fn put(&mut self, row: Row) {
        self.rows.insert(row.key(), row);
    }

    fn delete(&mut self, key: &RowKey) {
        self.rows.remove(key);
    }

    fn scan(&self, from: &RowKey, to: &RowKey, limit: usize) -> Vec<Row> {
        if from >= to {
            return Vec::new();
        }
        self.rows
            .range(from..to)
            .take(limit)
            .map(|(_, row)| row.clone())
            .collect()
    }
}
