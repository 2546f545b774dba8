//! A shard with a clock of its own.

use std::time::Duration;

use device_state::query::{self, DeviceView};
use device_state::{
    Applied, Command, Context, DesiredState, DesiredValue, DeviceName, Effect, Envelope, Event,
    MemoryTables, Namespace, NodeId, OperationId, OperationOutcome, OperationRecord, Outcome,
    Queueing, Quirks, Registration, RequestId, Revision, Row, SecurityIdentity, ShardId, Timestamp,
    Transport, apply, invariant,
};
use lwm2m::{
    Binding, Entry, Lifetime, LwM2mVersion, Operation, Path, RegistrationId, Value, WriteMode,
};

pub(crate) const SHARD: ShardId = ShardId(0x002a);
pub(crate) const NODE: NodeId = NodeId(1);
pub(crate) const OTHER_NODE: NodeId = NodeId(2);
pub(crate) const BATTERY: Path = Path::Resource(3, 0, 9);
pub(crate) const UTC_OFFSET: Path = Path::Resource(3, 0, 14);
pub(crate) const REBOOT: Path = Path::Resource(3, 0, 4);
/// Code 2.04 and 2.05 as bytes.
pub(crate) const CHANGED: u8 = 0x44;
pub(crate) const CONTENT: u8 = 0x45;
/// Code 4.05 as a byte.
pub(crate) const NOT_ALLOWED: u8 = 0x85;

/// A shard, checked after every command.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) tables: MemoryTables,
    pub(crate) revision: u64,
    pub(crate) now: Timestamp,
    pub(crate) effects: Vec<Effect>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now: Timestamp(1_000_000),
            ..Self::default()
        }
    }

    /// A shard in which `name` is registered at [`NODE`] for ten minutes.
    pub(crate) fn registered(name: &str) -> Self {
        let mut world = Self::new();
        world.register(name, 1);
        world
    }

    pub(crate) fn register(&mut self, name: &str, random: u64) -> Outcome {
        self.run(register(registration(name, random)))
    }

    pub(crate) fn run(&mut self, command: Command) -> Outcome {
        self.submit(None, command).outcome
    }

    pub(crate) fn submit(&mut self, request_id: Option<RequestId>, command: Command) -> Applied {
        let applied = self.submit_unchecked(request_id, command);
        invariant::check(&self.tables).unwrap();
        applied
    }

    /// For long series: the check reads all rows.
    pub(crate) fn submit_unchecked(
        &mut self,
        request_id: Option<RequestId>,
        command: Command,
    ) -> Applied {
        self.revision += 1;
        let context = Context {
            shard: SHARD,
            revision: Revision(self.revision),
            first_index: 0,
        };
        let envelope = Envelope {
            request_id,
            leader_time: self.now,
            command,
        };
        let applied = apply(&mut self.tables, &context, &envelope);
        self.effects.clone_from(&applied.effects);
        applied
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(duration);
    }

    /// Lets what is due end; the number of rows that ended.
    pub(crate) fn expire(&mut self) -> u32 {
        match self.run(Command::ExpireUpTo { limit: 1_000 }) {
            Outcome::Expired { rows } => rows,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn enqueue(&mut self, name: &str, operation: Operation) -> OperationId {
        let deadline = self.now.saturating_add(Duration::from_mins(5));
        match self.run(Command::Enqueue {
            endpoint: endpoint(name),
            operation,
            deadline,
            queueing: Queueing::default(),
        }) {
            Outcome::Enqueued { operation } => operation,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn start(&mut self, name: &str, operation: OperationId) -> Outcome {
        self.run(Command::Start {
            endpoint: endpoint(name),
            operation,
            owner: NODE,
        })
    }

    pub(crate) fn finish(
        &mut self,
        name: &str,
        operation: OperationId,
        outcome: OperationOutcome,
    ) -> Outcome {
        self.run(Command::Finish {
            endpoint: endpoint(name),
            operation,
            outcome,
        })
    }

    pub(crate) fn set_desired(
        &mut self,
        name: &str,
        generation: u64,
        resources: &[(Path, &str)],
    ) -> Outcome {
        let resources = resources
            .iter()
            .map(|(path, value)| DesiredValue::initial(*path, text(value)))
            .collect();
        self.run(Command::SetDesired {
            endpoint: endpoint(name),
            generation,
            resources,
        })
    }

    pub(crate) fn device(&self, name: &str) -> DeviceView {
        query::device(&self.tables, &endpoint(name))
    }

    pub(crate) fn operation(&self, name: &str, id: OperationId) -> OperationRecord {
        query::operation(&self.tables, &endpoint(name), id).unwrap()
    }

    pub(crate) fn next_operation(&self, name: &str) -> Option<OperationId> {
        query::next_operation(&self.tables, &endpoint(name)).map(|record| record.id)
    }

    pub(crate) fn desired_state(&self, name: &str, path: Path) -> Option<DesiredState> {
        query::desired_resource(&self.tables, &endpoint(name), path).map(|row| row.state)
    }

    /// How the operation ended.
    pub(crate) fn end_of(&self, name: &str, id: OperationId) -> Option<OperationOutcome> {
        match self.operation(name, id).state {
            device_state::OperationState::Finished { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// The events of the last command.
    pub(crate) fn events(&self) -> Vec<Event> {
        let last = |row: &Row| match row {
            Row::Feed(entry) if entry.revision.0 == self.revision => Some(entry.event.clone()),
            _ => None,
        };
        self.tables.rows().filter_map(last).collect()
    }
}

pub(crate) fn endpoint(name: &str) -> DeviceName {
    DeviceName::parse(name).unwrap()
}

pub(crate) fn id(random: u64) -> RegistrationId {
    device_state::new_registration_id(SHARD, random)
}

pub(crate) fn identity(name: &str) -> SecurityIdentity {
    SecurityIdentity::CertificateNames(vec![name.to_owned()])
}

pub(crate) fn registration(name: &str, random: u64) -> Registration {
    Registration {
        endpoint: endpoint(name),
        id: id(random),
        identity: identity(name),
        owner: NODE,
        peer: "192.0.2.7:5683".parse().unwrap(),
        transport: Transport::Dtls,
        session: None,
        lifetime: Lifetime::from_secs(600),
        version: LwM2mVersion::V1_1,
        binding: Binding::UDP,
        links: "</1/0>,</3/0>".to_owned(),
        registered_at: Timestamp(0),
        updated_at: Timestamp(0),
        expires_at: Timestamp(0),
        quirks: Quirks::default(),
        enrollment: None,
    }
}

pub(crate) fn register(registration: Registration) -> Command {
    Command::Register {
        registration: Box::new(registration),
    }
}

/// An Update that changes nothing but the time.
pub(crate) fn update(name: &str, random: u64) -> Command {
    update_by(name, random, NODE)
}

pub(crate) fn update_by(name: &str, random: u64, owner: NodeId) -> Command {
    Command::Update {
        namespace: Namespace::default(),
        id: id(random),
        identity: identity(name),
        owner,
        peer: "192.0.2.7:5683".parse().unwrap(),
        transport: None,
        session: None,
        lifetime: None,
        binding: None,
        links: None,
    }
}

pub(crate) fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

pub(crate) fn read() -> Operation {
    Operation::Read {
        path: BATTERY,
        accept: None,
    }
}

pub(crate) fn write(value: &str) -> Operation {
    let values = vec![Entry::new(UTC_OFFSET, text(value))];
    Operation::Write {
        path: UTC_OFFSET,
        mode: WriteMode::Replace,
        values,
    }
}

pub(crate) fn execute() -> Operation {
    Operation::Execute {
        path: REBOOT,
        arguments: lwm2m::ExecuteArguments::default(),
    }
}

pub(crate) fn delivered() -> OperationOutcome {
    OperationOutcome::Delivered {
        code: CHANGED,
        values: Vec::new(),
    }
}

pub(crate) fn refused() -> OperationOutcome {
    OperationOutcome::Rejected {
        code: NOT_ALLOWED,
        diagnostic: "read only".to_owned(),
    }
}

pub(crate) fn request(sequence: u64) -> RequestId {
    RequestId {
        client: 7,
        sequence,
    }
}
