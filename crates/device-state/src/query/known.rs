//! The names of all devices of which anything is known, in order.

use std::collections::VecDeque;

use lwm2m::Path;

use crate::index::{IndexEntry, Indexed};
use crate::name::{DeviceName, DevicePrefix};
use crate::range;
use crate::table::{Row, RowKey, Tables};

/// Rows that are read at once where a device has one of a kind.
const BATCH: usize = 64;

/// A kind of rows that say that a device is known.
#[derive(Clone, Debug)]
enum Kind {
    Registration,
    Metadata,
    DesiredGeneration,
    Bootstrap,
    Operation,
    Observation,
    LastValue,
    ChildValue,
    /// The devices with this value, by name.
    Index(Indexed, String),
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Registration,
        Self::Metadata,
        Self::DesiredGeneration,
        Self::Bootstrap,
        Self::Operation,
        Self::Observation,
        Self::LastValue,
        Self::ChildValue,
    ];

    /// The first key that a row of the device can have.
    fn first(&self, endpoint: DeviceName) -> RowKey {
        match self {
            Self::Registration => RowKey::Registration(endpoint),
            Self::Metadata => RowKey::Metadata(endpoint),
            Self::DesiredGeneration => RowKey::DesiredGeneration(endpoint),
            Self::Bootstrap => RowKey::Bootstrap(endpoint),
            Self::Operation => RowKey::Operation(endpoint, 0),
            Self::Observation => range::observations(&endpoint).0,
            Self::LastValue => RowKey::LastValue(endpoint, Path::Root),
            Self::ChildValue => range::child_values(&endpoint).0,
            Self::Index(attribute, value) => {
                RowKey::Index(attribute.clone(), value.clone(), endpoint)
            }
        }
    }

    /// A key that no row of the device sorts after.
    fn last(&self, endpoint: DeviceName) -> RowKey {
        match self {
            Self::Operation => range::operations(&endpoint).1,
            Self::Observation => range::observations(&endpoint).1,
            Self::LastValue => range::values(&endpoint).1,
            Self::ChildValue => range::child_values(&endpoint).1,
            Self::Registration
            | Self::Metadata
            | Self::DesiredGeneration
            | Self::Bootstrap
            | Self::Index(..) => self.first(endpoint),
        }
    }

    /// A device has many rows of some kinds: those are passed over, one device at a time.
    const fn batch(&self) -> usize {
        match self {
            Self::Operation | Self::Observation | Self::LastValue | Self::ChildValue => 1,
            Self::Registration
            | Self::Metadata
            | Self::DesiredGeneration
            | Self::Bootstrap
            | Self::Index(..) => BATCH,
        }
    }
}

fn endpoint_of(row: Row) -> Option<DeviceName> {
    Some(match row {
        Row::Registration(row) => row.endpoint,
        Row::Metadata(row) => row.endpoint,
        Row::DesiredGeneration { endpoint, .. } => endpoint,
        Row::Bootstrap(row) => row.endpoint,
        Row::Operation(row) => row.endpoint,
        Row::Observation(row) => row.endpoint,
        Row::LastValue(row) => row.endpoint,
        Row::ChildValue(row) => row.value.endpoint,
        Row::Index(IndexEntry { endpoint, .. }) => endpoint,
        _ => return None,
    })
}

/// Whether anything is known of a device.
pub fn is_known(tables: &dyn Tables, endpoint: &DeviceName) -> bool {
    Kind::ALL.iter().any(|kind| {
        let (from, to) = (kind.first(endpoint.clone()), kind.last(endpoint.clone()));
        tables.get(&from).is_some() || !tables.scan(&from, &to, 1).is_empty()
    })
}

/// Devices in the order of their names, from several kinds of rows.
pub(super) struct Names<'t> {
    tables: &'t dyn Tables,
    lanes: Vec<Lane>,
    /// No name after this one.
    last: DeviceName,
}

impl<'t> Names<'t> {
    /// All that are known of a prefix and are greater than `after`.
    pub(super) fn of_all(
        tables: &'t dyn Tables,
        prefix: &DevicePrefix,
        after: Option<&DeviceName>,
    ) -> Self {
        Self::of(tables, Kind::ALL.to_vec(), prefix, after)
    }

    /// Of these, those that have one of the values.
    pub(super) fn of_index(
        tables: &'t dyn Tables,
        values: &[(Indexed, String)],
        prefix: &DevicePrefix,
        after: Option<&DeviceName>,
    ) -> Self {
        let kinds = values
            .iter()
            .map(|(attribute, value)| Kind::Index(attribute.clone(), value.clone()));
        Self::of(tables, kinds.collect(), prefix, after)
    }

    fn of(
        tables: &'t dyn Tables,
        kinds: Vec<Kind>,
        prefix: &DevicePrefix,
        after: Option<&DeviceName>,
    ) -> Self {
        let first = prefix.first();
        let lane = |kind: Kind| {
            let next = match after {
                Some(after) if *after >= first => kind.last(after.clone()),
                _ => kind.first(first.clone()),
            };
            Lane {
                kind,
                next: Some(next),
                names: VecDeque::new(),
            }
        };
        let mut names = Self {
            tables,
            lanes: kinds.into_iter().map(lane).collect(),
            last: prefix.last(),
        };
        if let Some(after) = after {
            names.pass(after);
        }
        names
    }

    /// Forgets names up to `name`.
    fn pass(&mut self, name: &DeviceName) {
        for lane in &mut self.lanes {
            while let Some(found) = lane.peek(self.tables, &self.last)
                && found <= *name
            {
                lane.names.pop_front();
            }
        }
    }
}

impl Iterator for Names<'_> {
    type Item = DeviceName;

    fn next(&mut self) -> Option<DeviceName> {
        let least = self
            .lanes
            .iter_mut()
            .filter_map(|lane| lane.peek(self.tables, &self.last))
            .min()?;
        self.pass(&least);
        Some(least)
    }
}

/// The devices of one kind of rows.
struct Lane {
    kind: Kind,
    /// Where the next rows are read; `None` after the last.
    next: Option<RowKey>,
    names: VecDeque<DeviceName>,
}

impl Lane {
    fn peek(&mut self, tables: &dyn Tables, last: &DeviceName) -> Option<DeviceName> {
        while self.names.is_empty() {
            self.fill(tables, last)?;
        }
        self.names.front().cloned()
    }

    /// Reads some rows, which can be of a device that was had; `None` at the end.
    fn fill(&mut self, tables: &dyn Tables, last: &DeviceName) -> Option<()> {
        let from = self.next.take()?;
        let to = self.kind.last(last.clone());
        let batch = self.kind.batch();
        let rows = tables.scan(&from, &to, batch);
        if rows.len() < batch {
            self.names.extend(rows.into_iter().filter_map(endpoint_of));
            return Some(());
        }
        self.names.extend(rows.into_iter().filter_map(endpoint_of));
        // The scan goes on at the last row of this one at the earliest, so that every fill gets further.
        let newest = self.names.back()?.clone();
        self.next = Some(self.kind.last(newest));
        Some(())
    }
}
