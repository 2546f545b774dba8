//! One open RocksDB.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use device_state::ShardId;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, Options, WriteBatch, WriteBufferManager,
    WriteOptions,
};

use crate::corruption::Corruption;
use crate::fail_stop::FailStop;
use crate::store::{is_corruption, keys};

/// Memory that all shards of a node share.
#[derive(Clone)]
pub struct SharedOptions {
    cache: Cache,
    write_buffers: WriteBufferManager,
    shards: u16,
}

impl std::fmt::Debug for SharedOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SharedOptions")
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

impl SharedOptions {
    /// `cache_bytes` for blocks read, `write_buffer_bytes` for rows not flushed yet, both for the whole node.
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize, shards: u16) -> Self {
        Self {
            cache: Cache::new_lru_cache(cache_bytes),
            write_buffers: WriteBufferManager::new_write_buffer_manager(write_buffer_bytes, false),
            shards,
        }
    }

    fn rocksdb(&self) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // The cache is divided into 64 parts. A filter of a whole file has a megabyte or two: few of them fit into a part, and
        // what does not is read from the file, and its checksum computed, for every key that is looked for.
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_partition_filters(true);
        blocks.set_pin_top_level_index_and_filter(true);
        blocks.set_format_version(5);
        let mut options = Options::default();
        options.create_if_missing(true);
        // Damage is an error at once, when a database is opened, read, flushed or compacted, and stops all writes.
        options.set_paranoid_checks(true);
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_manager(&self.write_buffers);
        options.set_write_buffer_size(32 << 20);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        options.set_bottommost_compression_type(rocksdb::DBCompressionType::Zstd);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_max_open_files(512);
        options.set_keep_log_file_num(2);
        options.set_max_background_jobs(2);
        // Expiry, feed and dedup rows die at one end of their table: compact there before scans wade through tombstones.
        options.add_compact_on_deletion_collector_factory(1_024, 512, 0.5);
        options
    }
}

/// A RocksDB in its own folder, which goes when the database is replaced and nobody reads it any more.
pub struct Database {
    pub(super) db: DB,
    shard: ShardId,
    path: PathBuf,
    /// Which database of the shard this is; grows by one with each installed snapshot.
    pub(super) number: u64,
    replaced: AtomicBool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Database")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Database {
    pub(super) fn open(
        shard: ShardId,
        path: &Path,
        number: u64,
        options: &SharedOptions,
    ) -> Result<Self, rocksdb::Error> {
        let db = DB::open(&options.rocksdb(), path)?;
        // Most keys that a command looks for are not there: new sessions, requests that are no repetition. The binding has no
        // function for these, and the first memtable does without.
        db.set_options(&[
            ("memtable_whole_key_filtering", "true"),
            ("memtable_prefix_bloom_size_ratio", "0.05"),
        ])?;
        Ok(Self {
            db,
            shard,
            path: path.to_owned(),
            number,
            replaced: AtomicBool::new(false),
        })
    }

    pub(super) fn applied(&self) -> Result<Option<Vec<u8>>, rocksdb::Error> {
        self.db.get(keys::APPLIED)
    }

    pub(super) fn flush(&self) -> Result<(), rocksdb::Error> {
        self.db.flush()
    }

    /// Writes without RocksDB's own log: after a crash the Raft log is applied again from the last flush.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options)
    }

    /// Ends the node because the rows cannot be read: they are damaged, or the disk fails.
    pub(super) fn failed(&self, fail_stop: &FailStop, what: &str, error: &rocksdb::Error) {
        if is_corruption(error) {
            self.corrupt(fail_stop, what, error.to_string());
        } else {
            fail_stop.fatal(what, error);
        }
    }

    /// Ends the node because of rows that this database should not hold.
    pub(super) fn corrupt(&self, fail_stop: &FailStop, what: &str, reason: String) {
        let corruption = Corruption {
            shard: Some(self.shard.0),
            file: self.path.clone(),
            offset: None,
            reason,
        };
        fail_stop.corrupt(what, &corruption);
    }

    /// Lets the folder go with the last reader.
    pub(super) fn replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.replaced.load(Ordering::Acquire) {
            return;
        }
        // Files that RocksDB still has open stay readable until it closes, which is right after this.
        self.db.cancel_all_background_work(true);
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a replaced database stays until the next start");
        }
    }
}
