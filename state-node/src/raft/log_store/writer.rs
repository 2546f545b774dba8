//! The one thread that writes the log of every group.
//!
//! It takes whatever all groups have queued, writes it with one call and one `fdatasync`, and then tells everybody.
//! After a failed write or sync nothing is ever written again: the kernel may have dropped the dirty pages, so a later
//! "success" would prove nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use crate::fail_stop::FailStop;
use crate::raft::log_store::Shared;
use crate::raft::log_store::disk::{Disk, Segment};
use crate::raft::log_store::index::Place;
use crate::raft::log_store::record::{Encoder, SEGMENT_HEADER, segment_header};
use crate::raft::{Entry, LogId, TypeConfig, Vote};

/// One thing to write.
pub(in crate::raft) enum Request {
    Append {
        group: u16,
        entries: Vec<Entry>,
        done: IOFlushed<TypeConfig>,
    },
    Vote {
        group: u16,
        vote: Vote,
        done: oneshot::Sender<io::Result<()>>,
    },
    Truncate {
        group: u16,
        keep: Option<LogId>,
        done: oneshot::Sender<io::Result<()>>,
    },
    Purge {
        group: u16,
        upto: LogId,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Written with the next batch that has to be synced anyway: losing it costs a replay, nothing else.
    Committed { group: u16, upto: LogId },
    /// Writes what waits and ends the thread.
    Stop {
        done: oneshot::Sender<io::Result<()>>,
    },
}

/// Who waits for a batch.
enum Waiter {
    Append {
        group: u16,
        places: Vec<(LogId, Place)>,
        done: IOFlushed<TypeConfig>,
    },
    Call(oneshot::Sender<io::Result<()>>),
}

/// A segment takes no new batch beyond this size.
pub(super) const SEGMENT_BYTES: u32 = 64 << 20;
/// A batch is written when it has gathered this many bytes, even if more is queued.
const BATCH_BYTES: usize = 4 << 20;
/// Requests that one batch takes at most.
const BATCH_REQUESTS: usize = 1_024;

pub(in crate::raft) struct Writer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    fail_stop: FailStop,
    /// A segment takes no new batch beyond this size.
    segment_bytes: u32,
    segment: u32,
    file: Arc<dyn Segment>,
    /// Size of the current segment.
    end: u32,
    /// Committed marks that wait for a batch to go with.
    committed: BTreeMap<u16, LogId>,
    /// Set once a write failed; every later request fails with it.
    broken: Option<io::ErrorKind>,
}

impl Writer {
    /// Continues in the last segment, or starts the first one.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        fail_stop: FailStop,
        segment_bytes: u32,
    ) -> io::Result<Self> {
        let last = shared
            .segments()
            .last_key_value()
            .map(|(number, file)| (*number, file.clone()));
        let (segment, file) = match last {
            Some(last) => last,
            None => (0, create_segment(&*disk, &shared, 0)?),
        };
        let end = u32::try_from(file.size()?).map_err(io::Error::other)?;
        // Recovery may have read bytes that were written but not synced, in a segment that was made but whose name was
        // not, and may have removed one: make all of it durable before anyone acts on it.
        file.sync()?;
        disk.sync_names()?;
        let mut writer = Self {
            disk,
            shared,
            fail_stop,
            segment_bytes,
            segment,
            file,
            end,
            committed: BTreeMap::new(),
            broken: None,
        };
        // From now on damage to what recovery read is never taken for a torn end.
        let mut encoder = Encoder::new(end);
        encoder.batch();
        writer.sync(&encoder)?;
        Ok(writer)
    }

    /// Serves requests until the channel closes or a stop is asked for.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut batch = vec![first];
            let mut bytes = request_bytes(&batch[0]);
            while batch.len() < BATCH_REQUESTS && bytes < BATCH_BYTES {
                let Ok(next) = requests.try_recv() else { break };
                bytes += request_bytes(&next);
                batch.push(next);
            }
            if self.write(batch).is_stop() {
                return;
            }
        }
    }

    pub(in crate::raft) fn write(&mut self, batch: Vec<Request>) -> Next {
        let mut next = Next::Continue;
        let mut purged = false;
        let mut waiters = Vec::with_capacity(batch.len());
        let mut encoder = Encoder::new(self.end);
        encoder.batch();
        let mark = encoder.bytes().len();
        let mut encoded = Ok(());
        for request in batch {
            purged |= matches!(request, Request::Purge { .. });
            if matches!(request, Request::Stop { .. }) {
                next = Next::Stop;
            }
            if let Err(error) = self.encode(request, &mut encoder, &mut waiters) {
                encoded = Err(io::Error::other(error));
            }
        }
        if waiters.is_empty() {
            return next;
        }
        for (group, upto) in std::mem::take(&mut self.committed) {
            encoder.committed(group, &upto);
        }
        // The mark alone is written at a stop: then everything before it is known to be synced, the last batch as well.
        let result = if encoder.bytes().len() == mark && !next.is_stop() {
            Ok(())
        } else {
            encoded.and_then(|()| self.sync(&encoder))
        };
        self.tell(waiters, result);
        if purged && self.broken.is_none() {
            self.remove_unused_segments();
        }
        next
    }

    fn encode(
        &mut self,
        request: Request,
        encoder: &mut Encoder,
        waiters: &mut Vec<Waiter>,
    ) -> Result<(), postcard::Error> {
        match request {
            Request::Append {
                group,
                entries,
                done,
            } => {
                let mut places = Vec::with_capacity(entries.len());
                let mut result = Ok(());
                for entry in &entries {
                    match encoder.entry(group, entry) {
                        Ok(span) => places.push((
                            entry.log_id,
                            Place {
                                segment: self.segment,
                                span,
                            },
                        )),
                        Err(error) => result = Err(error),
                    }
                }
                waiters.push(Waiter::Append {
                    group,
                    places,
                    done,
                });
                return result;
            }
            Request::Vote { group, vote, done } => {
                encoder.vote(group, &vote);
                waiters.push(Waiter::Call(done));
            }
            Request::Truncate { group, keep, done } => {
                encoder.truncate(group, keep.as_ref());
                waiters.push(Waiter::Call(done));
            }
            Request::Purge { group, upto, done } => {
                encoder.purge(group, &upto);
                waiters.push(Waiter::Call(done));
            }
            Request::Committed { group, upto } => {
                self.committed.insert(group, upto);
            }
            Request::Stop { done } => waiters.push(Waiter::Call(done)),
        }
        Ok(())
    }

    fn sync(&mut self, encoder: &Encoder) -> io::Result<()> {
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        let written = self
            .file
            .append(encoder.bytes())
            .and_then(|()| self.file.sync());
        if let Err(error) = &written {
            self.broken = Some(error.kind());
            return written;
        }
        self.end = encoder.end();
        Ok(())
    }

    /// Answers everybody, then starts a new segment if this one is full.
    fn tell(&mut self, waiters: Vec<Waiter>, result: io::Result<()>) {
        let copy = || match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        for waiter in waiters {
            match waiter {
                Waiter::Append {
                    group,
                    places,
                    done,
                } => {
                    if result.is_ok() {
                        let mut log = self.shared.log(group);
                        for (id, place) in places {
                            log.written(id, place);
                        }
                    }
                    done.io_completed(copy());
                }
                // A caller that no longer waits needs no answer.
                Waiter::Call(done) => drop(done.send(copy())),
            }
        }
        let rotated = result.and_then(|()| {
            if self.end >= self.segment_bytes {
                self.rotate()
            } else {
                Ok(())
            }
        });
        if let Err(error) = rotated {
            self.broken = Some(error.kind());
            self.fail_stop.fatal("the log cannot be written", &error);
        }
    }

    /// Starts the next segment with a copy of what the older ones say about votes and marks, so that those can go.
    fn rotate(&mut self) -> io::Result<()> {
        let number = self.segment + 1;
        self.file = create_segment(&*self.disk, &self.shared, number)?;
        self.segment = number;
        self.end = SEGMENT_HEADER;
        let mut encoder = Encoder::new(self.end);
        encoder.batch();
        for group in 0..self.shared.groups() {
            let log = self.shared.log(group);
            if let Some(vote) = &log.vote {
                encoder.vote(group, vote);
            }
            if let Some(purged) = &log.purged {
                encoder.purge(group, purged);
            }
            if let Some(committed) = &log.committed {
                encoder.committed(group, committed);
            }
        }
        self.sync(&encoder)
    }

    /// Deletes the oldest segments for as long as no group has an entry in them. Only from the old end: a truncation
    /// must not vanish before the entries that it voids.
    fn remove_unused_segments(&mut self) {
        let needed = (0..self.shared.groups())
            .filter_map(|group| self.shared.log(group).oldest_segment())
            .min();
        let needed = needed.unwrap_or(self.segment).min(self.segment);
        let unused: Vec<u32> = self
            .shared
            .segments()
            .range(..needed)
            .map(|(number, _)| *number)
            .collect();
        for number in unused {
            self.shared.segments().remove(&number);
            if let Err(error) = self.disk.remove(number) {
                tracing::warn!(%error, segment = number, "an unused log segment stays");
                return;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::raft) enum Next {
    Continue,
    Stop,
}

impl Next {
    pub(in crate::raft) fn is_stop(self) -> bool {
        self == Self::Stop
    }
}

fn create_segment(disk: &dyn Disk, shared: &Shared, number: u32) -> io::Result<Arc<dyn Segment>> {
    let file = disk.create(number)?;
    file.append(&segment_header(number))?;
    file.sync()?;
    disk.sync_names()?;
    shared.segments().insert(number, file.clone());
    Ok(file)
}

fn request_bytes(request: &Request) -> usize {
    match request {
        Request::Append { entries, .. } => entries.iter().map(super::index::payload_bytes).sum(),
        _ => 64,
    }
}
