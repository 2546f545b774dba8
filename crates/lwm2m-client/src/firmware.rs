//! The Firmware Update object as a state machine (LwM2M Core 1.2 §E.6), for pushed packages.
//!
//! ```text
//!  Idle ── package ─▶ Downloading ── checked ─▶ Downloaded ── Update ─▶ Updating ─▶ reboot, Idle
//!   ▲                      │                        │  ▲                    │
//!   └──── result 2, 5 ─────┘◀── empty package ──────┘  └───── result 8 ─────┘
//! ```
//!
//! Block-wise transfer is done before the package gets here, so Downloading is the time that its
//! check takes.

use std::time::{Duration, Instant};

use crate::config::FirmwareBehaviour;
use crate::output::FirmwareState;

/// Results of `/5/0/5`.
mod result {
    pub(super) const NONE: u8 = 0;
    pub(super) const SUCCESS: u8 = 1;
    pub(super) const OUT_OF_STORAGE: u8 = 2;
    pub(super) const INTEGRITY_CHECK_FAILED: u8 = 5;
    pub(super) const UPDATE_FAILED: u8 = 8;
    pub(super) const UNSUPPORTED_PROTOCOL: u8 = 9;
    pub(super) const CANCELLED: u8 = 10;
}

/// What is kept of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Downloading { package: Package, until: Instant },
    Downloaded(Package),
    Updating { package: Package, until: Instant },
}

/// What a step of the state machine asks of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// State or result changed.
    Changed,
    /// The package is in place: reboot with it.
    Install(Package),
}

/// The operation does not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongState;

#[derive(Debug)]
pub(crate) struct Firmware {
    behaviour: FirmwareBehaviour,
    /// How long a check takes, and likewise an installation.
    step: Duration,
    state: State,
    result: u8,
}

impl Firmware {
    pub(crate) fn new(behaviour: FirmwareBehaviour, step: Duration) -> Self {
        Self {
            behaviour,
            step,
            state: State::Idle,
            result: result::NONE,
        }
    }

    pub(crate) fn state(&self) -> FirmwareState {
        match self.state {
            State::Idle => FirmwareState::Idle,
            State::Downloading { .. } => FirmwareState::Downloading,
            State::Downloaded(_) => FirmwareState::Downloaded,
            State::Updating { .. } => FirmwareState::Updating,
        }
    }

    pub(crate) fn result(&self) -> u8 {
        self.result
    }

    /// The package that is held, once it is checked.
    pub(crate) fn package(&self) -> Option<&Package> {
        match &self.state {
            State::Downloaded(package) | State::Updating { package, .. } => Some(package),
            State::Idle | State::Downloading { .. } => None,
        }
    }

    /// `/5/0/0` was written. An empty package, or a single zero byte, resets the state machine.
    pub(crate) fn push(&mut self, now: Instant, bytes: &[u8]) -> Result<(), WrongState> {
        match self.state {
            State::Downloading { .. } | State::Updating { .. } => return Err(WrongState),
            State::Idle | State::Downloaded(_) => self.result = result::NONE,
        }
        self.state = if matches!(bytes, [] | [0]) {
            State::Idle
        } else {
            State::Downloading {
                package: Package::read(bytes),
                until: now + self.step,
            }
        };
        Ok(())
    }

    /// `/5/0/1` was written. There is no protocol to pull a package with.
    pub(crate) fn pull(&mut self, uri: &str) -> Result<(), WrongState> {
        if matches!(
            self.state,
            State::Downloading { .. } | State::Updating { .. }
        ) {
            return Err(WrongState);
        }
        self.state = State::Idle;
        self.result = if uri.is_empty() {
            result::NONE
        } else {
            result::UNSUPPORTED_PROTOCOL
        };
        Ok(())
    }

    /// `/5/0/2` was executed.
    pub(crate) fn update(&mut self, now: Instant) -> Result<(), WrongState> {
        let State::Downloaded(package) = &self.state else {
            return Err(WrongState);
        };
        self.state = State::Updating {
            package: package.clone(),
            until: now + self.step,
        };
        self.result = result::NONE;
        Ok(())
    }

    /// `/5/0/10` was executed.
    pub(crate) fn cancel(&mut self) -> Result<(), WrongState> {
        match self.state {
            State::Downloading { .. } | State::Downloaded(_) => {
                self.state = State::Idle;
                self.result = result::CANCELLED;
                Ok(())
            }
            State::Idle | State::Updating { .. } => Err(WrongState),
        }
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Downloading { until, .. } | State::Updating { until, .. } => Some(*until),
            State::Idle | State::Downloaded(_) => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Step> {
        if self.timeout().is_none_or(|until| until > now) {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Downloading { package, .. } => {
                match self.behaviour {
                    FirmwareBehaviour::OutOfStorage => self.result = result::OUT_OF_STORAGE,
                    FirmwareBehaviour::FailsIntegrityCheck => {
                        self.result = result::INTEGRITY_CHECK_FAILED;
                    }
                    FirmwareBehaviour::Succeeds | FirmwareBehaviour::FailsUpdate => {
                        self.state = State::Downloaded(package);
                    }
                }
                Some(Step::Changed)
            }
            State::Updating { package, .. } => {
                if self.behaviour == FirmwareBehaviour::FailsUpdate {
                    self.result = result::UPDATE_FAILED;
                    self.state = State::Downloaded(package);
                    return Some(Step::Changed);
                }
                self.result = result::SUCCESS;
                Some(Step::Install(package))
            }
            State::Idle | State::Downloaded(_) => None,
        }
    }
}

impl Package {
    /// A package that begins with a line `name version` has that name and version; any other is
    /// named by its size and a hash of its content.
    fn read(bytes: &[u8]) -> Self {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let words = line
            .get(..line.len().min(128))
            .and_then(|line| str::from_utf8(line).ok())
            .map(str::split_ascii_whitespace);
        if let Some(mut words) = words
            && let (Some(name), Some(version), None) = (words.next(), words.next(), words.next())
            && version.starts_with(|first: char| first.is_ascii_digit())
        {
            return Self {
                name: name.to_owned(),
                version: version.to_owned(),
            };
        }
        Self {
            name: format!("{} bytes", bytes.len()),
            version: format!("{:08x}", fnv(bytes)),
        }
    }
}

/// FNV-1a over 32 bits: names a simulated package, protects nothing.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    fn pushed(behaviour: FirmwareBehaviour) -> (Firmware, Instant) {
        let now = Instant::now();
        let mut firmware = Firmware::new(behaviour, STEP);
        firmware.push(now, b"app 2.1.0\n\x7fELF").unwrap();
        assert_eq!(firmware.state(), FirmwareState::Downloading);
        (firmware, now + STEP)
    }

    #[test]
    fn a_pushed_package_is_installed_on_command() {
        let (mut firmware, now) = pushed(FirmwareBehaviour::Succeeds);
        assert_eq!(firmware.update(now), Err(WrongState));
        assert_eq!(firmware.handle_timeout(now), Some(Step::Changed));
        assert_eq!(firmware.state(), FirmwareState::Downloaded);
        firmware.update(now).unwrap();
        let installed = firmware.handle_timeout(now + STEP);
        let Some(Step::Install(package)) = installed else {
            panic!("{installed:?}");
        };
        assert_eq!(
            (package.name.as_str(), package.version.as_str()),
            ("app", "2.1.0")
        );
        assert_eq!(
            (firmware.state(), firmware.result()),
            (FirmwareState::Idle, 1)
        );
    }

    #[test]
    fn a_failed_update_keeps_the_package() {
        let (mut firmware, now) = pushed(FirmwareBehaviour::FailsUpdate);
        firmware.handle_timeout(now);
        firmware.update(now).unwrap();
        assert_eq!(firmware.handle_timeout(now + STEP), Some(Step::Changed));
        assert_eq!(
            (firmware.state(), firmware.result()),
            (FirmwareState::Downloaded, 8)
        );
    }

    #[test]
    fn a_broken_package_is_dropped() {
        let (mut firmware, now) = pushed(FirmwareBehaviour::FailsIntegrityCheck);
        assert_eq!(firmware.handle_timeout(now), Some(Step::Changed));
        assert_eq!(
            (firmware.state(), firmware.result()),
            (FirmwareState::Idle, 5)
        );
    }

    #[test]
    fn an_empty_package_resets() {
        let (mut firmware, now) = pushed(FirmwareBehaviour::Succeeds);
        firmware.handle_timeout(now);
        firmware.push(now, &[0]).unwrap();
        assert_eq!(firmware.state(), FirmwareState::Idle);
        assert_eq!(firmware.timeout(), None);
    }
}
