//! A shard as `apply` keeps it, device by device.

use campaign::ShardView;
use device_state::ShardId;
use device_state::campaign::Tally;

/// How a device ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Expired,
    Skipped,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Waiting { lane: Option<u8> },
    Active { wave: u8 },
    Ended { wave: Option<u8>, outcome: Outcome },
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) devices: Vec<Device>,
    pub(crate) enrolled: bool,
    pub(crate) halted: bool,
    waves: usize,
    /// All that a planner may still hold for true, the newest last.
    views: Vec<ShardView>,
}

impl Shard {
    pub(crate) fn new(id: u16, waves: usize, lanes: &[Option<u8>]) -> Self {
        let waiting = |lane: &Option<u8>| Device::Waiting { lane: *lane };
        let mut shard = Self {
            id: ShardId(id),
            devices: lanes.iter().map(waiting).collect(),
            enrolled: false,
            halted: false,
            waves,
            views: Vec::new(),
        };
        shard.look();
        shard
    }

    pub(crate) fn view(&self, age: usize) -> ShardView {
        self.views[self.views.len().saturating_sub(age + 1)].clone()
    }

    /// Remembers how it is now.
    pub(crate) fn look(&mut self) {
        let mut view = ShardView {
            shard: self.id,
            enrolled: self.enrolled,
            halted: self.halted,
            waves: vec![Tally::default(); self.waves],
            common: Tally::default(),
            reach: None,
        };
        for device in self.devices.iter().filter(|_| self.enrolled) {
            let (Device::Waiting { lane: wave } | Device::Ended { wave, .. }) = *device else {
                let Device::Active { wave } = *device else {
                    continue;
                };
                view.waves[usize::from(wave)].updating += 1;
                continue;
            };
            let tally = match wave {
                Some(wave) => &mut view.waves[usize::from(wave)],
                None => &mut view.common,
            };
            *count(tally, *device) += 1;
        }
        if self.views.last() != Some(&view) {
            self.views.push(view);
        }
    }

    /// Admits devices until so many were.
    pub(crate) fn admit(&mut self, wave: u8, until: u64, lane: impl Fn(Option<u8>) -> bool) {
        if self.halted {
            return;
        }
        for index in 0..self.devices.len() {
            if self.admitted(wave) >= until {
                break;
            }
            if matches!(self.devices[index], Device::Waiting { lane: own } if lane(own)) {
                self.devices[index] = Device::Active { wave };
            }
        }
        self.look();
    }

    /// Nobody begins any more; of those on their way, some can be taken back.
    pub(crate) fn halt(&mut self) {
        self.halted = true;
        for (index, device) in self.devices.iter_mut().enumerate() {
            let outcome = Outcome::Cancelled;
            *device = match *device {
                Device::Waiting { .. } => Device::Ended {
                    wave: None,
                    outcome,
                },
                Device::Active { wave } if index % 2 == 0 => {
                    let wave = Some(wave);
                    Device::Ended { wave, outcome }
                }
                other => other,
            };
        }
        self.look();
    }

    pub(crate) fn admitted(&self, wave: u8) -> u64 {
        let is_of = |device: &&Device| match device {
            Device::Waiting { .. } => false,
            Device::Active { wave: own } => *own == wave,
            Device::Ended { wave: own, .. } => *own == Some(wave),
        };
        self.devices.iter().filter(is_of).count() as u64
    }

    /// The devices on their way.
    pub(crate) fn active(&self) -> Vec<usize> {
        let is_active = |index: &usize| matches!(self.devices[*index], Device::Active { .. });
        (0..self.devices.len()).filter(is_active).collect()
    }

    /// The devices that wait.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        let waits = |index: &usize| matches!(self.devices[*index], Device::Waiting { .. });
        (0..self.devices.len()).filter(waits).collect()
    }
}

fn count(tally: &mut Tally, device: Device) -> &mut u64 {
    match device {
        Device::Waiting { .. } => &mut tally.waiting,
        Device::Active { .. } => &mut tally.updating,
        Device::Ended { outcome, .. } => match outcome {
            Outcome::Succeeded => &mut tally.succeeded,
            Outcome::Failed => &mut tally.failed,
            Outcome::Expired => &mut tally.expired,
            Outcome::Skipped => &mut tally.skipped,
            Outcome::Cancelled => &mut tally.cancelled,
        },
    }
}
