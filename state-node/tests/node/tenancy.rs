//! Two tenants who call everything by the same names. Every method that the descriptors list is called by one of them with
//! what the other one has: it sees nothing of it and changes nothing.

use std::time::Duration;

use access::{Scope, methods};
use bytes::{Buf, BufMut};
use device_state::{DeviceName, Digest, Namespace, Outcome, Rejection};
use futures::stream;
use lwm2m::{EndpointName, Path, Value};
use prost::Message;
use prost_types::FileDescriptorSet;
use proto::drover::v1 as public;
use proto::drover::v1::put_artefact_request;
use sha2::{Digest as _, Sha256};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::cluster::{Cluster, Stop, eventually};
use crate::device::Ingress;

/// Stands in everything that the first tenant has; whoever reads it in an answer to the second has seen too much.
const MARK: &str = "acme-only";
const DEVICE: &str = "meter-1";
/// Both know what is in it.
const PACKAGE: &[u8] = b"meters 2.0.0";

struct Tenant {
    channel: Channel,
    name: &'static str,
}

impl Tenant {
    fn new(cluster: &Cluster, name: &'static str) -> Self {
        let endpoint = Endpoint::from_shared(cluster.api(0)).unwrap();
        Self {
            channel: endpoint.connect_lazy(),
            name,
        }
    }

    async fn call(&self, path: &str, request: &impl Message) -> Result<Vec<Vec<u8>>, Status> {
        self.send(path, request.encode_to_vec()).await
    }

    /// What a method answers, one message after the other; a stream that goes on for a while and says nothing has ended.
    async fn send(&self, path: &str, message: Vec<u8>) -> Result<Vec<Vec<u8>>, Status> {
        self.send_all(path, vec![message]).await
    }

    async fn send_all(&self, path: &str, messages: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let mut request = Request::new(stream::iter(messages));
        request.set_timeout(Duration::from_secs(20));
        let name = self.name.parse().unwrap();
        request.metadata_mut().insert("drover-namespace", name);
        let path = path.parse().unwrap();
        let mut stream = grpc.streaming(request, path, Bytes).await?.into_inner();
        let mut messages = Vec::new();
        while let Ok(next) =
            tokio::time::timeout(Duration::from_millis(700), stream.message()).await
        {
            match next? {
                Some(message) => messages.push(message),
                None => break,
            }
        }
        Ok(messages)
    }

    async fn get<T: Message + Default>(&self, path: &str, request: &impl Message) -> T {
        let answer = self.call(path, request).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name));
        T::decode(answer[0].as_slice()).unwrap()
    }

    async fn store_package(&self) {
        let parts = [
            put_artefact_request::Kind::Description(description(MARK)),
            put_artefact_request::Kind::Data(PACKAGE.into()),
        ];
        let parts = parts.map(|kind| {
            let part = public::PutArtefactRequest { kind: Some(kind) };
            part.encode_to_vec()
        });
        let path = "/drover.v1.Artefacts/PutArtefact";
        let stored = self.send_all(path, parts.to_vec()).await;
        assert_eq!(stored.unwrap().len(), 1);
    }

    /// Everything that the tenant has and can be read.
    async fn possessions(&self) -> Vec<String> {
        let devices: public::ListDevicesResponse = self
            .get("/drover.v1.Devices/ListDevices", &all_devices())
            .await;
        let credentials: public::ListCredentialsResponse = self
            .get(
                "/drover.v1.Credentials/ListCredentials",
                &public::ListCredentialsRequest::default(),
            )
            .await;
        let profiles: public::ListBootstrapProfilesResponse = self
            .get(
                "/drover.v1.Bootstrap/ListBootstrapProfiles",
                &public::ListBootstrapProfilesRequest {},
            )
            .await;
        let operations: public::ListOperationsResponse = self
            .get(
                "/drover.v1.Operations/ListOperations",
                &public::ListOperationsRequest::default(),
            )
            .await;
        let observations: public::ListObservationsResponse = self
            .get(
                "/drover.v1.Observations/ListObservations",
                &public::ListObservationsRequest {
                    endpoint: DEVICE.to_owned(),
                },
            )
            .await;
        let groups: public::ListDeviceGroupsResponse = self
            .get(
                "/drover.v1.DeviceGroups/ListDeviceGroups",
                &public::ListDeviceGroupsRequest {},
            )
            .await;
        let policies: public::ListEnrollmentPoliciesResponse = self
            .get(
                "/drover.v1.EnrollmentPolicies/ListEnrollmentPolicies",
                &public::ListEnrollmentPoliciesRequest {},
            )
            .await;
        let device_profiles: public::ListDeviceProfilesResponse = self
            .get(
                "/drover.v1.DeviceProfiles/ListDeviceProfiles",
                &public::ListDeviceProfilesRequest {},
            )
            .await;
        let campaigns: public::ListCampaignsResponse = self
            .get(
                "/drover.v1.Campaigns/ListCampaigns",
                &public::ListCampaignsRequest {},
            )
            .await;
        let artefacts: public::ListArtefactsResponse = self
            .get(
                "/drover.v1.Artefacts/ListArtefacts",
                &public::ListArtefactsRequest {},
            )
            .await;
        // How far it is spread is not of interest.
        let names = device_profiles.profiles.into_iter();
        let names: Vec<_> = names.map(|one| (one.name, one.description)).collect();
        vec![
            format!("{names:?}"),
            format!("{groups:?}"),
            format!("{campaigns:?}"),
            format!("{devices:?}"),
            format!("{credentials:?}"),
            format!("{profiles:?}"),
            format!("{operations:?}"),
            format!("{observations:?}"),
            format!("{artefacts:?}"),
            format!("{policies:?}"),
        ]
    }

    async fn endow(&self) -> String {
        let label = public::UpdateDeviceRequest {
            device: Some(public::Device {
                endpoint: DEVICE.to_owned(),
                labels: [("owner".to_owned(), MARK.to_owned())].into(),
                ..Default::default()
            }),
            allow_missing: true,
            request_id: "label".to_owned(),
            ..Default::default()
        };
        self.get::<public::Device>("/drover.v1.Devices/UpdateDevice", &label)
            .await;
        self.get::<public::Credential>(
            "/drover.v1.Credentials/PutCredential",
            &credential(DEVICE, 1),
        )
        .await;
        self.get::<public::BootstrapProfile>(
            "/drover.v1.Bootstrap/PutBootstrapProfile",
            &profile("coap://acme.example.com"),
        )
        .await;
        self.get::<public::DeviceGroup>(
            "/drover.v1.DeviceGroups/PutDeviceGroup",
            &group("acme.example.com"),
        )
        .await;
        self.get::<public::EnrollmentPolicy>(
            "/drover.v1.EnrollmentPolicies/PutEnrollmentPolicy",
            &enrollment_policy("acme.example.com"),
        )
        .await;
        self.get::<public::DeviceProfile>(
            "/drover.v1.DeviceProfiles/PutDeviceProfile",
            &device_profile("acme.example.com"),
        )
        .await;
        self.get::<public::Campaign>(
            "/drover.v1.Campaigns/CreateCampaign",
            &campaign("coap://acme.example.com"),
        )
        .await;
        self.get::<public::DesiredResources>("/drover.v1.DesiredState/SetDesired", &desired(MARK))
            .await;
        self.get::<public::PutObservationResponse>(
            "/drover.v1.Observations/PutObservation",
            &public::PutObservationRequest {
                endpoint: DEVICE.to_owned(),
                paths: vec!["/3303/0/5700".to_owned()],
                ..Default::default()
            },
        )
        .await;
        let written: public::OperationResponse =
            self.get("/drover.v1.Operations/Write", &write(MARK)).await;
        written.operation.unwrap().id
    }
}

fn all_devices() -> public::ListDevicesRequest {
    public::ListDevicesRequest {
        view: public::DeviceView::Full.into(),
        ..Default::default()
    }
}

fn credential(endpoint: &str, key: u8) -> public::PutCredentialRequest {
    use public::put_credential_request::Credential;
    public::PutCredentialRequest {
        endpoint: endpoint.to_owned(),
        credential: Some(Credential::PreSharedKey(public::PreSharedKey {
            identity: MARK.as_bytes().to_vec(),
            key: vec![key; 16],
        })),
        ..Default::default()
    }
}

fn profile(uri: &str) -> public::PutBootstrapProfileRequest {
    public::PutBootstrapProfileRequest {
        profile: Some(public::BootstrapProfile {
            name: MARK.to_owned(),
            endpoint_prefix: "meter-".to_owned(),
            servers: vec![public::BootstrapAccount {
                uri: uri.to_owned(),
                short_server_id: 1,
                security: public::bootstrap_account::Security::NoSec.into(),
                lifetime: Some(prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                }),
                binding: "U".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// About no device: the ones here register as ever.
fn enrollment_policy(description: &str) -> public::PutEnrollmentPolicyRequest {
    public::PutEnrollmentPolicyRequest {
        policy: Some(public::EnrollmentPolicy {
            name: MARK.to_owned(),
            description: description.to_owned(),
            endpoint_pattern: "nobody".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn group(description: &str) -> public::PutDeviceGroupRequest {
    public::PutDeviceGroupRequest {
        group: Some(public::DeviceGroup {
            name: MARK.to_owned(),
            description: description.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Nobody has it.
fn device_profile(description: &str) -> public::PutDeviceProfileRequest {
    public::PutDeviceProfileRequest {
        profile: Some(public::DeviceProfile {
            name: MARK.to_owned(),
            description: description.to_owned(),
            filter: "labels.site = nowhere".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Nobody has a turn in it.
fn campaign(uri: &str) -> public::CreateCampaignRequest {
    public::CreateCampaignRequest {
        campaign: Some(public::Campaign {
            name: MARK.to_owned(),
            paused: true,
            plan: Some(public::CampaignPlan {
                image: Some(public::CampaignImage {
                    name: "app".to_owned(),
                    version: "2.0".to_owned(),
                    uri: uri.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn desired(text: &str) -> public::SetDesiredRequest {
    public::SetDesiredRequest {
        endpoint: DEVICE.to_owned(),
        generation: 1,
        resources: vec![public::DesiredValue {
            path: "/3/0/15".to_owned(),
            text: text.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn accepted() -> Option<public::Delivery> {
    Some(public::Delivery {
        wait: public::delivery::Wait::UntilAccepted.into(),
        request_id: "the-same".to_owned(),
        deadline: Some(prost_types::Duration {
            seconds: 600,
            nanos: 0,
        }),
        ..Default::default()
    })
}

fn write(text: &str) -> public::WriteRequest {
    public::WriteRequest {
        endpoint: DEVICE.to_owned(),
        path: "/3/0/14".to_owned(),
        text: text.to_owned(),
        delivery: accepted(),
        ..Default::default()
    }
}

/// Every method that is about a namespace, by the descriptors.
fn served() -> Vec<String> {
    let files = FileDescriptorSet::decode(proto::drover::FILE_DESCRIPTOR_SET).unwrap();
    let ours = files
        .file
        .iter()
        .filter(|file| file.package() == "drover.v1");
    let paths: Vec<String> = ours
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            let path = |method: &str| format!("/drover.v1.{}/{method}", service.name());
            let named: Vec<_> = service
                .method
                .iter()
                .map(|method| path(method.name()))
                .collect();
            named
        })
        .filter(|path| {
            let found = methods().find(|(known, _)| known == path);
            let (_, permission) = found.unwrap_or_else(|| panic!("{path} has no rule"));
            permission.scope("rival") == Scope::Namespace("rival")
        })
        .collect();
    assert!(paths.len() > 25, "{paths:?}");
    paths
}

/// A call of a method with what the other tenant has, whose operation has this id.
#[expect(clippy::too_many_lines, reason = "one arm for each method")]
#[expect(
    clippy::needless_update,
    reason = "some requests have no further fields"
)]
fn intrusion(path: &str, operation: &str) -> Vec<u8> {
    let endpoint = DEVICE.to_owned();
    let id = operation.to_owned();
    let (resource, delivery) = ("/3/0/0".to_owned(), accepted());
    let name = MARK.to_owned();
    let identity = public::CredentialId {
        kind: Some(public::credential_id::Kind::PskIdentity(
            MARK.as_bytes().to_vec(),
        )),
    };
    macro_rules! request {
        ($kind:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {
            public::$kind { $($field $(: $value)?,)* ..Default::default() }.encode_to_vec()
        };
    }
    match path.trim_start_matches("/drover.v1.") {
        "Devices/GetDevice" => request!(GetDeviceRequest { endpoint }),
        "Devices/ListDevices" => all_devices().encode_to_vec(),
        "Devices/UpdateDevice" => request!(UpdateDeviceRequest {
            device: Some(public::Device {
                endpoint,
                labels: [("owner".to_owned(), "rival".to_owned())].into(),
                ..Default::default()
            }),
            allow_missing: true,
            request_id: "label".to_owned(),
        }),
        "Devices/DeleteDevice" => request!(DeleteDeviceRequest {
            endpoint,
            force: true,
        }),
        "Devices/WatchEvents" => request!(WatchEventsRequest {
            include_initial: true,
        }),
        "Operations/Read" => request!(ReadRequest {
            endpoint,
            path: resource,
        }),
        "Operations/ReadComposite" => request!(ReadCompositeRequest {
            endpoint,
            paths: vec![resource],
        }),
        "Operations/Discover" => request!(DiscoverRequest {
            endpoint,
            path: "/3".to_owned(),
        }),
        "Operations/ListChildren" => request!(ListChildrenRequest { endpoint }),
        "Operations/Observe" => request!(ObserveRequest {
            endpoint,
            path: resource,
        }),
        "Operations/ObserveComposite" => request!(ObserveCompositeRequest {
            endpoint,
            paths: vec![resource, "/3/0/1".to_owned()],
        }),
        "Operations/Write" => write("rival").encode_to_vec(),
        "Operations/WriteComposite" => request!(WriteCompositeRequest {
            endpoint,
            removals: vec!["/3/0/6/1".to_owned()],
            force: true,
            delivery,
        }),
        "Operations/CreateInstance" => request!(CreateInstanceRequest {
            endpoint,
            path: "/3303".to_owned(),
            delivery,
        }),
        "Operations/DeleteInstance" => request!(DeleteInstanceRequest {
            endpoint,
            path: "/3303/0".to_owned(),
            force: true,
            delivery,
        }),
        "Operations/Execute" => request!(ExecuteRequest {
            endpoint,
            path: "/3/0/4".to_owned(),
            delivery,
        }),
        "Operations/WriteAttributes" => request!(WriteAttributesRequest {
            endpoint,
            path: "/3303/0/5700".to_owned(),
            attributes: "pmin=1".to_owned(),
            delivery,
        }),
        "Operations/SendRaw" => request!(SendRawRequest {
            endpoint,
            method: "POST".to_owned(),
            target: "/3/0/4".to_owned(),
            delivery,
        }),
        "Operations/GetOperation" => request!(GetOperationRequest { endpoint, id }),
        "Operations/ListOperations" => request!(ListOperationsRequest {}),
        "Operations/WaitOperation" => request!(WaitOperationRequest {
            endpoint,
            id,
            timeout: Some(prost_types::Duration {
                seconds: 0,
                nanos: 1,
            }),
        }),
        "Operations/CancelOperation" => request!(CancelOperationRequest { endpoint, id }),
        "Observations/PutObservation" => request!(PutObservationRequest {
            endpoint,
            paths: vec!["/3303/0/5700".to_owned()],
            parameters: "pmin=7".to_owned(),
        }),
        "Observations/ListObservations" => request!(ListObservationsRequest { endpoint }),
        "Observations/DeleteObservation" => request!(DeleteObservationRequest {
            endpoint,
            paths: vec!["/3303/0/5700".to_owned()],
        }),
        "DesiredState/SetDesired" => desired("rival").encode_to_vec(),
        "DesiredState/GetDesired" => request!(GetDesiredRequest { endpoint }),
        // The same identity for another device: within one namespace it would take the credential.
        "Credentials/PutCredential" => credential("meter-2", 2).encode_to_vec(),
        "Credentials/ListCredentials" => request!(ListCredentialsRequest {}),
        "Credentials/DeleteCredential" => request!(DeleteCredentialRequest { id: Some(identity) }),
        "Bootstrap/PutBootstrapProfile" => profile("coap://rival.example.com").encode_to_vec(),
        "Bootstrap/ListBootstrapProfiles" => request!(ListBootstrapProfilesRequest {}),
        "Bootstrap/DeleteBootstrapProfile" => request!(DeleteBootstrapProfileRequest {
            name: MARK.to_owned(),
        }),
        "Bootstrap/StartBootstrap" => request!(StartBootstrapRequest { endpoint, delivery }),
        "Artefacts/PutArtefact" => request!(PutArtefactRequest {
            kind: Some(put_artefact_request::Kind::Description(description(
                "rival"
            ))),
        }),
        "Artefacts/GetArtefact" => request!(GetArtefactRequest { digest: digest() }),
        "Artefacts/ListArtefacts" => request!(ListArtefactsRequest {}),
        "Artefacts/DeleteArtefact" => request!(DeleteArtefactRequest { digest: digest() }),
        "DeviceGroups/PutDeviceGroup" => group("rival.example.com").encode_to_vec(),
        "DeviceGroups/GetDeviceGroup" => request!(GetDeviceGroupRequest { name, count: true }),
        "DeviceGroups/ListDeviceGroups" => request!(ListDeviceGroupsRequest {}),
        "DeviceGroups/DeleteDeviceGroup" => request!(DeleteDeviceGroupRequest { name }),
        "EnrollmentPolicies/PutEnrollmentPolicy" => {
            enrollment_policy("rival.example.com").encode_to_vec()
        }
        "EnrollmentPolicies/GetEnrollmentPolicy" => request!(GetEnrollmentPolicyRequest { name }),
        "EnrollmentPolicies/ListEnrollmentPolicies" => request!(ListEnrollmentPoliciesRequest {}),
        "EnrollmentPolicies/DeleteEnrollmentPolicy" => {
            request!(DeleteEnrollmentPolicyRequest { name })
        }
        "DeviceProfiles/PutDeviceProfile" => device_profile("rival.example.com").encode_to_vec(),
        "DeviceProfiles/GetDeviceProfile" => request!(GetDeviceProfileRequest { name }),
        "DeviceProfiles/ListDeviceProfiles" => request!(ListDeviceProfilesRequest {}),
        "DeviceProfiles/DeleteDeviceProfile" => request!(DeleteDeviceProfileRequest { name }),
        "DeviceProfiles/ListProfileDevices" => request!(ListProfileDevicesRequest { name }),
        "Campaigns/CreateCampaign" => campaign("coap://rival.example.com").encode_to_vec(),
        "Campaigns/GetCampaign" => request!(GetCampaignRequest { name }),
        "Campaigns/ListCampaigns" => request!(ListCampaignsRequest {}),
        "Campaigns/PauseCampaign" => request!(PauseCampaignRequest { name, resume: true }),
        "Campaigns/ApproveCampaign" => request!(ApproveCampaignRequest {
            name,
            through: "all".to_owned(),
        }),
        "Campaigns/AbortCampaign" => request!(AbortCampaignRequest { name }),
        "Campaigns/DeleteCampaign" => request!(DeleteCampaignRequest { name }),
        "Campaigns/ListCampaignDevices" => request!(ListCampaignDevicesRequest { name }),
        "Diagnostics/Diagnose" => request!(DiagnoseRequest { endpoint }),
        other => panic!("say what {other} is called with"),
    }
}

fn digest() -> String {
    Digest(Sha256::digest(PACKAGE).into()).to_string()
}

fn description(title: &str) -> put_artefact_request::Description {
    put_artefact_request::Description {
        digest: digest(),
        size_bytes: PACKAGE.len() as u64,
        title: title.to_owned(),
    }
}

fn acme() -> Namespace {
    Namespace::new("acme").unwrap()
}

fn holds(message: &[u8], text: &str) -> bool {
    message
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_shows_or_changes_what_another_tenant_has() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client_of(&acme()).await;
    let ingress = Ingress::attach(&client, 1).await;
    ingress.fall_asleep();
    let owner = Tenant::new(&cluster, "acme");
    eventually("the nodes know of namespaces", async || {
        let request = credential(DEVICE, 1);
        let put = owner.call("/drover.v1.Credentials/PutCredential", &request);
        put.await.is_ok()
    })
    .await;
    let operation = owner.endow().await;
    owner.store_package().await;
    let device = DeviceName::new(&acme(), &EndpointName::new(DEVICE).unwrap());
    let identity = device_state::SecurityIdentity::CertificateNames(vec![DEVICE.to_owned()]);
    let registration = ingress.register_with(&device, identity).await;
    let value = Value::String(MARK.to_owned());
    ingress
        .notify(&device, &registration, Path::Resource(3, 0, 1), value)
        .await;
    eventually("the sleeping device was tried", async || {
        !ingress.seen().is_empty()
    })
    .await;
    // What waits is put back when the device turns out to sleep.
    let mut before = owner.possessions().await;
    eventually("nothing is under way", async || {
        let now = owner.possessions().await;
        let still = std::mem::replace(&mut before, now.clone()) == now;
        still
            // As it was made.
            && now[2].contains("state: Paused")
            && now.iter().all(|text| {
                text.contains("meter-1") || text.contains("acme") || text.contains("5700")
            })
    })
    .await;

    for (text, has) in before.iter().zip([
        MARK, MARK, MARK, MARK, DEVICE, MARK, DEVICE, "5700", MARK, MARK,
    ]) {
        assert!(text.contains(has), "{text}");
    }

    let seen = ingress.seen().len();
    let rival = Tenant::new(&cluster, "rival");
    let nobody = Tenant::new(&cluster, "default");
    for tenant in [&nobody, &rival] {
        for text in tenant.possessions().await {
            let is_theirs = [MARK, DEVICE, "5700"].iter().any(|has| text.contains(has));
            assert!(!is_theirs, "{text}");
        }
    }
    for path in served() {
        for tenant in [&nobody, &rival] {
            let request = intrusion(&path, &operation);
            let answer = tenant.send(&path, request.clone()).await;
            let answer = answer.unwrap_or_default();
            // What it put there itself comes back; nothing of the other is in it.
            let own = [
                ".Credentials/",
                ".Bootstrap/",
                ".DeviceGroups/",
                ".EnrollmentPolicies/",
                ".DeviceProfiles/",
                ".Campaigns/",
            ]
            .iter()
            .any(|part| path.contains(part));
            let foreign: &[&str] = if own {
                &["acme.example.com", DEVICE]
            } else {
                &["acme.example.com", MARK]
            };
            for message in &answer {
                let shown = foreign.iter().find(|text| holds(message, text));
                let is_echo = shown.is_some_and(|text| holds(&request, text));
                assert!(shown.is_none() || is_echo, "{path}: {message:?}");
            }
            assert_eq!(owner.possessions().await, before, "after {path}");
        }
    }
    assert_eq!(ingress.seen().len(), seen, "nothing reached the device");
    // And the two did not meet each other either.
    let theirs: public::ListCredentialsResponse = rival
        .get(
            "/drover.v1.Credentials/ListCredentials",
            &public::ListCredentialsRequest::default(),
        )
        .await;
    assert!(
        theirs
            .credentials
            .iter()
            .all(|one| one.endpoint == "meter-2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_request_ids_are_good_in_their_namespace() {
    let cluster = Cluster::start(1).await;
    let (owner, rival) = (
        Tenant::new(&cluster, "acme"),
        Tenant::new(&cluster, "rival"),
    );
    let labelled = |number: u32| public::UpdateDeviceRequest {
        device: Some(public::Device {
            endpoint: format!("meter-{number}"),
            labels: [("site".to_owned(), "north".to_owned())].into(),
            ..Default::default()
        }),
        allow_missing: true,
        request_id: "once".to_owned(),
        ..Default::default()
    };
    eventually("the nodes know of namespaces", async || {
        let request = labelled(1);
        let put = owner.call("/drover.v1.Devices/UpdateDevice", &request);
        put.await.is_ok()
    })
    .await;
    for number in 2..4 {
        owner
            .get::<public::Device>("/drover.v1.Devices/UpdateDevice", &labelled(number))
            .await;
    }
    let page = |token: &str| public::ListDevicesRequest {
        page_size: 1,
        page_token: token.to_owned(),
        filter: "labels.site = north".to_owned(),
        ..Default::default()
    };
    let listed: public::ListDevicesResponse =
        owner.get("/drover.v1.Devices/ListDevices", &page("")).await;
    let path = "/drover.v1.Devices/ListDevices";
    let token = listed.next_page_token;
    assert!(owner.call(path, &page(&token)).await.is_ok());
    let refused = rival.call(path, &page(&token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let none: public::ListDevicesResponse = rival.get(path, &page("")).await;
    assert!(none.devices.is_empty());

    let watch = |token: &str| public::WatchEventsRequest {
        resume_token: token.to_owned(),
        include_initial: true,
        ..Default::default()
    };
    let path = "/drover.v1.Devices/WatchEvents";
    let answers = owner.call(path, &watch("")).await.unwrap();
    let last = public::WatchEventsResponse::decode(answers.last().unwrap().as_slice()).unwrap();
    assert!(owner.call(path, &watch(&last.resume_token)).await.is_ok());
    let refused = rival
        .call(path, &watch(&last.resume_token))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");

    // The id of a request is used by one tenant, and free for the other.
    let same: public::Device = rival
        .get("/drover.v1.Devices/UpdateDevice", &labelled(1))
        .await;
    assert_eq!(same.labels["site"], "north");
    let listed: public::ListDevicesResponse = rival
        .get("/drover.v1.Devices/ListDevices", &all_devices())
        .await;
    assert_eq!(listed.devices.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_none_is_refused() {
    let cluster = Cluster::start(1).await;
    for name in ["ACME", "a.b", "-", "a_b"] {
        let tenant = Tenant::new(&cluster, name);
        let refused = tenant
            .call("/drover.v1.Devices/ListDevices", &all_devices())
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused}");
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.reason, "INVALID_NAMESPACE");
    }
}

fn refusal(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    (
        status.code(),
        info.map(|info| info.reason).unwrap_or_default(),
    )
}

fn full() -> (Code, String) {
    (Code::ResourceExhausted, "QUOTA_EXCEEDED".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_no_more_than_it_may_have_also_right_after_a_restart() {
    let limits = [
        ("DROVER_STATE__TENANTS__ACME__MAX_DEVICES", "2"),
        ("DROVER_STATE__TENANTS__ACME__MAX_CREDENTIALS", "2"),
        ("DROVER_STATE__TENANT_DEFAULT__MAX_QUEUED_OPERATIONS", "1"),
    ];
    let mut cluster = Cluster::start_with(1, &limits).await;
    let owner = Tenant::new(&cluster, "acme");
    let put = |number: u8| {
        let mut request = credential(&format!("meter-{number}"), number);
        let Some(public::put_credential_request::Credential::PreSharedKey(psk)) =
            &mut request.credential
        else {
            panic!("a pre-shared key");
        };
        psk.identity = vec![number];
        request
    };
    let path = "/drover.v1.Credentials/PutCredential";
    eventually("the nodes know of namespaces", async || {
        owner.call(path, &put(1)).await.is_ok()
    })
    .await;
    owner.call(path, &put(2)).await.unwrap();
    let client = cluster.client_of(&acme()).await;
    let ingress = Ingress::attach(&client, 1).await;
    let device = |number: u32| {
        let name = EndpointName::new(&format!("meter-{number}")).unwrap();
        DeviceName::new(&acme(), &name)
    };
    for number in 1..=2 {
        ingress.register(&device(number)).await;
    }
    owner
        .call("/drover.v1.Operations/Write", &write("1"))
        .await
        .unwrap();

    for restarted in [false, true] {
        if restarted {
            cluster.stop(0, Stop::Kill).await;
            cluster.restart(0).await;
        }
        let refused = owner.call(path, &put(3)).await.unwrap_err();
        assert_eq!(refusal(&refused), full(), "{refused}");
        let failure = refused.get_details_quota_failure().unwrap();
        assert_eq!(failure.violations[0].subject, "namespace:acme");
        // What is there is not affected, nor is another namespace.
        owner.call(path, &put(2)).await.unwrap();
        let rival = Tenant::new(&cluster, "rival");
        for number in 1..=3 {
            rival.call(path, &put(number)).await.unwrap();
        }
        let outcome = ingress.try_register(&device(3)).await;
        let rejected = Outcome::Rejected(Rejection::QuotaExceeded);
        assert_eq!(outcome, rejected);
        let again = ingress.try_register(&device(2)).await;
        assert!(matches!(again, Outcome::Registered { .. }), "{again:?}");
        let other = public::WriteRequest {
            endpoint: "meter-9".to_owned(),
            ..write("2")
        };
        let refused = owner.call("/drover.v1.Operations/Write", &other).await;
        if let Err(refused) = refused {
            assert_eq!(refusal(&refused), full(), "{refused}");
        } else {
            // The first one was delivered.
            assert!(!ingress.seen().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_calls_no_more_often_than_it_may() {
    let limits = [
        ("DROVER_STATE__TENANTS__ACME__CALLS_PER_SECOND", "1"),
        ("DROVER_STATE__TENANTS__ACME__BURST", "3"),
    ];
    let cluster = Cluster::start_with(1, &limits).await;
    let (owner, rival) = (
        Tenant::new(&cluster, "acme"),
        Tenant::new(&cluster, "rival"),
    );
    let path = "/drover.v1.Devices/ListDevices";
    let all = all_devices();
    let calls = (0..8).map(|_| owner.call(path, &all));
    let calls = futures::future::join_all(calls).await;
    let refused: Vec<_> = calls.into_iter().filter_map(Result::err).collect();
    assert!((3..=5).contains(&refused.len()), "{refused:?}");
    for status in refused {
        let limited = (Code::ResourceExhausted, "RATE_LIMITED".to_owned());
        assert_eq!(refusal(&status), limited);
        let after = status.get_details_retry_info().unwrap().retry_delay;
        assert!(after.is_some_and(|after| after <= Duration::from_secs(8)));
    }
    for _ in 0..8 {
        rival.call(path, &all).await.unwrap();
    }
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
