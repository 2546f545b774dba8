//! Attachments.

use std::time::Duration;

use device_state::{NodeId, OperationOutcome};
use lwm2m::{EndpointName, Operation, Path};
use proto::rpc::v1::{self as rpc, attach_down, attach_up, operation_result};
use state_client::{
    Client, Config, DeviceOperation, DeviceOperations, Downlink, FailureReason, OperationAnswer,
    ReportedContact,
};

use crate::client_of;
use crate::fake::{Cluster, Node, Reply};

fn operation(tag: u64) -> attach_down::Kind {
    let read = Operation::Read {
        path: Path::Resource(3, 0, 9),
        accept: None,
    };
    attach_down::Kind::Operation(rpc::DeviceOperation {
        tag,
        endpoint: "meter".to_owned(),
        registration: "0000aa".to_owned(),
        operation: Some(read.into()),
        timeout_ms: 2_000,
    })
}

fn hellos(up: &[rpc::AttachUp]) -> usize {
    up.iter()
        .filter(|message| matches!(message.kind, Some(attach_up::Kind::Hello(_))))
        .count()
}

fn results(up: &[rpc::AttachUp]) -> Vec<rpc::OperationResult> {
    let result = |message: &rpc::AttachUp| match &message.kind {
        Some(attach_up::Kind::Result(result)) => Some(result.clone()),
        _ => None,
    };
    up.iter().filter_map(result).collect()
}

async fn next_operation(operations: &mut DeviceOperations) -> DeviceOperation {
    match operations.next().await {
        Some(Downlink::Operation(operation)) => *operation,
        other => panic!("{other:?}"),
    }
}

async fn silent(id: u64, cluster: &Cluster) -> Node {
    Node::start(id, cluster, |_| Reply::Silence).await
}

#[tokio::test]
async fn every_node_is_greeted_and_results_go_back_where_the_operation_came_from() {
    let cluster = Cluster::new(1);
    let (first, second) = (silent(1, &cluster).await, silent(2, &cluster).await);
    let (handle, mut operations) = client_of(&[&first]).attach(NodeId(77), "ingress-a");
    let greeting = first.up(|up| hellos(up) == 1).await.remove(0);
    let hello = attach_up::Hello {
        node: 77,
        name: "ingress-a".to_owned(),
        reports_contact: true,
    };
    assert_eq!(greeting.kind, Some(attach_up::Kind::Hello(hello)));
    second.up(|up| hellos(up) == 1).await;

    second.down(attach_down::Kind::Welcome(true)).await;
    second.down(operation(5)).await;
    let from_second = next_operation(&mut operations).await;
    assert_eq!(from_second.endpoint.as_str(), "meter");
    assert_eq!(from_second.timeout, Duration::from_secs(2));
    first.down(operation(5)).await;
    let from_first = next_operation(&mut operations).await;
    assert_ne!(from_first.key, from_second.key);

    let outcome = OperationOutcome::Delivered {
        code: 0x45,
        values: vec![],
    };
    handle.finish(
        from_second.key,
        OperationAnswer::Answered {
            outcome,
            links: "</3>".to_owned(),
        },
    );
    let reason = FailureReason::Busy {
        retry_after: Some(Duration::from_millis(1_500)),
    };
    handle.finish(
        from_first.key,
        OperationAnswer::Failed {
            reason,
            message: "full".to_owned(),
        },
    );

    let answered = results(&second.up(|up| !results(up).is_empty()).await).remove(0);
    assert_eq!((answered.tag, answered.links.as_str()), (5, "</3>"));
    let failed = results(&first.up(|up| !results(up).is_empty()).await).remove(0);
    let Some(operation_result::Kind::Failure(failure)) = failed.kind else {
        panic!("{failed:?}")
    };
    assert_eq!(failure.reason(), operation_result::failure::Reason::Busy);
    assert_eq!(failure.retry_after_ms, 1_500);
}

#[tokio::test]
async fn a_contact_is_reported_where_it_was_asked_for_and_what_is_not_known_is_passed_over() {
    let cluster = Cluster::new(1);
    let node = silent(1, &cluster).await;
    let (handle, mut operations) = client_of(&[&node]).attach(NodeId(1), "a");
    node.up(|up| hellos(up) == 1).await;
    let inquiry = |tag: u64, endpoint: &str| {
        attach_down::Kind::Contact(rpc::ContactInquiry {
            tag,
            endpoint: endpoint.to_owned(),
        })
    };
    // No endpoint has no name.
    node.down(inquiry(6, "")).await;
    node.down(inquiry(7, "meter")).await;
    let Some(Downlink::Inquiry(asked)) = operations.next().await else {
        panic!("nothing is asked");
    };
    assert_eq!(asked.endpoint.as_str(), "meter");
    handle.report(asked.key, ReportedContact::default());
    let reported = |message: &rpc::AttachUp| match &message.kind {
        Some(attach_up::Kind::Contact(report)) => Some(report.tag),
        _ => None,
    };
    let up = node.up(|up| up.iter().any(|message| reported(message).is_some()));
    let tags: Vec<u64> = up.await.iter().filter_map(reported).collect();
    assert_eq!(tags, [7]);
}

#[tokio::test]
async fn a_cancelled_operation_is_named_by_its_key() {
    let cluster = Cluster::new(1);
    let node = silent(1, &cluster).await;
    let (_handle, mut operations) = client_of(&[&node]).attach(NodeId(1), "a");
    node.up(|up| hellos(up) == 1).await;
    node.down(operation(8)).await;
    let key = next_operation(&mut operations).await.key;
    node.down(attach_down::Kind::Cancel(8)).await;
    assert_eq!(operations.next().await, Some(Downlink::Cancelled(key)));
}

#[tokio::test]
async fn a_malformed_operation_is_answered_as_invalid() {
    let cluster = Cluster::new(1);
    let node = silent(1, &cluster).await;
    let (_handle, _operations) = client_of(&[&node]).attach(NodeId(1), "a");
    node.up(|up| hellos(up) == 1).await;
    node.down(attach_down::Kind::Operation(rpc::DeviceOperation {
        tag: 3,
        ..Default::default()
    }))
    .await;
    let refused = results(&node.up(|up| !results(up).is_empty()).await).remove(0);
    let Some(operation_result::Kind::Failure(failure)) = refused.kind else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (refused.tag, failure.reason()),
        (3, operation_result::failure::Reason::Invalid)
    );
}

#[tokio::test]
async fn a_broken_stream_is_opened_again_and_old_results_are_dropped() {
    let cluster = Cluster::new(1);
    let node = silent(1, &cluster).await;
    let (handle, mut operations) = client_of(&[&node]).attach(NodeId(1), "a");
    node.up(|up| hellos(up) == 1).await;
    node.down(operation(1)).await;
    let old = next_operation(&mut operations).await;
    node.detach();
    node.up(|up| hellos(up) == 2).await;
    node.down(operation(1)).await;
    let new = next_operation(&mut operations).await;
    let outcome = OperationOutcome::Expired;
    for key in [old.key, new.key] {
        handle.finish(
            key,
            OperationAnswer::Answered {
                outcome: outcome.clone(),
                links: String::new(),
            },
        );
    }
    handle.awake(&EndpointName::new("meter").unwrap());
    let awake = |up: &[rpc::AttachUp]| {
        up.iter().any(
            |up| matches!(&up.kind, Some(attach_up::Kind::Awake(awake)) if awake.endpoint == "meter"),
        )
    };
    let up = node.up(awake).await;
    assert_eq!(results(&up).len(), 1);
    // What happened while a stream was being opened may have been missed.
    let of_any = |up: &&rpc::AttachUp| matches!(&up.kind, Some(attach_up::Kind::Awake(awake)) if awake.endpoint.is_empty());
    assert!(up.iter().any(|up| of_any(&up)), "{up:?}");
}

#[tokio::test]
async fn nodes_that_come_are_attached_to_and_nodes_that_go_are_left() {
    let cluster = Cluster::new(1);
    let first = silent(1, &cluster).await;
    let mut config = Config::new([first.address.to_string()]);
    config.refresh_interval = Duration::from_millis(20);
    let client = Client::connect(config).unwrap();
    let (handle, operations) = client.attach(NodeId(1), "a");
    first.up(|up| hellos(up) == 1).await;
    let second = silent(2, &cluster).await;
    second.up(|up| hellos(up) == 1).await;
    cluster.remove(&second);
    while handle.attached() != 1 {
        tokio::task::yield_now().await;
    }
    drop(operations);
    while handle.attached() != 0 {
        tokio::task::yield_now().await;
    }
}
