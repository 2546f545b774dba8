#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;

use device_state::{Command, NodeId, Outcome, ShardId, query};
use lwm2m::EndpointName;
use node_runtime::{Stage, Tasks};
use openraft::async_runtime::WatchReceiver;
use proto::rpc::v1::raft_server::RaftServer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use super::*;
use crate::dial::Dialer;
use crate::fail_stop::FailStop;
use crate::raft::group::{Group, GroupParts};
use crate::raft::log_store::LogStore;
use crate::raft::proposals::ProposerConfig;
use crate::store::ShardStore;
use crate::store::database::SharedOptions;

/// One node with one group, reachable on loopback.
struct TestNode {
    id: u64,
    group: Arc<Group>,
    member: Member,
    _dir: TempDir,
}

async fn start(id: u64, tasks: &Tasks) -> TestNode {
    let dir = tempfile::tempdir().unwrap();
    let fail_stop = FailStop::hooked(|what| panic!("{what}"));
    let options = SharedOptions::new(1 << 20, 1 << 20, 1);
    let store = ShardStore::open(
        ShardId(0),
        &dir.path().join("rows"),
        options,
        fail_stop.clone(),
    )
    .unwrap();
    let parts = GroupParts {
        node: NodeId(id),
        config: crate::raft::config("test").unwrap(),
        log: LogStore::open(&dir.path().join("log"), 1, fail_stop.clone())
            .unwrap()
            .group(0),
        network: Network::new(
            0,
            id,
            Arc::new(Peers::new(tasks.clone(), Dialer::Plaintext)),
        ),
        store: Arc::new(store),
        proposer: ProposerConfig {
            disk: crate::raft::proposals::DiskGuard::default(),
        },
        fail_stop,
    };
    let group = Arc::new(Group::start(parts, tasks).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let internal = listener.local_addr().unwrap().to_string();
    let service = server::Service::new(id, Arc::new(vec![group.clone()]), tasks.clone());
    let router = tonic::transport::Server::builder().add_service(RaftServer::new(service));
    tasks.spawn_job("server", Stage::Intake, |_| async move {
        router
            .serve_with_incoming(TcpIncoming::from(listener))
            .await
            .unwrap();
    });
    let member = Member {
        internal,
        ..Member::default()
    };
    TestNode {
        id,
        group,
        member,
        _dir: dir,
    }
}

fn endpoint(number: u32) -> EndpointName {
    EndpointName::new(&format!("meter-{number}")).unwrap()
}

async fn write(node: &TestNode, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let command = Command::SetDesired {
            endpoint: endpoint(number),
            generation: 1,
            resources: Vec::new(),
        };
        assert_eq!(
            node.group.proposer().propose(None, command).await,
            Ok(Outcome::Done)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_gets_a_snapshot_when_the_log_is_gone_and_then_the_rest_of_the_log() {
    let tasks = Tasks::new();
    let (leader, learner) = (start(1, &tasks).await, start(2, &tasks).await);
    leader
        .group
        .raft()
        .initialize(BTreeMap::from([(1, leader.member.clone())]))
        .await
        .unwrap();
    leader
        .group
        .raft()
        .wait(Some(Duration::from_secs(10)))
        .current_leader(1, "leads")
        .await
        .unwrap();
    write(&leader, 0..50).await;
    let applied = leader.group.status().applied;
    leader.group.raft().trigger().snapshot().await.unwrap();
    let wait = leader.group.raft().wait(Some(Duration::from_secs(10)));
    let made = |metrics: &openraft::RaftMetrics<TypeConfig>| {
        metrics.snapshot.is_some_and(|id| id.index >= applied)
    };
    wait.metrics(made, "snapshot").await.unwrap();
    leader
        .group
        .raft()
        .trigger()
        .purge_log(applied)
        .await
        .unwrap();
    wait.metrics(
        |metrics| metrics.purged.is_some_and(|id| id.index >= applied),
        "purged",
    )
    .await
    .unwrap();

    leader
        .group
        .raft()
        .add_learner(learner.id, learner.member.clone(), true)
        .await
        .unwrap();
    write(&leader, 50..60).await;
    let last = leader.group.status().applied;
    let wait = learner.group.raft().wait(Some(Duration::from_secs(10)));
    wait.applied_index_at_least(Some(last), "caught up")
        .await
        .unwrap();
    assert!(
        learner
            .group
            .raft()
            .metrics()
            .borrow_watched()
            .snapshot
            .is_some()
    );
    for number in [0, 49, 50, 59] {
        let generation = learner
            .group
            .store()
            .read(|tables| query::desired_generation(tables, &endpoint(number)));
        assert_eq!(generation, Some(1), "of {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_meant_for_another_node_is_refused() {
    let tasks = Tasks::new();
    let node = start(7, &tasks).await;
    let peers = Peers::new(tasks, Dialer::Plaintext);
    // The address of node 7, believed to be node 8.
    let peer = peers.peer(8, &node.member.internal);
    let answer = peer
        .send(0, Kind::Vote(Bytes::new()))
        .unwrap()
        .await
        .unwrap();
    assert!(matches!(answer, Err(LinkError::WrongNode)), "{answer:?}");
    // Its own messages arrive; this one is malformed.
    let peer = peers.peer(7, &node.member.internal);
    let answer = peer
        .send(0, Kind::Vote(Bytes::new()))
        .unwrap()
        .await
        .unwrap();
    assert!(matches!(answer, Err(LinkError::Remote(_))), "{answer:?}");
    let answer = peer
        .send(9, Kind::Vote(Bytes::new()))
        .unwrap()
        .await
        .unwrap();
    assert!(matches!(answer, Err(LinkError::Remote(_))), "{answer:?}");
}
