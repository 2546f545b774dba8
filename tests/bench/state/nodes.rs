//! State nodes without anything around them, and what is stored in them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use device_state::{
    Command, CredentialId, DeviceName, Namespace, NodeId, Outcome, Quirks, Registration,
    SecurityIdentity, Session, SessionCid, SessionGeneration, ShardId, Timestamp, Transport,
    new_registration_id,
};
use lwm2m::{EndpointName, Lifetime, LwM2mVersion};
use serde_json::Value;
use state_client::{Client, Config};
use tests::state_nodes::{Site, StateNode, apis, cluster, wait_for_voters_of};
use tests::until;

/// As many as a cluster has unless somebody says otherwise.
pub(crate) const SHARDS: u16 = 8;
/// How long a cluster may take to do what it does by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a client tries before it is a failure.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What `dtls` exports of a session takes about so many bytes.
const EXPORT: usize = 200;
/// As a device with an accelerometer, a firmware object and some sensors announces itself.
const LINKS: &str = "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\",</1>;ver=1.1,</1/0>,</2/0>,</3/0>;ver=1.2,</4/0>,\
    </5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>,</3313/0>,</3316/0>,</3347/0>";

/// A cluster of some nodes; its data goes with it.
pub(crate) struct Nodes {
    pub(crate) site: Site,
    pub(crate) nodes: Vec<StateNode>,
}

impl Nodes {
    /// Starts a cluster below `folder` and waits until every node leads its share.
    pub(crate) fn start(folder: &Path, number: usize) -> Self {
        let site = Site::within(folder, SHARDS);
        let mut nodes: Vec<StateNode> = (0..number)
            .map(|index| site.node(&format!("state-{index}")))
            .collect();
        let seeds = seeds(&nodes);
        for node in &mut nodes {
            node.start(&["--seeds", &seeds]);
        }
        for node in &mut nodes {
            node.wait_until_ready();
        }
        let started = Self { site, nodes };
        started.wait_until_spread();
        started
    }

    pub(crate) fn apis(&self) -> String {
        apis(&self.nodes.iter().collect::<Vec<_>>())
    }

    pub(crate) fn seeds(&self) -> String {
        seeds(&self.nodes)
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(StateNode::pid).collect()
    }

    /// Waits until all are voters of all shards and nobody is behind.
    pub(crate) fn wait_until_current(&self) {
        wait_for_voters_of(SHARDS, &self.apis(), self.nodes.len());
        self.wait_for_each("nodes that are behind in no shard", |node| {
            count(node, "behind") == 0
        });
    }

    /// The same, and that leaderships are spread.
    pub(crate) fn wait_until_spread(&self) {
        self.wait_until_current();
        let share = u64::from(SHARDS) / self.nodes.len() as u64;
        self.wait_for_each("leaderships that are spread", |node| {
            count(node, "leads") >= share
        });
    }

    fn wait_for_each(&self, what: &str, fits: impl Fn(&Value) -> bool) {
        let apis = self.apis();
        until(what, PATIENCE, || {
            let described = cluster(&apis);
            let nodes = described["nodes"].as_array().cloned().unwrap_or_default();
            nodes.len() == self.nodes.len()
                && nodes
                    .iter()
                    .all(|node| node["status"] == "Ready" && fits(node))
        });
    }

    /// A client as an ingress node has it; needs a runtime.
    pub(crate) async fn connect(&self) -> Client {
        let seeds = self.nodes.iter().map(|node| node.internal.clone());
        let client = Client::connect(Config::new(seeds)).expect("good addresses");
        client.ready().await;
        client
    }
}

/// A number of a description in JSON; what is 0 is left out.
pub(crate) fn count(node: &Value, field: &str) -> u64 {
    node[field].as_u64().unwrap_or(0)
}

fn seeds(nodes: &[StateNode]) -> String {
    let all: Vec<&str> = nodes.iter().map(|node| node.internal.as_str()).collect();
    all.join(",")
}

/// Commits a command, however often it has to be sent.
pub(crate) async fn commit(client: &Client, shard: ShardId, command: Command) {
    let outcome = client.propose(shard, command, TIMEOUT).await;
    let outcome = outcome.expect("a state node takes the command");
    assert!(
        matches!(outcome, Outcome::Done | Outcome::Registered { .. }),
        "{outcome:?}"
    );
}

/// The session that is stored now.
pub(crate) async fn read_session(client: &Client, cid: SessionCid) -> Option<Session> {
    let found = client.session(cid, TIMEOUT).await;
    found.expect("a state node answers")
}

/// The Connection ID of a number: spread over all shards, and over all values, as those of an ingress node are.
pub(crate) fn cid(number: u64) -> SessionCid {
    cid_in(ShardId((number % u64::from(SHARDS)) as u16), number)
}

/// The same in a given shard.
pub(crate) fn cid_in(shard: ShardId, number: u64) -> SessionCid {
    let [high, low] = shard.0.to_be_bytes();
    // An odd factor takes no two numbers to the same five bytes.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let [.., b0, b1, b2, b3, b4] = spread;
    SessionCid([1, high, low, b0, b1, b2, b3, b4])
}

/// A session as an ingress node stores it when a device has shaken hands.
pub(crate) fn session(cid: SessionCid) -> Session {
    let mut export = vec![0; EXPORT];
    for (index, byte) in export.iter_mut().enumerate() {
        *byte = cid.0[index % 8].wrapping_mul(index as u8 | 1);
    }
    let identity = format!("device-{:x}", u64::from_be_bytes(cid.0));
    Session {
        cid,
        namespace: Namespace::default(),
        export,
        identity: SecurityIdentity::Credential(CredentialId::PskIdentity(identity.into_bytes())),
        peer: SocketAddr::from(([10, 0, 0, 1], 5_683)),
        owner: NodeId(7),
        generation: SessionGeneration(1),
        stored_at: Timestamp(0),
        expires_at: tomorrow(),
    }
}

/// What commits it.
pub(crate) fn store(cid: SessionCid) -> Command {
    Command::StoreSession {
        session: Box::new(session(cid)),
        resumption: None,
    }
}

pub(crate) fn device(number: u64) -> DeviceName {
    let name = format!("urn:imei:{number:015}");
    let endpoint = EndpointName::new(&name).expect("a good name");
    DeviceName::new(&Namespace::default(), &endpoint)
}

/// What registers a device, and where.
pub(crate) fn register(number: u64) -> (ShardId, Command) {
    let endpoint = device(number);
    let shard = ShardId::of_endpoint(&endpoint, SHARDS);
    let identity = SecurityIdentity::CertificateNames(vec![endpoint.endpoint_str().to_owned()]);
    let registration = Registration {
        id: new_registration_id(shard, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        endpoint,
        identity,
        owner: NodeId(7),
        peer: SocketAddr::from(([10, 0, 0, 1], 5_683)),
        transport: Transport::Dtls,
        session: Some(cid_in(shard, number)),
        lifetime: Lifetime::from_secs(86_400),
        version: LwM2mVersion::V1_1,
        binding: "U".parse().expect("a good binding"),
        links: LINKS.to_owned(),
        registered_at: Timestamp(0),
        updated_at: Timestamp(0),
        expires_at: Timestamp(0),
        quirks: Quirks::default(),
        enrollment: None,
    };
    let registration = Box::new(registration);
    (shard, Command::Register { registration })
}

fn tomorrow() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("the clock is right").as_millis() as u64;
    Timestamp(now + 86_400_000)
}
