//! A device with a Firmware Update object, or an instance of Advanced Firmware Update, as good or as bad as a test wants it.

use std::time::Duration;

use device_state::campaign::UpdateObject;
use device_state::{Command, OperationId, OperationOutcome, OperationState, ValueOrigin, query};
use lwm2m::{Operation, Path, Value};

use super::fleets::Lost;
use crate::world::{CHANGED, CONTENT, NODE, NOT_ALLOWED, World, endpoint, text};

const NOT_FOUND: u8 = 0x84;
const INCOMPLETE: u8 = 0x88;
const UNSUPPORTED_FORMAT: u8 = 0x8f;

/// What a device does otherwise than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    NoObject,
    NeverNotifies,
    /// It restarts with the result 0.
    ForgetsResult,
    /// It begins by itself, and says 4.05 when it is told.
    RefusesOrder,
    /// It takes the order and stays where it is.
    SitsOnIt,
    /// Of a package that is pushed it says by the answer what is wrong with it.
    RefusesPackage,
    /// As it is, with a package that it has not kept the beginning of.
    LosesBlocks,
}

#[derive(Clone, Debug)]
pub(crate) struct Gadget {
    pub(crate) name: &'static str,
    /// Firmware or a component.
    pub(crate) object: UpdateObject,
    pub(crate) version: String,
    /// What it becomes by an update.
    pub(crate) installs: &'static str,
    pub(crate) battery: i64,
    pub(crate) hardware: &'static str,
    pub(crate) state: i64,
    pub(crate) result: i64,
    pub(crate) oddity: Option<Oddity>,
    pub(crate) fails_with: Option<u8>,
    pub(crate) failures_left: u32,
    /// Of the first order the answer is lost; whether the order got there.
    pub(crate) loses_orders: Option<bool>,
    /// It stays in this state.
    pub(crate) stalls_in: Option<i64>,
    pub(crate) installed: u32,
    pub(crate) orders: u32,
    pub(crate) uris: Vec<String>,
    pub(crate) pushes: Vec<String>,
    pub(crate) registrations: u64,
}

impl Gadget {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: Box::leak(name.to_owned().into_boxed_str()),
            object: UpdateObject::Firmware,
            version: "1.0".to_owned(),
            installs: super::VERSION,
            battery: 100,
            hardware: "A",
            state: 0,
            result: 0,
            oddity: None,
            fails_with: None,
            failures_left: u32::MAX,
            loses_orders: None,
            stalls_in: None,
            installed: 0,
            orders: 0,
            uris: Vec::new(),
            pushes: Vec::new(),
            registrations: 0,
        }
    }

    /// Until the device is not in a campaign any more.
    pub(crate) fn play(&mut self, world: &mut World) {
        let name = endpoint(self.name);
        self.play_until(world, |world| {
            query::campaign_of(&world.tables, &name).is_none()
        });
    }

    pub(crate) fn play_until(&mut self, world: &mut World, over: impl Fn(&World) -> bool) {
        for _ in 0..20_000 {
            if over(world) {
                return;
            }
            world.advance(Duration::from_secs(20));
            world.expire();
            self.turn(world);
        }
        panic!("it does not end");
    }

    /// What is asked of it is done, or time passes on it.
    pub(crate) fn turn(&mut self, world: &mut World) {
        match world.next_operation(self.name) {
            Some(operation) => {
                world.start(self.name, operation);
                self.finish_started(world, operation);
            }
            None => self.live(world),
        }
    }

    /// An exchange with it is lost: before it, or behind it.
    pub(super) fn lose(&mut self, world: &mut World, lost: Lost) {
        let Some(id) = world.next_operation(self.name) else {
            return;
        };
        world.start(self.name, id);
        if lost == Lost::Answer {
            let operation = world.operation(self.name, id).operation;
            self.answer(&operation);
        }
        world.run(Command::Requeue {
            endpoint: endpoint(self.name),
            operation: id,
        });
    }

    pub(crate) fn register(&mut self, world: &mut World) {
        self.registrations += 1;
        let own = self.name.as_bytes()[0];
        world.register(self.name, u64::from(own) * 16 + self.registrations % 3);
    }

    pub(crate) fn finish_started(&mut self, world: &mut World, id: OperationId) {
        world.advance(Duration::from_millis(5));
        let record = world.operation(self.name, id);
        assert!(matches!(
            record.state,
            OperationState::InFlight { owner: NODE, .. }
        ));
        match self.answer(&record.operation) {
            Some(outcome) => {
                world.finish(self.name, id, outcome);
            }
            None => {
                world.run(Command::Requeue {
                    endpoint: endpoint(self.name),
                    operation: id,
                });
            }
        }
    }

    fn answer(&mut self, operation: &Operation) -> Option<OperationOutcome> {
        let rejected = |code| OperationOutcome::Rejected {
            code,
            diagnostic: String::new(),
        };
        let delivered = |code, values| Some(OperationOutcome::Delivered { code, values });
        match operation {
            Operation::Read {
                path: Path::ObjectInstance(3, 0),
                ..
            } => delivered(
                CONTENT,
                vec![
                    (Path::Resource(3, 0, 3), text(&self.version)),
                    (Path::Resource(3, 0, 9), Value::Integer(self.battery)),
                    (Path::Resource(3, 0, 18), text(self.hardware)),
                ],
            ),
            Operation::Read { .. } if self.oddity == Some(Oddity::NoObject) => {
                Some(rejected(NOT_FOUND))
            }
            Operation::Read { path, .. } if *path == self.object.path() => {
                let mut told = vec![
                    (self.object.state(), Value::Integer(self.state)),
                    (self.object.result(), Value::Integer(self.result)),
                ];
                if self.object != UpdateObject::Firmware {
                    told.push((self.object.version(), text(&self.version)));
                }
                delivered(CONTENT, told)
            }
            Operation::Write { path, values, .. } if *path == self.object.uri() => {
                let Value::String(uri) = &values[0].value else {
                    panic!()
                };
                self.uris.push(uri.clone());
                self.result = 0;
                self.state = i64::from(!uri.is_empty());
                delivered(CHANGED, Vec::new())
            }
            Operation::Write { path, values, .. } if *path == self.object.package() => {
                let uri = match &values[0].value {
                    Value::String(uri) => uri.clone(),
                    Value::Opaque(reset) if *reset == [0] => {
                        self.pushes.push(String::new());
                        (self.state, self.result) = (0, 0);
                        return delivered(CHANGED, Vec::new());
                    }
                    other => panic!("{other:?}"),
                };
                self.pushes.push(uri);
                match self.oddity {
                    Some(Oddity::LosesBlocks) if self.failures_left > 0 => {
                        self.failures_left -= 1;
                        Some(rejected(INCOMPLETE))
                    }
                    Some(Oddity::RefusesPackage) => Some(rejected(UNSUPPORTED_FORMAT)),
                    _ => {
                        self.result = 0;
                        self.state = 1;
                        delivered(CHANGED, Vec::new())
                    }
                }
            }
            Operation::Execute { path, .. } if *path != self.object.update() => panic!("{path}"),
            Operation::Execute { .. } if self.oddity == Some(Oddity::SitsOnIt) => {
                self.orders += 1;
                delivered(CHANGED, Vec::new())
            }
            Operation::Execute { .. } => match self.loses_orders.take() {
                Some(reached) => {
                    self.state = if reached { 3 } else { self.state };
                    None
                }
                None if self.state == 2 && self.oddity != Some(Oddity::RefusesOrder) => {
                    self.state = 3;
                    delivered(CHANGED, Vec::new())
                }
                None => {
                    self.state = 3;
                    Some(rejected(NOT_ALLOWED))
                }
            },
            // What it reports is up to the test.
            Operation::Observe { .. } => delivered(CONTENT, Vec::new()),
            other => panic!("{other:?}"),
        }
    }

    /// Time passes on the device.
    fn live(&mut self, world: &mut World) {
        if self.stalls_in == Some(self.state) {
            return;
        }
        match self.state {
            1 => match self
                .fails_with
                .filter(|result| *result != 8 && self.failures_left > 0)
            {
                Some(result) => self.end(world, 0, result),
                None => self.end(world, 2, 0),
            },
            3 if self.fails_with == Some(8) => self.end(world, 2, 8),
            3 => {
                self.installed += 1;
                self.installs.clone_into(&mut self.version);
                self.state = 0;
                self.result = i64::from(self.oddity != Some(Oddity::ForgetsResult));
                self.register(world);
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &mut World, state: i64, result: u8) {
        if result != 0 {
            self.failures_left = self.failures_left.saturating_sub(1);
        }
        (self.state, self.result) = (state, i64::from(result));
        if self.oddity != Some(Oddity::NeverNotifies) {
            self.tell(world);
        }
    }

    /// It notifies how it stands.
    pub(crate) fn tell(&self, world: &mut World) {
        let told = [
            (self.object.state(), self.state),
            (self.object.result(), self.result),
        ];
        for (path, value) in told {
            self.notify(world, path, value);
        }
    }

    fn notify(&self, world: &mut World, path: Path, value: i64) {
        let device = endpoint(self.name);
        let registration = query::registration(&world.tables, &device);
        // It may be let go meanwhile, or nobody may observe it any more.
        if let Some(registration) = registration {
            world.run(Command::RecordValues {
                endpoint: device,
                registration: registration.id,
                child: None,
                origin: ValueOrigin::Notify,
                values: vec![(path, Value::Integer(value), world.now)],
            });
        }
    }
}
