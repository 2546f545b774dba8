//! An ingress node without devices: it answers operations itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use device_state::{
    Command, DeviceName, NodeId, OperationOutcome, Outcome, Quirks, Registration, SecurityIdentity,
    ShardId, Timestamp, Transport, ValueOrigin, pushed_package,
};
use lwm2m::{ChildPrefix, Lifetime, LwM2mVersion, Operation, Path, RegistrationId, Value};
use state_client::{
    AttachHandle, Client, DeviceOperations, Downlink, FailureReason, OperationAnswer,
};
use tokio::task::JoinSet;

use crate::cluster::{PATIENCE, eventually};

const NODE: NodeId = NodeId(0xd1);

pub(crate) struct Ingress {
    client: Client,
    seen: Arc<Mutex<Vec<Operation>>>,
    asleep: Arc<AtomicBool>,
    handle: AttachHandle,
    _answers: JoinSet<()>,
}

impl Ingress {
    /// Attaches to `nodes` state nodes.
    pub(crate) async fn attach(client: &Client, nodes: usize) -> Self {
        let (handle, operations) = client.attach(NODE, "test");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let asleep = Arc::new(AtomicBool::new(false));
        let mut answers = JoinSet::new();
        answers.spawn(answer_all(
            handle.clone(),
            operations,
            seen.clone(),
            asleep.clone(),
        ));
        eventually("attached to all", async || handle.attached() == nodes).await;
        Self {
            client: client.clone(),
            seen,
            asleep,
            handle,
            _answers: answers,
        }
    }

    /// What was to be carried out so far.
    pub(crate) fn seen(&self) -> Vec<Operation> {
        self.seen.lock().unwrap().clone()
    }

    /// All its devices fall asleep.
    pub(crate) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// All its devices wake up, and this one says so.
    pub(crate) fn wake(&self, endpoint: &DeviceName) {
        self.asleep.store(false, Ordering::SeqCst);
        self.handle.awake(&endpoint.endpoint());
    }

    async fn commit(&self, shard: ShardId, command: Command) -> Outcome {
        self.client.propose(shard, command, PATIENCE).await.unwrap()
    }

    /// Registers a device.
    pub(crate) async fn register(&self, endpoint: &DeviceName) -> RegistrationId {
        let names = vec![endpoint.endpoint_str().to_owned()];
        let identity = SecurityIdentity::CertificateNames(names);
        self.register_with(endpoint, identity).await
    }

    /// Registers a device that has proved something.
    pub(crate) async fn register_with(
        &self,
        endpoint: &DeviceName,
        identity: SecurityIdentity,
    ) -> RegistrationId {
        let (id, outcome) = self.ask_to_register(endpoint, identity).await;
        assert!(matches!(outcome, Outcome::Registered { .. }), "{outcome:?}");
        self.handle.awake(&endpoint.endpoint());
        id
    }

    /// What becomes of a device that wants to register.
    pub(crate) async fn try_register(&self, endpoint: &DeviceName) -> Outcome {
        let names = vec![endpoint.endpoint_str().to_owned()];
        let identity = SecurityIdentity::CertificateNames(names);
        self.ask_to_register(endpoint, identity).await.1
    }

    async fn ask_to_register(
        &self,
        endpoint: &DeviceName,
        identity: SecurityIdentity,
    ) -> (RegistrationId, Outcome) {
        let shard = self.client.ready().await.shard_of(endpoint);
        let id =
            RegistrationId::new(&format!("{:04x}{}", shard.0, endpoint.endpoint_str())).unwrap();
        let registration = Registration {
            endpoint: endpoint.clone(),
            id: id.clone(),
            identity,
            owner: NODE,
            peer: SocketAddr::from(([127, 0, 0, 1], 5_683)),
            transport: Transport::Dtls,
            session: None,
            lifetime: Lifetime::from_secs(300),
            version: LwM2mVersion::V1_1,
            binding: "U".parse().unwrap(),
            links: "</1/0>,</3/0>,</4/0>".to_owned(),
            registered_at: Timestamp(0),
            updated_at: Timestamp(0),
            expires_at: Timestamp(0),
            quirks: Quirks::default(),
            enrollment: None,
        };
        let outcome = self
            .commit(
                shard,
                Command::Register {
                    registration: Box::new(registration),
                },
            )
            .await;
        (id, outcome)
    }

    /// Reports a value as a notification.
    pub(crate) async fn notify(
        &self,
        endpoint: &DeviceName,
        id: &RegistrationId,
        path: Path,
        value: Value,
    ) {
        self.notify_of(endpoint, id, None, (path, value)).await;
    }

    /// The same of a device behind it.
    pub(crate) async fn notify_of(
        &self,
        endpoint: &DeviceName,
        id: &RegistrationId,
        child: Option<ChildPrefix>,
        (path, value): (Path, Value),
    ) {
        let shard = self.client.ready().await.shard_of(endpoint);
        let command = Command::RecordValues {
            endpoint: endpoint.clone(),
            registration: id.clone(),
            child,
            origin: ValueOrigin::Notify,
            values: vec![(path, value, Timestamp(1))],
        };
        assert_eq!(self.commit(shard, command).await, Outcome::Done);
    }
}

async fn answer_all(
    handle: AttachHandle,
    mut operations: DeviceOperations,
    seen: Arc<Mutex<Vec<Operation>>>,
    asleep: Arc<AtomicBool>,
) {
    while let Some(downlink) = operations.next().await {
        let Downlink::Operation(operation) = downlink else {
            continue;
        };
        seen.lock().unwrap().push(operation.operation.clone());
        if pushed_package(&operation.operation).is_some() {
            // That takes longer than any test.
            continue;
        }
        let answer = if asleep.load(Ordering::SeqCst) {
            OperationAnswer::Failed {
                reason: FailureReason::Asleep,
                message: "the device sleeps".to_owned(),
            }
        } else {
            answer(&operation.operation)
        };
        handle.finish(operation.key, answer);
    }
}

fn answer(operation: &Operation) -> OperationAnswer {
    let delivered = |code: u8, values| OperationAnswer::Answered {
        outcome: OperationOutcome::Delivered { code, values },
        links: String::new(),
    };
    let manufacturer = || vec![(Path::Resource(3, 0, 0), Value::String("Drover".into()))];
    match operation {
        Operation::Read {
            path: Path::Resource(3, 0, 99),
            ..
        } => OperationAnswer::Answered {
            outcome: OperationOutcome::Rejected {
                code: 0x84,
                diagnostic: String::new(),
            },
            links: String::new(),
        },
        Operation::Execute {
            path: Path::Resource(3, 0, 5),
            ..
        } => OperationAnswer::Failed {
            reason: FailureReason::Timeout,
            message: "no answer".to_owned(),
        },
        Operation::Read { .. } | Operation::Observe { .. } => delivered(0x45, manufacturer()),
        _ => delivered(0x44, Vec::new()),
    }
}
