//! Where a watcher is in the feed of a shard, and what comes next there.

use std::sync::Arc;

use device_state::query::{self, DeviceView, FeedPosition};
use device_state::{DeviceName, EventFilter, Revision};
use tokio::sync::watch;

use crate::raft::group::Group;
use crate::shared_feed::{self, PAGE, SharedEntry, SharedPage};

/// Devices that are read at a time, with their values.
const DEVICES: usize = 64;

/// How far a watcher has come in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Everything up to here was sent, of the devices that have come.
    pub position: FeedPosition,
    pub listed: Listed,
}

/// Which devices of a shard have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// All, or the watcher did not ask for them.
    All,
    Nothing,
    /// Those up to this name.
    UpTo(DeviceName),
}

impl Spot {
    /// Whether events of the device are for the watcher: those of one that has not come yet are in how it will come.
    pub(super) fn has_come(&self, endpoint: &DeviceName) -> bool {
        match &self.listed {
            Listed::All => true,
            Listed::Nothing => false,
            Listed::UpTo(last) => endpoint <= last,
        }
    }
}

/// A watcher's place in a shard.
#[derive(Debug)]
pub struct Place {
    group: Arc<Group>,
    pub(super) spot: Spot,
    moved: watch::Receiver<Revision>,
}

/// What comes next. The entries come first: the devices are as they were right after them.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Arc<SharedEntry>>,
    pub(super) devices: Option<DevicePage>,
}

impl Page {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.devices.is_none()
    }
}

#[derive(Debug)]
pub(super) struct DevicePage {
    pub(super) views: Vec<DeviceView>,
    pub(super) rest: Rest,
}

/// Whether there may be further devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Some,
    Nothing,
}

/// Events after the place are gone.
#[derive(Debug)]
pub(super) struct Compacted;

impl Place {
    /// A place in a group's feed.
    pub fn new(group: Arc<Group>, spot: Spot) -> Self {
        let moved = group.events().feed();
        Self { group, spot, moved }
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Nothing was missed up to now.
    pub(super) fn seen(&mut self) {
        self.moved.mark_unchanged();
    }

    /// Waits until the feed has something new.
    pub(super) async fn moved(&mut self) {
        // The sender lives as long as the group does.
        drop(self.moved.changed().await);
    }

    /// What the feed has next.
    pub(super) fn read(&self) -> Result<Page, Compacted> {
        match self.group.feed().read(self.spot.position) {
            SharedPage::Compacted { .. } => Err(Compacted),
            SharedPage::Entries(entries) => Ok(Page {
                entries,
                devices: None,
            }),
        }
    }

    /// What the feed has next, and if that is all, the next devices as of the same moment.
    pub(super) fn list(&mut self, filter: &EventFilter) -> Result<Page, Compacted> {
        let after = match &self.spot.listed {
            Listed::All => return self.read(),
            Listed::Nothing => {
                // Nobody was promised anything before this. It is read before the rows are, which may be newer.
                let now = self.group.events().revision();
                self.spot.position = FeedPosition::after(now);
                None
            }
            Listed::UpTo(name) => Some(name.clone()),
        };
        let position = self.spot.position;
        self.group.store().read(|tables| {
            let entries = match shared_feed::page(tables, position) {
                SharedPage::Compacted { .. } => return Err(Compacted),
                SharedPage::Entries(entries) => entries,
            };
            let is_all = entries.len() < PAGE;
            let devices = is_all.then(|| {
                let views = query::list_present(tables, after.as_ref(), filter, DEVICES);
                let rest = match views.len() {
                    DEVICES => Rest::Some,
                    _ => Rest::Nothing,
                };
                DevicePage { views, rest }
            });
            Ok(Page { entries, devices })
        })
    }
}
