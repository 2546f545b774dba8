//! What a request changes beyond its answer.

use std::time::Instant;

use coap::Token;
use lwm2m::{ChildPrefix, Entry, ExecuteArguments, Path, Value, WriteMode};

use super::{Boot, Power, Towards};
use crate::objects::{
    self, CURRENT_TIME, FIRMWARE_RESULT, FIRMWARE_STATE, MAXIMUM_MEASURED, MINIMUM_MEASURED,
    RESET_MEASURED, SENSOR_VALUE, TEMPERATURE, server,
};
use crate::output::Event;
use crate::tree::Change;
use crate::updates;

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
    /// At a device behind the gateway.
    ChildWritten {
        child: ChildPrefix,
        changed: Vec<Path>,
    },
    Executed {
        path: Path,
        arguments: ExecuteArguments,
    },
    Created(Path),
    Deleted(Path),
    AttributesWritten(Path),
    /// At a device behind the gateway.
    ChildAttributesWritten,
    ObservationStarted(Path),
    ObservationCancelled(Token),
}

impl Towards<'_> {
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
                    self.forget_attributes(now, path);
                    self.event(Event::Deleted { path });
                }
                self.written(now, &changed);
            }
            Effect::ChildWritten { child, changed } => {
                self.child_values_changed(now, &child, &changed);
            }
            Effect::Executed { path, arguments } => {
                self.event(Event::Executed { path, arguments });
                self.execute(now, path);
            }
            Effect::Created(path) => {
                let owner = self.body.tree.own(self.link.short_server_id, path);
                self.event(Event::Created { path });
                self.came_or_went(now, path, owner);
            }
            Effect::Deleted(path) => {
                let owner = match path {
                    Path::ObjectInstance(..) => self.body.tree.disown(path),
                    _ => None,
                };
                self.forget_attributes(now, path);
                self.event(Event::Deleted { path });
                self.came_or_went(now, path, owner);
            }
            Effect::AttributesWritten(path) => {
                self.event(Event::AttributesWritten { path });
                self.attributes_changed();
            }
            Effect::ChildAttributesWritten => self.attributes_changed(),
            Effect::ObservationStarted(path) => self.event(Event::ObservationStarted { path }),
            Effect::ObservationCancelled(token) => self.end_observation(token),
        }
    }

    /// An instance is new or gone, and with it the one that says who owns it.
    fn came_or_went(&mut self, now: Instant, path: Path, owner: Option<Path>) {
        let changed: Vec<Path> = owner.into_iter().chain([path]).collect();
        self.values_changed(now, &changed);
        self.announce(now);
    }

    /// Attributes of what is gone.
    fn forget_attributes(&mut self, now: Instant, path: Path) {
        self.link.attributes.remove_below(path);
        self.with_others(now, |other| other.link.attributes.remove_below(path));
    }

    /// Tells every server what is new in its registration.
    fn announce(&mut self, now: Instant) {
        self.update_if_stale(now);
        self.with_others(now, |other| other.update_if_stale(now));
    }

    fn written(&mut self, now: Instant, changed: &[Path]) {
        if changed.contains(&CURRENT_TIME)
            && let Some(Value::Time(seconds)) = self.body.tree.value(CURRENT_TIME)
        {
            self.body.wall_clock = Some((now, *seconds));
        }
        self.updates_moved(now);
        self.values_changed(now, changed);
        let of_servers = Path::Object(server::ID);
        if changed.iter().any(|path| path.starts_with(of_servers)) {
            self.attributes_changed();
            self.with_others(now, |other| {
                other.attributes_changed();
            });
        }
        self.announce(now);
    }

    fn execute(&mut self, now: Instant, path: Path) {
        match path {
            objects::REBOOT => self.reboot(now, Boot::Same),
            objects::FACTORY_RESET => self.reboot(now, Boot::FactoryState),
            objects::RESET_ERROR_CODE => self.report_errors(now, &[]),
            path if updates::is_action(path) => self.updates_moved(now),
            Path::Resource(TEMPERATURE, instance, RESET_MEASURED) => {
                self.reset_measured(now, instance);
            }
            Path::Resource(
                server::ID,
                instance,
                id @ (server::DISABLE | server::UPDATE_TRIGGER),
            ) => {
                self.execute_for_server(now, instance, id);
            }
            _ => self.execute_optional(now, path),
        }
    }

    /// An action of a Server object instance, which may be that of another server.
    fn execute_for_server(&mut self, now: Instant, instance: u16, id: u16) {
        let act = |of: &mut Towards<'_>| match id {
            _ if of.link.instance != instance => {}
            server::DISABLE => of.disable(now),
            _ => of.update(now),
        };
        act(self);
        self.with_others(now, act);
    }

    fn reboot(&mut self, now: Instant, boot: Boot) {
        if self.body.power == Power::On {
            let at = now + self.body.config.reboot.shutdown;
            self.body.power = Power::GoingDown { at, boot };
        }
    }

    pub(super) fn go_down(&mut self, now: Instant, boot: Boot) {
        self.forget_session();
        self.with_others(now, |other| {
            other.forget_session();
        });
        self.body.updates.interrupt();
        self.updates_moved(now);
        let until = now + self.body.config.reboot.off;
        self.body.power = Power::Down { until, boot };
        self.event(Event::RebootStarted);
    }

    pub(super) fn come_up(&mut self, now: Instant, boot: Boot) {
        self.body.power = Power::On;
        // Attributes are not kept over a reboot (LwM2M Core 1.2 §7.3: they belong to the server's
        // present interest).
        self.forget_attributes(now, Path::Root);
        self.link.child_attributes.clear();
        // Nor is the count of notifications.
        self.link.sequence = 0;
        self.with_others(now, |other| {
            other.link.child_attributes.clear();
            other.link.sequence = 0;
        });
        match boot {
            Boot::Same => {}
            Boot::FactoryState => {
                self.body.tree = objects::factory(&self.body.config);
                self.body.children = objects::gateway::children(&self.body.config);
                self.body.updates.reset();
                self.body.wall_clock = None;
            }
            Boot::Updated(target, package) => {
                if let Some(path) = target.version() {
                    self.body.tree.put(path, Value::String(package.version));
                }
            }
        }
        self.event(Event::Booted);
    }

    pub(super) fn updates_timed_out(&mut self, now: Instant) {
        let (moved, restart) = self.body.updates.handle_timeout(now);
        if moved {
            self.updates_moved(now);
        }
        if let Some((target, package)) = restart {
            self.reboot(now, Boot::Updated(target, package));
        }
    }

    /// Shows the state of updates in their objects, and reports that of the firmware if it is new.
    pub(super) fn updates_moved(&mut self, now: Instant) {
        let mut changed = Vec::new();
        for (path, value) in self.body.updates.shown() {
            if self.body.tree.set(path, value) == Ok(Change::Value) {
                changed.push(path);
            }
        }
        if changed.contains(&FIRMWARE_STATE) || changed.contains(&FIRMWARE_RESULT) {
            let (state, result) = self.body.updates.firmware();
            self.event(Event::FirmwareChanged { state, result });
        }
        self.values_changed(now, &changed);
    }

    /// Moves the measured minimum and maximum of a temperature sensor along with its value.
    pub(super) fn follow_temperature(&mut self, path: Path, changed: &mut Vec<Path>) {
        let Path::Resource(TEMPERATURE, instance, SENSOR_VALUE) = path else {
            return;
        };
        let Some(&Value::Float(value)) = self.body.tree.value(path) else {
            return;
        };
        let bounds: [(u16, fn(f64, f64) -> f64); 2] =
            [(MINIMUM_MEASURED, f64::min), (MAXIMUM_MEASURED, f64::max)];
        for (id, pick) in bounds {
            let at = Path::Resource(TEMPERATURE, instance, id);
            if let Some(&Value::Float(bound)) = self.body.tree.value(at)
                && self.body.tree.set(at, Value::Float(pick(bound, value))) == Ok(Change::Value)
            {
                changed.push(at);
            }
        }
    }

    fn reset_measured(&mut self, now: Instant, instance: u16) {
        let value = Path::Resource(TEMPERATURE, instance, SENSOR_VALUE);
        let Some(value) = self.body.tree.value(value).cloned() else {
            return;
        };
        let mut changed = Vec::new();
        for id in [MINIMUM_MEASURED, MAXIMUM_MEASURED] {
            let at = Path::Resource(TEMPERATURE, instance, id);
            if self.body.tree.set(at, value.clone()) == Ok(Change::Value) {
                changed.push(at);
            }
        }
        self.values_changed(now, &changed);
    }

    pub(super) fn refresh_clock(&mut self, now: Instant) {
        if let Some((at, seconds)) = self.body.wall_clock {
            let elapsed = now.saturating_duration_since(at).as_secs();
            let seconds = seconds.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX));
            self.body.tree.put(CURRENT_TIME, Value::Time(seconds));
        }
    }
}
