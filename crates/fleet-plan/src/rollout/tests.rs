#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod following;
mod kstatus;
mod refusing;

use device_state::campaign::{
    CampaignId, Course, FailureThreshold, OnFailure, Promotion, Share, Transfer, UpdateObject,
    WaveCourse, WaveState,
};
use device_state::selection::DeviceFilter;
use k8s_openapi::jiff;
use serde_yaml_ng::Value;

use super::*;

/// What the operator carries out, and is shown to users.
const EXAMPLE: &str = include_str!("../../../../examples/rollout.yaml");

/// The objects of a test, and what the state tier knows.
struct Rig {
    image: Option<FirmwareImage>,
    rollback_image: Option<FirmwareImage>,
    group: Option<DeviceGroup>,
    rollout: FirmwareRollout,
    observed: Observed,
    second: i64,
}

impl Rig {
    fn new() -> Self {
        let [image, rollout] = documents();
        let mut rollout: FirmwareRollout = serde_yaml_ng::from_value(rollout).unwrap();
        rollout.metadata.uid = Some("uid-1".to_owned());
        rollout.metadata.generation = Some(1);
        Self {
            image: Some(serde_yaml_ng::from_value(image).unwrap()),
            rollback_image: None,
            group: None,
            rollout,
            observed: Observed::default(),
            second: 1_000,
        }
    }

    /// With changes of the spec of the rollout, and of the image, as in a merge patch.
    fn with(rollout: &str, image: &str) -> Self {
        let [of_image, of_rollout] = documents();
        let mut rig = Self::new();
        let metadata = rig.rollout.metadata.clone();
        rig.rollout = serde_yaml_ng::from_value(patched(of_rollout, rollout)).unwrap();
        rig.rollout.metadata = metadata;
        rig.image = Some(serde_yaml_ng::from_value(patched(of_image, image)).unwrap());
        rig
    }

    fn plan(&self) -> Plan {
        let namespace = Namespace::new("acme").unwrap();
        let owner = owner("uid-1");
        let around = Surroundings {
            namespace: &namespace,
            owner: &owner,
            image: self.image.as_ref(),
            rollback_image: self.rollback_image.as_ref(),
            group: self.group.as_ref(),
            read_filter,
        };
        let now = Time(jiff::Timestamp::from_second(self.second).unwrap());
        plan(&self.rollout, &around, &self.observed, &now)
    }

    /// The campaign that is asked for.
    fn campaign(&self) -> Campaign {
        match self.plan().actions.as_slice() {
            [Action::Create(campaign)] => (**campaign).clone(),
            other => panic!("{other:?}: {:?}", self.plan().refusal),
        }
    }

    /// As if the campaign had been made, with its state and those of its waves.
    fn made(mut self, state: CampaignState, waves: &[WaveState]) -> Self {
        let mut campaign = self.campaign();
        campaign.id = CampaignId(31);
        campaign.created_at = Timestamp(500_000);
        campaign.course = Course {
            state,
            members: 10,
            waves: waves.iter().map(|state| course(*state)).collect(),
            ..Course::default()
        };
        self.observed.campaign = Some(Seen {
            reason: String::new(),
            counts: Tally {
                waiting: 8,
                scheduled: 1,
                succeeded: 1,
                ..Tally::default()
            },
            waves: vec![Tally::default(); waves.len()],
            failures: Vec::new(),
            samples: Vec::new(),
            window: None,
            campaign,
        });
        self
    }

    fn seen(&mut self) -> &mut Seen {
        self.observed.campaign.as_mut().unwrap()
    }

    /// Writes the status, as the operator does.
    fn publish(&mut self) {
        self.rollout.status = Some(self.plan().status);
    }
}

fn course(state: WaveState) -> WaveCourse {
    WaveCourse {
        state,
        size: 2,
        started_at: Some(Timestamp(600_000)),
        ended_at: None,
    }
}

fn documents() -> [Value; 2] {
    let documents = serde_yaml_ng::Deserializer::from_str(EXAMPLE);
    let mut documents = documents.map(|one| serde::Deserialize::deserialize(one).unwrap());
    [documents.next().unwrap(), documents.next().unwrap()]
}

/// RFC 7396, of the spec.
fn patched(mut object: Value, patch: &str) -> Value {
    let patch: Value = serde_yaml_ng::from_str(patch).unwrap();
    merge(&mut object["spec"], patch);
    object
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Mapping(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_mapping() {
        *target = Value::Mapping(serde_yaml_ng::Mapping::new());
    }
    let target = target.as_mapping_mut().unwrap();
    for (key, change) in changes {
        if change.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), change);
        }
    }
}

/// Only the language: which fields there are is for `proto` to say.
fn read_filter(text: &str) -> Result<DeviceFilter, String> {
    filter::parse(text).map_err(|error| error.to_string())?;
    Ok(DeviceFilter::everything())
}

/// Status and reason of a condition.
fn condition(plan: &Plan, kind: &str) -> (String, String) {
    let mut conditions = plan.status.conditions.iter();
    let found = conditions.find(|one| one.type_ == kind);
    found.map_or_else(Default::default, |one| {
        (one.status.clone(), one.reason.clone())
    })
}

fn says(plan: &Plan, kind: &str, status: &str, reason: &str) {
    let wanted = (status.to_owned(), reason.to_owned());
    assert_eq!(
        condition(plan, kind),
        wanted,
        "{kind}: {:?}",
        plan.status.conditions
    );
}

#[test]
fn each_field_of_the_example_is_carried_out() {
    let campaign = Rig::new().campaign();
    assert_eq!(campaign.name, "m200-2-3-1");
    assert_eq!(campaign.owner, "firmwarerollouts.drover.dev/uid-1");
    assert_eq!(campaign.namespace.as_str(), "acme");
    let plan = &campaign.plan;
    assert_eq!(
        plan.image.uri,
        "coaps://firmware.example.com/m200/2.3.1.bin"
    );
    assert_eq!(plan.image.version, "2.3.1");
    assert_eq!(
        plan.selector.text,
        r#"(labels.site = "north" OR labels.site = "south") AND NOT labels.retired : "*" AND (model = "m200" OR model = "m200-eu")"#
    );
    assert_eq!(plan.seed, "uid-1");
    assert_eq!(plan.max_unavailable, Some(Share::Millionths(100_000)));
    assert_eq!(plan.on_failure, OnFailure::Pause);
    let [canary, rest] = plan.waves.as_slice() else {
        panic!("{:?}", plan.waves)
    };
    assert_eq!(canary.size, Share::Devices(2));
    assert_eq!(canary.success_threshold, 990_000);
    assert_eq!(canary.soak.as_secs(), 3_600);
    assert_eq!(canary.promotion, Promotion::Manual);
    // Without a threshold the first failure is one too many.
    let first = FailureThreshold {
        devices: Some(1),
        millionths: None,
    };
    assert_eq!(canary.failure_threshold, first);
    assert_eq!(rest.max_concurrent, Share::Millionths(50_000));
    assert_eq!(rest.failure_threshold.millionths, Some(10_000));
    assert_eq!(rest.minimum_results, 100);
    let window = &plan.schedule.windows[0];
    assert_eq!(
        (window.days, window.start, window.end),
        (0b1111, 1_320, 240)
    );
    assert_eq!(window.time_zone, "Europe/Berlin");
    assert_eq!(plan.device.retries, 2);
    assert_eq!(plan.device.minimum_battery, 30);
    assert_eq!(plan.device.install_timeout.as_secs(), 900);
}

#[test]
fn what_is_absent_is_as_the_definition_says() {
    let nothing = "{selector: {matchExpressions: null}, device: null, schedule: null, orderingSeed: s, \
                   strategy: {waves: [{name: all, size: 100%}], maxUnavailable: 500}}";
    let rig = Rig::with(nothing, "{compatibility: null}");
    let plan = rig.campaign().plan;
    assert_eq!(plan.selector.text, "");
    assert_eq!(plan.seed, "s");
    assert_eq!(plan.device.retries, 0);
    assert_eq!(plan.max_unavailable, Some(Share::Devices(500)));
    assert!(plan.schedule.windows.is_empty());
    assert!(plan.waves[0].selector.is_none());
}

#[test]
fn a_package_of_the_cluster_can_be_pushed() {
    let digest = format!("sha256:{}", "0b".repeat(32));
    let image = format!("{{digest: '{digest}', source: {{uri: 'drover:{digest}'}}}}");
    let plan = Rig::with("{transfer: {mode: Push, protocol: null}}", &image)
        .campaign()
        .plan;
    assert_eq!(plan.transfer, Transfer::Push);
    assert_eq!(plan.image.uri, format!("drover:{digest}"));
}

#[test]
fn an_image_says_what_of_which_devices_it_is_for() {
    let image = "{object: /33629/1, compatibility: {models: null, minimumVersion: 2.1.0, hardwareVersion: B}}";
    let image = Rig::with("{}", image).campaign().plan.image;
    assert_eq!(image.object, UpdateObject::Component(1));
    let compatibility = image.compatibility;
    assert_eq!(compatibility.minimum_version.as_deref(), Some("2.1.0"));
    assert_eq!(compatibility.maximum_version, None);
    assert_eq!(compatibility.hardware_version.as_deref(), Some("B"));
}

#[test]
fn what_people_said_before_it_begins_is_said_with_it() {
    let rig = Rig::with("{paused: true, approvedThrough: canary}", "{}");
    let control = rig.campaign().control;
    assert!(control.paused);
    assert_eq!(control.approved_through, "canary");
}

#[test]
fn selectors_become_filters() {
    for (selector, filter) in [
        (
            "{matchLabels: {site: x, tier: 'a\"b*'}}",
            r#"labels.site = "x" AND labels.tier = "a\"b\*""#,
        ),
        (
            "{matchExpressions: [{key: a, operator: NotIn, values: [x, y]}]}",
            r#"NOT (labels.a = "x" OR labels.a = "y")"#,
        ),
        (
            "{matchExpressions: [{key: a, operator: Exists}]}",
            r#"labels.a : "*""#,
        ),
        (
            "{matchLabels: {site: x}, matchExpressions: [{key: a, operator: NotIn, values: [y]}]}",
            r#"labels.site = "x" AND NOT labels.a = "y""#,
        ),
    ] {
        let selector: Value = serde_yaml_ng::from_str(selector).unwrap();
        let mut rig = Rig::with("{}", "{compatibility: null}");
        rig.rollout.spec.selector = Some(serde_yaml_ng::from_value(selector).unwrap());
        let text = rig.campaign().plan.selector.text;
        assert_eq!(text, filter);
        assert!(filter::parse(&text).unwrap().is_some());
    }
}

#[test]
fn a_group_is_its_selector_and_its_filter() {
    let mut rig = Rig::with(
        "{selector: null, groupRef: {name: meters}}",
        "{compatibility: null}",
    );
    says(&rig.plan(), "Accepted", "False", "GroupNotFound");
    assert_eq!(rig.plan().pace, Pace::Waiting);
    let group = "{apiVersion: drover.dev/v1alpha1, kind: DeviceGroup, metadata: {name: meters}, spec: \
                 {selector: {matchLabels: {site: x}}, filter: 'state = REGISTERED OR lwm2m_version = 1.1'}}";
    rig.group = Some(serde_yaml_ng::from_str(group).unwrap());
    assert_eq!(
        rig.campaign().plan.selector.text,
        r#"labels.site = "x" AND (state = "REGISTERED" OR lwm2m_version = "1.1")"#
    );
}

#[test]
fn planning_twice_gives_the_same() {
    let mut rig = Rig::new().made(
        CampaignState::Running,
        &[WaveState::Running, WaveState::Pending],
    );
    rig.publish();
    rig.second += 500;
    assert_eq!(rig.plan().status_change(&rig.rollout), None);
}
