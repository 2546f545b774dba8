//! Everything of a device that can be updated: its firmware, and components and software if it has them.
//!
//! Each has the state machine of [`Firmware`]. Software Management (LwM2M SwMgmt 1.0 §6) differs in what it shows and
//! allows:
//!
//! ```text
//!  Initial ── package ──▶ Downloading ──▶ Delivered ── Install ──▶ Installed ── Activate ──▶ active
//!     ▲                                       │                        │
//!     └───────────── Uninstall ───────────────┴────────────────────────┘
//! ```

use std::time::Instant;

use lwm2m::{ExecuteArguments, Path, Value};

use crate::config::{Config, OptionalObject};
use crate::firmware::{Firmware, Package, Step, WrongState};
use crate::objects::{ADVANCED_FIRMWARE, COMPONENTS, FIRMWARE_VERSION, SOFTWARE};
use crate::output::{FirmwareState, Pull, PullFailure, PullId};

/// What a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updatable {
    /// `/5/0`
    Firmware,
    /// An instance of `/33629`.
    Component(u16),
    /// An instance of `/9`.
    Software(u16),
}

/// An action of an update object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Update,
    Cancel,
    Uninstall,
    Activate,
    Deactivate,
}

impl Updatable {
    fn of(path: Path) -> Option<Self> {
        match (path.object_id()?, path.object_instance_id()?) {
            (5, 0) => Some(Self::Firmware),
            (ADVANCED_FIRMWARE, instance) => Some(Self::Component(instance)),
            (SOFTWARE, instance) => Some(Self::Software(instance)),
            _ => None,
        }
    }

    const fn resource(self, of_firmware: u16, of_software: u16) -> Path {
        match self {
            Self::Firmware => Path::Resource(5, 0, of_firmware),
            Self::Component(instance) => Path::Resource(ADVANCED_FIRMWARE, instance, of_firmware),
            Self::Software(instance) => Path::Resource(SOFTWARE, instance, of_software),
        }
    }

    /// What it runs, where that is new after a restart only.
    pub(crate) const fn version(self) -> Option<Path> {
        match self {
            Self::Firmware => Some(FIRMWARE_VERSION),
            Self::Component(instance) => Some(Path::Resource(ADVANCED_FIRMWARE, instance, 15)),
            Self::Software(_) => None,
        }
    }

    fn action(self, path: Path) -> Option<Action> {
        let id = path.resource_id()?;
        match (self, id) {
            (Self::Firmware | Self::Component(_), 2) | (Self::Software(_), 4) => {
                Some(Action::Update)
            }
            (Self::Firmware | Self::Component(_), 10) => Some(Action::Cancel),
            (Self::Software(_), 6) => Some(Action::Uninstall),
            (Self::Software(_), 10) => Some(Action::Activate),
            (Self::Software(_), 11) => Some(Action::Deactivate),
            _ => None,
        }
    }
}

/// Whether a package, or where it is, is written to a path.
pub(crate) const fn takes_package(path: Path) -> bool {
    matches!(
        path,
        Path::Resource(5, 0, 0 | 1)
            | Path::Resource(ADVANCED_FIRMWARE, _, 0 | 1)
            | Path::Resource(SOFTWARE, _, 2 | 3)
    )
}

/// Whether executing a path moves an update on.
pub(crate) fn is_action(path: Path) -> bool {
    Updatable::of(path).is_some_and(|target| target.action(path).is_some())
}

/// A target and how far its update is.
#[derive(Debug)]
struct Update {
    target: Updatable,
    machine: Firmware,
    /// Of software.
    installed: Option<Installed>,
}

#[derive(Debug)]
struct Installed {
    package: Package,
    is_active: bool,
}

/// All targets of a device.
#[derive(Debug)]
pub(crate) struct Updates(Vec<Update>);

impl Updates {
    pub(crate) fn new(config: &Config) -> Self {
        let mut targets = vec![Updatable::Firmware];
        for object in &config.profile.optional {
            match object {
                OptionalObject::Components => {
                    targets.extend(
                        (0..)
                            .zip(COMPONENTS)
                            .map(|(id, _)| Updatable::Component(id)),
                    );
                }
                OptionalObject::Software => targets.push(Updatable::Software(0)),
                _ => {}
            }
        }
        let update = |(lane, target)| Update {
            target,
            machine: Firmware::new(config, lane),
            installed: None,
        };
        Self((0..).zip(targets).map(update).collect())
    }

    fn of(&mut self, path: Path) -> Option<&mut Update> {
        let target = Updatable::of(path)?;
        self.0.iter_mut().find(|update| update.target == target)
    }

    /// A package was written; `None` if the device has no such target.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &[u8],
    ) -> Option<Result<(), WrongState>> {
        let update = self.of(path)?;
        Some(
            update
                .may_begin()
                .and_then(|()| update.machine.push(now, bytes)),
        )
    }

    /// A URI was written: what to get.
    pub(crate) fn pull(
        &mut self,
        path: Path,
        uri: &str,
    ) -> Option<Result<Option<Pull>, WrongState>> {
        let update = self.of(path)?;
        Some(update.may_begin().and_then(|()| update.machine.pull(uri)))
    }

    /// What became of a pull.
    pub(crate) fn pulled(
        &mut self,
        now: Instant,
        pull: PullId,
        package: Result<&[u8], PullFailure>,
    ) {
        for update in &mut self.0 {
            update.machine.pulled(now, pull, package);
        }
    }

    /// `None` if executing the path has nothing to do with updates.
    pub(crate) fn execute(
        &mut self,
        now: Instant,
        path: Path,
        arguments: &ExecuteArguments,
    ) -> Option<Result<(), WrongState>> {
        let update = self.of(path)?;
        let action = update.target.action(path)?;
        Some(update.execute(now, action, arguments))
    }

    /// The device goes down.
    pub(crate) fn interrupt(&mut self) {
        for update in &mut self.0 {
            update.machine.interrupt();
        }
    }

    /// Back to the state that it left the factory in.
    pub(crate) fn reset(&mut self) {
        for update in &mut self.0 {
            update.machine.reset();
            update.installed = None;
        }
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.0
            .iter()
            .filter_map(|update| update.machine.timeout())
            .min()
    }

    /// What is due: whether anything moved, and what has to restart with its package.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> (bool, Option<(Updatable, Package)>) {
        let mut moved = false;
        let mut restart = None;
        for update in &mut self.0 {
            let step = update.machine.handle_timeout(now);
            moved |= step.is_some();
            match (update.target, step) {
                (Updatable::Software(_), Some(Step::Install(package))) => {
                    update.installed = Some(Installed {
                        package,
                        is_active: false,
                    });
                }
                (target, Some(Step::Install(package))) => restart = Some((target, package)),
                (_, Some(Step::Changed) | None) => {}
            }
        }
        (moved, restart)
    }

    /// What the objects show.
    pub(crate) fn shown(&self) -> Vec<(Path, Value)> {
        self.0.iter().flat_map(Update::shown).collect()
    }

    /// State and result of the firmware.
    pub(crate) fn firmware(&self) -> (FirmwareState, u8) {
        let firmware = self.0.first();
        firmware.map_or((FirmwareState::Idle, 0), |update| {
            (update.machine.state(), update.machine.result())
        })
    }
}

impl Update {
    /// Software takes a package in its initial state only.
    fn may_begin(&self) -> Result<(), WrongState> {
        match self.target {
            Updatable::Firmware | Updatable::Component(_) => Ok(()),
            Updatable::Software(_) if self.is_initial() => Ok(()),
            Updatable::Software(_) => Err(WrongState),
        }
    }

    fn is_initial(&self) -> bool {
        self.installed.is_none() && self.machine.state() == FirmwareState::Idle
    }

    fn execute(
        &mut self,
        now: Instant,
        action: Action,
        arguments: &ExecuteArguments,
    ) -> Result<(), WrongState> {
        match (action, &mut self.installed) {
            (Action::Update, None) => self.machine.update(now),
            (Action::Cancel, _) => self.machine.cancel(),
            // With the argument 1 the version before is kept until the next one is there, which nobody sees.
            (Action::Uninstall, Some(_)) => {
                self.installed = None;
                self.machine.reset();
                Ok(())
            }
            (Action::Uninstall, None)
                if arguments.is_empty() && self.machine.state() == FirmwareState::Downloaded =>
            {
                self.machine.reset();
                Ok(())
            }
            (Action::Activate, Some(installed)) => {
                installed.is_active = true;
                Ok(())
            }
            (Action::Deactivate, Some(installed)) if installed.is_active => {
                installed.is_active = false;
                Ok(())
            }
            _ => Err(WrongState),
        }
    }

    fn shown(&self) -> Vec<(Path, Value)> {
        let held = self.machine.package();
        let package = held.or_else(|| self.installed.as_ref().map(|installed| &installed.package));
        let text = |of: fn(&Package) -> &String| {
            Value::String(
                package
                    .map(|package| of(package).clone())
                    .unwrap_or_default(),
            )
        };
        let at = |of_firmware, of_software| self.target.resource(of_firmware, of_software);
        let (state, result) = self.numbers();
        let mut shown = vec![
            (at(3, 7), Value::Integer(state)),
            (at(5, 9), Value::Integer(result)),
            (at(6, 0), text(|package| &package.name)),
            (at(7, 1), text(|package| &package.version)),
        ];
        if let Updatable::Software(instance) = self.target {
            let is_active = self.installed.as_ref().is_some_and(|one| one.is_active);
            let path = Path::Resource(SOFTWARE, instance, 12);
            shown.push((path, Value::Boolean(is_active)));
        }
        shown
    }

    /// State and result.
    fn numbers(&self) -> (i64, i64) {
        let (state, result) = (self.machine.state(), self.machine.result());
        match self.target {
            Updatable::Firmware | Updatable::Component(_) => {
                (i64::from(state.number()), i64::from(result))
            }
            Updatable::Software(_) => self.software_numbers(state, result),
        }
    }

    fn software_numbers(&self, state: FirmwareState, result: u8) -> (i64, i64) {
        match (state, software_result(result)) {
            (FirmwareState::Idle, Some(failure)) => (0, failure),
            (FirmwareState::Idle, None) if self.installed.is_some() => (4, 2),
            (FirmwareState::Idle, None) => (0, 0),
            (FirmwareState::Downloading, _) => (1, 1),
            // Installing has no state of its own.
            (FirmwareState::Downloaded | FirmwareState::Updating, failure) => {
                (3, failure.unwrap_or(3))
            }
        }
    }
}

/// A result of `/5/0/5` that is a failure, as `/9/0/9` has it.
const fn software_result(result: u8) -> Option<i64> {
    match result {
        0 | 1 => None,
        2 => Some(50),
        3 => Some(51),
        4 => Some(52),
        5 => Some(53),
        6 => Some(54),
        7 | 9 => Some(56),
        8 => Some(58),
        _ => Some(57),
    }
}
