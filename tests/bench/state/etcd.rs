//! Three members of etcd, and as much of its API as is measured (etcd `api/etcdserverpb/rpc.proto`).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prost::Message;
use tests::{Program, free_address, until_some};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

const MEMBERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster on loopback, with etcd's defaults but for the size that its data may have.
pub(crate) struct Etcd {
    members: Vec<Program>,
    clients: Vec<String>,
}

/// A connection to one member. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection(Grpc<Channel>);

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    request_put: Option<PutRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
struct TxnResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

impl Etcd {
    /// Starts three members with their data below `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let program = program();
        let peers: Vec<String> = (0..MEMBERS).map(|_| free_address()).collect();
        let clients: Vec<String> = (0..MEMBERS).map(|_| free_address()).collect();
        let cluster: Vec<String> = peers
            .iter()
            .enumerate()
            .map(|(index, peer)| format!("m{index}=http://{peer}"))
            .collect();
        let start = |(index, (peer, client)): (usize, (&String, &String))| {
            let (peer, client) = (format!("http://{peer}"), format!("http://{client}"));
            let data = folder.join(format!("etcd-{index}"));
            let mut command = Command::new(&program);
            command.arg("--data-dir").arg(&data);
            command.args(["--name", &format!("m{index}")]);
            command.args(["--listen-peer-urls", &peer]);
            command.args(["--initial-advertise-peer-urls", &peer]);
            command.args(["--listen-client-urls", &client]);
            command.args(["--advertise-client-urls", &client]);
            command.args(["--initial-cluster", &cluster.join(",")]);
            command.args(["--quota-backend-bytes", "8589934592"]);
            command.args(["--log-level", "warn"]);
            Program::start(&mut command, &data.with_extension("log")).expect("etcd can be started")
        };
        let members = peers.iter().zip(&clients).enumerate().map(start).collect();
        Self { members, clients }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(Program::pid).collect()
    }

    /// The address of the member that leads. Any other would pass each write on.
    pub(crate) fn leader(&self, runtime: &tokio::runtime::Runtime) -> String {
        until_some("a leader of etcd", PATIENCE, || {
            for (address, member) in self.clients.iter().zip(&self.members) {
                let status = runtime.block_on(async {
                    let member = connect(address);
                    let asked = member.call("/etcdserverpb.Maintenance/Status", StatusRequest {});
                    tokio::time::timeout(Duration::from_secs(1), asked).await
                });
                let Ok(Ok(status)) = status else {
                    return Err(member.output());
                };
                let status: StatusResponse = status;
                let own = status.header.map(|header| header.member_id);
                if own == Some(status.leader) {
                    return Ok(address.clone());
                }
            }
            Err("no member leads".to_owned())
        })
    }
}

impl Connection {
    pub(crate) async fn put(&self, key: Vec<u8>, value: Vec<u8>) {
        let put = PutRequest { key, value };
        let answer = self.call("/etcdserverpb.KV/Put", put).await;
        let PutResponse { header } = answer.expect("etcd takes the put");
        assert!(header.is_some_and(|header| header.revision > 0));
    }

    /// All of them in one transaction.
    pub(crate) async fn put_all(&self, pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        let put = |(key, value)| RequestOp {
            request_put: Some(PutRequest { key, value }),
        };
        let success = pairs.into_iter().map(put).collect();
        let answer = self
            .call("/etcdserverpb.KV/Txn", TxnRequest { success })
            .await;
        let answer: TxnResponse = answer.expect("etcd takes the transaction");
        assert!(answer.succeeded);
    }

    /// What is stored under the key, linearizable.
    pub(crate) async fn range(&self, key: Vec<u8>) -> Option<Vec<u8>> {
        let answer = self
            .call("/etcdserverpb.KV/Range", RangeRequest { key })
            .await;
        let answer: RangeResponse = answer.expect("etcd answers");
        answer.kvs.into_iter().next().map(|found| found.value)
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, tonic::Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.0.clone();
        grpc.ready()
            .await
            .map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(tonic::Request::new(request), path, codec).await;
        Ok(answer?.into_inner())
    }
}

/// A connection with the settings of the other client.
pub(crate) fn connect(address: &str) -> Connection {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a good address");
    let endpoint = endpoint
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20);
    Connection(Grpc::new(endpoint.connect_lazy()))
}

/// The binary that the Kubernetes lane runs as well; built if it is not there.
fn program() -> std::path::PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kube/build.sh");
    let output = Command::new(script).arg("etcd").output();
    let output = output.expect("bash is there");
    assert!(output.status.success(), "etcd cannot be built: {output:?}");
    let folder = String::from_utf8_lossy(&output.stdout);
    Path::new(folder.trim()).join("etcd")
}
