//! Operations and descriptions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use device_state::{OperationId, OperationOutcome, Revision, ShardId};
use lwm2m::{EndpointName, Operation, Path};
use proto::rpc::v1::OperateResponse;
use state_client::OperateError;
use tonic::Status;

use crate::fake::{Cluster, Node, Reply};
use crate::{AMPLE, client_of};

fn read() -> Operation {
    Operation::Read {
        path: Path::Resource(3, 0, 9),
        accept: None,
    }
}

fn meter() -> EndpointName {
    EndpointName::new("meter").unwrap()
}

#[tokio::test]
async fn an_operation_is_repeated_with_its_request_id_while_the_leader_is_away() {
    let cluster = Cluster::new(2);
    let back = AtomicBool::new(false);
    let delivered = OperationOutcome::Delivered {
        code: 0x45,
        values: vec![],
    };
    let answer = OperateResponse {
        outcome: Some(delivered.clone().into()),
        ..Default::default()
    };
    let node = Node::start_full(
        1,
        &cluster,
        |_| Reply::Silence,
        move |_| {
            if back.swap(true, Ordering::Relaxed) {
                Ok(answer.clone())
            } else {
                Err(Status::unavailable("election"))
            }
        },
    );
    let node = node.await;
    cluster.lead(&node, 1);
    let answered = client_of(&[&node])
        .operate(&meter(), read(), AMPLE)
        .await
        .unwrap();
    assert_eq!((answered.outcome, answered.operation), (delivered, None));
    let requests = node.seen.operates.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].request_id, requests[1].request_id);
    assert_eq!(requests[0].endpoint, "meter");
}

#[tokio::test]
async fn what_the_leader_refuses_is_the_callers() {
    let cluster = Cluster::new(1);
    let asleep = || Status::with_details(tonic::Code::Unavailable, "asleep", vec![1].into());
    let node = Node::start_full(1, &cluster, |_| Reply::Silence, move |_| Err(asleep())).await;
    cluster.lead(&node, 1);
    let refused = client_of(&[&node])
        .operate(&meter(), read(), AMPLE)
        .await
        .unwrap_err();
    assert!(refused.is_retryable());
    let OperateError::Refused(status) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(status.message(), "asleep");
}

#[tokio::test]
async fn an_operation_on_a_cluster_without_a_leader_ends_at_its_deadline() {
    let cluster = Cluster::new(1);
    let node = Node::start_full(
        1,
        &cluster,
        |_| Reply::Silence,
        |_| Err(Status::unavailable("election")),
    )
    .await;
    let client = client_of(&[&node]);
    let failed = client
        .operate(&meter(), read(), Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(
        matches!(failed, OperateError::Unavailable | OperateError::Deadline),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_device_is_described_with_its_revision() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, |_| Reply::Silence).await;
    cluster.lead(&node, 1);
    let (view, revision) = client_of(&[&node])
        .describe_device(&meter(), AMPLE)
        .await
        .unwrap();
    assert_eq!((revision, view.desired_generation), (Revision(7), Some(3)));
    assert_eq!(view.endpoint.endpoint(), meter());
    assert!(view.registration.is_none());
}

#[tokio::test]
async fn the_definitions_of_vendors_are_told_when_they_changed() {
    let cluster = Cluster::new(1);
    let node = Node::start(1, &cluster, |_| Reply::Silence).await;
    cluster.lead(&node, 1);
    let client = client_of(&[&node]);
    let news = client.definitions(None, AMPLE).await.unwrap().unwrap();
    assert_eq!((news.changes, news.models[0].id), (1, 26_241));
    let known = Some(news.changes);
    assert!(client.definitions(known, AMPLE).await.unwrap().is_none());
}

#[tokio::test]
async fn a_committed_operation_that_has_not_ended_is_named() {
    let cluster = Cluster::new(1);
    let operation = OperationId {
        shard: ShardId(0),
        sequence: 8,
    };
    let answer = OperateResponse {
        operation: Some(operation.into()),
        ..Default::default()
    };
    let node = Node::start_full(1, &cluster, |_| Reply::Silence, move |_| Ok(answer.clone())).await;
    cluster.lead(&node, 1);
    let pending = client_of(&[&node])
        .operate(&meter(), read(), AMPLE)
        .await
        .unwrap_err();
    assert!(
        matches!(pending, OperateError::StillRunning { operation: named } if named == operation)
    );
}
