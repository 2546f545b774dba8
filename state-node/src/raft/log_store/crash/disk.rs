//! A disk in memory that knows what of it is durable.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::raft::log_store::disk::{Disk, Segment};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::raft) enum End {
    /// Of the process: the kernel keeps what it was given.
    Kill,
    /// What was not synced is there in parts.
    PowerLoss,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

impl File {
    /// What is left of it: what was synced, and of what was appended since some part, of which a sector may never have
    /// been written. A cut that was not synced is done or not.
    fn after_power_loss(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let synced = self.durable.len();
        if !self.bytes.starts_with(&self.durable) {
            let kept = if rng.random() {
                &self.bytes
            } else {
                &self.durable
            };
            return kept.clone();
        }
        let length = rng.random_range(synced..=self.bytes.len());
        let mut left = self.bytes[..length].to_vec();
        if length > synced && rng.random_ratio(1, 3) {
            let at = rng.random_range(synced..length) / SECTOR * SECTOR;
            let end = (at + SECTOR).min(length);
            left[at.max(synced)..end].fill(0);
        }
        left
    }
}

/// A change of the folder that is not durable yet. They become so in their order, as with every file system that keeps a
/// journal.
#[derive(Clone, Debug)]
enum NameChange {
    Made(u32),
    Removed(u32, File),
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u32, File>,
    unsynced: Vec<NameChange>,
    operations: u64,
    /// Operations that are left until one goes wrong, and every later one.
    left: Option<u64>,
}

/// What becomes of an operation.
enum Fate {
    Done,
    /// It may be done, or a part of it, and is told to have failed.
    Struck,
    Refused,
}

impl State {
    fn fate(&mut self) -> Fate {
        self.operations += 1;
        let Some(left) = &mut self.left else {
            return Fate::Done;
        };
        match *left {
            0 => Fate::Refused,
            1 => {
                *left = 0;
                Fate::Struck
            }
            _ => {
                *left -= 1;
                Fate::Done
            }
        }
    }

    /// Whether an operation that is struck is done all the same: every other one.
    fn done_though_struck(&self) -> bool {
        self.operations.is_multiple_of(2)
    }

    fn file(&mut self, number: u32) -> io::Result<&mut File> {
        self.files
            .get_mut(&number)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[derive(Clone, Debug, Default)]
pub(in crate::raft) struct StruckDisk(Arc<Mutex<State>>);

impl StruckDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The `count`-th operation from now goes wrong, and so does every later one.
    pub(in crate::raft) fn strike_in(&self, count: u64) {
        self.state().left = Some(count);
    }

    /// How many operations there were.
    pub(in crate::raft) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// A life ends; the next one finds what this leaves.
    pub(in crate::raft) fn end(&self, end: End, rng: &mut ChaCha8Rng) {
        let mut state = self.state();
        state.left = None;
        if end == End::Kill {
            return;
        }
        let durable = rng.random_range(0..=state.unsynced.len());
        for change in state.unsynced.split_off(durable).into_iter().rev() {
            match change {
                NameChange::Made(number) => drop(state.files.remove(&number)),
                NameChange::Removed(number, file) => drop(state.files.insert(number, file)),
            }
        }
        state.unsynced.clear();
        for file in state.files.values_mut() {
            file.bytes = file.after_power_loss(rng);
            file.durable.clone_from(&file.bytes);
        }
    }

    /// Does something that changes the disk, unless it is struck.
    fn operate(&self, act: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state();
        match state.fate() {
            Fate::Done => act(&mut state),
            Fate::Struck => {
                if state.done_though_struck() {
                    act(&mut state)?;
                }
                Err(io::Error::other("struck"))
            }
            Fate::Refused => Err(io::Error::other("struck before")),
        }
    }
}

impl Disk for StruckDisk {
    fn numbers(&self) -> io::Result<Vec<u32>> {
        Ok(self.state().files.keys().copied().collect())
    }

    fn create(&self, number: u32) -> io::Result<Arc<dyn Segment>> {
        self.operate(|state| {
            if state.files.contains_key(&number) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.insert(number, File::default());
            state.unsynced.push(NameChange::Made(number));
            Ok(())
        })?;
        self.open(number)
    }

    fn open(&self, number: u32) -> io::Result<Arc<dyn Segment>> {
        self.state().file(number)?;
        Ok(Arc::new(StruckSegment {
            disk: self.clone(),
            number,
        }))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        self.operate(|state| {
            let file = state.files.remove(&number).ok_or(io::ErrorKind::NotFound)?;
            state.unsynced.push(NameChange::Removed(number, file));
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.operate(|state| {
            state.unsynced.clear();
            Ok(())
        })
    }

    fn path(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{number}"))
    }
}

#[derive(Debug)]
struct StruckSegment {
    disk: StruckDisk,
    number: u32,
}

impl StruckSegment {
    fn operate(&self, act: impl FnOnce(&mut File)) -> io::Result<()> {
        self.disk.operate(|state| {
            act(state.file(self.number)?);
            Ok(())
        })
    }
}

impl Segment for StruckSegment {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().file(self.number)?.bytes.len() as u64)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fate = state.fate();
        // Of an append that is struck a beginning is written.
        let written = match fate {
            Fate::Done => bytes.len(),
            Fate::Struck => (state.operations as usize * 97) % (bytes.len() + 1),
            Fate::Refused => 0,
        };
        let file = state.file(self.number)?;
        file.bytes.extend_from_slice(&bytes[..written]);
        match fate {
            Fate::Done => Ok(()),
            Fate::Struck | Fate::Refused => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.operate(|file| file.durable.clone_from(&file.bytes))
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.operate(|file| file.bytes.truncate(size as usize))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let file = state.file(self.number)?;
        let end = offset as usize + buffer.len();
        let bytes = file.bytes.get(offset as usize..end);
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
