//! A hash over all rows of a shard, by which replicas are compared.

use std::hash::Hasher;
use std::ops::ControlFlow;

use rocksdb::{IteratorMode, ReadOptions};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::store::{ShardStore, StoreError, keys};

/// Bytes of rows after which the reader is asked how to go on.
const STEP: usize = 256 << 10;
/// Bytes that are read ahead of the hash.
const READ_AHEAD: usize = 1 << 20;
/// Nothing secret: all replicas need the same. Never change it while replicas of several versions are compared.
const KEYS: (u64, u64) = (0x6472_6f76_6572_2e72, 0x6f77_732e_6861_7368);

/// Of equal rows equal, of others practically never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowsHash(pub [u8; 16]);

impl ShardStore {
    /// Hashes all rows as they are now, without the position that they stand at: keys and values in order, each with
    /// its length, so that one cannot pass for the end of another. `begun` is called once later changes no longer count;
    /// `pace` now and then with the number of bytes read, and can end it early, without a hash.
    pub fn hash_rows(
        &self,
        begun: impl FnOnce(),
        mut pace: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<RowsHash>, StoreError> {
        let database = self.database();
        let snapshot = database.db.snapshot();
        begun();
        let mut options = ReadOptions::default();
        // Rows that nobody asked for must not push out those that somebody did.
        options.fill_cache(false);
        options.set_readahead_size(READ_AHEAD);
        let mut hasher = SipHasher13::new_with_keys(KEYS.0, KEYS.1);
        let mut gathered = 0;
        for pair in snapshot.iterator_opt(IteratorMode::Start, options) {
            let (key, value) = pair?;
            if &*key == keys::APPLIED {
                continue;
            }
            for part in [&key, &value] {
                hasher.write(&(part.len() as u64).to_le_bytes());
                hasher.write(part);
                gathered += part.len();
            }
            if gathered >= STEP && pace(std::mem::take(&mut gathered)).is_break() {
                return Ok(None);
            }
        }
        let hash = u128::from(hasher.finish128());
        Ok(Some(RowsHash(hash.to_le_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use device_state::DeviceName;
    use device_state::{Row, RowKey, ShardId, Tables};

    use super::*;
    use crate::fail_stop::FailStop;
    use crate::store::database::SharedOptions;

    fn store(dir: &std::path::Path) -> ShardStore {
        let hook = FailStop::hooked(|what| panic!("{what}"));
        let options = SharedOptions::new(1 << 20, 1 << 20, 1);
        ShardStore::open(ShardId(0), dir, options, hook).expect("opened")
    }

    fn endpoint(number: u64) -> DeviceName {
        DeviceName::parse(&format!("meter-{number:04}")).expect("a valid name")
    }

    fn put(store: &ShardStore, numbers: impl IntoIterator<Item = u64>, position: &[u8]) {
        let mut changes = store.write();
        for number in numbers {
            changes.put(Row::DesiredGeneration {
                endpoint: endpoint(number),
                generation: number,
            });
        }
        store.commit(changes, position).expect("committed");
    }

    fn hash(store: &ShardStore) -> RowsHash {
        let hashed = store.hash_rows(|| {}, |_| ControlFlow::Continue(()));
        hashed.expect("readable").expect("to the end")
    }

    #[test]
    fn the_same_rows_have_the_same_hash_however_they_came_to_be() {
        let (first, second) = (tempfile::tempdir(), tempfile::tempdir());
        let (first, second) = (first.expect("a folder"), second.expect("a folder"));
        let (one, two) = (store(first.path()), store(second.path()));
        put(&one, 0..500, b"position");
        put(&two, (0..300).rev(), b"position");
        two.flush().expect("flushed");
        put(&two, [9_999], b"position");
        put(&two, 300..500, b"position");
        let mut changes = two.write();
        changes.delete(&RowKey::DesiredGeneration(endpoint(9_999)));
        two.commit(changes, b"another position").expect("committed");
        assert_eq!(hash(&one), hash(&two));

        let mut changes = two.write();
        changes.put(Row::DesiredGeneration {
            endpoint: endpoint(17),
            generation: 18,
        });
        two.commit(changes, b"position").expect("committed");
        assert_ne!(hash(&one), hash(&two));
        let empty = tempfile::tempdir().expect("a folder");
        assert_ne!(hash(&one), hash(&store(empty.path())));
    }

    #[test]
    fn later_changes_do_not_count_and_it_can_be_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(dir.path());
        put(&store, 0..500, b"position");
        let before = hash(&store);
        let later = || put(&store, 500..600, b"position");
        let hashed = store.hash_rows(later, |_| ControlFlow::Continue(()));
        assert_eq!(hashed.expect("readable"), Some(before));
        put(&store, 0..20_000, b"position");
        let ended = store.hash_rows(|| {}, |_| ControlFlow::Break(()));
        assert_eq!(ended.expect("readable"), None);
    }
}
