//! What a log has to be: the changes of each group in their order.

use std::collections::BTreeMap;
use std::{fmt, io};

use bytes::Bytes;
use futures::FutureExt;
use openraft::EntryPayload;
use openraft::storage::IOFlushed;
use openraft::type_config::TypeConfigExt;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;

use crate::raft::log_store::index::GroupLog;
use crate::raft::log_store::writer::Request;
use crate::raft::{Entry, LogData, LogId, TypeConfig, Vote, log_id};

/// The longest payload.
const PAYLOAD: usize = 400;

/// Something that a group asks the log for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Append(u16, Vec<Entry>),
    Vote(u16, Vote),
    Truncate(u16, Option<LogId>),
    Purge(u16, LogId),
    Committed(u16, LogId),
}

/// What is written whole or not at all, once the end of a torn batch is cut off.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Entry(u16, Entry),
    Vote(u16, Vote),
    Truncate(u16, Option<LogId>),
    Purge(u16, LogId),
}

/// The answer to a request, which has come when the batch is written.
pub(super) enum Answer {
    Call(oneshot::Receiver<io::Result<()>>),
    Append(Box<dyn FnOnce() -> bool>),
    None,
}

impl Answer {
    /// Whether it is good; `None` if there is none.
    pub(super) fn good(self) -> Option<bool> {
        match self {
            Self::Call(mut answer) => Some(matches!(answer.try_recv(), Ok(Ok(())))),
            Self::Append(answer) => Some(answer()),
            Self::None => None,
        }
    }
}

impl Change {
    pub(super) fn group(&self) -> u16 {
        match self {
            Self::Append(group, _)
            | Self::Vote(group, _)
            | Self::Truncate(group, _)
            | Self::Purge(group, _)
            | Self::Committed(group, _) => *group,
        }
    }

    /// What [`super::super::GroupLogStore`] does before it asks the writer.
    pub(super) fn note(&self, log: &mut GroupLog) {
        match self {
            Self::Append(_, entries) => {
                for entry in entries {
                    log.append(entry.clone()).unwrap();
                }
            }
            Self::Vote(_, vote) => log.vote = Some(*vote),
            Self::Truncate(_, keep) => log.truncate(*keep),
            Self::Purge(_, upto) => log.purge(*upto),
            Self::Committed(_, upto) => log.committed = Some(*upto),
        }
    }

    pub(super) fn request(&self) -> (Request, Answer) {
        let (done, answer) = oneshot::channel();
        let answer = Answer::Call(answer);
        match self.clone() {
            Self::Append(group, entries) => {
                let (done, answer) = TypeConfig::oneshot();
                let done = IOFlushed::signal(done);
                let answer = Answer::Append(Box::new(move || {
                    matches!(answer.now_or_never(), Some(Ok(Ok(()))))
                }));
                let request = Request::Append {
                    group,
                    entries,
                    done,
                };
                (request, answer)
            }
            Self::Vote(group, vote) => (Request::Vote { group, vote, done }, answer),
            Self::Truncate(group, keep) => (Request::Truncate { group, keep, done }, answer),
            Self::Purge(group, upto) => (Request::Purge { group, upto, done }, answer),
            Self::Committed(group, upto) => (Request::Committed { group, upto }, Answer::None),
        }
    }

    pub(super) fn records(&self) -> Vec<Record> {
        match self.clone() {
            Self::Append(group, entries) => {
                let record = |entry| Record::Entry(group, entry);
                entries.into_iter().map(record).collect()
            }
            Self::Vote(group, vote) => vec![Record::Vote(group, vote)],
            Self::Truncate(group, keep) => vec![Record::Truncate(group, keep)],
            Self::Purge(group, upto) => vec![Record::Purge(group, upto)],
            // Losing one costs a replay, nothing else.
            Self::Committed(..) => Vec::new(),
        }
    }
}

#[derive(Clone, Default, PartialEq)]
struct Group {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl fmt::Debug for Group {
    /// Of entries their log ids only: what they carry is long.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vote = self.vote.map(|vote| vote.to_string());
        let purged = self.purged.map(|purged| purged.to_string());
        write!(formatter, "vote {vote:?}, purged {purged:?}, entries")?;
        for entry in self.entries.values() {
            write!(formatter, " {}", entry.log_id)?;
        }
        Ok(())
    }
}

impl Group {
    fn next(&self) -> u64 {
        let last = self.entries.last_key_value().map(|(index, _)| *index);
        last.or_else(|| self.purged.map(|purged| purged.index))
            .map_or(0, |last| last + 1)
    }

    fn id(&self, index: u64) -> LogId {
        self.entries[&index].log_id
    }
}

/// The log of every group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    groups: Vec<Group>,
}

impl Model {
    pub(super) fn new(groups: u16) -> Self {
        Self {
            groups: vec![Group::default(); usize::from(groups)],
        }
    }

    pub(super) fn set(
        &mut self,
        group: u16,
        vote: Option<Vote>,
        purged: Option<LogId>,
        entries: impl Iterator<Item = Entry>,
    ) {
        self.groups[usize::from(group)] = Group {
            vote,
            purged,
            entries: entries.map(|entry| (entry.log_id.index, entry)).collect(),
        };
    }

    pub(super) fn apply_all(&mut self, batch: &[Change]) {
        for record in batch.iter().flat_map(Change::records) {
            self.apply(&record);
        }
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Entry(group, entry) => {
                let entries = &mut self.groups[usize::from(*group)].entries;
                entries.insert(entry.log_id.index, entry.clone());
            }
            Record::Vote(group, vote) => self.groups[usize::from(*group)].vote = Some(*vote),
            Record::Truncate(group, keep) => {
                let entries = &mut self.groups[usize::from(*group)].entries;
                entries.retain(|index, _| keep.is_some_and(|keep| *index <= keep.index));
            }
            Record::Purge(group, upto) => {
                let group = &mut self.groups[usize::from(*group)];
                group.entries.retain(|index, _| *index > upto.index);
                group.purged = Some(*upto);
            }
        }
    }

    /// What groups ask for at the same time, such as Raft would.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<Change> {
        let mut after = self.clone();
        let mut batch = Vec::new();
        for _ in 0..rng.random_range(1..=4) {
            let number = rng.random_range(0..self.groups.len() as u16);
            let change = after.draw_one(number, rng);
            after.apply_all(std::slice::from_ref(&change));
            batch.push(change);
        }
        // A mark is written with what has to be synced anyway.
        if batch
            .iter()
            .all(|change| matches!(change, Change::Committed(..)))
        {
            batch.push(Change::Vote(0, after.vote(0, rng)));
        }
        batch
    }

    fn draw_one(&self, number: u16, rng: &mut ChaCha8Rng) -> Change {
        let group = &self.groups[usize::from(number)];
        let first_and_last = group
            .entries
            .first_key_value()
            .zip(group.entries.last_key_value());
        let any = first_and_last.map(|((first, _), (last, _))| rng.random_range(*first..=*last));
        match (rng.random_range(0..10), any) {
            (0, _) => Change::Vote(number, self.vote(number, rng)),
            (1, Some(index)) => Change::Truncate(number, self.before(number, index)),
            (2, Some(index)) => Change::Purge(number, group.id(index)),
            (3, Some(index)) => Change::Committed(number, group.id(index)),
            _ => Change::Append(number, self.entries(number, rng)),
        }
    }

    fn before(&self, number: u16, index: u64) -> Option<LogId> {
        let group = &self.groups[usize::from(number)];
        let before = group.entries.range(..index).next_back();
        before.map(|(_, entry)| entry.log_id).or(group.purged)
    }

    fn vote(&self, number: u16, rng: &mut ChaCha8Rng) -> Vote {
        let before = self.groups[usize::from(number)].vote;
        let term = before.map_or(0, |vote| vote.leader_id.term);
        Vote::new(term + rng.random_range(1..3), rng.random_range(1..4))
    }

    fn entries(&self, number: u16, rng: &mut ChaCha8Rng) -> Vec<Entry> {
        let next = self.groups[usize::from(number)].next();
        let term = rng.random_range(1..1_000);
        let count = rng.random_range(1..=4);
        let entry = |index| {
            let length = rng.random_range(0..PAYLOAD);
            let data: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            Entry {
                log_id: log_id(term, index),
                payload: EntryPayload::Normal(LogData(Bytes::from(data))),
            }
        };
        (next..next + count).map(entry).collect()
    }
}
