//! The Firmware Update object as a state machine (LwM2M Core 1.2 §E.6), which other things that are updated have as well.
//!
//! ```text
//!        ┌── URI ──▶ Pulling ── package ─┐
//!  Idle ─┤                               ├─▶ Checking ─▶ Downloaded ── Update ─▶ Updating ─▶ Idle,
//!        └────────── package ────────────┘                  ▲                       │     reboot
//!                                                           └─────── result 8 ──────┘
//! ```
//!
//! Pulling (results 3, 4, 7, 9) and Checking (results 2, 3, 5, 6) are the state Downloading, and
//! lead back to Idle if they fail. The package of a push gets here when its block-wise transfer is
//! done, and that of a pull when whoever drives the device has got it. A new package or URI takes
//! the place of what is there until the update has begun; an empty one only resets.

use std::time::{Duration, Instant};

use crate::config::{Config, FirmwareBehaviour, PullProtocol};
use crate::output::{FirmwareState, Pull, PullFailure, PullId};

/// Results of `/5/0/5`.
mod result {
    pub(super) const NONE: u8 = 0;
    pub(super) const SUCCESS: u8 = 1;
    pub(super) const OUT_OF_MEMORY: u8 = 3;
    pub(super) const CONNECTION_LOST: u8 = 4;
    pub(super) const INVALID_URI: u8 = 7;
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
    Pulling(PullId),
    Checking { package: Package, until: Instant },
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
    /// Bytes.
    max_package: usize,
    protocols: Vec<PullProtocol>,
    state: State,
    result: u8,
    /// Tells its pulls from those of others.
    lane: u8,
    /// How many pulls there were.
    pulls: u32,
}

impl Firmware {
    /// `lane` is its place among those of the device.
    pub(crate) fn new(config: &Config, lane: u8) -> Self {
        Self {
            behaviour: config.firmware,
            step: config.firmware_step,
            max_package: config.max_package,
            protocols: config.pull.clone(),
            state: State::Idle,
            result: result::NONE,
            lane,
            pulls: 0,
        }
    }

    pub(crate) fn state(&self) -> FirmwareState {
        match self.state {
            State::Idle => FirmwareState::Idle,
            State::Pulling(_) | State::Checking { .. } => FirmwareState::Downloading,
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
            State::Idle | State::Pulling(_) | State::Checking { .. } => None,
        }
    }

    /// `/5/0/0` was written. An empty package, or a single zero byte, resets the state machine.
    pub(crate) fn push(&mut self, now: Instant, bytes: &[u8]) -> Result<(), WrongState> {
        self.begin_anew()?;
        if !matches!(bytes, [] | [0]) {
            self.check(now, bytes);
        }
        Ok(())
    }

    /// `/5/0/1` was written. An empty URI resets the state machine. Returns what to get.
    pub(crate) fn pull(&mut self, uri: &str) -> Result<Option<Pull>, WrongState> {
        self.begin_anew()?;
        if uri.is_empty() {
            return Ok(None);
        }
        let Some(scheme) = scheme(uri) else {
            self.result = result::INVALID_URI;
            return Ok(None);
        };
        let is_supported = |protocol: &PullProtocol| scheme.eq_ignore_ascii_case(protocol.scheme());
        if !self.protocols.iter().any(is_supported) {
            self.result = result::UNSUPPORTED_PROTOCOL;
            return Ok(None);
        }
        self.pulls = self.pulls.wrapping_add(1) & 0xff_ffff;
        let id = PullId(u32::from(self.lane) << 24 | self.pulls);
        self.state = State::Pulling(id);
        Ok(Some(Pull {
            id,
            uri: uri.to_owned(),
            max_bytes: self.max_package,
        }))
    }

    /// What became of a pull; nothing, if it is not the present one.
    pub(crate) fn pulled(
        &mut self,
        now: Instant,
        pull: PullId,
        package: Result<&[u8], PullFailure>,
    ) {
        if self.state != State::Pulling(pull) {
            return;
        }
        self.state = State::Idle;
        self.result = match package {
            Ok(bytes) => return self.check(now, bytes),
            Err(PullFailure::OutOfMemory) => result::OUT_OF_MEMORY,
            Err(PullFailure::ConnectionLost) => result::CONNECTION_LOST,
            Err(PullFailure::InvalidUri) => result::INVALID_URI,
            Err(PullFailure::UnsupportedProtocol) => result::UNSUPPORTED_PROTOCOL,
        };
    }

    /// The device goes down: a pull does not outlive it.
    pub(crate) fn interrupt(&mut self) {
        if let State::Pulling(_) = self.state {
            self.state = State::Idle;
            self.result = result::CONNECTION_LOST;
        }
    }

    fn begin_anew(&mut self) -> Result<(), WrongState> {
        if let State::Updating { .. } = self.state {
            return Err(WrongState);
        }
        self.reset();
        Ok(())
    }

    /// Without a package. What a former pull brings is still known as late.
    pub(crate) fn reset(&mut self) {
        self.state = State::Idle;
        self.result = result::NONE;
    }

    fn check(&mut self, now: Instant, bytes: &[u8]) {
        if bytes.len() > self.max_package {
            self.result = result::OUT_OF_MEMORY;
            return;
        }
        self.state = State::Checking {
            package: Package::read(bytes),
            until: now + self.step,
        };
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
            State::Pulling(_) | State::Checking { .. } | State::Downloaded(_) => {
                self.state = State::Idle;
                self.result = result::CANCELLED;
                Ok(())
            }
            State::Idle | State::Updating { .. } => Err(WrongState),
        }
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Checking { until, .. } | State::Updating { until, .. } => Some(*until),
            State::Idle | State::Pulling(_) | State::Downloaded(_) => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Step> {
        if self.timeout().is_none_or(|until| until > now) {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Checking { package, .. } => {
                match self.behaviour {
                    FirmwareBehaviour::FailsDownload(result) => self.result = result,
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
            State::Idle | State::Pulling(_) | State::Downloaded(_) => None,
        }
    }
}

/// The scheme of a URI that names a host (RFC 3986 §3.1, §3.2), or `None` if it is no such URI.
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(of_scheme)
        && !authority.is_empty()
        && rest.chars().all(|c| c.is_ascii_graphic());
    is_valid.then_some(scheme)
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
mod tests;
