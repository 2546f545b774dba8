//! Which events a watcher wants.

use std::borrow::Cow;
use std::collections::BTreeSet;

use lwm2m::Path;

use super::{Event, FeedEntry};
use crate::name::{DeviceName, DevicePrefix};

/// The kinds that a watcher can ask for. Their numbers are part of resume tokens and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    Registered = 1,
    Updated = 2,
    Deregistered = 3,
    Expired = 4,
    ValuesReported = 5,
    OperationFinished = 6,
    DesiredChanged = 7,
    DesiredRemoved = 8,
    Bootstrapped = 9,
    LabelsChanged = 10,
    Deleted = 11,
    CampaignMoved = 12,
}

impl Event {
    /// The kind that it is of.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Registered { .. } => EventKind::Registered,
            Self::Updated { .. } => EventKind::Updated,
            Self::Deregistered { .. } => EventKind::Deregistered,
            Self::Expired { .. } => EventKind::Expired,
            Self::ValuesReported { .. } => EventKind::ValuesReported,
            Self::OperationFinished { .. } => EventKind::OperationFinished,
            Self::DesiredChanged { state: Some(_), .. } => EventKind::DesiredChanged,
            Self::DesiredChanged { state: None, .. } => EventKind::DesiredRemoved,
            Self::Bootstrapped { .. } => EventKind::Bootstrapped,
            Self::MetadataChanged { .. } => EventKind::LabelsChanged,
            Self::Forgotten => EventKind::Deleted,
            Self::CampaignMoved { .. } => EventKind::CampaignMoved,
        }
    }
}

/// Which devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Those of a namespace whose endpoint names begin with this.
    Prefix(DevicePrefix),
    Named(DeviceName),
}

/// What a watcher wants of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    pub devices: Devices,
    /// Empty: every kind.
    pub kinds: BTreeSet<EventKind>,
    /// What values and desired resources have to be at or below of; empty: anything. Events of other kinds are about no
    /// path, and come.
    pub paths: Vec<Path>,
}

impl EventFilter {
    /// Most paths of a filter.
    pub const MAX_PATHS: usize = 64;

    /// Of these devices everything.
    pub const fn everything_of(devices: Devices) -> Self {
        Self {
            devices,
            kinds: BTreeSet::new(),
            paths: Vec::new(),
        }
    }

    /// Whether it is about the device.
    pub fn covers(&self, endpoint: &DeviceName) -> bool {
        match &self.devices {
            Devices::Prefix(prefix) => prefix.covers(endpoint),
            Devices::Named(name) => name == endpoint,
        }
    }

    /// Whether events of the kind are wanted.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether what is known at the path is wanted.
    pub fn wants_path(&self, path: Path) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|wanted| path.starts_with(*wanted))
    }

    /// What is wanted of an entry: all of it, the part that lies at the paths, or nothing.
    pub fn select<'e>(&self, entry: &'e FeedEntry) -> Option<Cow<'e, FeedEntry>> {
        if !self.covers(&entry.endpoint) || !self.wants(entry.event.kind()) {
            return None;
        }
        match &entry.event {
            Event::DesiredChanged { path, .. } if !self.wants_path(*path) => None,
            Event::ValuesReported {
                child,
                origin,
                values,
            } if !self.paths.is_empty() => {
                let wanted = values.iter().filter(|(path, ..)| self.wants_path(*path));
                match wanted.clone().count() {
                    0 => None,
                    all if all == values.len() => Some(Cow::Borrowed(entry)),
                    _ => Some(Cow::Owned(FeedEntry {
                        endpoint: entry.endpoint.clone(),
                        event: Event::ValuesReported {
                            child: child.clone(),
                            origin: *origin,
                            values: wanted.cloned().collect(),
                        },
                        ..*entry
                    })),
                }
            }
            _ => Some(Cow::Borrowed(entry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Revision, Timestamp};
    use crate::name::Namespace;
    use crate::record::ValueOrigin;
    use lwm2m::Value;

    fn values(paths: &[&str]) -> FeedEntry {
        let value = |path: &&str| {
            let path = path.parse().expect("a path");
            (path, Value::Integer(1), Timestamp(0))
        };
        FeedEntry {
            revision: Revision(1),
            index: 0,
            at: Timestamp(0),
            endpoint: DeviceName::parse("meter-1").expect("a name"),
            event: Event::ValuesReported {
                child: None,
                origin: ValueOrigin::Send,
                values: paths.iter().map(value).collect(),
            },
        }
    }

    fn filter(prefix: &str, kinds: &[EventKind], paths: &[&str]) -> EventFilter {
        EventFilter {
            devices: Devices::Prefix(DevicePrefix::new(&Namespace::default(), prefix)),
            kinds: kinds.iter().copied().collect(),
            paths: paths
                .iter()
                .map(|path| path.parse().expect("a path"))
                .collect(),
        }
    }

    #[test]
    fn an_empty_filter_takes_everything_as_it_is() {
        let entry = values(&["/3303/0/5700", "/3/0/9"]);
        let taken = filter("", &[], &[]).select(&entry);
        assert!(matches!(taken, Some(Cow::Borrowed(_))));
    }

    #[test]
    fn of_values_only_those_at_the_paths_come() {
        let entry = values(&["/3303/0/5700", "/3/0/9"]);
        let taken = filter("meter-", &[], &["/3303"]).select(&entry);
        assert_eq!(taken.as_deref(), Some(&values(&["/3303/0/5700"])));
        assert_eq!(filter("", &[], &["/4"]).select(&entry), None);
        // /33 is no part of /3303.
        assert_eq!(filter("", &[], &["/33"]).select(&entry), None);
    }

    #[test]
    fn other_devices_and_kinds_stay_away() {
        let entry = values(&["/3/0/9"]);
        assert_eq!(filter("pump-", &[], &[]).select(&entry), None);
        let ends = [EventKind::Deregistered, EventKind::Expired];
        assert_eq!(filter("", &ends, &[]).select(&entry), None);
        let named = DeviceName::parse("meter-10").expect("a name");
        let named = EventFilter::everything_of(Devices::Named(named));
        assert_eq!(named.select(&entry), None);
    }
}
