//! Each field that campaigns have no counterpart of is refused by its name, and never ignored.

use super::*;

/// Changes of the rollout, changes of the image, the reason, and how the message begins.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "{transfer: {mode: Push}}",
        "{}",
        "InvalidValue",
        "spec.transfer.mode: Push is for packages of the cluster",
    ),
    (
        "{transfer: {blockSizeBytes: 64}}",
        "{}",
        "Unsupported",
        "spec.transfer.blockSizeBytes",
    ),
    (
        "{transfer: {protocol: HTTPS}}",
        "{}",
        "InvalidValue",
        "spec.transfer.protocol: the image's URI is coaps://",
    ),
    (
        "{strategy: {pauseWhenUnreachable: '20'}}",
        "{}",
        "InvalidValue",
        "spec.strategy.pauseWhenUnreachable",
    ),
    (
        "{schedule: {windows: [{startTime: '01:00', endTime: '02:00', timeZone: Device}]}}",
        "{}",
        "Unsupported",
        "spec.schedule.windows[0].timeZone: Device",
    ),
    (
        "{schedule: {windows: [{startTime: '01:00', endTime: '02:00', timeZone: Mars/Base}]}}",
        "{}",
        "InvalidValue",
        "spec.schedule.windows[0].timeZone: no time zone",
    ),
    (
        "{schedule: {deadlineSeconds: 99999999}}",
        "{}",
        "InvalidValue",
        "spec.schedule.deadlineSeconds: give at least",
    ),
    (
        "{device: {retry: {limit: 20}}}",
        "{}",
        "InvalidValue",
        "spec.device.retry.limit: give at most 10",
    ),
    (
        "{rollback: {imageRef: {name: other}}}",
        "{}",
        "Unsupported",
        "spec.rollback: takes effect with",
    ),
    (
        "{onFailure: Rollback, rollback: {imageRef: {name: other}}}",
        "{}",
        "Unsupported",
        "spec.rollback.policy: Manual",
    ),
    (
        "{onFailure: Rollback, rollback: {imageRef: {name: other}, policy: Automatic}}",
        "{}",
        "ImageNotFound",
        "spec.rollback.imageRef: there is no FirmwareImage other",
    ),
    (
        "{orderingSeed: 0123456789012345678901234567890123456789012345678901234567890123}",
        "{}",
        "InvalidValue",
        "spec.orderingSeed: has more than 63",
    ),
    (
        "{selector: {matchExpressions: [{key: a, operator: In}]}}",
        "{}",
        "InvalidValue",
        "spec.selector.matchExpressions[0]: In and NotIn",
    ),
    (
        "{strategy: {waves: [{name: a, size: '5'}]}}",
        "{}",
        "InvalidValue",
        "spec.strategy.waves[0].size: the last wave",
    ),
    (
        "{strategy: {waves: [{name: a, size: 100%, successThreshold: much}]}}",
        "{}",
        "InvalidValue",
        "spec.strategy.waves[0].successThreshold: is not a percentage",
    ),
    (
        "{}",
        "{source: {uri: null, ociRef: {repository: r, digest: d}}}",
        "ImageNotVerified",
        "spec.imageRef: the FirmwareImage m200-2.3.1: it has not been fetched yet",
    ),
    (
        "{}",
        "{source: {uri: null, objectRef: {bucket: b, key: k}}}",
        "ImageNotVerified",
        "spec.imageRef: the FirmwareImage m200-2.3.1: it has not been fetched yet",
    ),
    (
        "{}",
        "{source: {uri: null}}",
        "InvalidValue",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.source: has to have exactly one",
    ),
    (
        "{}",
        "{source: {uri: 'ftp://a/b'}}",
        "InvalidValue",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.source.uri: devices fetch from",
    ),
    (
        "{}",
        "{source: {uri: 'coap://a/ü'}}",
        "InvalidValue",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.source.uri: a device takes",
    ),
    (
        "{}",
        "{credentialsSecretRef: {name: s}}",
        "Unsupported",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.credentialsSecretRef",
    ),
    (
        "{}",
        "{signature: {type: RawEd25519, publicKeyRef: {kind: ConfigMap, name: k, key: k}}}",
        "Unsupported",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.signature",
    ),
    (
        "{}",
        "{compatibility: {minimumVersion: '1'}}",
        "InvalidValue",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.compatibility.minimumVersion: is no semantic version",
    ),
    (
        "{}",
        "{versionScheme: Opaque, compatibility: {maximumVersion: 1.0.0}}",
        "InvalidValue",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.compatibility.maximumVersion: needs versionScheme: SemVer",
    ),
    (
        "{}",
        "{object: /5/1}",
        "InvalidValue",
        "spec.imageRef: the FirmwareImage m200-2.3.1: spec.object: use /5/0",
    ),
    (
        "{}",
        "{yanked: true}",
        "Yanked",
        "spec.imageRef: the FirmwareImage m200-2.3.1 is yanked",
    ),
];

#[test]
fn what_campaigns_cannot_do_is_refused_with_its_field() {
    for (rollout, image, reason, message) in REFUSED {
        let rig = Rig::with(rollout, image);
        let plan = rig.plan();
        assert_eq!(plan.actions, [], "{rollout} {image}");
        says(&plan, "Accepted", "False", reason);
        let refusal = plan.refusal.unwrap();
        assert!(refusal.message.starts_with(message), "{}", refusal.message);
    }
}

#[test]
fn an_image_that_is_missing_is_waited_for() {
    let mut rig = Rig::new();
    let image = rig.image.take();
    let plan = rig.plan();
    says(&plan, "Accepted", "False", "ImageNotFound");
    says(&plan, "Reconciling", "True", "NotAccepted");
    assert_eq!(plan.pace, Pace::Waiting);
    rig.publish();
    rig.image = image;
    says(&rig.plan(), "Accepted", "True", "Accepted");
    assert_eq!(rig.campaign().name, "m200-2-3-1");
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    let mut rig = Rig::with("{selector: null, groupRef: {name: meters}}", "{}");
    let group = "{apiVersion: drover.dev/v1alpha1, kind: DeviceGroup, metadata: {name: meters}, spec: {filter: 'a ='}}";
    rig.group = Some(serde_yaml_ng::from_str(group).unwrap());
    let refusal = rig.plan().refusal.unwrap();
    assert_eq!(refusal.reason, crd::Reason::InvalidFilter);
    assert!(
        refusal
            .message
            .starts_with("spec.groupRef: the DeviceGroup meters: spec.filter: "),
        "{}",
        refusal.message
    );
}

#[test]
fn a_rollback_image_has_to_be_for_every_model() {
    let spec = "{onFailure: Rollback, rollback: {imageRef: {name: old}, policy: Automatic}}";
    for (models, reason) in [
        ("[m200]", "InvalidValue"),
        ("[m200, m200-eu, m300]", "Accepted"),
    ] {
        let mut rig = Rig::with(spec, "{}");
        let mut old = rig.image.clone().unwrap();
        old.spec.version = "2.3.0".to_owned();
        let models: Vec<String> = serde_yaml_ng::from_str(models).unwrap();
        old.spec.compatibility.as_mut().unwrap().models = models;
        rig.rollback_image = Some(old);
        assert_eq!(condition(&rig.plan(), "Accepted").1, reason);
    }
}

#[test]
fn a_name_that_is_too_long_for_a_campaign_is_refused() {
    let mut rig = Rig::new();
    rig.rollout.metadata.name = Some("a".repeat(64));
    says(&rig.plan(), "Accepted", "False", "InvalidValue");
}

#[test]
fn a_campaign_of_somebody_else_is_left_alone() {
    for (owner, says_what) in [
        ("", "that no FirmwareRollout has made"),
        (
            "firmwarerollouts.drover.dev/other",
            "of another FirmwareRollout",
        ),
    ] {
        let mut rig = Rig::new().made(CampaignState::Running, &[WaveState::Running; 2]);
        rig.seen().campaign.owner = owner.to_owned();
        rig.rollout.spec.abort = true;
        let plan = rig.plan();
        assert_eq!(plan.actions, []);
        says(&plan, "Accepted", "False", "IdentityConflict");
        assert!(plan.refusal.unwrap().message.contains(says_what));
        assert_eq!(plan.status.counts, None);
    }
}

#[test]
fn what_the_state_tier_refuses_is_told() {
    let mut rig = Rig::new();
    rig.observed.refused = Some(Refusal {
        reason: crd::Reason::QuotaExceeded,
        message: "too many campaigns".to_owned(),
    });
    let plan = rig.plan();
    says(&plan, "Accepted", "False", "QuotaExceeded");
    assert_eq!(plan.pace, Pace::Waiting);
}
