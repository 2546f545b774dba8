#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod simulation;

use crd::{DeviceOperationStatus, Reason};
use device_state::selection::DeviceFilter;
use k8s_openapi::jiff::Timestamp;

use super::super::{Again, Answer};
use super::*;
use crate::Pace;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn every_filter(text: &str) -> Result<DeviceFilter, String> {
    filter::parse(text).map_err(|error| error.to_string())?;
    Ok(DeviceFilter::everything())
}

/// An operation on a set, made at second 1000; `spec` is the rest of its spec.
fn operation(spec: &str) -> DeviceOperation {
    let text = format!(
        "{{apiVersion: drover.dev/v1alpha1, kind: DeviceOperation, metadata: {{name: a}}, spec: {{{spec}}}}}"
    );
    let mut operation: DeviceOperation = serde_yaml_ng::from_str(&text).unwrap();
    operation.metadata.uid = Some("7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned());
    operation.metadata.generation = Some(1);
    operation.metadata.creation_timestamp = Some(at(1_000));
    operation
}

const REBOOT: &str = "selector: {}, action: {type: Execute, path: /3/0/4}";
const READ: &str = "selector: {}, action: {type: Read, path: /3/0/0}";

fn members(names: &[String]) -> Members {
    let mut members = Members::default();
    for name in names {
        members.add(name.clone());
    }
    members
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|one| format!("meter-{one:05}")).collect()
}

/// One object, round after round, by somebody who never ends.
struct Rig {
    operation: DeviceOperation,
    second: i64,
    members: Members,
    unasked: BTreeSet<String>,
}

impl Rig {
    fn new(spec: &str, devices: &[String]) -> Self {
        Self {
            operation: operation(spec),
            second: 1_000,
            members: members(devices),
            unasked: BTreeSet::new(),
        }
    }

    fn visits(&self) -> Vec<Visit> {
        let now = at(self.second);
        match open(&self.operation, None, every_filter, &now) {
            Opening::Round(round) => round.visits(&self.members),
            other => panic!("{other:?}"),
        }
    }

    fn asked(&self) -> Vec<String> {
        let visits = self.visits();
        let asks = visits.iter().filter(|one| matches!(one, Visit::Ask(_)));
        asks.map(|one| one.endpoint().to_owned()).collect()
    }

    /// A round in which this is seen of each visit; its status is written.
    fn round(&mut self, see: impl Fn(&Visit) -> Seen) -> Plan {
        let now = at(self.second);
        let operation = self.operation.clone();
        let plan = match open(&operation, None, every_filter, &now) {
            Opening::Round(round) => {
                let visits = round.visits(&self.members);
                for visit in &visits {
                    if matches!(visit, Visit::Ask(_)) {
                        self.unasked.remove(visit.endpoint());
                    }
                }
                let seen = visits
                    .iter()
                    .map(|one| (one.endpoint().to_owned(), see(one)));
                let finished = round.finish(&self.members, &self.unasked, seen.collect());
                self.unasked.extend(finished.entered);
                finished.plan
            }
            Opening::Told(plan) => *plan,
            Opening::Delete => panic!("deleted"),
        };
        check(&plan.status);
        self.operation.status = Some(plan.status.clone());
        plan
    }

    fn status(&self) -> &DeviceOperationStatus {
        self.operation.status.as_ref().unwrap()
    }

    fn says(&self, kind: &str) -> String {
        let mut conditions = self.status().conditions.iter();
        let one = conditions.find(|one| one.type_ == kind).unwrap();
        format!("{}/{}", one.status, one.reason)
    }

    fn message(&self, kind: &str) -> String {
        let mut conditions = self.status().conditions.iter();
        let one = conditions.find(|one| one.type_ == kind).unwrap();
        one.message.clone()
    }

    fn counts(&self) -> [i64; 6] {
        let counts = self.status().counts.unwrap();
        [
            counts.total,
            counts.pending,
            counts.active,
            counts.succeeded,
            counts.failed,
            counts.expired,
        ]
    }
}

/// What holds of every status.
fn check(status: &DeviceOperationStatus) {
    for one in &status.conditions {
        crate::conditions::documented(DeviceOperation::CONDITIONS, one);
    }
    if let Some(counts) = status.counts {
        let parts = [
            counts.pending,
            counts.active,
            counts.succeeded,
            counts.failed,
            counts.expired,
        ];
        assert_eq!(parts.iter().sum::<i64>(), counts.total);
        assert!(parts.iter().all(|part| *part >= 0), "{parts:?}");
    }
    assert!(status.results.len() <= 20);
    let bytes = serde_json::to_string(status).unwrap().len();
    assert!(bytes <= 20_000, "{bytes}");
}

fn done(values: &[(&str, &str)]) -> Seen {
    let values = values.iter();
    Seen::Is(Outcome::Succeeded(Answer {
        coap_code: "2.04".to_owned(),
        values: values
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
        at: None,
    }))
}

fn sleeps() -> Seen {
    Seen::Is(Outcome::Running {
        id: "12-345".to_owned(),
        in_flight: false,
    })
}

#[test]
fn devices_are_entered_then_asked_then_counted() {
    let mut rig = Rig::new(&format!("{REBOOT}, parallelism: 2"), &names(3));
    // Nobody is asked before the status says so.
    assert_eq!(rig.visits(), []);
    let plan = rig.round(|_| unreachable!());
    assert_eq!(plan.again, Again::Now);
    assert_eq!(rig.counts(), [3, 1, 2, 0, 0, 0]);
    assert_eq!(rig.asked(), ["meter-00000", "meter-00001"]);
    let Visit::Ask(ask) = &rig.visits()[0] else {
        panic!("{:?}", rig.visits());
    };
    assert!(ask.request_id.len() <= 64, "{}", ask.request_id);
    assert!(
        ask.request_id
            .starts_with("7c9e6679-7425-40de-944b-e07fc1f90ae7-")
    );

    rig.second += 5;
    rig.round(|visit| match visit.endpoint() {
        "meter-00000" => done(&[]),
        _ => sleeps(),
    });
    assert_eq!(rig.counts(), [3, 0, 2, 1, 0, 0]);
    assert_eq!(rig.asked(), ["meter-00002"]);
    assert_eq!(
        unfinished(&rig.operation),
        [("meter-00001".to_owned(), "12-345".to_owned())]
    );
    rig.second += 5;
    rig.round(|_| done(&[]));
    assert_eq!(rig.counts(), [3, 0, 0, 3, 0, 0]);
    assert_eq!(rig.says("Succeeded"), "True/Complete");
    assert_eq!(rig.message("Complete"), "executed on 3 of 3 devices");
    assert_eq!(rig.status().results.len(), 3);
    assert_eq!(
        rig.status().ledger.as_ref().unwrap().id,
        rig.operation.metadata.uid.clone().unwrap()
    );
    assert_eq!(unfinished(&rig.operation), []);
    let stays = at(rig.second + 3_600);
    assert!(matches!(
        open(&rig.operation, None, every_filter, &stays),
        Opening::Delete
    ));
}

#[test]
fn over_no_devices_it_is_through_at_once() {
    let mut rig = Rig::new(REBOOT, &[]);
    rig.round(|_| unreachable!());
    assert_eq!(rig.counts(), [0; 6]);
    assert_eq!(rig.says("Succeeded"), "True/Complete");
    assert!(rig.message("Complete").starts_with("no device is meant"));
    assert!(rig.status().completion_time.is_some());
}

#[test]
fn more_devices_than_there_may_be_are_refused_before_any_is_asked() {
    let mut rig = Rig::new(REBOOT, &names(MAX_DEVICES));
    rig.round(|_| unreachable!());
    assert_eq!(rig.counts()[0], 10_000);
    let mut rig = Rig::new(REBOOT, &names(MAX_DEVICES + 1));
    rig.round(|_| unreachable!());
    assert_eq!(rig.says("Accepted"), "False/Unsupported");
    assert!(rig.message("Accepted").contains("DeviceProfile"));
    assert!(rig.message("Accepted").contains("FirmwareRollout"));
    assert_eq!(rig.counts(), [0; 6]);
    assert!(rig.status().completion_time.is_some());
    assert!(rig.status().progress.is_none());
}

#[test]
fn a_device_that_sleeps_gives_its_place_to_the_next() {
    let mut rig = Rig::new(&format!("{REBOOT}, parallelism: 1"), &names(3));
    rig.round(|_| unreachable!());
    rig.second += 1;
    rig.round(|_| sleeps());
    assert_eq!(rig.asked(), Vec::<String>::new());
    assert_eq!(rig.counts(), [3, 2, 1, 0, 0, 0]);
    rig.second += GRACE;
    rig.round(|_| sleeps());
    assert_eq!(rig.asked(), ["meter-00001"]);
    // It wakes up.
    rig.round(|visit| match visit {
        Visit::Follow { .. } => done(&[]),
        _ => sleeps(),
    });
    assert_eq!(rig.counts(), [3, 1, 1, 1, 0, 0]);
}

#[test]
fn who_sleeps_longest_gives_way_to_those_who_wait_for_room() {
    let spec = format!("{REBOOT}, parallelism: 100000, activeDeadlineSeconds: 10000");
    let mut rig = Rig::new(&spec, &names(1_000));
    rig.round(|_| unreachable!());
    while !rig.asked().is_empty() {
        rig.round(|_| sleeps());
    }
    let under_way = rig.status().progress.as_ref().unwrap().under_way.len();
    assert!((60..=256).contains(&under_way), "{under_way}");
    let turns = i64::try_from(1_000_usize.div_ceil(under_way)).unwrap();
    rig.second = 1_000 + 10_000 / turns - 1;
    let follows = |one: &Visit| matches!(one, Visit::Follow { .. });
    assert!(rig.visits().iter().all(follows));
    rig.second += 1;
    let gives_up = |one: &Visit| matches!(one, Visit::GiveUp { .. });
    assert!(rig.visits().iter().all(gives_up));
    // One has just woken up.
    rig.round(|visit| match visit.endpoint() {
        "meter-00000" => Seen::Is(Outcome::Running {
            id: "12-345".to_owned(),
            in_flight: true,
        }),
        _ => Seen::Is(Outcome::Expired),
    });
    assert_eq!(rig.counts()[5], i64::try_from(under_way).unwrap() - 1);
    assert!(rig.asked().len() > under_way / 2);
    // Nobody waits for room: nobody gives way.
    let mut rig = Rig::new(&spec, &names(20));
    rig.round(|_| unreachable!());
    rig.round(|_| sleeps());
    rig.second += 9_999;
    assert!(rig.visits().iter().all(follows));
}

#[test]
fn what_comes_too_late_is_not_asked() {
    let mut rig = Rig::new(&format!("{REBOOT}, parallelism: 3"), &names(6));
    rig.round(|_| unreachable!());
    rig.round(|visit| match visit.endpoint() {
        "meter-00000" => sleeps(),
        "meter-00001" => Seen::Unclear,
        _ => done(&[]),
    });
    rig.second += 86_400;
    assert_eq!(
        rig.visits(),
        [Visit::GiveUp {
            endpoint: "meter-00000".to_owned(),
            id: "12-345".to_owned()
        }]
    );
    rig.round(|_| Seen::Is(Outcome::Expired));
    // Whether the second one was asked nobody knows.
    assert_eq!(rig.counts(), [6, 0, 0, 1, 1, 4]);
    assert_eq!(rig.says("Failed"), "True/OutcomeUnknown");
    assert_eq!(rig.status().failure_samples[0].endpoint_name, "meter-00001");
    let message = "executed on 1 of 6 devices; 1 failed, of 1 of them nobody knows what became of it; 4 were not asked in time";
    assert_eq!(rig.message("Failed"), message);
}

#[test]
fn while_it_is_suspended_nobody_is_asked() {
    let mut rig = Rig::new(&format!("{REBOOT}, parallelism: 2"), &names(4));
    rig.round(|_| unreachable!());
    rig.operation.spec.suspend = true;
    rig.second += 1;
    // Those that were entered were surely not asked, which is kept.
    rig.round(|_| unreachable!());
    assert_eq!(rig.says("Suspended"), "True/UserPaused");
    assert_eq!(rig.counts(), [4, 4, 0, 0, 0, 0]);
    let under_way = &rig.status().progress.as_ref().unwrap().under_way;
    assert!(under_way.iter().all(|one| one.asked.is_none()));
    rig.unasked.clear();
    rig.second += 10_000;
    rig.round(|_| unreachable!());
    rig.operation.spec.suspend = false;
    assert_eq!(rig.round(|_| unreachable!()).again, Again::Now);
    assert_eq!(rig.asked(), ["meter-00000", "meter-00001"]);

    let mut rig = Rig::new(&format!("{REBOOT}, suspend: true"), &names(4));
    assert_eq!(
        rig.round(|_| unreachable!()).again,
        Again::At(Pace::Resting)
    );
    assert_eq!(rig.says("Complete"), "False/Suspended");
    assert!(rig.status().start_time.is_none());
}

#[test]
fn what_was_turned_away_is_asked_again_by_another_name() {
    let id = |rig: &Rig| match &rig.visits()[0] {
        Visit::Ask(ask) => ask.request_id.clone(),
        other => panic!("{other:?}"),
    };
    let mut rig = Rig::new(&format!("{REBOOT}, parallelism: 1"), &names(2));
    rig.round(|_| unreachable!());
    let first = id(&rig);
    let turned_away = |certain| {
        move |_: &Visit| Seen::TurnedAway {
            certain,
            why: "no room".to_owned(),
        }
    };
    let plan = rig.round(turned_away(true));
    assert_eq!(plan.again, Again::At(Pace::Waiting));
    assert!(rig.message("Complete").ends_with("no room"));
    assert_eq!(rig.asked(), Vec::<String>::new());
    rig.round(|_| unreachable!());
    assert_eq!(rig.asked(), ["meter-00000"]);
    assert_ne!(id(&rig), first);
    // Of this one nobody knows, and later nobody ever will.
    let second = id(&rig);
    rig.round(turned_away(false));
    assert_eq!(id(&rig), second);
    rig.second += 540;
    assert_eq!(rig.visits(), []);
    rig.round(|_| unreachable!());
    assert_eq!(rig.counts(), [2, 0, 1, 0, 1, 0]);
}

#[test]
fn who_does_not_answer_is_asked_so_often() {
    let mut rig = Rig::new(&format!("{READ}, backoffLimit: 1"), &names(1));
    rig.round(|_| unreachable!());
    rig.round(|_| Seen::Silent);
    assert_eq!(rig.counts(), [1, 0, 1, 0, 0, 0]);
    rig.round(|_| Seen::Silent);
    assert_eq!(rig.counts(), [1, 0, 0, 0, 1, 0]);
    assert_eq!(rig.says("Failed"), "True/DevicesFailed");
    // One that sleeps is asked on and on.
    let mut rig = Rig::new(&format!("{READ}, backoffLimit: 0"), &names(1));
    rig.round(|_| unreachable!());
    for _ in 0..20 {
        rig.second += 100;
        assert_eq!(rig.asked().len(), 1);
        rig.round(|_| Seen::Is(Outcome::Waiting(Deafness::Asleep)));
    }
    assert_eq!(rig.says("Complete"), "False/AwaitingWakeup");
    rig.round(|_| done(&[("/3/0/0", "Acme")]));
    assert_eq!(rig.status().results[0].value.as_deref(), Some("Acme"));
}

#[test]
fn a_group_is_waited_for_and_counts_as_it_is_then() {
    let spec = "groupRef: {name: north}, action: {type: Read, path: /3/0/0}";
    let operation = operation(spec);
    assert_eq!(group_to_read(&operation), Some("north"));
    let now = at(1_001);
    let Opening::Told(plan) = open(&operation, None, every_filter, &now) else {
        panic!("a group that is not there");
    };
    let accepted =
        |one: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| one.type_ == "Accepted";
    let accepted = plan.status.conditions.iter().find(accepted).unwrap();
    assert_eq!(accepted.reason, Reason::GroupNotFound.as_str());
    assert!(plan.status.completion_time.is_none());
    let group = "{apiVersion: drover.dev/v1alpha1, kind: DeviceGroup, metadata: {name: north}, spec: {selector: {matchLabels: {site: north}}}}";
    let group: DeviceGroup = serde_yaml_ng::from_str(group).unwrap();
    let Opening::Round(round) = open(&operation, Some(&group), every_filter, &now) else {
        panic!("a group that is there");
    };
    assert_eq!(round.filter(), "labels.site = \"north\"");
    let begun = round.finish(&members(&names(1)), &BTreeSet::new(), Vec::new());
    let mut operation = operation;
    operation.status = Some(begun.plan.status);
    // Whatever becomes of the group.
    assert_eq!(group_to_read(&operation), None);
    let late = at(1_000 + 86_400);
    operation.status = None;
    let Opening::Told(plan) = open(&operation, None, every_filter, &late) else {
        panic!("it is too late");
    };
    assert!(plan.status.completion_time.is_some());
    check(&plan.status);
}

#[test]
fn without_its_progress_nobody_is_asked() {
    let mut rig = Rig::new(REBOOT, &names(1));
    rig.round(|_| unreachable!());
    rig.operation.status.as_mut().unwrap().progress = None;
    rig.round(|_| unreachable!());
    assert_eq!(rig.says("Failed"), "True/OutcomeUnknown");
}

#[test]
fn a_status_is_small_whatever_devices_say() {
    let values: Vec<String> = (0..32)
        .map(|one| format!("{one:02}{}", "v".repeat(61)))
        .collect();
    let long = format!(
        "selector: {{matchExpressions: [{{key: site, operator: In, values: [{}]}}]}}, parallelism: 100000, action: {{type: Read, \
         path: /3}}",
        values[..20].join(", ")
    );
    for name in ["<&\"", "x", "é"] {
        let names: Vec<String> = (0..400)
            .map(|one| format!("{one:03}{}", name.repeat(252 / name.len())))
            .collect();
        let mut rig = Rig::new(&long, &names);
        let text = "<".repeat(2_000);
        for round in 0..40 {
            rig.second += 5;
            rig.round(|_| match round % 3 {
                0 => done(&[("/3/0/0", &text), ("/3/0/1", &text)]),
                1 => Seen::Is(Outcome::Failed {
                    coap_code: "4.05".to_owned(),
                    message: text.clone(),
                    at: None,
                }),
                _ => Seen::TurnedAway {
                    certain: true,
                    why: text.clone(),
                },
            });
        }
        assert!(!rig.status().results.is_empty());
        assert!(!rig.status().failure_samples.is_empty());
    }
}
