//! What a node keeps in memory of one group's log: where each entry lies, and the newest entries themselves.

use std::collections::VecDeque;
use std::ops::Range;

use crate::raft::log_store::record::Span;
use crate::raft::{Entry, LogId, Vote, log_id};

/// Where an entry's payload lies on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: u32,
    pub span: Span,
}

/// One entry: its term, and its place once it is written. 24 bytes, because a log holds hundreds of thousands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub term: u64,
    segment: u32,
    offset: u32,
    len: u32,
}

/// Segment number of a slot that is not written yet.
const UNWRITTEN: u32 = u32::MAX;

impl Slot {
    /// Where the payload lies; `None` until it is written.
    pub(crate) fn place(&self) -> Option<Place> {
        let span = Span {
            offset: self.offset,
            len: self.len,
        };
        (self.segment != UNWRITTEN).then_some(Place {
            segment: self.segment,
            span,
        })
    }
}

/// An entry that a reader wants: at hand, or to be fetched from a segment.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Cached(Entry),
    OnDisk(LogId, Place),
}

/// The log of one group as this node knows it.
#[derive(Debug, Default)]
pub(crate) struct GroupLog {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    /// Index of the first slot; meaningless without slots.
    first: u64,
    slots: VecDeque<Slot>,
    /// The entries of the last `cache.len()` slots.
    cache: VecDeque<Entry>,
    cache_bytes: usize,
}

impl GroupLog {
    /// Older written entries leave the cache beyond this many payload bytes.
    const MAX_CACHE_BYTES: usize = 16 << 20;

    /// The last entry, or what was purged if there is none.
    pub(crate) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(log_id(slot.term, self.end() - 1)),
            None => self.purged,
        }
    }

    /// One past the index of the last slot.
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Index and place of the first entry, if there is one and it is written.
    pub(crate) fn first_entry(&self) -> Option<(u64, Place)> {
        let place = self.slots.front().and_then(Slot::place);
        place.map(|place| (self.first, place))
    }

    /// The segment that holds the oldest entry; `None` without written entries.
    pub(crate) fn oldest_segment(&self) -> Option<u32> {
        self.slots
            .front()
            .and_then(Slot::place)
            .map(|place| place.segment)
    }

    /// Adds an entry that is about to be written. `Err` names the index that had to come.
    pub(crate) fn append(&mut self, entry: Entry) -> Result<(), u64> {
        self.push_slot(entry.log_id, None)?;
        self.cache_bytes += payload_bytes(&entry);
        self.cache.push_back(entry);
        Ok(())
    }

    /// Adds an entry that was found on the disk. `Err` names the index that had to come.
    pub(crate) fn recover(&mut self, id: LogId, place: Place) -> Result<(), u64> {
        self.push_slot(id, Some(place))
    }

    fn push_slot(&mut self, id: LogId, place: Option<Place>) -> Result<(), u64> {
        if self.slots.is_empty() {
            self.first = id.index;
        } else if id.index != self.end() {
            return Err(self.end());
        }
        let slot = match place {
            Some(place) => Slot {
                term: id.leader_id.term,
                segment: place.segment,
                offset: place.span.offset,
                len: place.span.len,
            },
            None => Slot {
                term: id.leader_id.term,
                segment: UNWRITTEN,
                offset: 0,
                len: 0,
            },
        };
        self.slots.push_back(slot);
        Ok(())
    }

    /// Notes where an appended entry was written. An entry that was truncated meanwhile is ignored.
    pub(crate) fn written(&mut self, id: LogId, place: Place) {
        let slot = id
            .index
            .checked_sub(self.first)
            .and_then(|at| self.slots.get_mut(at as usize));
        if let Some(slot) = slot
            && slot.term == id.leader_id.term
        {
            slot.segment = place.segment;
            slot.offset = place.span.offset;
            slot.len = place.span.len;
        }
        self.shrink_cache();
    }

    fn shrink_cache(&mut self) {
        while self.cache_bytes > Self::MAX_CACHE_BYTES {
            let oldest = self.slots.len() - self.cache.len();
            if self.slots.get(oldest).and_then(Slot::place).is_none() {
                return;
            }
            if let Some(entry) = self.cache.pop_front() {
                self.cache_bytes -= payload_bytes(&entry);
            }
        }
    }

    /// Drops every entry after `keep`.
    pub(crate) fn truncate(&mut self, keep: Option<LogId>) {
        let end = keep
            .map_or(self.first, |keep| keep.index.saturating_add(1))
            .max(self.first);
        while self.end() > end && self.slots.pop_back().is_some() {
            if let Some(entry) = self.cache.pop_back() {
                self.cache_bytes -= payload_bytes(&entry);
            }
        }
    }

    /// Drops every entry up to `upto`.
    pub(crate) fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        while self.first <= upto.index && self.slots.pop_front().is_some() {
            self.first += 1;
            if self.cache.len() > self.slots.len()
                && let Some(entry) = self.cache.pop_front()
            {
                self.cache_bytes -= payload_bytes(&entry);
            }
        }
        self.purged = Some(upto);
    }

    /// The entries of `range` that exist, in order; ends early when more than `max_bytes` are gathered.
    pub(crate) fn find(&self, range: Range<u64>, max_bytes: usize) -> Vec<Found> {
        let start = range.start.max(self.first);
        let end = range.end.min(self.end());
        let cached_from = self.end() - self.cache.len() as u64;
        let mut found = Vec::with_capacity(end.saturating_sub(start).min(4_096) as usize);
        let mut bytes = 0;
        for index in start..end {
            let Some(slot) = self.slots.get((index - self.first) as usize) else {
                break;
            };
            let cached = index
                .checked_sub(cached_from)
                .and_then(|at| self.cache.get(at as usize));
            match (cached, slot.place()) {
                (Some(entry), _) => {
                    bytes += payload_bytes(entry);
                    found.push(Found::Cached(entry.clone()));
                }
                (None, Some(place)) => {
                    bytes += place.span.len as usize;
                    found.push(Found::OnDisk(log_id(slot.term, index), place));
                }
                // Unwritten entries are always in the cache.
                (None, None) => break,
            }
            if bytes >= max_bytes {
                break;
            }
        }
        found
    }
}

/// The size that an entry counts with: its payload and what surrounds it.
pub(crate) fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        openraft::EntryPayload::Normal(data) => data.0.len() + 64,
        openraft::EntryPayload::Blank => 64,
        openraft::EntryPayload::Membership(_) => 1_024,
    }
}
