#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;

use device_state::{Command, DeviceName, NodeId, Outcome, Row, ShardId, Tables, query};
use node_runtime::{Stage, Tasks};
use openraft::async_runtime::WatchReceiver;
use proto::rpc::v1::raft_server::RaftServer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;

use super::*;
use crate::comparison::Comparer;
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
    comparer: Comparer,
    dir: TempDir,
}

async fn start(id: u64, tasks: &Tasks) -> TestNode {
    start_with(id, tasks, FailStop::hooked(|what| panic!("{what}"))).await
}

async fn start_with(id: u64, tasks: &Tasks, fail_stop: FailStop) -> TestNode {
    start_in(tempfile::tempdir().unwrap(), id, tasks, fail_stop).await
}

async fn start_in(dir: TempDir, id: u64, tasks: &Tasks, fail_stop: FailStop) -> TestNode {
    let peers = Arc::new(Peers::new(tasks.clone(), Dialer::Plaintext));
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
        network: Network::new(0, id, peers.clone()),
        store: Arc::new(store),
        proposer: ProposerConfig {
            disk: crate::raft::proposals::DiskGuard::default(),
        },
        pace: Arc::default(),
        fail_stop,
        feed_buffer_bytes: 1 << 20,
    };
    let node = NodeId(id);
    let comparer = Comparer { node, peers };
    let group = Arc::new(Group::start(parts, tasks).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let internal = listener.local_addr().unwrap().to_string();
    let groups = Arc::new(vec![group.clone()]);
    let service = server::Service::new(groups, comparer.clone(), tasks.clone());
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
        comparer,
        dir,
    }
}

fn endpoint(number: u32) -> DeviceName {
    DeviceName::parse(&format!("meter-{number}")).unwrap()
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

/// A leader answers reads on the strength of a promise that its followers forget when they start again: two of three that
/// start again at once could make another leader while the old one, cut off from them, still answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_again_votes_for_nobody_while_a_lease_may_last() {
    let lease = Duration::from_millis(crate::raft::config("test").unwrap().election_timeout_max);
    let tasks = Tasks::new();
    let node = start(1, &tasks).await;
    let raft = node.group.raft();
    let alone = BTreeMap::from([(1, node.member.clone())]);
    raft.initialize(alone).await.unwrap();
    let wait = raft.wait(Some(Duration::from_secs(10)));
    wait.current_leader(1, "leads").await.unwrap();
    raft.shutdown().await.unwrap();
    let TestNode { group, dir, .. } = node;
    tasks
        .shut_down(Duration::from_secs(5), std::future::pending())
        .await;
    // A task that ends holds the rows a little longer, and they are opened once only.
    let rows = Arc::downgrade(group.store());
    drop(group);
    let closed = async {
        while rows.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed)
        .await
        .expect("the rows are closed");

    let begun = tokio::time::Instant::now();
    let tasks = Tasks::new();
    let fail_stop = FailStop::hooked(|what| panic!("{what}"));
    let node = start_in(dir, 1, &tasks, fail_stop).await;
    let peers = Arc::new(Peers::new(tasks.clone(), Dialer::Plaintext));
    let mut candidate = Network::new(0, 2, peers).new_client(1, &node.member).await;
    let request = VoteRequest {
        vote: Vote::new(1_000, 2),
        last_log_id: Some(crate::raft::log_id(999, 1_000)),
        leadership_transfer: false,
    };
    let option = || RPCOption::new(Duration::from_secs(5));
    let early = candidate.pre_vote(request.clone(), option()).await;
    assert!(begun.elapsed() > lease || early.is_err(), "{early:?}");
    let early = candidate.vote(request.clone(), option()).await;
    assert!(begun.elapsed() > lease || early.is_err(), "{early:?}");

    let wait = node.group.raft().wait(Some(Duration::from_secs(10)));
    wait.current_leader(1, "leads").await.unwrap();
    assert!(
        begun.elapsed() >= lease,
        "it did not wait to vote for itself"
    );
    candidate.pre_vote(request, option()).await.unwrap();
}

/// Three voters of one group, and what each says when it ends its node.
async fn three(tasks: &Tasks) -> (Vec<TestNode>, Vec<mpsc::Receiver<String>>) {
    let (mut nodes, mut told) = (Vec::new(), Vec::new());
    for id in 1..=3 {
        let (sender, receiver) = mpsc::channel(64);
        let hook = FailStop::hooked(move |what| drop(sender.try_send(what.to_owned())));
        nodes.push(start_with(id, tasks, hook).await);
        told.push(receiver);
    }
    let members: BTreeMap<_, _> = nodes
        .iter()
        .map(|node| (node.id, node.member.clone()))
        .collect();
    nodes[0].group.raft().initialize(members).await.unwrap();
    (nodes, told)
}

/// Compares, on whichever node leads, until it came to something.
async fn compare_until(nodes: &[TestNode], what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        for node in nodes.iter().filter(|node| node.group.leads()) {
            node.comparer.lead(&node.group).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn figures(nodes: &[TestNode]) -> (u64, u64) {
    let figures = nodes.iter().map(|node| node.group.hashes().figures());
    figures.fold((0, 0), |(revision, mismatches), figures| {
        (
            revision.max(figures.revision),
            mismatches + figures.mismatches,
        )
    })
}

/// Changes a row that no log entry changes.
fn change_behind_its_back(node: &TestNode, generation: u64) {
    let store = node.group.store();
    let mut changes = store.write();
    changes.put(Row::DesiredGeneration {
        endpoint: endpoint(7),
        generation,
    });
    let position = store.applied().unwrap().unwrap();
    store.commit(changes, &position).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_rows_differ_from_the_majority_gives_them_up() {
    let tasks = Tasks::new();
    let (nodes, mut told) = three(&tasks).await;
    compare_until(&nodes, "alike", || figures(&nodes).0 > 0).await;
    assert_eq!(figures(&nodes).1, 0);

    change_behind_its_back(&nodes[2], 99);
    let mut what = None;
    compare_until(&nodes, "one differs", || {
        what = told[2].try_recv().ok();
        what.is_some()
    })
    .await;
    let what = what.unwrap();
    assert!(what.contains("shard 0: its rows differ"), "{what}");
    let (revision, mismatches) = figures(&nodes);
    assert!(mismatches > 0);
    // Whoever only says that another differs is not believed.
    let revision = device_state::Revision(revision);
    for node in &nodes[..2] {
        node.comparer.check_own(&node.group, revision).await;
    }
    assert!(told[0].try_recv().is_err() && told[1].try_recv().is_err());

    // Three opinions: nobody knows who is right.
    change_behind_its_back(&nodes[0], 77);
    let before = nodes[0].group.hashes().newest();
    compare_until(&nodes, "a hash of the changed rows", || {
        nodes[0].group.hashes().newest() > before
    })
    .await;
    let (_, before) = figures(&nodes);
    compare_until(&nodes, "all differ", || figures(&nodes).1 > before).await;
    assert!(told[0].try_recv().is_err() && told[1].try_recv().is_err());
}
