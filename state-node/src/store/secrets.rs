//! The rows that hold something sealed.

use std::ops::ControlFlow;

use device_state::Row;
use rocksdb::{Direction, IteratorMode, ReadOptions};

use crate::store::tables::Reader;
use crate::store::{ShardStore, keys};

impl ShardStore {
    /// Shows every row that holds something sealed to `visit`, until that is enough.
    pub fn visit_secrets(&self, mut visit: impl FnMut(&Row) -> ControlFlow<()>) {
        let database = self.database();
        let reader = Reader {
            database: &database,
            fail_stop: &self.fail_stop,
        };
        for table in keys::SEALED {
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            options.set_iterate_upper_bound([table + 1]);
            let from = [table];
            let mode = IteratorMode::From(&from, Direction::Forward);
            for pair in database.db.iterator_opt(mode, options) {
                let row = match pair {
                    Ok((key, bytes)) => reader.decode(&key, &bytes),
                    Err(error) => return reader.scan_failed(&error),
                };
                if row.is_some_and(|row| visit(&row).is_break()) {
                    return;
                }
            }
        }
    }
}
