//! Commands and queries.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use device_state::{
    Command, CredentialId, Namespace, OperationId, Outcome, Rejection, Resumption, ResumptionId,
    Secret, SecurityIdentity, ShardId, Timestamp,
};
use lwm2m::EndpointName;
use proto::rpc::v1::{
    self as rpc, call, call_error::Kind, call_result, clear_credential, query, query_result,
};
use proto::storage::v1::command;
use state_client::{Client, Config, ConnectError, ProposeError, QueryError};
use tokio::task::JoinSet;

use crate::fake::{Cluster, Node, Reply, error, outcome, request_id};
use crate::{AMPLE, client_of};

const SHARD: ShardId = ShardId(0);

fn psk_id() -> CredentialId {
    CredentialId::PskIdentity(b"id".to_vec())
}

/// Stored in shard 7.
fn resumption() -> Resumption {
    let mut id = [9; 32];
    id[..3].copy_from_slice(&[ResumptionId::FORMAT, 0, 7]);
    Resumption {
        namespace: Namespace::default(),
        id: ResumptionId(id),
        state: vec![1, 2, 3],
        identity: SecurityIdentity::Credential(psk_id()),
        session: None,
        stored_at: Timestamp(1),
        expires_at: Timestamp(2),
    }
}

fn expire(limit: u32) -> Command {
    Command::ExpireUpTo { limit }
}

/// Answers `ExpireUpTo` with its own limit, so that answers can be told apart.
fn echo(call: &rpc::Call) -> Reply {
    match &call.kind {
        Some(call::Kind::Propose(rpc::Propose {
            command: Some(command),
            ..
        })) => match command.kind {
            Some(command::Kind::ExpireUpTo(limit)) => outcome(Outcome::Expired { rows: limit }),
            _ => error(Kind::Invalid, ""),
        },
        _ => error(Kind::Invalid, ""),
    }
}

#[tokio::test]
async fn the_leader_gets_the_command_and_its_outcome_comes_back() {
    let cluster = Cluster::new(4);
    let follower = Node::start(1, &cluster, echo).await;
    let leader = Node::start(2, &cluster, |_| {
        outcome(Outcome::Rejected(Rejection::UnknownDevice))
    })
    .await;
    cluster.lead(&leader, 1);
    let client = client_of(&[&follower]);
    assert_eq!(client.ready().await.leader(SHARD).unwrap().id.0, 2);
    let answered = client.propose(ShardId(3), expire(1), AMPLE).await;
    assert_eq!(answered, Ok(Outcome::Rejected(Rejection::UnknownDevice)));
    let call = leader.seen.calls.lock().unwrap()[0].clone();
    assert_eq!(call.shard, 3);
    assert!(call.timeout_ms > 0);
    assert!(follower.seen.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_command_waits_for_the_topology() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, echo).await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    assert_eq!(
        client.propose(SHARD, expire(5), AMPLE).await,
        Ok(Outcome::Expired { rows: 5 })
    );
}

#[tokio::test]
async fn a_named_leader_is_followed_with_the_same_request_id_and_remembered() {
    let cluster = Cluster::new(1);
    let new = Node::start(2, &cluster, echo).await;
    let address = new.address.to_string();
    let old = Node::start(1, &cluster, move |_| error(Kind::NotLeader, &address)).await;
    cluster.lead(&old, 1);
    let client = client_of(&[&old]);
    for round in 1..=3 {
        assert_eq!(
            client.propose(SHARD, expire(round), AMPLE).await,
            Ok(Outcome::Expired { rows: round })
        );
    }
    let refused = old.seen.calls.lock().unwrap().clone();
    let accepted = new.seen.calls.lock().unwrap().clone();
    assert_eq!((refused.len(), accepted.len()), (1, 3));
    assert_eq!(request_id(&refused[0]), request_id(&accepted[0]));
    let ids: HashSet<_> = accepted.iter().map(request_id).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_leader_that_stepped_down_without_naming_another_is_looked_for() {
    let cluster = Cluster::new(1);
    let new = Node::start(2, &cluster, echo).await;
    let old = Node::start(1, &cluster, |_| error(Kind::NotLeader, "")).await;
    cluster.lead(&old, 1);
    let client = client_of(&[&old]);
    client.ready().await;
    let proposal = client.propose(SHARD, expire(9), AMPLE);
    let election = async {
        while old.seen.calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        cluster.lead(&new, 2);
    };
    let (answered, ()) = tokio::join!(proposal, election);
    assert_eq!(answered, Ok(Outcome::Expired { rows: 9 }));
}

#[tokio::test]
async fn two_nodes_that_name_each_other_do_not_make_a_busy_loop() {
    let cluster = Cluster::new(1);
    let first = Node::start(1, &cluster, |_| error(Kind::NotLeader, "127.0.0.1:9")).await;
    cluster.lead(&first, 1);
    let client = client_of(&[&first]);
    client.ready().await;
    let answered = client
        .propose(SHARD, expire(1), Duration::from_millis(500))
        .await;
    assert_eq!(answered, Err(ProposeError::Unavailable));
    assert!(first.seen.calls.lock().unwrap().len() < 50);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_request_id() {
    let cluster = Cluster::new(1);
    let broken = AtomicBool::new(false);
    let node = Node::start(1, &cluster, move |call| {
        if broken.swap(true, Ordering::Relaxed) {
            echo(call)
        } else {
            Reply::Break
        }
    });
    let node = node.await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    assert_eq!(
        client.propose(SHARD, expire(3), AMPLE).await,
        Ok(Outcome::Expired { rows: 3 })
    );
    let calls = node.seen.calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(request_id(&calls[0]), request_id(&calls[1]));
}

#[tokio::test]
async fn a_leader_that_died_is_replaced_within_the_deadline() {
    let cluster = Cluster::new(1);
    let survivor = Node::start(2, &cluster, echo).await;
    let leader = Node::start(1, &cluster, echo).await;
    cluster.lead(&leader, 1);
    let client = client_of(&[&leader, &survivor]);
    assert_eq!(
        client.propose(SHARD, expire(1), AMPLE).await,
        Ok(Outcome::Expired { rows: 1 })
    );
    drop(leader);
    cluster.lead(&survivor, 2);
    assert_eq!(
        client.propose(SHARD, expire(2), AMPLE).await,
        Ok(Outcome::Expired { rows: 2 })
    );
}

#[tokio::test]
async fn silence_ends_at_the_deadline_as_unknown() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, |_| Reply::Silence).await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    client.ready().await;
    let begin = Instant::now();
    let answered = client
        .propose(SHARD, expire(1), Duration::from_millis(200))
        .await;
    assert_eq!(answered, Err(ProposeError::Deadline));
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_unavailable() {
    let client = Client::connect(Config::new(["127.0.0.1:9".to_owned()])).unwrap();
    let answered = client
        .propose(SHARD, expire(1), Duration::from_millis(200))
        .await;
    assert_eq!(answered, Err(ProposeError::Unavailable));
    assert!(client.describe_cluster().await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn a_malformed_command_is_not_tried_again() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, |_| error(Kind::Invalid, "")).await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    let refused = client.propose(SHARD, expire(1), AMPLE).await.unwrap_err();
    assert_eq!(refused, ProposeError::Invalid("no".to_owned()));
    assert!(!refused.is_retryable());
    assert_eq!(node.seen.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_overloaded_leader_is_asked_again_later() {
    let cluster = Cluster::new(1);
    let asked = AtomicU64::new(0);
    let node = Node::start(1, &cluster, move |call| {
        if asked.fetch_add(1, Ordering::Relaxed) < 3 {
            error(Kind::Overloaded, "")
        } else {
            echo(call)
        }
    });
    let node = node.await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    assert_eq!(
        client.propose(SHARD, expire(4), AMPLE).await,
        Ok(Outcome::Expired { rows: 4 })
    );
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_at_once() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, |_| Reply::Silence).await;
    cluster.lead(&node, 1);
    let mut config = Config::new([node.address.to_string()]);
    config.max_in_flight = 1;
    let client = Client::connect(config).unwrap();
    client.ready().await;
    let first = client.propose(SHARD, expire(1), Duration::from_millis(300));
    let second = async {
        while node.seen.calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        client.propose(SHARD, expire(2), AMPLE).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first, Err(ProposeError::Deadline));
    assert_eq!(second, Err(ProposeError::Overloaded));
    assert!(second.unwrap_err().is_overloaded());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_together_travels_together_and_every_caller_gets_its_own_answer() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, echo).await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    client.ready().await;
    let mut callers = JoinSet::new();
    for number in 0..5_000 {
        let client = client.clone();
        callers.spawn(async move {
            let answered = client.propose(SHARD, expire(number), AMPLE).await;
            assert_eq!(answered, Ok(Outcome::Expired { rows: number }));
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let batches = node.seen.batches.lock().unwrap();
    assert_eq!(batches.iter().sum::<usize>(), 5_000);
    assert!(batches.iter().all(|calls| *calls <= 256));
    assert!(batches.len() < 2_500, "{} messages", batches.len());
}

#[tokio::test]
async fn queries_ask_the_shard_of_what_they_look_for() {
    let cluster = Cluster::new(8);
    let node = Node::start(1, &cluster, |call| {
        let Some(call::Kind::Query(rpc::Query { kind: Some(kind) })) = &call.kind else {
            return Reply::Break;
        };
        let found = match kind {
            query::Kind::Credential(id) => query_result::Kind::Credential(rpc::ClearCredential {
                id: Some(id.clone()),
                endpoint: "meter".to_owned(),
                secret: Some(clear_credential::Secret::PreSharedKey(vec![1, 2, 3])),
            }),
            query::Kind::Resumption(id) if *id == resumption().id.0 => {
                query_result::Kind::Resumption(resumption().into())
            }
            _ => query_result::Kind::None(true),
        };
        Reply::Kind(Box::new(call_result::Kind::Query(rpc::QueryResult {
            kind: Some(found),
        })))
    });
    let node = node.await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    let found = client.credential(&psk_id(), AMPLE).await.unwrap().unwrap();
    assert_eq!(
        (found.endpoint.as_str(), &found.secret),
        ("meter", &Secret::PreSharedKey(vec![1, 2, 3]))
    );
    assert!(!format!("{found:?}").contains("[1, 2, 3]"));
    let cid = device_state::SessionCid([1, 0, 5, 9, 9, 9, 9, 9]);
    assert_eq!(client.session(cid, AMPLE).await, Ok(None));
    let known = client.resumption(resumption().id, AMPLE).await;
    assert_eq!(known, Ok(Some(resumption())));
    for unknown in [4, 8] {
        let mut id = resumption().id;
        id.0[2] = unknown;
        assert_eq!(client.resumption(id, AMPLE).await, Ok(None));
    }
    let id = device_state::new_registration_id(ShardId(6), 1);
    assert_eq!(client.registration_by_id(&id, AMPLE).await, Ok(None));
    let endpoint = EndpointName::new("meter").unwrap();
    assert_eq!(
        client.registration_by_endpoint(&endpoint, AMPLE).await,
        Ok(None)
    );
    let shards: Vec<u32> = node
        .seen
        .calls
        .lock()
        .unwrap()
        .iter()
        .map(|call| call.shard)
        .collect();
    let identity = ShardId::of_credential(&client.credential_name(&psk_id()), 8).0;
    let meter = ShardId::of_endpoint(&client.device(&endpoint), 8).0;
    assert_eq!(shards, [u32::from(identity), 5, 7, 4, 6, u32::from(meter)]);
    let foreign = "zz".parse().unwrap();
    assert_eq!(
        client.registration_by_id(&foreign, AMPLE).await,
        Err(QueryError::NoShard)
    );
}

#[tokio::test]
async fn an_answer_to_another_question_is_an_error() {
    let cluster = Cluster::new(1);
    let operation = OperationId {
        shard: SHARD,
        sequence: 1,
    };
    let node = Node::start(1, &cluster, move |_| {
        outcome(Outcome::Enqueued { operation })
    })
    .await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    assert!(matches!(
        client.credential(&psk_id(), AMPLE).await,
        Err(QueryError::Answer(_))
    ));
}

#[tokio::test]
async fn seeds_must_be_addresses() {
    let refused = |seeds: &[&str]| {
        Client::connect(Config::new(seeds.iter().map(|&seed| seed.to_owned()))).unwrap_err()
    };
    assert_eq!(refused(&[]), ConnectError::NoSeeds);
    assert_eq!(
        refused(&["state-0"]),
        ConnectError::Address("state-0".to_owned())
    );
    assert_eq!(
        refused(&["a b:1"]),
        ConnectError::Address("a b:1".to_owned())
    );
}
