//! The conventions of the public API: labels, filters, etags, request ids, checks without changes, waits.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use proto::drover::v1 as public;
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::operations_client::OperationsClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::cluster::{Cluster, eventually};
use crate::device::Ingress;
use crate::endpoint;

pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

pub(crate) fn labelled(name: &str, labels: &[(&str, &str)]) -> public::UpdateDeviceRequest {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    public::UpdateDeviceRequest {
        device: Some(public::Device {
            endpoint: name.to_owned(),
            labels: labels.iter().map(text).collect(),
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["labels".to_owned()],
        }),
        allow_missing: true,
        ..Default::default()
    }
}

async fn names(devices: &DevicesClient<Channel>, filter: &str, size: u32) -> Vec<String> {
    let mut names = Vec::new();
    let mut request = public::ListDevicesRequest {
        page_size: size,
        filter: filter.to_owned(),
        ..Default::default()
    };
    loop {
        let page = devices.clone().list_devices(request.clone()).await;
        let page = page.unwrap().into_inner();
        assert!(page.devices.len() <= size as usize);
        names.extend(page.devices.into_iter().map(|device| device.endpoint));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            names.sort();
            return names;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_labelled_found_and_deleted() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    ingress.register(&endpoint(1)).await;
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    for number in 1..=9 {
        let site = if number % 3 == 0 { "north" } else { "south" };
        let request = labelled(&format!("meter-{number}"), &[("site", site)]);
        let device = devices.update_device(request).await.unwrap().into_inner();
        assert_eq!(device.labels["site"], site);
    }
    let north = ["meter-3", "meter-6", "meter-9"];
    assert_eq!(names(&devices, "labels.site = north", 2).await, north);
    let registered = "NOT labels.site = north AND state = REGISTERED";
    assert_eq!(names(&devices, registered, 50).await, ["meter-1"]);
    assert_eq!(names(&devices, "", 4).await.len(), 9);

    let request = public::ListDevicesRequest {
        filter: "labels.site = north AND colour = red".to_owned(),
        ..Default::default()
    };
    let refused = devices.list_devices(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
    assert!(
        refused
            .message()
            .starts_with("filter: at position 24: there is no field colour")
    );

    let delete = public::DeleteDeviceRequest {
        endpoint: "meter-1".to_owned(),
        ..Default::default()
    };
    let refused = devices.delete_device(delete.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "STILL_REGISTERED")
    );
    let forced = public::DeleteDeviceRequest {
        force: true,
        ..delete
    };
    devices.delete_device(forced).await.unwrap();
    let get = public::GetDeviceRequest {
        endpoint: "meter-1".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        devices.get_device(get).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_made_once_as_seen_or_only_tried() {
    let cluster = Cluster::start(1).await;
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    let tried = public::UpdateDeviceRequest {
        validate_only: true,
        ..labelled("meter-1", &[("a", "1")])
    };
    devices.update_device(tried).await.unwrap();
    let get = || public::GetDeviceRequest {
        endpoint: "meter-1".to_owned(),
        view: public::DeviceView::Basic.into(),
    };
    assert_eq!(
        devices.get_device(get()).await.unwrap_err().code(),
        Code::NotFound
    );

    let once = public::UpdateDeviceRequest {
        request_id: "one".to_owned(),
        ..labelled("meter-1", &[("a", "1")])
    };
    let first = devices
        .update_device(once.clone())
        .await
        .unwrap()
        .into_inner();
    let other = labelled("meter-1", &[("a", "2")]);
    devices.update_device(other.clone()).await.unwrap();
    let again = devices.update_device(once).await.unwrap().into_inner();
    assert_eq!(again.labels["a"], "2", "a repetition changes nothing");
    let reused = public::UpdateDeviceRequest {
        request_id: "one".to_owned(),
        ..other.clone()
    };
    let refused = devices.update_device(reused).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );

    let mut outdated = labelled("meter-1", &[("a", "3")]);
    outdated.device.as_mut().unwrap().etag = first.etag;
    let refused = devices.update_device(outdated.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    outdated.device.as_mut().unwrap().etag = again.etag;
    devices.update_device(outdated).await.unwrap();

    let mut desired = DesiredStateClient::connect(cluster.api(0)).await.unwrap();
    let set = |generation, etag: &str| public::SetDesiredRequest {
        endpoint: "meter-1".to_owned(),
        generation,
        resources: vec![public::DesiredValue {
            path: "/3/0/15".to_owned(),
            text: format!("Zone/{generation}"),
            ..Default::default()
        }],
        etag: etag.to_owned(),
        ..Default::default()
    };
    let seen = desired.set_desired(set(1, "")).await.unwrap().into_inner();
    desired.set_desired(set(2, &seen.etag)).await.unwrap();
    let refused = desired.set_desired(set(3, &seen.etag)).await.unwrap_err();
    assert_eq!(reason(&refused), "ETAG_MISMATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_all_devices_are_listed_and_waited_for() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    let mut operations = OperationsClient::connect(cluster.api(0)).await.unwrap();
    let write = |name: &str, validate_only: bool| public::WriteRequest {
        endpoint: name.to_owned(),
        path: "/3/0/15".to_owned(),
        text: "Europe/Oslo".to_owned(),
        delivery: Some(public::Delivery {
            deadline: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            wait: public::delivery::Wait::UntilAccepted.into(),
            validate_only,
            ..Default::default()
        }),
        ..Default::default()
    };
    let tried = operations.write(write("meter-1", true)).await.unwrap();
    assert_eq!(tried.into_inner().operation, None);
    let mut enqueued = BTreeMap::new();
    for name in ["meter-1", "meter-2", "meter-3"] {
        let accepted = operations.write(write(name, false)).await.unwrap();
        enqueued.insert(name, accepted.into_inner().operation.unwrap().id);
    }
    let list = |token: String| public::ListOperationsRequest {
        endpoint: "-".to_owned(),
        page_size: 2,
        page_token: token,
        filter: "state = PENDING AND name = write AND path = \"/3/*\"".to_owned(),
    };
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = operations
            .list_operations(list(token))
            .await
            .unwrap()
            .into_inner();
        found.extend(
            page.operations
                .into_iter()
                .map(|operation| operation.endpoint),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    found.sort();
    assert_eq!(found, ["meter-1", "meter-2", "meter-3"]);

    let wait = |seconds| public::WaitOperationRequest {
        endpoint: "meter-1".to_owned(),
        id: enqueued["meter-1"].clone(),
        timeout: Some(prost_types::Duration { seconds, nanos: 1 }),
    };
    let waiting = operations
        .wait_operation(wait(0))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(waiting.state(), public::operation::State::Pending);
    let mut waiter = operations.clone();
    let device = endpoint(1);
    let (ended, _) = tokio::join!(waiter.wait_operation(wait(30)), ingress.register(&device));
    let ended = ended.unwrap().into_inner();
    assert_eq!(ended.state(), public::operation::State::Delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself_and_tells_its_health_by_service() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let cluster = Cluster::start(1).await;
    let channel = Endpoint::from_shared(cluster.api(0)).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = reflection.server_reflection_info(futures::stream::iter([request]));
    let answer = answer.await.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.unwrap().message_response else {
        panic!("no list of services")
    };
    let named: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert!(
        named.iter().any(|name| name == "drover.v1.Devices"),
        "{named:?}"
    );
    let health = HealthClient::new(channel);
    eventually("the devices are served", async || {
        let request = HealthCheckRequest {
            service: "drover.v1.Devices".to_owned(),
        };
        let answer = health.clone().check(request).await;
        answer.is_ok_and(|answer| {
            answer.into_inner().status()
                == tonic_health::pb::health_check_response::ServingStatus::Serving
        })
    })
    .await;
}
