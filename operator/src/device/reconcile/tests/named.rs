//! What an object names: profiles and Secrets.

use crd::DeviceProfile;
use crd::desired_value::ValueSource;
use crd::reference::{ObjectReference, SecretKeyReference};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::store::Writer;

use super::*;

/// A device with a value of the Secret `k`.
fn secretive() -> Device {
    let mut device = device("");
    let secret_key_ref = SecretKeyReference {
        name: "k".to_owned(),
        key: "zone".to_owned(),
    };
    device.spec.resources = vec![DesiredResource {
        path: "/3/0/14".to_owned(),
        value_from: Some(ValueSource { secret_key_ref }),
        ..DesiredResource::default()
    }];
    device
}

fn secret(value: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.resource_version = Some("7".to_owned());
    let entry = ("zone".to_owned(), ByteString(value.as_bytes().to_vec()));
    secret.data = Some([entry].into());
    secret
}

/// Reconciles while the API server answers what the Secret is, and takes one status.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    device: &Device,
    secret: Option<&Secret>,
) -> Device {
    let answers = async {
        let (_, uri) = api_server.answer(secret).await;
        assert_eq!(uri, "/api/v1/namespaces/acme/secrets/k");
        api_server.answer_patch(device).await.0
    };
    let (outcome, written) = tokio::join!(reconciled(context, device), answers);
    outcome.unwrap();
    written
}

#[tokio::test]
async fn a_value_of_a_secret_goes_to_the_state_tier_and_nowhere_else() {
    let (context, mut api_server, fake) = context().await;
    let device = secretive();
    let device = written(&context, &mut api_server, &device, None).await;
    assert_eq!(rig::condition(&device, "Accepted"), "False/SecretNotFound");
    assert_eq!(fake.desired().0, 0);

    let held = secret("hunter2");
    let device = written(&context, &mut api_server, &device, Some(&held)).await;
    assert_eq!(rig::condition(&device, "Accepted"), "True/Accepted");
    let stored = vec![("/3/0/14".to_owned(), "hunter2".to_owned())];
    assert_eq!(fake.desired(), (1, stored));
    assert!(!serde_json::to_string(&device).unwrap().contains("hunter2"));

    // Another value: the status that is written says nothing of it but the generation.
    let held = secret("hunter3");
    let device = written(&context, &mut api_server, &device, Some(&held)).await;
    assert_eq!(fake.desired().0, 2);
    assert!(!serde_json::to_string(&device).unwrap().contains("hunter"));
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_is_told() {
    let (context, mut api_server, fake) = context().await;
    let device = secretive();
    let answers = async {
        api_server.echo(Some((403, "Forbidden", ""))).await;
        api_server.answer_patch(&device).await.0
    };
    let (outcome, written) = tokio::join!(reconciled(&context, &device), answers);
    outcome.unwrap();
    assert_eq!(rig::condition(&written, "Accepted"), "False/SecretNotFound");
    assert_eq!(fake.desired().0, 0);
}

fn profile(value: &str) -> DeviceProfile {
    let spec = json!({"resources": [{"path": "/3/0/15", "value": value}]});
    let mut profile = DeviceProfile::new("base", serde_json::from_value(spec).unwrap());
    profile.metadata.namespace = Some("acme".to_owned());
    profile
}

fn list(profiles: &mut Writer<DeviceProfile>, listed: &[DeviceProfile]) {
    profiles.apply_watcher_event(&Event::Init);
    for one in listed {
        profiles.apply_watcher_event(&Event::InitApply(one.clone()));
    }
    profiles.apply_watcher_event(&Event::InitDone);
}

#[tokio::test]
async fn a_device_has_what_the_profile_says_that_it_refers_to() {
    let (state_tier, fake) = fake::start().await;
    let (shared, mut api_server) = rig::shared(state_tier);
    let (profiles, mut writer) = reflector::store();
    let context = Arc::new(Context::new(shared, Feed::default(), profiles));
    let mut device = device("+02:00");
    device.spec.profile_refs = vec![ObjectReference {
        name: "base".to_owned(),
    }];
    // Which profiles there are is not known: nobody is told that one is missing.
    reconciled(&context, &device).await.unwrap();
    assert_eq!(context.shared.metrics.status_writes.get(), 0);

    list(&mut writer, &[]);
    let (outcome, (missing, ..)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert_eq!(
        rig::condition(&missing, "Accepted"),
        "False/ProfileNotFound"
    );

    list(&mut writer, &[profile("UTC")]);
    let (outcome, (accepted, ..)) = tokio::join!(
        reconciled(&context, &missing),
        api_server.answer_patch(&missing)
    );
    outcome.unwrap();
    assert_eq!(rig::condition(&accepted, "Accepted"), "True/Accepted");
    let value = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let both = vec![value("/3/0/14", "+02:00"), value("/3/0/15", "UTC")];
    assert_eq!(fake.desired(), (1, both));
}

#[tokio::test]
async fn an_object_is_looked_at_when_what_it_names_changes() {
    let (context, ..) = context().await;
    let mut device = secretive();
    device.spec.profile_refs = vec![ObjectReference {
        name: "base".to_owned(),
    }];
    take_in(&*context, &Event::Apply(device));
    context.shared.triggers.taken();
    for named in [
        Named::Secret("k".to_owned()),
        Named::Profile("base".to_owned()),
    ] {
        assert_eq!(context.references().touch("acme", named), ["meter-1"]);
        assert_eq!(context.shared.triggers.taken(), ["meter-1"]);
    }
}

/// A device that proves itself by the Secret `k`.
fn keyed() -> Device {
    let mut device = device("");
    device.spec.resources = Vec::new();
    let name = "k".to_owned();
    device.spec.credential_secret_ref = Some(ObjectReference { name });
    device
}

#[tokio::test]
async fn what_a_device_proves_itself_by_is_claimed_then_stored_and_goes_with_the_device() {
    let (context, mut api_server, fake) = context().await;
    let mut key = secret("");
    key.data = Some([("key".to_owned(), ByteString(b"hunter2".to_vec()))].into());
    let claimed = written(&context, &mut api_server, &keyed(), Some(&key)).await;
    assert_eq!(fake.calls(), [""; 0]);
    let [claim] = &claimed.status.as_ref().unwrap().credentials[..] else {
        panic!("{:?}", claimed.status)
    };
    assert_eq!(
        (claim.identity.as_str(), &claim.etag),
        ("urn:imei:1", &None)
    );

    let stored = written(&context, &mut api_server, &claimed, Some(&key)).await;
    assert_eq!(
        fake.calls(),
        ["PutCredential acme/urn:imei:1 urn:imei:1 true"]
    );
    let [known] = &stored.status.as_ref().unwrap().credentials[..] else {
        panic!("{:?}", stored.status)
    };
    assert_eq!(known.secret_version.as_deref(), Some("7"));
    assert_eq!(known.etag.as_deref(), Some("etag-1"));
    assert!(!serde_json::to_string(&stored).unwrap().contains("hunter"));

    // Nothing is done again.
    let answers = api_server.answer(Some(&key));
    let (outcome, _) = tokio::join!(reconciled(&context, &stored), answers);
    outcome.unwrap();
    assert_eq!(fake.calls().len(), 1);

    let mut gone = stored;
    gone.spec.deletion_policy = DeletionPolicy::Deregister;
    gone.metadata.finalizers = Some(vec![Device::FINALIZER.to_owned()]);
    gone.metadata.deletion_timestamp = Some(now());
    let (outcome, _) = tokio::join!(reconciled(&context, &gone), api_server.answer_patch(&gone));
    outcome.unwrap();
    assert_eq!(
        fake.calls()[1..],
        [
            "DeleteDevice acme/urn:imei:1",
            "DeleteCredential acme/etag-1"
        ]
    );
}
