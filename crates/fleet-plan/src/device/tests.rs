#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use crd::{DesiredResource, DeviceSpec, DriftPolicy};
use k8s_openapi::jiff::Timestamp;

use super::*;

mod asked;
mod attached;
mod credential;
mod deadline;
mod firmware;
mod parting;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

/// A stored device with `path=value` resources.
fn device(policy: ManagementPolicy, resources: &[&str]) -> Device {
    let resources = resources.iter().map(|one| {
        let (path, value) = one.split_once('=').unwrap();
        DesiredResource {
            path: path.to_owned(),
            value: Some(value.to_owned()),
            ..DesiredResource::default()
        }
    });
    let mut device = Device::new(
        "meter-1",
        DeviceSpec {
            endpoint_name: "urn:imei:1".to_owned(),
            management_policy: policy,
            resources: resources.collect(),
            ..DeviceSpec::default()
        },
    );
    device.metadata.namespace = Some("acme".to_owned());
    device.metadata.uid = Some("uid-5".to_owned());
    device.metadata.creation_timestamp = Some(at(100));
    device.metadata.generation = Some(1);
    device
}

fn managed(resources: &[&str]) -> Device {
    device(ManagementPolicy::Managed, resources)
}

fn registered(binding: &str) -> Observed {
    Observed {
        registration: Some(Registration {
            id: "0001abcd".to_owned(),
            since: Some(at(90)),
            lifetime_seconds: 86_400,
            version: "1.1".to_owned(),
            binding: binding.to_owned(),
            transport: "DTLS".to_owned(),
        }),
        ..Observed::default()
    }
}

/// Stored resources from `path=value:state`.
fn stored(mut observed: Observed, generation: u64, resources: &[&str]) -> Observed {
    observed.desired_generation = generation;
    observed.desired = resources
        .iter()
        .map(|one| {
            let (path, rest) = one.split_once('=').unwrap();
            let (text, state) = rest.rsplit_once('!').unwrap();
            StoredResource {
                path: path.parse().unwrap(),
                text: text.to_owned(),
                drift: DriftPolicy::Enforce,
                state: match state {
                    "drifted" => StoredState::Drifted,
                    "in-sync" => StoredState::InSync,
                    "pending" => StoredState::Pending,
                    code => StoredState::Rejected {
                        coap_code: code.to_owned(),
                        diagnostic: "no".to_owned(),
                        since: Some(at(7)),
                    },
                },
            }
        })
        .collect();
    observed
}

fn values(mut observed: Observed, values: &[&str]) -> Observed {
    observed.values = values
        .iter()
        .map(|one| {
            let (path, text) = one.split_once('=').unwrap();
            ReportedValue {
                path: path.parse().unwrap(),
                text: text.to_owned(),
            }
        })
        .collect();
    observed
}

fn planned(device: &Device, observed: &Observed) -> Plan {
    plan(device, &Surroundings::default(), observed, &at(1000))
}

/// `generation path=value …` of every action.
fn sent(plan: &Plan) -> Vec<String> {
    plan.actions.iter().map(said).collect()
}

fn said(action: &Action) -> String {
    match action {
        Action::SetDesired {
            generation,
            resources,
        } => resources.iter().fold(generation.to_string(), |text, one| {
            format!("{text} {}={}", one.path, one.goal.to_text())
        }),
        Action::SetLabels { set, remove } => {
            let set = set.iter().map(|(key, value)| format!("{key}={value}"));
            let remove = remove.iter().map(|key| format!("{key}-"));
            set.chain(remove).collect::<Vec<_>>().join(" ")
        }
        Action::PutObservation { path, parameters } => {
            format!("+{path}?{}", parameters.to_query().join("&"))
        }
        Action::DeleteObservation { path } => format!("-{path}"),
        Action::AddCredential(wanted) => {
            let identity = wanted.id();
            let identity = String::from_utf8_lossy(identity.as_bytes());
            format!("+{identity}@{}", wanted.version)
        }
        Action::DeleteCredential { id, etag } => {
            format!("-{} {etag}", String::from_utf8_lossy(id.as_bytes()))
        }
    }
}

/// `Type=Status/Reason` of every condition.
fn conditions(plan: &Plan) -> String {
    let one = |one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{}={}/{}", one.type_, one.status, one.reason)
    };
    plan.status
        .conditions
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(" ")
}

fn message(plan: &Plan, condition: &str) -> String {
    let conditions = &plan.status.conditions;
    conditions
        .iter()
        .find(|one| one.type_ == condition)
        .unwrap()
        .message
        .clone()
}

fn with_status(mut device: Device, plan: &Plan) -> Device {
    device.status = Some(plan.status.clone());
    device
}

#[test]
fn desired_values_are_sent_before_the_device_has_registered() {
    let plan = planned(
        &managed(&["/3/0/15=Europe/Berlin", "/1/0/1=0060"]),
        &Observed::default(),
    );
    assert_eq!(sent(&plan), ["1 /1/0/1=60 /3/0/15=Europe/Berlin"]);
    assert_eq!(
        conditions(&plan),
        "Accepted=True/Accepted Registered=Unknown/NeverSeen Synced=False/Pending Ready=Unknown/NotRegistered"
    );
    assert_eq!(plan.status.observed_generation, Some(1));
    assert_eq!(plan.status.desired_generation, Some(1));
}

#[test]
fn confirmed_values_make_a_registered_device_ready() {
    let observed = stored(registered("U"), 4, &["/3/0/14=+02:00!in-sync"]);
    let plan = planned(&managed(&["/3/0/14=+02:00"]), &observed);
    assert!(plan.actions.is_empty());
    assert_eq!(
        conditions(&plan),
        "Accepted=True/Accepted Registered=True/Registered Synced=True/InSync Ready=True/InSync"
    );
    assert_eq!(plan.status.desired_generation, Some(4));
    assert!(plan.status.resources.is_empty());
}

#[test]
fn planning_again_changes_nothing() {
    let observed = stored(registered("U"), 1, &["/3/0/14=+02:00!pending"]);
    let first = planned(&managed(&["/3/0/14=+02:00"]), &observed);
    let device = with_status(managed(&["/3/0/14=+02:00"]), &first);
    let again = plan(&device, &Surroundings::default(), &observed, &at(999_999));
    assert!(again.actions.is_empty());
    assert_eq!(again.status_change(&device), None);
}

#[test]
fn readiness_tells_what_is_awaited() {
    let cases = [
        (
            "U",
            "/3/0/14=x!pending",
            "Synced=False/Pending Ready=False/Applying",
        ),
        (
            "UQ",
            "/3/0/14=x!pending",
            "Synced=False/Pending Ready=False/AwaitingWakeup",
        ),
        (
            "U",
            "/3/0/14=x!4.05",
            "Synced=False/Rejected Ready=False/WriteRejected",
        ),
    ];
    for (binding, resource, expected) in cases {
        let plan = planned(
            &managed(&["/3/0/14=x"]),
            &stored(registered(binding), 1, &[resource]),
        );
        assert!(
            conditions(&plan).ends_with(expected),
            "{}",
            conditions(&plan)
        );
    }
}

#[test]
fn a_refused_value_is_listed_with_the_answer() {
    let observed = stored(registered("U"), 1, &["/3/0/14=x!4.05", "/3/0/15=y!in-sync"]);
    let plan = planned(&managed(&["/3/0/14=x", "/3/0/15=y"]), &observed);
    assert!(conditions(&plan).contains("Synced=False/PartiallyApplied"));
    assert_eq!(message(&plan, "Synced"), "1 of 2 in sync, 1 rejected");
    let [listed] = &plan.status.resources[..] else {
        panic!("{:?}", plan.status.resources);
    };
    assert_eq!(listed.path, "/3/0/14");
    assert_eq!(listed.coap_code.as_deref(), Some("4.05"));
    assert_eq!(listed.last_transition_time, Some(at(7)));
}

#[test]
fn a_recreated_object_is_not_stopped_by_the_generation_it_starts_with() {
    let mut device = managed(&["/3/0/14=new"]);
    device.metadata.generation = Some(1);
    let observed = stored(registered("U"), 9, &["/3/0/14=old!in-sync"]);
    assert_eq!(sent(&planned(&device, &observed)), ["10 /3/0/14=new"]);
    device.metadata.generation = Some(20);
    assert_eq!(sent(&planned(&device, &observed)), ["20 /3/0/14=new"]);
}

#[test]
fn a_recreated_object_with_the_same_values_sends_nothing() {
    let observed = stored(registered("U"), 9, &["/3/0/14=+02:00!in-sync"]);
    assert!(
        planned(&managed(&["/3/0/14=+02:00"]), &observed)
            .actions
            .is_empty()
    );
}

#[test]
fn values_taken_out_of_the_spec_are_taken_out_of_the_state_tier() {
    let observed = stored(registered("U"), 1, &["/3/0/14=x!in-sync"]);
    let full = managed(&["/3/0/14=x"]);
    let mut emptied = with_status(managed(&[]), &planned(&full, &observed));
    emptied.metadata.generation = Some(2);
    let plan = planned(&emptied, &observed);
    assert_eq!(sent(&plan), ["2"]);
    let settled = planned(
        &with_status(emptied, &plan),
        &stored(registered("U"), 2, &[]),
    );
    assert!(settled.actions.is_empty());
    assert_eq!(settled.status.desired_generation, None);
}

#[test]
fn an_object_without_values_leaves_the_set_of_others_alone() {
    let observed = stored(registered("U"), 3, &["/3/0/14=x!in-sync"]);
    let plan = planned(&managed(&[]), &observed);
    assert!(plan.actions.is_empty());
    assert_eq!(plan.status.desired_generation, None);
    assert!(conditions(&plan).ends_with("Ready=True/InSync"));
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_is_sent() {
    let cases = [
        (
            "/3/0/0=Acme",
            "InvalidValue",
            "/3/0/0: Manufacturer cannot be written",
        ),
        ("/0/0/5=AA==", "InvalidValue", "cannot be written"),
        (
            "/3/0/4=1",
            "InvalidValue",
            "/3/0/4: Reboot cannot be written",
        ),
        (
            "/1/0/1=soon",
            "InvalidValue",
            "/1/0/1: the value of Lifetime is not a valid",
        ),
        (
            "/3/0/14/0=x",
            "InvalidValue",
            "leave out the resource instance",
        ),
        (
            "/3/0/999=x",
            "UnknownObjectModel",
            "/3/0/999: object 3 has no resource 999",
        ),
        (
            "/60000/0/1=x",
            "UnknownObjectModel",
            "/60000/0/1: object 60000 is not known",
        ),
        ("/3/0=x", "InvalidValue", "/3/0: not the path of a resource"),
    ];
    for (resource, reason, expected) in cases {
        let plan = planned(&managed(&["/3/0/15=ok", resource]), &registered("U"));
        assert!(plan.actions.is_empty(), "{resource}");
        assert!(
            conditions(&plan).contains(&format!("Accepted=False/{reason}")),
            "{resource}"
        );
        assert!(
            conditions(&plan).ends_with(&format!("Ready=False/{reason}")),
            "{resource}"
        );
        let message = message(&plan, "Accepted");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn many_problems_are_counted_not_listed() {
    let resources: Vec<String> = (0..9).map(|id| format!("/60000/0/{id}=x")).collect();
    let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
    let message = message(&planned(&managed(&resources), &registered("U")), "Accepted");
    assert!(
        message.ends_with("/60000/0/3: object 60000 is not known; and 5 more"),
        "{message}"
    );
}

#[test]
fn of_two_objects_with_one_endpoint_name_the_older_counts() {
    let rival = |created: i64, uid: &str| Rival {
        created: Some(at(created)),
        uid: uid.to_owned(),
        name: "acme/other".to_owned(),
    };
    let device = managed(&["/3/0/14=x"]);
    for (loses, rival) in [
        (true, rival(99, "uid-9")),
        (true, rival(100, "uid-4")),
        (false, rival(100, "uid-6")),
        (false, rival(101, "uid-1")),
        (false, rival(100, "uid-5")),
    ] {
        let around = Surroundings {
            rivals: vec![rival.clone()],
            ..Surroundings::default()
        };
        let plan = plan(&device, &around, &registered("U"), &at(1000));
        assert_eq!(plan.actions.is_empty(), loses, "{rival:?}");
        let lost = "Accepted=False/IdentityConflict";
        assert_eq!(conditions(&plan).contains(lost), loses, "{rival:?}");
        assert_eq!(plan.status.registration.is_none(), loses, "{rival:?}");
    }
}

#[test]
fn observe_only_withdraws_its_own_values_and_compares_reports() {
    let in_force = stored(registered("U"), 3, &["/3/0/14=x!in-sync"]);
    let before = planned(&managed(&["/3/0/14=x"]), &in_force);
    let observing = device(ManagementPolicy::ObserveOnly, &["/3/0/14=x", "/3/0/15=y"]);
    let observing = with_status(observing, &before);
    let observed = values(in_force.clone(), &["/3/0/14=z"]);
    let plan = planned(&observing, &observed);
    assert_eq!(sent(&plan), ["0"]);
    assert!(
        conditions(&plan).contains("Synced=False/Drifted"),
        "{}",
        conditions(&plan)
    );
    assert_eq!(
        plan.status.resources[0].observed_value.as_deref(),
        Some("z")
    );
    assert_eq!(
        plan.status.resources[1].state,
        crd::ResourceState::NotReported
    );
    // Values that somebody else has put there since are not ours to withdraw.
    let foreign = stored(registered("U"), 4, &["/3/0/14=q!in-sync"]);
    assert!(planned(&observing, &foreign).actions.is_empty());
}

#[test]
fn observe_only_is_in_sync_when_the_reports_say_so() {
    let observing = device(ManagementPolicy::ObserveOnly, &["/1/0/1=60"]);
    let plan = planned(&observing, &values(registered("U"), &["/1/0/1=60"]));
    assert!(plan.actions.is_empty());
    assert!(conditions(&plan).ends_with("Synced=True/InSync Ready=True/InSync"));
}

#[test]
fn a_suspended_object_has_no_effect_but_shows_the_registration() {
    let suspended = device(ManagementPolicy::Suspended, &["/3/0/14=x"]);
    let plan = planned(
        &suspended,
        &stored(registered("U"), 3, &["/3/0/14=old!in-sync"]),
    );
    assert!(plan.actions.is_empty());
    assert_eq!(
        conditions(&plan),
        "Accepted=True/Accepted Registered=True/Registered Synced=Unknown/Suspended Ready=Unknown/Suspended"
    );
}

#[test]
fn the_end_of_a_registration_is_remembered() {
    let device = with_status(managed(&[]), &planned(&managed(&[]), &registered("U")));
    let ended = Observed {
        ended: Some(RegistrationEnd::Expired),
        ..Observed::default()
    };
    let expired = planned(&device, &ended);
    assert!(conditions(&expired).contains("Registered=False/LifetimeExpired"));
    let device = with_status(device, &expired);
    let later = planned(&device, &Observed::default());
    assert_eq!(later.status_change(&device), None);
    let unseen = planned(
        &with_status(managed(&[]), &planned(&managed(&[]), &registered("U"))),
        &Observed::default(),
    );
    assert!(conditions(&unseen).contains("Registered=False/NotRegistered"));
    let last = unseen.status.registration.unwrap();
    assert_eq!(last.registration_id.unwrap(), "0001abcd");
    assert_eq!(last.registration_time, Some(at(90)));
}

#[test]
fn conditions_of_others_are_not_repeated() {
    let mut device = managed(&[]);
    let plan = planned(&device, &registered("U"));
    device = with_status(device, &plan);
    let status = device.status.as_mut().unwrap();
    let mut foreign = status.conditions[0].clone();
    foreign.type_ = "example.com/Blessed".to_owned();
    status.conditions.push(foreign);
    let again = planned(&device, &registered("U"));
    assert!(!conditions(&again).contains("Blessed"));
    assert_eq!(again.status_change(&device), None);
}

#[test]
fn a_released_object_withdraws_only_what_it_has_put_there() {
    let observed = stored(registered("U"), 3, &["/3/0/14=x!in-sync"]);
    let device = managed(&["/3/0/14=x"]);
    assert_eq!(release(&device, &observed, None), []);
    let device = with_status(device, &planned(&managed(&["/3/0/14=x"]), &observed));
    assert_eq!(release(&device, &observed, None).len(), 1);
    assert_eq!(release(&device, &stored(registered("U"), 4, &[]), None), []);
}
