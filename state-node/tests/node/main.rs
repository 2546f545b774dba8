//! Real `drover-state` processes on loopback: forming a cluster, commits, restarts, crashes, a lost volume, and the way
//! of an operation from the public API to an attached ingress node and back.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod api;
mod bootstrap;
mod campaigns;
mod cluster;
mod device;
mod profiles;
mod tenancy;
mod watch;

use std::time::Duration;

use device_state::{Command, CredentialId, DesiredValue, DeviceName, Outcome, Secret};
use lwm2m::{Observed, Operation, Path, Value};
use proto::drover::v1 as public;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::operations_client::OperationsClient;
use tonic::Code;
use tonic_types::StatusExt;

use cluster::{Cluster, PATIENCE, eventually};
use device::Ingress;

fn endpoint(number: u32) -> DeviceName {
    DeviceName::parse(&format!("meter-{number}")).unwrap()
}

fn desired(endpoint: &DeviceName, text: &str) -> Command {
    Command::SetDesired {
        endpoint: endpoint.clone(),
        generation: 1,
        resources: vec![DesiredValue::initial(
            Path::Resource(3, 0, 15),
            Value::String(text.into()),
        )],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_alone_is_a_cluster_and_keeps_what_it_committed() {
    let mut cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let shard = client.ready().await.shard_of(&endpoint(1));
    let outcome = client
        .propose(shard, desired(&endpoint(1), "Europe/Berlin"), PATIENCE)
        .await;
    assert_eq!(outcome.unwrap(), Outcome::Done);

    // Neither the crash nor the orderly stop loses anything.
    for stop in [cluster::Stop::Kill, cluster::Stop::Terminate] {
        cluster.stop(0, stop).await;
        cluster.restart(0).await;
        let device = cluster.desired(0, &endpoint(1)).await;
        assert_eq!(device.resources[0].text, "Europe/Berlin");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_takes_no_acknowledged_write_with_it() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topology = client.ready().await;
    let mut acknowledged = Vec::new();
    for number in 0..200 {
        if number == 100 {
            // Every node leads some of the shards.
            cluster.stop(0, cluster::Stop::Kill).await;
        }
        let endpoint = endpoint(number);
        let command = desired(&endpoint, &format!("zone-{number}"));
        if client
            .propose(topology.shard_of(&endpoint), command, PATIENCE)
            .await
            == Ok(Outcome::Done)
        {
            acknowledged.push(number);
        }
    }
    assert_eq!(
        acknowledged.len(),
        200,
        "two of three nodes go on without the third"
    );
    cluster.restart(0).await;
    for number in acknowledged {
        let stored = cluster
            .desired(number as usize % 3, &endpoint(number))
            .await;
        assert_eq!(stored.resources[0].text, format!("zone-{number}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_hands_its_shards_over_before_it_goes() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topology = client.ready().await;
    let stopped = cluster.stop(0, cluster::Stop::Terminate);
    let writes = async {
        let mut slowest = Duration::ZERO;
        for number in 0..300 {
            let started = std::time::Instant::now();
            let endpoint = endpoint(number);
            let outcome = client
                .propose(
                    topology.shard_of(&endpoint),
                    desired(&endpoint, "UTC"),
                    PATIENCE,
                )
                .await;
            assert_eq!(outcome, Ok(Outcome::Done));
            slowest = slowest.max(started.elapsed());
        }
        slowest
    };
    let (status, slowest) = tokio::join!(stopped, writes);
    assert!(status.success(), "{status}");
    // An election would take a second or two.
    assert!(slowest < Duration::from_millis(900), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_volume_is_replaced_by_itself() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topology = client.ready().await;
    let outcome = client
        .propose(
            topology.shard_of(&endpoint(1)),
            desired(&endpoint(1), "UTC"),
            PATIENCE,
        )
        .await;
    assert_eq!(outcome, Ok(Outcome::Done));
    let lost = cluster.identity(2);
    cluster.stop(2, cluster::Stop::Kill).await;
    cluster.wipe(2);
    cluster.restart(2).await;
    let new = cluster.identity(2);
    assert_ne!(lost, new);
    eventually("the old node is out of every group", async || {
        let described = cluster.describe(0).await;
        let voters: Vec<_> = described
            .shard_states
            .iter()
            .map(|shard| shard.voters.clone())
            .collect();
        voters
            .iter()
            .all(|voters| voters.len() == 3 && voters.contains(&new) && !voters.contains(&lost))
    })
    .await;
    // It counts: with it and one other node there is a quorum.
    cluster.stop(1, cluster::Stop::Kill).await;
    let outcome = client
        .propose(
            topology.shard_of(&endpoint(2)),
            desired(&endpoint(2), "UTC"),
            PATIENCE,
        )
        .await;
    assert_eq!(outcome, Ok(Outcome::Done));
    assert_eq!(
        cluster.desired(2, &endpoint(1)).await.resources[0].text,
        "UTC"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_reaches_the_device_from_any_node() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    ingress.register(&endpoint(1)).await;
    for node in 0..3 {
        let mut operations = OperationsClient::connect(cluster.api(node)).await.unwrap();
        let request = public::ReadRequest {
            endpoint: "meter-1".into(),
            path: "/3/0/0".into(),
            ..public::ReadRequest::default()
        };
        let values = operations.read(request).await.unwrap().into_inner().values;
        assert_eq!(values[0].path, "/3/0/0");
        let request = public::ReadRequest {
            endpoint: "meter-1".into(),
            path: "/3/0/99".into(),
            ..public::ReadRequest::default()
        };
        let refused = operations.read(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(
            refused.get_details_error_info().unwrap().reason,
            "COAP_4_04"
        );
        let request = public::ReadRequest {
            endpoint: "nobody".into(),
            path: "/3/0/0".into(),
            ..public::ReadRequest::default()
        };
        let unknown = operations.read(request).await.unwrap_err();
        assert_eq!(
            unknown.get_details_error_info().unwrap().reason,
            "DEVICE_NOT_REGISTERED"
        );
        let request = public::ReadRequest {
            endpoint: "meter-1".into(),
            path: "3/0/0".into(),
            ..public::ReadRequest::default()
        };
        let wrong = operations.read(request).await.unwrap_err();
        assert_eq!(
            wrong.get_details_bad_request().unwrap().field_violations[0].field,
            "path"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_a_device_that_is_away_and_is_delivered_once() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    let mut operations = OperationsClient::connect(cluster.api(0)).await.unwrap();
    let write = public::WriteRequest {
        endpoint: "meter-1".into(),
        path: "/3/0/15".into(),
        text: "Europe/Oslo".into(),
        delivery: Some(public::Delivery {
            deadline: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            request_id: "the-same".into(),
            wait: public::delivery::Wait::UntilAccepted.into(),
            ..public::Delivery::default()
        }),
        ..public::WriteRequest::default()
    };
    let first = operations
        .write(write.clone())
        .await
        .unwrap()
        .into_inner()
        .operation
        .unwrap();
    assert_eq!(first.state(), public::operation::State::Pending);
    let again = operations
        .write(write)
        .await
        .unwrap()
        .into_inner()
        .operation
        .unwrap();
    assert_eq!(again.id, first.id);

    ingress.register(&endpoint(1)).await;
    let get = public::GetOperationRequest {
        endpoint: "meter-1".into(),
        id: first.id,
    };
    eventually("the operation is delivered", async || {
        let operation = operations
            .clone()
            .get_operation(get.clone())
            .await
            .unwrap()
            .into_inner();
        operation.state() == public::operation::State::Delivered && operation.coap_code == "2.04"
    })
    .await;
    let written = |operation: &Operation| matches!(operation, Operation::Write { .. });
    assert_eq!(
        ingress
            .seen()
            .iter()
            .filter(|operation| written(operation))
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_device_is_left_alone_until_it_is_heard_from() {
    const WRITES: usize = 8;
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    ingress.register(&endpoint(1)).await;
    ingress.fall_asleep();
    let mut operations = OperationsClient::connect(cluster.api(0)).await.unwrap();
    let mut write = async |text: String| {
        let write = public::WriteRequest {
            endpoint: "meter-1".into(),
            path: "/3/0/15".into(),
            text,
            delivery: Some(public::Delivery {
                wait: public::delivery::Wait::UntilAccepted.into(),
                ..public::Delivery::default()
            }),
            ..public::WriteRequest::default()
        };
        operations.write(write).await.unwrap();
    };
    write("0".into()).await;
    eventually("it is tried once", async || ingress.seen().len() == 1).await;
    for number in 1..WRITES {
        write(number.to_string()).await;
    }
    // What was enqueued since had been tried by now as well: this comes after it, and is sent at once.
    let read = public::ReadRequest {
        endpoint: "meter-1".into(),
        path: "/3/0/0".into(),
        ..public::ReadRequest::default()
    };
    let mut reader = OperationsClient::connect(cluster.api(0)).await.unwrap();
    let asleep = reader.read(read).await.unwrap_err();
    assert!(asleep.message().contains("sleeps"), "{asleep}");
    let writes = || {
        let seen = ingress.seen().into_iter();
        let written = seen.filter(|operation| matches!(operation, Operation::Write { .. }));
        written.collect::<Vec<_>>()
    };
    assert_eq!(writes().len(), 1);

    ingress.wake(&endpoint(1));
    eventually("all are delivered", async || writes().len() == 1 + WRITES).await;
    assert_eq!(writes()[0], writes()[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execute_whose_answer_is_lost_is_not_sent_again() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    ingress.register(&endpoint(1)).await;
    let mut operations = OperationsClient::connect(cluster.api(0)).await.unwrap();
    let execute = |path: &str| public::ExecuteRequest {
        endpoint: "meter-1".into(),
        path: path.into(),
        ..public::ExecuteRequest::default()
    };
    let done = operations
        .execute(execute("/3/0/4"))
        .await
        .unwrap()
        .into_inner()
        .operation
        .unwrap();
    assert_eq!(done.state(), public::operation::State::Delivered);
    // The device of this test never answers on resource 5.
    let lost = operations
        .execute(execute("/3/0/5"))
        .await
        .unwrap()
        .into_inner()
        .operation
        .unwrap();
    assert_eq!(lost.state(), public::operation::State::Expired);
    let sent = ingress
        .seen()
        .iter()
        .filter(|operation| operation.path() == Path::Resource(3, 0, 5))
        .count();
    assert_eq!(sent, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observation_gives_the_current_value_then_what_is_notified_and_ends_with_its_caller() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    let registration = ingress.register(&endpoint(1)).await;
    let mut operations = OperationsClient::connect(cluster.api(1)).await.unwrap();
    let request = public::ObserveRequest {
        endpoint: "meter-1".into(),
        path: "/3/0".into(),
        ..public::ObserveRequest::default()
    };
    let mut stream = operations.observe(request).await.unwrap().into_inner();
    let current = stream.message().await.unwrap().unwrap();
    assert_eq!(current.values[0].path, "/3/0/0");
    ingress
        .notify(
            &endpoint(1),
            &registration,
            Path::Resource(3, 0, 9),
            Value::Integer(80),
        )
        .await;
    ingress
        .notify(
            &endpoint(1),
            &registration,
            Path::Resource(4, 0, 2),
            Value::Integer(-70),
        )
        .await;
    ingress
        .notify(
            &endpoint(1),
            &registration,
            Path::Resource(3, 0, 9),
            Value::Integer(79),
        )
        .await;
    for expected in [80, 79] {
        let notified = stream.message().await.unwrap().unwrap();
        let value = notified.values[0].value.clone().unwrap().kind.unwrap();
        assert_eq!(value, public::value::Kind::Integer(expected));
    }
    drop(stream);
    eventually("the device is told to stop", async || {
        ingress
            .seen()
            .iter()
            .any(|operation| matches!(operation, Operation::CancelObserve { .. }))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_of_a_device_behind_a_gateway_is_told_of_that_device_alone() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    let registration = ingress.register(&endpoint(1)).await;
    let mut operations = OperationsClient::connect(cluster.api(1)).await.unwrap();
    let request = public::ObserveRequest {
        endpoint: "meter-1".into(),
        path: "/3/0".into(),
        child: "dev0".into(),
        ..public::ObserveRequest::default()
    };
    let mut stream = operations.observe(request).await.unwrap().into_inner();
    let current = stream.message().await.unwrap().unwrap();
    assert_eq!(current.values[0].child, "dev0");
    let battery = Path::Resource(3, 0, 9);
    let child = |prefix: &str| Some(prefix.parse().unwrap());
    let reports = [(None, 1), (child("dev1"), 2), (child("dev0"), 3)];
    for (child, number) in reports {
        let value = (battery, Value::Integer(number));
        ingress
            .notify_of(&endpoint(1), &registration, child, value)
            .await;
    }
    let notified = stream.message().await.unwrap().unwrap();
    let [value] = &notified.values[..] else {
        panic!("{notified:?}")
    };
    assert_eq!(
        (value.child.as_str(), value.path.as_str()),
        ("dev0", "/3/0/9")
    );
    let number = |value: &public::ReportedValue| value.value.clone().unwrap().kind.unwrap();
    assert_eq!(number(value), public::value::Kind::Integer(3));

    let mut devices = DevicesClient::connect(cluster.api(2)).await.unwrap();
    let request = public::GetDeviceRequest {
        endpoint: "meter-1".into(),
        ..Default::default()
    };
    let device = devices.get_device(request).await.unwrap().into_inner();
    let of = |value: &public::ReportedValue| (value.child.clone(), number(value));
    let own: Vec<_> = device.values.iter().map(of).collect();
    assert_eq!(own, [(String::new(), public::value::Kind::Integer(1))]);
    let behind: Vec<_> = device.child_values.iter().map(of).collect();
    let expected = [("dev0", 3), ("dev1", 2)];
    let expected =
        expected.map(|(child, number)| (child.to_owned(), public::value::Kind::Integer(number)));
    assert_eq!(behind, expected);

    drop(stream);
    let observed = Observed::Behind {
        child: "dev0".parse().unwrap(),
        path: Path::ObjectInstance(3, 0),
    };
    let cancel = Operation::CancelObserve { observed };
    eventually("the gateway is told to stop", async || {
        ingress.seen().contains(&cancel)
    })
    .await;
}

/// A key for an endpoint, unless another one has its identity.
fn free_key(endpoint: &str, identity: &str) -> public::PutCredentialRequest {
    use proto::drover::v1::put_credential_request::Credential as NewSecret;
    public::PutCredentialRequest {
        endpoint: endpoint.to_owned(),
        credential: Some(NewSecret::PreSharedKey(public::PreSharedKey {
            identity: identity.as_bytes().to_vec(),
            key: vec![7; 16],
        })),
        only_if_free: true,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_asked_for_if_it_is_free_is_taken_from_nobody() {
    use proto::drover::v1::credentials_client::CredentialsClient;
    let cluster = Cluster::start(1).await;
    let credentials = CredentialsClient::connect(cluster.api(0)).await.unwrap();
    // Once all nodes are known to know the command.
    eventually("the first key is stored", async || {
        let put = free_key("meter-1", "a");
        credentials.clone().put_credential(put).await.is_ok()
    })
    .await;
    let put = async |endpoint, identity| {
        let mut credentials = credentials.clone();
        credentials
            .put_credential(free_key(endpoint, identity))
            .await
    };
    put("meter-1", "a").await.unwrap();
    put("meter-1", "c").await.unwrap();
    put("meter-2", "b").await.unwrap();
    let taken = put("meter-2", "a").await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists, "{taken:?}");

    let list = async |endpoint: &str, page_size, page_token| {
        let request = public::ListCredentialsRequest {
            endpoint: endpoint.to_owned(),
            page_size,
            page_token,
        };
        let listed = credentials.clone().list_credentials(request).await;
        let listed = listed.unwrap().into_inner();
        let identity = |one: public::Credential| {
            let id = CredentialId::try_from(one.id.unwrap()).unwrap();
            String::from_utf8(id.as_bytes().to_vec()).unwrap()
        };
        let all: Vec<String> = listed.credentials.into_iter().map(identity).collect();
        (all, listed.next_page_token)
    };
    let (all, next) = list("meter-1", 0, String::new()).await;
    assert_eq!(
        (all.as_slice(), next.as_str()),
        (["a", "c"].map(str::to_owned).as_slice(), "")
    );
    let (first, next) = list("meter-1", 1, String::new()).await;
    let (second, end) = list("meter-1", 1, next).await;
    assert_eq!(
        (first, second),
        (vec!["a".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!(end, "");
    assert_eq!(list("meter-2", 0, String::new()).await.0, ["b"]);
    assert_eq!(
        list("meter-3", 0, String::new()).await.0,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_page_through_all_shards_and_keys_never_come_back() {
    use proto::drover::v1::credentials_client::CredentialsClient;
    use proto::drover::v1::put_credential_request::Credential as NewSecret;
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    let mut credentials = CredentialsClient::connect(cluster.api(0)).await.unwrap();
    for number in 0..25 {
        ingress.register(&endpoint(number)).await;
        let put = public::PutCredentialRequest {
            endpoint: endpoint(number).endpoint_str().to_owned(),
            credential: Some(NewSecret::PreSharedKey(public::PreSharedKey {
                identity: format!("id-{number}").into_bytes(),
                key: vec![number as u8; 16],
            })),
            ..Default::default()
        };
        credentials.put_credential(put).await.unwrap();
    }
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    let (mut names, mut identities) = (Vec::new(), Vec::new());
    let mut page_token = String::new();
    loop {
        let request = public::ListDevicesRequest {
            page_size: 4,
            page_token,
            endpoint_prefix: "meter".into(),
            ..Default::default()
        };
        let page = devices.list_devices(request).await.unwrap().into_inner();
        names.extend(page.devices.into_iter().map(|device| device.endpoint));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    loop {
        let request = public::ListCredentialsRequest {
            page_size: 4,
            page_token,
            endpoint: String::new(),
        };
        let page = credentials
            .list_credentials(request)
            .await
            .unwrap()
            .into_inner();
        identities.extend(
            page.credentials
                .into_iter()
                .map(|credential| format!("{:?}", credential.id)),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    for list in [names.len(), identities.len()] {
        assert_eq!(list, 25);
    }
    let id = CredentialId::PskIdentity(b"id-7".to_vec());
    let known = client.credential(&id, PATIENCE).await.unwrap().unwrap();
    assert_eq!(
        (known.endpoint, known.secret),
        (endpoint(7).endpoint(), Secret::PreSharedKey(vec![7; 16]))
    );
    credentials
        .delete_credential(public::DeleteCredentialRequest {
            id: Some(id.clone().into()),
            ..Default::default()
        })
        .await
        .unwrap();
    assert!(client.credential(&id, PATIENCE).await.unwrap().is_none());
}
