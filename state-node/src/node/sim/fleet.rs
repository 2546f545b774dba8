//! Devices, and the ingress nodes that hold them: the real client of the state tier, and devices that only count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use device_state::{
    Command, DeviceName, NodeId, OperationOutcome, Outcome, Quirks, Registration, SecurityIdentity,
    Timestamp, Transport,
};
use lwm2m::{Lifetime, LwM2mVersion, Operation, RegistrationId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use state_client::{
    AttachHandle, Client, Config, DeviceOperation, DeviceOperations, Downlink, FailureReason,
    OperationAnswer,
};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::MACHINES;
use super::machine::internal;
use super::wires::{Place, Wires};

const DEVICES: usize = 6;
/// The places of the ingress nodes.
const INGRESS: [Place; 2] = [11, 12];
/// Milliseconds that a device stays with a node.
const STAY: std::ops::Range<u64> = 1_000..8_000;
/// How long a commit is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// What of an operation on a device gets lost in a hundred.
const LOST_PERCENT: u32 = 10;

/// What is true of the devices, whatever others believe.
#[derive(Debug, Default)]
struct World {
    /// At which node each device is.
    holders: BTreeMap<String, NodeId>,
    /// How often something was executed, by its argument.
    executed: BTreeMap<String, usize>,
}

/// One ingress node.
#[derive(Clone)]
struct Ingress {
    id: NodeId,
    client: Client,
    handle: AttachHandle,
}

pub(super) struct Fleet {
    world: Arc<Mutex<World>>,
    tasks: JoinSet<()>,
}

/// Every device.
pub(super) fn names() -> Vec<String> {
    (0..DEVICES)
        .map(|number| format!("live-{number:06}"))
        .collect()
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

impl Fleet {
    /// Devices that register, now here and now there.
    pub(super) fn start(wires: &Wires, rng: &mut ChaCha8Rng) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let mut tasks = JoinSet::new();
        let mut nodes = Vec::new();
        for place in INGRESS {
            let (ingress, operations) = attach(wires, place);
            let rng = ChaCha8Rng::seed_from_u64(rng.random());
            tasks.spawn(answer_all(ingress.clone(), operations, world.clone(), rng));
            nodes.push(ingress);
        }
        for name in names() {
            let rng = ChaCha8Rng::seed_from_u64(rng.random());
            tasks.spawn(live(name, nodes.clone(), world.clone(), rng));
        }
        Self { world, tasks }
    }

    /// Panics if a device or a node of them has failed: none ends.
    pub(super) fn goes_on(&mut self) {
        if let Some(ended) = self.tasks.try_join_next() {
            panic!("a device or its node ended: {ended:?}");
        }
    }

    /// Whether every device has been registered.
    pub(super) fn all_known(&self) -> bool {
        lock(&self.world).holders.len() == DEVICES
    }

    /// How often devices executed something, by its argument.
    pub(super) fn executed(&self) -> BTreeMap<String, usize> {
        lock(&self.world).executed.clone()
    }
}

fn attach(wires: &Wires, place: Place) -> (Ingress, DeviceOperations) {
    let (wires, id) = (wires.clone(), NodeId(place));
    let config = Config {
        transport: state_client::Transport::Secured(Arc::new(move |endpoint| {
            wires.channel(place, &endpoint)
        })),
        ..Config::new((1..=MACHINES).map(internal))
    };
    let client = Client::connect(config).unwrap();
    let (handle, operations) = client.attach(id, "simulated");
    let ingress = Ingress { id, client, handle };
    (ingress, operations)
}

/// Registers with a node, stays for a while, and goes on with another.
async fn live(name: String, nodes: Vec<Ingress>, world: Arc<Mutex<World>>, mut rng: ChaCha8Rng) {
    let device = DeviceName::parse(&name).unwrap();
    for number in 0u64.. {
        let ingress = &nodes[rng.random_range(0..nodes.len())];
        let shard = ingress.client.ready().await.shard_of(&device);
        let registration = Registration {
            endpoint: device.clone(),
            id: RegistrationId::new(&format!("{:04x}{name}-{number}", shard.0)).unwrap(),
            identity: SecurityIdentity::CertificateNames(vec![name.clone()]),
            owner: ingress.id,
            peer: SocketAddr::from(([127, 0, 0, 1], 5_683)),
            transport: Transport::Dtls,
            session: None,
            lifetime: Lifetime::from_secs(3_600),
            version: LwM2mVersion::V1_1,
            binding: "U".parse().unwrap(),
            links: "</1/0>,</3/0>".to_owned(),
            registered_at: Timestamp(0),
            updated_at: Timestamp(0),
            expires_at: Timestamp(0),
            quirks: Quirks::default(),
            enrollment: None,
        };
        let command = Command::Register {
            registration: Box::new(registration),
        };
        match ingress.client.propose(shard, command, PATIENCE).await {
            Ok(Outcome::Registered { .. }) => {
                lock(&world).holders.insert(name.clone(), ingress.id);
                ingress.handle.awake(&device.endpoint());
                sleep(Duration::from_millis(rng.random_range(STAY))).await;
            }
            Ok(outcome) => panic!("{name}: {outcome:?}"),
            // Nobody knows whether it is registered; it asks again, as devices do.
            Err(_) => sleep(Duration::from_millis(rng.random_range(100..1_000))).await,
        }
    }
}

async fn answer_all(
    ingress: Ingress,
    mut operations: DeviceOperations,
    world: Arc<Mutex<World>>,
    mut rng: ChaCha8Rng,
) {
    while let Some(downlink) = operations.next().await {
        let Downlink::Operation(operation) = downlink else {
            continue;
        };
        sleep(Duration::from_millis(rng.random_range(0..20))).await;
        let answer = carry_out(&ingress, &operation, &world, &mut rng);
        ingress.handle.finish(operation.key, answer);
    }
}

/// What becomes of an operation. The request may be lost on the way to the device, or the answer on the way back.
fn carry_out(
    ingress: &Ingress,
    operation: &DeviceOperation,
    world: &Mutex<World>,
    rng: &mut ChaCha8Rng,
) -> OperationAnswer {
    let failed = |reason| OperationAnswer::Failed {
        reason,
        message: "simulated".to_owned(),
    };
    let mut world = lock(world);
    if world.holders.get(operation.endpoint.as_str()) != Some(&ingress.id) {
        return failed(FailureReason::NotHere);
    }
    if rng.random_range(0..100) < LOST_PERCENT {
        return failed(FailureReason::Timeout);
    }
    if let Operation::Execute { arguments, .. } = &operation.operation {
        *world
            .executed
            .entry(arguments.as_str().to_owned())
            .or_default() += 1;
    }
    if rng.random_range(0..100) < LOST_PERCENT {
        return failed(FailureReason::Timeout);
    }
    OperationAnswer::Answered {
        outcome: OperationOutcome::Delivered {
            code: 0x44,
            values: Vec::new(),
        },
        links: String::new(),
    }
}
