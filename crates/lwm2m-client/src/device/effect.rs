//! What a request changes beyond its answer.

use std::time::Instant;

use coap::Token;
use lwm2m::{Entry, ExecuteArguments, Path, Value, WriteMode};

use super::{Boot, Device, Power};
use crate::firmware::Step;
use crate::objects::{
    self, CURRENT_TIME, FIRMWARE_RESULT, FIRMWARE_STATE, FIRMWARE_VERSION, MAXIMUM_MEASURED,
    MINIMUM_MEASURED, PACKAGE_NAME, PACKAGE_VERSION, RESET_MEASURED, SENSOR_VALUE, TEMPERATURE,
};
use crate::output::Event;
use crate::registration::Registration;
use crate::tree::Change;

/// What follows once an answer is on its way.
pub(super) enum Effect {
    None,
    Written {
        path: Path,
        mode: WriteMode,
        values: Vec<Entry>,
        changed: Vec<Path>,
    },
    /// A Write-Composite.
    Patched {
        values: Vec<Entry>,
        removed: Vec<Path>,
        changed: Vec<Path>,
    },
    Executed {
        path: Path,
        arguments: ExecuteArguments,
    },
    Created(Path),
    Deleted(Path),
    AttributesWritten(Path),
    ObservationStarted(Path),
    ObservationCancelled(Token),
}

impl Device {
    pub(super) fn follow(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Written {
                path,
                mode,
                values,
                changed,
            } => {
                self.event(Event::Written { path, mode, values });
                self.written(now, &changed);
            }
            Effect::Patched {
                values,
                removed,
                changed,
            } => {
                self.event(Event::Written {
                    path: Path::Root,
                    mode: WriteMode::Update,
                    values,
                });
                for path in removed {
                    self.attributes.remove_below(path);
                    self.event(Event::Deleted { path });
                }
                self.written(now, &changed);
            }
            Effect::Executed { path, arguments } => {
                self.event(Event::Executed { path, arguments });
                self.execute(now, path);
            }
            Effect::Created(path) => {
                let owner = self.tree.own(self.config.short_server_id, path);
                self.event(Event::Created { path });
                self.came_or_went(now, path, owner);
            }
            Effect::Deleted(path) => {
                let owner = match path {
                    Path::ObjectInstance(..) => self.tree.disown(path),
                    _ => None,
                };
                self.attributes.remove_below(path);
                self.event(Event::Deleted { path });
                self.came_or_went(now, path, owner);
            }
            Effect::AttributesWritten(path) => {
                self.event(Event::AttributesWritten { path });
                self.attributes_changed();
            }
            Effect::ObservationStarted(path) => self.event(Event::ObservationStarted { path }),
            Effect::ObservationCancelled(token) => self.end_observation(token),
        }
    }

    /// An instance is new or gone, and with it the one that says who owns it.
    fn came_or_went(&mut self, now: Instant, path: Path, owner: Option<Path>) {
        let changed: Vec<Path> = owner.into_iter().chain([path]).collect();
        self.values_changed(now, &changed);
        self.update_if_stale(now);
    }

    fn written(&mut self, now: Instant, changed: &[Path]) {
        if changed.contains(&CURRENT_TIME)
            && let Some(Value::Time(seconds)) = self.tree.value(CURRENT_TIME)
        {
            self.wall_clock = Some((now, *seconds));
        }
        self.firmware_moved(now);
        self.values_changed(now, changed);
        if changed.iter().any(|path| path.starts_with(Path::Object(1))) {
            self.attributes_changed();
        }
        self.update_if_stale(now);
    }

    fn execute(&mut self, now: Instant, path: Path) {
        match path {
            objects::REBOOT => self.reboot(now, Boot::Same),
            objects::FACTORY_RESET => self.reboot(now, Boot::FactoryState),
            objects::DISABLE => self.disable(now),
            objects::UPDATE_TRIGGER => self.trigger_update(now),
            objects::RESET_ERROR_CODE => self.report_errors(now, &[]),
            objects::FIRMWARE_UPDATE | objects::FIRMWARE_CANCEL => self.firmware_moved(now),
            Path::Resource(TEMPERATURE, instance, RESET_MEASURED) => {
                self.reset_measured(now, instance);
            }
            _ => self.execute_optional(now, path),
        }
    }

    fn trigger_update(&mut self, now: Instant) {
        if let Registration::Registered(_) = self.registration {
            self.update(now);
        }
    }

    fn reboot(&mut self, now: Instant, boot: Boot) {
        if self.power == Power::On {
            let at = now + self.config.reboot.shutdown;
            self.power = Power::GoingDown { at, boot };
        }
    }

    pub(super) fn go_down(&mut self, now: Instant, boot: Boot) {
        self.forget_session();
        self.firmware.interrupt();
        self.firmware_moved(now);
        let until = now + self.config.reboot.off;
        self.power = Power::Down { until, boot };
        self.event(Event::RebootStarted);
    }

    pub(super) fn come_up(&mut self, boot: Boot) {
        self.power = Power::On;
        // Attributes are not kept over a reboot (LwM2M Core 1.2 §7.3: they belong to the server's
        // present interest).
        self.attributes.remove_below(Path::Root);
        // Nor is the count of notifications.
        self.sequence = 0;
        match boot {
            Boot::Same => {}
            Boot::FactoryState => {
                self.tree = objects::factory(&self.config);
                self.firmware.reset();
                self.wall_clock = None;
            }
            Boot::NewFirmware(package) => {
                self.tree
                    .put(FIRMWARE_VERSION, Value::String(package.version));
            }
        }
        self.event(Event::Booted);
    }

    pub(super) fn firmware_timed_out(&mut self, now: Instant) {
        match self.firmware.handle_timeout(now) {
            None => {}
            Some(Step::Changed) => self.firmware_moved(now),
            Some(Step::Install(package)) => {
                self.firmware_moved(now);
                self.reboot(now, Boot::NewFirmware(package));
            }
        }
    }

    /// Shows the state of the firmware update in the object, and reports it if it is new.
    pub(super) fn firmware_moved(&mut self, now: Instant) {
        let state = self.firmware.state();
        let result = self.firmware.result();
        let package = self.firmware.package();
        let name = package
            .map(|package| package.name.clone())
            .unwrap_or_default();
        let version = package
            .map(|package| package.version.clone())
            .unwrap_or_default();
        let values = [
            (FIRMWARE_STATE, Value::Integer(i64::from(state.number()))),
            (FIRMWARE_RESULT, Value::Integer(i64::from(result))),
            (PACKAGE_NAME, Value::String(name)),
            (PACKAGE_VERSION, Value::String(version)),
        ];
        let mut changed = Vec::new();
        for (path, value) in values {
            if self.tree.set(path, value) == Ok(Change::Value) {
                changed.push(path);
            }
        }
        if changed.contains(&FIRMWARE_STATE) || changed.contains(&FIRMWARE_RESULT) {
            self.event(Event::FirmwareChanged { state, result });
        }
        self.values_changed(now, &changed);
    }

    /// Moves the measured minimum and maximum of a temperature sensor along with its value.
    pub(super) fn follow_temperature(&mut self, path: Path, changed: &mut Vec<Path>) {
        let Path::Resource(TEMPERATURE, instance, SENSOR_VALUE) = path else {
            return;
        };
        let Some(&Value::Float(value)) = self.tree.value(path) else {
            return;
        };
        let bounds: [(u16, fn(f64, f64) -> f64); 2] =
            [(MINIMUM_MEASURED, f64::min), (MAXIMUM_MEASURED, f64::max)];
        for (id, pick) in bounds {
            let at = Path::Resource(TEMPERATURE, instance, id);
            if let Some(&Value::Float(bound)) = self.tree.value(at)
                && self.tree.set(at, Value::Float(pick(bound, value))) == Ok(Change::Value)
            {
                changed.push(at);
            }
        }
    }

    fn reset_measured(&mut self, now: Instant, instance: u16) {
        let value = Path::Resource(TEMPERATURE, instance, SENSOR_VALUE);
        let Some(value) = self.tree.value(value).cloned() else {
            return;
        };
        let mut changed = Vec::new();
        for id in [MINIMUM_MEASURED, MAXIMUM_MEASURED] {
            let at = Path::Resource(TEMPERATURE, instance, id);
            if self.tree.set(at, value.clone()) == Ok(Change::Value) {
                changed.push(at);
            }
        }
        self.values_changed(now, &changed);
    }

    pub(super) fn refresh_clock(&mut self, now: Instant) {
        if let Some((at, seconds)) = self.wall_clock {
            let elapsed = now.saturating_duration_since(at).as_secs();
            let seconds = seconds.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX));
            self.tree.put(CURRENT_TIME, Value::Time(seconds));
        }
    }
}
