//! What bootstraps leave behind in the state tier.

use device_state::{
    BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapSecurity, BootstrapServer,
    Command, CredentialId, DeviceName, Namespace, Outcome, Secret, SecurityIdentity, ShardId,
    Timestamp,
};
use lwm2m::{Binding, Lifetime};
use proto::drover::v1 as public;
use proto::drover::v1::devices_client::DevicesClient;
use state_client::{AccountSecret, Client, Proof};

use crate::cluster::{Cluster, PATIENCE};
use crate::device::Ingress;
use crate::endpoint;

/// Everybody gets one account with a key.
async fn add_profile(client: &Client) {
    let profile = BootstrapProfile {
        namespace: Namespace::default(),
        name: "all".to_owned(),
        endpoint_prefix: String::new(),
        servers: vec![BootstrapServer {
            uri: "coaps://lwm2m.example.com".to_owned(),
            short_server_id: 1,
            security: BootstrapSecurity::Psk,
            lifetime: Lifetime::from_secs(300),
            binding: Binding::UDP,
        }],
        access: Vec::new(),
    };
    let command = Command::PutBootstrapProfile { profile };
    let stored = client.propose(ShardId(0), command, PATIENCE).await;
    assert_eq!(stored.unwrap(), Outcome::Done);
}

/// Prepares a bootstrap; what the device will be told.
async fn prepare(client: &Client, name: &DeviceName) -> (Vec<u8>, Vec<u8>) {
    let prepared = client
        .prepare_bootstrap(&name.endpoint(), Proof::Given, PATIENCE)
        .await
        .unwrap();
    let AccountSecret::Psk { identity, key } = prepared.accounts[0].secret.clone() else {
        panic!("{prepared:?}");
    };
    (identity, key)
}

async fn finish(client: &Client, name: &DeviceName, identity: Vec<u8>) {
    let record = BootstrapRecord {
        endpoint: name.clone(),
        profile: "all".to_owned(),
        outcome: BootstrapResult::Finished,
        detail: String::new(),
        at: Timestamp(0),
        confirmed: Vec::new(),
    };
    let kept = client.finish_bootstrap(record, vec![identity], PATIENCE);
    kept.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_makes_its_key_first_and_leaves_the_registration_alone() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    let name = endpoint(1);
    add_profile(&client).await;

    let (identity, key) = prepare(&client, &name).await;
    let first = CredentialId::PskIdentity(identity.clone());
    // The device is told only now.
    let stored = client.credential(&first, PATIENCE).await.unwrap().unwrap();
    assert_eq!(stored.secret, Secret::PreSharedKey(key));
    let with_first = SecurityIdentity::Credential(first.clone());
    ingress.register_with(&name, with_first).await;
    finish(&client, &name, identity).await;

    let (identity, _) = prepare(&client, &name).await;
    let second = CredentialId::PskIdentity(identity.clone());
    finish(&client, &name, identity).await;
    let is_known =
        async |id: &CredentialId| client.credential(id, PATIENCE).await.unwrap().is_some();
    assert!(!is_known(&first).await);
    assert!(is_known(&second).await);
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    let request = public::GetDeviceRequest {
        endpoint: name.endpoint_str().to_owned(),
        ..Default::default()
    };
    let device = devices.get_device(request).await.unwrap().into_inner();
    assert_eq!(device.state(), public::device::State::Registered);
}
