//! Groups, and campaigns from their creation to their end, over real processes.

use device_state::{Command, DeviceName, Digest, Timestamp, ValueOrigin, pushed_package};
use lwm2m::{Operation, Path, RegistrationId, Value};
use proto::drover::v1 as public;
use proto::drover::v1::artefacts_client::ArtefactsClient;
use proto::drover::v1::campaign::State;
use proto::drover::v1::campaign::wave_status::State as WaveState;
use proto::drover::v1::campaign_device::Phase;
use proto::drover::v1::campaigns_client::CampaignsClient;
use proto::drover::v1::device_groups_client::DeviceGroupsClient;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::put_artefact_request::{Description, Kind};
use sha2::{Digest as _, Sha256};
use state_client::Client;
use tonic::Code;
use tonic::transport::Channel;

use crate::api::{labelled, reason};
use crate::cluster::{Cluster, PATIENCE, Stop, eventually};
use crate::device::Ingress;
use crate::endpoint;

const STATE: Path = Path::Resource(5, 0, 3);
const RESULT: Path = Path::Resource(5, 0, 5);

fn image() -> Option<public::CampaignImage> {
    Some(public::CampaignImage {
        name: "app".to_owned(),
        version: "2.0".to_owned(),
        uri: "coap://images/app".to_owned(),
        ..Default::default()
    })
}

fn wave(name: &str, size: &str) -> public::CampaignWave {
    public::CampaignWave {
        name: name.to_owned(),
        size: size.to_owned(),
        ..Default::default()
    }
}

fn create(name: &str, plan: public::CampaignPlan) -> public::CreateCampaignRequest {
    public::CreateCampaignRequest {
        campaign: Some(public::Campaign {
            name: name.to_owned(),
            plan: Some(plan),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn get(campaigns: &CampaignsClient<Channel>, name: &str) -> public::Campaign {
    let name = name.to_owned();
    let mut campaigns = campaigns.clone();
    let answer = campaigns.get_campaign(public::GetCampaignRequest { name });
    answer.await.unwrap().into_inner()
}

async fn until_state(campaigns: &CampaignsClient<Channel>, name: &str, state: State) {
    eventually(&format!("{name} {state:?}"), async || {
        get(campaigns, name).await.state() == state
    })
    .await;
}

async fn devices(
    campaigns: &CampaignsClient<Channel>,
    name: &str,
    phase: Phase,
) -> Vec<public::CampaignDevice> {
    let mut campaigns = campaigns.clone();
    let mut devices = Vec::new();
    let mut request = public::ListCampaignDevicesRequest {
        name: name.to_owned(),
        phases: vec![phase.into()],
        page_size: 2,
        ..Default::default()
    };
    loop {
        let page = campaigns.list_campaign_devices(request.clone()).await;
        let page = page.unwrap().into_inner();
        devices.extend(page.devices);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return devices;
        }
    }
}

/// Devices that are known and have never registered.
async fn sleepers(cluster: &Cluster, count: u32) {
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    for number in 1..=count {
        let site = if number % 2 == 0 { "north" } else { "south" };
        let request = labelled(&format!("meter-{number}"), &[("site", site)]);
        devices.update_device(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_names_devices_for_lists_and_campaigns() {
    let cluster = Cluster::start(1).await;
    sleepers(&cluster, 6).await;
    let mut groups = DeviceGroupsClient::connect(cluster.api(0)).await.unwrap();
    let group = public::DeviceGroup {
        name: "north".to_owned(),
        filter: "labels.site = north".to_owned(),
        ..Default::default()
    };
    let put = |group: public::DeviceGroup| public::PutDeviceGroupRequest {
        group: Some(group),
        ..Default::default()
    };
    let stored = groups.put_device_group(put(group.clone())).await.unwrap();
    let stored = stored.into_inner();
    let stale = public::DeviceGroup {
        description: "changed".to_owned(),
        ..stored
    };
    groups.put_device_group(put(stale.clone())).await.unwrap();
    let refused = groups.put_device_group(put(stale)).await.unwrap_err();
    assert_eq!(reason(&refused), "ETAG_MISMATCH");
    let wrong = public::DeviceGroup {
        filter: "colour = red".to_owned(),
        ..group
    };
    let refused = groups.put_device_group(put(wrong)).await.unwrap_err();
    assert!(refused.message().starts_with("group.filter"), "{refused}");

    let asked = public::GetDeviceGroupRequest {
        name: "north".to_owned(),
        count: true,
    };
    let told = groups
        .get_device_group(asked.clone())
        .await
        .unwrap()
        .into_inner();
    let counts = told.counts.unwrap();
    assert_eq!((counts.devices, counts.registered), (3, 0));

    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    let list = |group: &str| public::ListDevicesRequest {
        group: group.to_owned(),
        filter: "NOT endpoint = meter-2".to_owned(),
        ..Default::default()
    };
    let listed = devices.list_devices(list("north")).await.unwrap();
    let names = listed.into_inner().devices.into_iter();
    let mut names: Vec<String> = names.map(|device| device.endpoint).collect();
    names.sort();
    assert_eq!(names, ["meter-4", "meter-6"]);
    let refused = devices.list_devices(list("nobody")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);

    let gone = public::DeleteDeviceGroupRequest {
        name: "north".to_owned(),
        ..Default::default()
    };
    groups.delete_device_group(gone.clone()).await.unwrap();
    let refused = groups.delete_device_group(gone).await.unwrap_err();
    assert_eq!(reason(&refused), "UNKNOWN_GROUP");
    let refused = groups.get_device_group(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_paused_approved_aborted_and_deleted_at_any_node() {
    let cluster = Cluster::start(3).await;
    sleepers(&cluster, 10).await;
    let mut campaigns = CampaignsClient::connect(cluster.api(1)).await.unwrap();
    let plan = public::CampaignPlan {
        image: image(),
        filter: "labels.site = north".to_owned(),
        waves: vec![
            public::CampaignWave {
                needs_approval: true,
                max_concurrent: "1".to_owned(),
                ..wave("canary", "2")
            },
            wave("rest", "100%"),
        ],
        ..Default::default()
    };
    let mut bad = plan.clone();
    bad.waves[0].size = "a few".to_owned();
    let refused = campaigns.create_campaign(create("spring", bad)).await;
    assert!(
        refused
            .unwrap_err()
            .message()
            .starts_with("campaign.plan.waves.size")
    );
    let tried = public::CreateCampaignRequest {
        validate_only: true,
        ..create("spring", plan.clone())
    };
    campaigns.create_campaign(tried).await.unwrap();
    campaigns
        .create_campaign(create("spring", plan.clone()))
        .await
        .unwrap();
    let refused = campaigns.create_campaign(create("spring", plan.clone()));
    assert_eq!(reason(&refused.await.unwrap_err()), "CAMPAIGN_EXISTS");

    let mut elsewhere = CampaignsClient::connect(cluster.api(2)).await.unwrap();
    until_state(&elsewhere, "spring", State::Running).await;
    eventually("the first device has its turn", async || {
        let campaign = get(&elsewhere, "spring").await;
        campaign.members == 5 && campaign.counts.unwrap().scheduled == 1
    })
    .await;
    let waves = get(&elsewhere, "spring").await.waves;
    assert_eq!(
        (waves[0].devices, waves[0].state()),
        (2, WaveState::Running)
    );
    let running = devices(&elsewhere, "spring", Phase::Scheduled).await;
    assert_eq!((running.len(), running[0].wave.as_str()), (1, "canary"));
    assert_eq!(devices(&elsewhere, "spring", Phase::Waiting).await.len(), 4);

    let pause = |resume| public::PauseCampaignRequest {
        name: "spring".to_owned(),
        resume,
        ..Default::default()
    };
    elsewhere.pause_campaign(pause(false)).await.unwrap();
    until_state(&campaigns, "spring", State::Paused).await;
    elsewhere.pause_campaign(pause(true)).await.unwrap();
    until_state(&campaigns, "spring", State::Running).await;
    let approve = |through: &str| public::ApproveCampaignRequest {
        name: "spring".to_owned(),
        through: through.to_owned(),
        ..Default::default()
    };
    let refused = campaigns.approve_campaign(approve("summer")).await;
    assert_eq!(reason(&refused.unwrap_err()), "UNKNOWN_WAVE");
    let approved = campaigns.approve_campaign(approve("")).await.unwrap();
    assert_eq!(approved.into_inner().approved_through, "canary");

    let delete = public::DeleteCampaignRequest {
        name: "spring".to_owned(),
        ..Default::default()
    };
    let refused = campaigns.delete_campaign(delete.clone()).await;
    assert_eq!(reason(&refused.unwrap_err()), "CAMPAIGN_RUNS");
    let abort = public::AbortCampaignRequest {
        name: "spring".to_owned(),
        ..Default::default()
    };
    campaigns.abort_campaign(abort).await.unwrap();
    until_state(&campaigns, "spring", State::Aborted).await;
    eventually("everybody is taken back at this node, too", async || {
        let cancelled = get(&campaigns, "spring").await.counts.unwrap().cancelled;
        cancelled == 5
    })
    .await;
    campaigns.delete_campaign(delete).await.unwrap();
    campaigns
        .create_campaign(create("spring", plan))
        .await
        .unwrap();
    until_state(&campaigns, "spring", State::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_aborts_a_campaign_ends_what_it_pushes() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    ingress.register(&endpoint(1)).await;
    let digest = stored(&cluster, b"app 2.0").await;
    let mut campaigns = CampaignsClient::connect(cluster.api(0)).await.unwrap();
    let plan = public::CampaignPlan {
        image: Some(public::CampaignImage {
            uri: digest.package_uri(),
            ..image().unwrap()
        }),
        transfer: public::campaign_plan::Transfer::Push.into(),
        ..Default::default()
    };
    campaigns
        .create_campaign(create("app", plan))
        .await
        .unwrap();
    let is_push = |operation: &Operation| pushed_package(operation) == Some(digest);
    eventually("the package is on its way", async || {
        ingress.seen().iter().any(is_push)
    })
    .await;
    let abort = public::AbortCampaignRequest {
        name: "app".to_owned(),
        ..Default::default()
    };
    campaigns.abort_campaign(abort).await.unwrap();
    // Nothing else is sent to a device before the end of what is being sent.
    eventually("the device is to throw away what it has", async || {
        let is_reset = |operation: &Operation| {
            operation.path() == Path::Resource(5, 0, 0) && !is_push(operation)
        };
        ingress.seen().iter().any(is_reset)
    })
    .await;
    assert_eq!(get(&campaigns, "app").await.counts.unwrap().cancelled, 1);
}

/// Stores a package.
async fn stored(cluster: &Cluster, package: &'static [u8]) -> Digest {
    let digest = Digest(Sha256::digest(package).into());
    let artefacts = ArtefactsClient::connect(cluster.api(0)).await.unwrap();
    // Not before all nodes are known to understand it.
    eventually("the package is stored", async || {
        let description = Description {
            digest: digest.to_string(),
            size_bytes: package.len() as u64,
            title: String::new(),
        };
        let parts = [Kind::Description(description), Kind::Data(package.into())];
        let parts = parts.map(|kind| public::PutArtefactRequest { kind: Some(kind) });
        let parts = futures::stream::iter(parts);
        artefacts.clone().put_artefact(parts).await.is_ok()
    })
    .await;
    digest
}

/// A device that tells how far its update is.
struct Gadget<'a> {
    client: &'a Client,
    endpoint: DeviceName,
    registration: RegistrationId,
}

impl Gadget<'_> {
    async fn tell(&self, path: Path, number: i64) {
        let shard = self.client.ready().await.shard_of(&self.endpoint);
        let command = Command::RecordValues {
            endpoint: self.endpoint.clone(),
            registration: self.registration.clone(),
            child: None,
            origin: ValueOrigin::Notify,
            // A time in the future counts as now.
            values: vec![(path, Value::Integer(number), Timestamp::NEVER)],
        };
        self.client.propose(shard, command, PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_goes_on_though_nodes_are_killed() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    let mut gadgets = Vec::new();
    for number in 1..=3 {
        let endpoint = endpoint(number);
        let registration = ingress.register(&endpoint).await;
        gadgets.push(Gadget {
            client: &client,
            endpoint,
            registration,
        });
    }
    let mut campaigns = CampaignsClient::connect(cluster.api(2)).await.unwrap();
    let plan = public::CampaignPlan {
        image: image(),
        waves: vec![wave("first", "1"), wave("rest", "100%")],
        ..Default::default()
    };
    campaigns
        .create_campaign(create("app", plan))
        .await
        .unwrap();
    until_state(&campaigns, "app", State::Running).await;
    // Whoever leads, at least one shard loses its leader.
    for at in [0, 1] {
        cluster.stop(at, Stop::Kill).await;
        let before = devices(&campaigns, "app", Phase::Succeeded).await.len();
        eventually("another device is through", async || {
            for device in devices(&campaigns, "app", Phase::Downloading).await {
                tell(&gadgets, &device.endpoint, &[(STATE, 2)]).await;
            }
            for device in devices(&campaigns, "app", Phase::Updating).await {
                tell(&gadgets, &device.endpoint, &[(STATE, 0), (RESULT, 1)]).await;
            }
            devices(&campaigns, "app", Phase::Succeeded).await.len() > before
        })
        .await;
        cluster.restart(at).await;
    }
    eventually("all devices are through", async || {
        for device in devices(&campaigns, "app", Phase::Downloading).await {
            tell(&gadgets, &device.endpoint, &[(STATE, 2)]).await;
        }
        for device in devices(&campaigns, "app", Phase::Updating).await {
            tell(&gadgets, &device.endpoint, &[(STATE, 0), (RESULT, 1)]).await;
        }
        get(&campaigns, "app").await.state() == State::Succeeded
    })
    .await;
    let told = get(&campaigns, "app").await;
    assert_eq!(told.counts.unwrap().succeeded, 3);
    assert!(
        told.waves
            .iter()
            .all(|wave| wave.state() == WaveState::Succeeded)
    );
}

async fn tell(gadgets: &[Gadget<'_>], endpoint: &str, values: &[(Path, i64)]) {
    let gadget = gadgets
        .iter()
        .find(|gadget| gadget.endpoint.endpoint_str() == endpoint);
    for (path, number) in values {
        gadget.unwrap().tell(*path, *number).await;
    }
}
