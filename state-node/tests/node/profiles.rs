//! Profiles over real processes: spread to all shards, counted, listed, and withdrawn.

use proto::drover::v1 as public;
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::device_groups_client::DeviceGroupsClient;
use proto::drover::v1::device_profiles_client::DeviceProfilesClient;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::profile_device::State;
use tonic::Code;
use tonic::transport::Channel;

use crate::api::{labelled, reason};
use crate::cluster::{Cluster, Stop, eventually};

const DEVICES: u32 = 12;

/// Devices that are known and have never registered; every second one is in the north.
async fn sleepers(cluster: &Cluster) {
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    for number in 1..=DEVICES {
        let site = if number % 2 == 0 { "north" } else { "south" };
        let request = labelled(&format!("meter-{number}"), &[("site", site)]);
        devices.update_device(request).await.unwrap();
    }
}

fn profile(name: &str, priority: i32, offset: &str) -> public::DeviceProfile {
    public::DeviceProfile {
        name: name.to_owned(),
        filter: "labels.site = north".to_owned(),
        priority,
        resources: vec![public::ProfileResource {
            path: "/3/0/14".to_owned(),
            text: offset.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn put(profile: public::DeviceProfile) -> public::PutDeviceProfileRequest {
    public::PutDeviceProfileRequest {
        profile: Some(profile),
        ..Default::default()
    }
}

async fn status(profiles: &DeviceProfilesClient<Channel>, name: &str) -> public::ProfileStatus {
    let name = name.to_owned();
    let mut profiles = profiles.clone();
    let answer = profiles.get_device_profile(public::GetDeviceProfileRequest { name });
    answer.await.unwrap().into_inner().status.unwrap()
}

async fn until_applied(
    profiles: &DeviceProfilesClient<Channel>,
    name: &str,
    counts: public::ProfileCounts,
) {
    eventually(&format!("{name} is applied with {counts:?}"), async || {
        let status = status(profiles, name).await;
        status.applied && status.counts == Some(counts)
    })
    .await;
}

fn pending(devices: u64) -> public::ProfileCounts {
    public::ProfileCounts {
        matched: devices,
        pending: devices,
        ..Default::default()
    }
}

async fn desired(cluster: &Cluster, endpoint: &str) -> Vec<(String, String)> {
    let mut client = DesiredStateClient::connect(cluster.api(0)).await.unwrap();
    let request = public::GetDesiredRequest {
        endpoint: endpoint.to_owned(),
    };
    let answer = client.get_desired(request).await.unwrap().into_inner();
    let resources = answer.resources.into_iter();
    resources.map(|one| (one.text, one.profile)).collect()
}

fn says(text: &str, profile: &str) -> Vec<(String, String)> {
    vec![(text.to_owned(), profile.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_reaches_the_devices_of_all_shards() {
    let cluster = Cluster::start(1).await;
    sleepers(&cluster).await;
    let mut profiles = DeviceProfilesClient::connect(cluster.api(0)).await.unwrap();
    profiles
        .put_device_profile(put(profile("base", 1, "+01:00")))
        .await
        .unwrap();
    until_applied(&profiles, "base", pending(6)).await;
    assert_eq!(desired(&cluster, "meter-2").await, says("+01:00", "base"));
    profiles
        .put_device_profile(put(profile("berlin", 2, "+02:00")))
        .await
        .unwrap();
    until_applied(&profiles, "berlin", pending(6)).await;
    assert_eq!(desired(&cluster, "meter-2").await, says("+02:00", "berlin"));
    let base = status(&profiles, "base").await;
    assert_eq!(base.counts.unwrap().superseded, 6);
    assert!(
        base.overlaps
            .iter()
            .any(|one| one.profile == "berlin" && one.wins)
    );

    let mut listed = Vec::new();
    let mut request = public::ListProfileDevicesRequest {
        name: "base".to_owned(),
        page_size: 2,
        states: vec![State::Superseded.into()],
        ..Default::default()
    };
    loop {
        let page = profiles
            .list_profile_devices(request.clone())
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.devices.into_iter().map(|one| one.endpoint));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    listed.sort_unstable();
    let mut north: Vec<_> = (1..=DEVICES / 2)
        .map(|half| format!("meter-{}", 2 * half))
        .collect();
    north.sort_unstable();
    assert_eq!(listed, north);

    let name = "berlin".to_owned();
    let delete = public::DeleteDeviceProfileRequest {
        name,
        ..Default::default()
    };
    profiles
        .delete_device_profile(delete.clone())
        .await
        .unwrap();
    until_applied(&profiles, "base", pending(6)).await;
    assert_eq!(desired(&cluster, "meter-2").await, says("+01:00", "base"));
    let gone = profiles.delete_device_profile(delete).await.unwrap_err();
    assert_eq!(
        (gone.code(), reason(&gone).as_str()),
        (Code::NotFound, "UNKNOWN_DEVICE_PROFILE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_follows_its_group() {
    let cluster = Cluster::start(1).await;
    sleepers(&cluster).await;
    let mut groups = DeviceGroupsClient::connect(cluster.api(0)).await.unwrap();
    let mut group = async |filter: &str| {
        let group = public::DeviceGroup {
            name: "lights".to_owned(),
            filter: filter.to_owned(),
            ..Default::default()
        };
        let request = public::PutDeviceGroupRequest {
            group: Some(group),
            ..Default::default()
        };
        groups.put_device_group(request).await.unwrap();
    };
    let mut profiles = DeviceProfilesClient::connect(cluster.api(0)).await.unwrap();
    let of_group = public::DeviceProfile {
        filter: String::new(),
        group: "lights".to_owned(),
        ..profile("base", 1, "+01:00")
    };
    let unknown = profiles
        .put_device_profile(put(of_group.clone()))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    group("labels.site = north").await;
    profiles.put_device_profile(put(of_group)).await.unwrap();
    until_applied(&profiles, "base", pending(6)).await;
    group("endpoint = meter-1").await;
    until_applied(&profiles, "base", pending(1)).await;
    assert!(desired(&cluster, "meter-2").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_spread_though_a_node_is_killed() {
    let mut cluster = Cluster::start(3).await;
    sleepers(&cluster).await;
    let mut profiles = DeviceProfilesClient::connect(cluster.api(0)).await.unwrap();
    profiles
        .put_device_profile(put(profile("base", 1, "+01:00")))
        .await
        .unwrap();
    cluster.stop(2, Stop::Kill).await;
    until_applied(&profiles, "base", pending(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_cannot_be_is_refused_by_its_field() {
    let cluster = Cluster::start(1).await;
    let mut profiles = DeviceProfilesClient::connect(cluster.api(0)).await.unwrap();
    let base = || profile("base", 1, "+01:00");
    let twice = vec![base().resources[0].clone(), base().resources[0].clone()];
    let wrong = [
        (
            public::DeviceProfile {
                name: "a b".to_owned(),
                ..base()
            },
            "profile.name",
        ),
        (
            public::DeviceProfile {
                filter: "colour = red".to_owned(),
                ..base()
            },
            "profile.filter",
        ),
        (
            public::DeviceProfile {
                resources: twice,
                ..base()
            },
            "profile.resources",
        ),
        (
            profile("base", 1, &"x".repeat(70_000)),
            "profile.resources.text",
        ),
        (
            public::DeviceProfile {
                requires: Some(public::ProfileRequirements {
                    objects: vec![70_000],
                    ..Default::default()
                }),
                ..base()
            },
            "profile.requires.objects",
        ),
    ];
    for (profile, field) in wrong {
        let refused = profiles.put_device_profile(put(profile)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().starts_with(field), "{refused}");
    }
    let tried = public::PutDeviceProfileRequest {
        validate_only: true,
        ..put(base())
    };
    profiles.put_device_profile(tried).await.unwrap();
    let listed = profiles
        .list_device_profiles(public::ListDeviceProfilesRequest {})
        .await
        .unwrap();
    assert!(listed.into_inner().profiles.is_empty());
}
