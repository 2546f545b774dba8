#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use crd::enrollment_policy::Materialize;
use http::Method;
use kube::runtime::watcher::Event;
use proto::drover::v1 as api;
use serde_json::Value;

use super::*;
use crate::controller::rig::{ApiServer, NAMESPACE, condition, stored};
use crate::controller::{reconcile, take_in};
use crate::enrollment::fake::{self, FakeStateTier};
use crate::feed::Listener;

const EXAMPLE: &str = include_str!("../../../../examples/resources/enrollment-policy.yaml");

/// A policy that makes so many objects.
fn example(most: i32) -> EnrollmentPolicy {
    let mut policy: EnrollmentPolicy = stored(EXAMPLE, "uid-1");
    policy.spec.security_profile_ref = None;
    policy.spec.materialize = Materialize::OnRegistration;
    policy.spec.maximum_objects = Some(most);
    policy
}

struct Rig {
    context: Arc<Context>,
    api_server: ApiServer,
    fake: FakeStateTier,
    policy: EnrollmentPolicy,
}

impl Rig {
    /// A policy that the watch has just shown, while these devices are registered by it.
    async fn new(most: i32, devices: &[&str]) -> Self {
        let (context, api_server, fake) = fake::start().await;
        fake.have_devices(devices);
        let policy = example(most);
        take_in(&*context, &Event::Apply(policy.clone()));
        Self {
            context,
            api_server,
            fake,
            policy,
        }
    }

    /// Reconciles, while the API server takes so many objects, and then a status if one is written. Returns the objects.
    async fn look(&mut self, objects: usize, writes: bool) -> Vec<Value> {
        let seen = Arc::new(self.policy.clone());
        let reconciled = reconcile(seen, Arc::clone(&self.context));
        let answers = async {
            let mut made = Vec::new();
            for _ in 0..objects {
                let (method, uri, object) = self.api_server.echo(None).await;
                assert_eq!(method, Method::POST);
                assert!(uri.contains("/namespaces/acme/devices?"), "{uri}");
                made.push(object);
            }
            if writes {
                self.policy = self.api_server.answer_patch(&self.policy).await.0;
            }
            made
        };
        let (outcome, made) = tokio::join!(reconciled, answers);
        outcome.unwrap();
        made
    }

    fn objects(&self) -> Option<i64> {
        self.policy.status.as_ref()?.objects
    }

    fn lists(&self) -> usize {
        let calls = self.fake.calls().into_iter();
        calls.filter(|call| call.starts_with("list")).count()
    }

    /// The feed tells that a device has registered by a policy; returns how many objects that concerns.
    fn registers(&self, endpoint: &str, policy: &str) -> usize {
        let device = api::Device {
            enrollment_policy: policy.to_owned(),
            ..Default::default()
        };
        let event = api::Event {
            endpoint: endpoint.to_owned(),
            time: None,
            kind: Some(api::event::Kind::Registered(device)),
        };
        self.context
            .hear(&Namespace::new(NAMESPACE).unwrap(), &event)
    }

    /// A stream tells what happens.
    fn follow(&self) {
        self.context
            .feed
            .pretend_to_follow(&Namespace::new(NAMESPACE).unwrap());
    }
}

fn shown(object: &Value, uid: &str) -> Device {
    let mut object = object.clone();
    object["metadata"]["uid"] = uid.into();
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn devices_that_are_registered_get_objects_and_those_that_come() {
    let mut rig = Rig::new(10, &["urn:imei:1", "meter-2"]).await;
    rig.context.list_devices(&[]);
    rig.follow();
    let made = rig.look(2, true).await;
    assert_eq!(made[0]["metadata"]["name"], "meter-2");
    assert_eq!(made[1]["spec"]["endpointName"], "urn:imei:1");
    let labels = &made[0]["metadata"]["labels"];
    assert_eq!(
        *labels,
        serde_json::json!({"drover.dev/enrollment-policy": "meters"})
    );
    assert_eq!(rig.objects(), Some(2));
    assert_eq!(condition(&rig.policy, "Degraded"), "False/AsExpected");
    assert!(rig.fake.calls()[1].ends_with("/enrollment_policy = \"meters\""));

    // The watch shows them later, and nothing is asked for or written meanwhile.
    assert_eq!(rig.look(0, false).await, Vec::<Value>::new());
    let objects = [shown(&made[0], "1"), shown(&made[1], "2")];
    rig.context.list_devices(&objects);
    rig.look(0, false).await;
    assert_eq!(rig.lists(), 2);

    assert_eq!(rig.registers("meter-2", "meters"), 0, "it has one");
    assert_eq!(rig.registers("meter-3", "others"), 0);
    assert_eq!(rig.registers("meter-3", ""), 0);
    assert_eq!(rig.registers("meter-3", "meters"), 1);
    assert_eq!(rig.context.shared.triggers.taken(), ["meters"]);
    let made = rig.look(1, true).await;
    assert_eq!(made[0]["metadata"]["name"], "meter-3");
    assert_eq!((rig.objects(), rig.lists()), (Some(3), 2));
}

#[tokio::test]
async fn no_object_is_made_before_those_are_known_that_there_are() {
    let mut rig = Rig::new(10, &["meter-1"]).await;
    rig.look(0, true).await;
    assert_eq!((rig.objects(), rig.lists()), (None, 0));
    assert_eq!(condition(&rig.policy, "Ready"), "True/InForce");
    // Somebody has made one, with another name.
    let mut own = crate::controller::rig::device();
    own.metadata.name = Some("mine".to_owned());
    rig.context.list_devices(&[own]);
    rig.look(0, true).await;
    assert_eq!(rig.objects(), Some(0));
}

#[tokio::test]
async fn no_more_objects_are_made_than_there_may_be() {
    let mut rig = Rig::new(1, &["meter-1", "meter-2", "meter-3"]).await;
    rig.context.list_devices(&[]);
    rig.follow();
    let made = rig.look(1, true).await;
    assert_eq!(condition(&rig.policy, "Degraded"), "True/QuotaExceeded");
    assert_eq!((rig.objects(), rig.lists()), (Some(1), 3));
    rig.context.list_devices(&[shown(&made[0], "1")]);
    assert_eq!(rig.registers("meter-4", "meters"), 0, "there is no room");
    rig.look(0, false).await;
    assert_eq!(rig.lists(), 3, "nothing has changed");

    // The object goes, and there is room for another one.
    rig.fake.have_devices(&["meter-2"]);
    rig.context.arrivals.forget_made();
    rig.context.list_devices(&[]);
    let made = rig.look(1, true).await;
    assert_eq!(made[0]["metadata"]["name"], "meter-2");
    assert_eq!(condition(&rig.policy, "Degraded"), "False/AsExpected");
}

#[tokio::test]
async fn an_object_that_is_refused_is_told_and_keeps_the_others_from_nothing() {
    let mut rig = Rig::new(10, &["meter-1", "meter-2"]).await;
    rig.context.list_devices(&[]);
    rig.follow();
    let seen = Arc::new(rig.policy.clone());
    let reconciled = reconcile(seen, Arc::clone(&rig.context));
    let answers = async {
        rig.api_server.echo(Some((422, "Invalid", ""))).await;
        let (_, _, second) = rig.api_server.echo(None).await;
        (second, rig.api_server.answer_patch(&rig.policy).await.0)
    };
    let (outcome, (second, policy)) = tokio::join!(reconciled, answers);
    outcome.unwrap();
    assert_eq!(second["metadata"]["name"], "meter-2");
    assert_eq!(condition(&policy, "Degraded"), "True/ObjectsRefused");
    assert_eq!(policy.status.as_ref().unwrap().objects, Some(1));
    rig.policy = policy;
    assert_eq!(rig.registers("meter-1", "meters"), 0, "it is not taken");
    rig.look(0, false).await;
}

#[tokio::test]
async fn an_object_that_could_not_be_made_just_now_is_made_the_next_time() {
    let mut rig = Rig::new(10, &["meter-1"]).await;
    rig.context.list_devices(&[]);
    rig.follow();
    // A quota of the namespace was changed by somebody else meanwhile.
    for error in [(409, "Conflict"), (500, "InternalError")] {
        let seen = Arc::new(rig.policy.clone());
        let reconciled = reconcile(seen, Arc::clone(&rig.context));
        let answer = rig.api_server.echo(Some((error.0, error.1, "")));
        let (outcome, _) = tokio::join!(reconciled, answer);
        outcome.unwrap_err();
    }
    let made = rig.look(1, true).await;
    assert_eq!(made[0]["metadata"]["name"], "meter-1");
}

/// Answers the attempt to make the object of meter-1 by the one that is there.
async fn meets(other: &Device) -> (Rig, EnrollmentPolicy) {
    let mut rig = Rig::new(10, &["meter-1"]).await;
    rig.context.list_devices(&[]);
    rig.follow();
    let seen = Arc::new(rig.policy.clone());
    let reconciled = reconcile(seen, Arc::clone(&rig.context));
    let answers = async {
        rig.api_server.echo(Some((409, "AlreadyExists", ""))).await;
        rig.api_server.answer(Some(other)).await;
        rig.api_server.answer_patch(&rig.policy).await.0
    };
    let (outcome, policy) = tokio::join!(reconciled, answers);
    outcome.unwrap();
    (rig, policy)
}

fn found(endpoint: &str) -> Device {
    let mut device = crate::controller::rig::device();
    device.spec.endpoint_name = endpoint.to_owned();
    device
}

#[tokio::test]
async fn an_object_that_the_watch_has_not_shown_counts_for_whoever_made_it() {
    let (_, policy) = meets(&found("meter-1")).await;
    assert_eq!(policy.status.as_ref().unwrap().objects, Some(0));
    let mut own = found("meter-1");
    let label = (EnrollmentPolicy::MADE_BY.to_owned(), "meters".to_owned());
    own.metadata.labels = Some([label].into());
    let (_, policy) = meets(&own).await;
    assert_eq!(policy.status.as_ref().unwrap().objects, Some(1));
    assert_eq!(condition(&policy, "Degraded"), "False/AsExpected");
}

#[tokio::test]
async fn an_object_comes_again_when_the_one_has_gone_that_is_being_deleted() {
    let mut leaving = found("meter-1");
    leaving.metadata.deletion_timestamp = Some(crate::controller::now());
    let (mut rig, policy) = meets(&leaving).await;
    rig.policy = policy;
    let made = rig.look(1, true).await;
    assert_eq!(made[0]["metadata"]["name"], "meter-1");
    assert_eq!(rig.objects(), Some(1));
}

#[tokio::test]
async fn a_policy_that_is_made_again_under_its_name_makes_objects() {
    let mut rig = Rig::new(10, &["meter-1"]).await;
    rig.context.list_devices(&[]);
    rig.follow();
    let made = rig.look(1, true).await;
    rig.context.list_devices(&[shown(&made[0], "1")]);
    rig.policy.metadata.uid = Some("uid-2".to_owned());
    take_in(&*rig.context, &Event::Apply(rig.policy.clone()));
    rig.follow();
    assert_eq!(rig.registers("meter-2", "meters"), 0, "all are looked at");
    rig.fake.have_devices(&["meter-1", "meter-2"]);
    let made = rig.look(1, true).await;
    assert_eq!(made[0]["metadata"]["name"], "meter-2");
}

#[tokio::test]
async fn a_name_that_another_device_has_is_told() {
    let (_, policy) = meets(&found("another")).await;
    assert_eq!(condition(&policy, "Degraded"), "True/ObjectsRefused");
}

#[tokio::test]
async fn a_policy_that_makes_none_any_more_tells_of_none() {
    let mut rig = Rig::new(10, &["meter-1"]).await;
    rig.context.list_devices(&[]);
    rig.look(1, true).await;
    rig.policy.spec.materialize = Materialize::Never;
    rig.policy.spec.maximum_objects = None;
    rig.policy.metadata.generation = Some(2);
    take_in(&*rig.context, &Event::Apply(rig.policy.clone()));
    rig.look(0, true).await;
    assert_eq!(rig.objects(), None);
    assert_eq!(condition(&rig.policy, "Degraded"), "");
    assert_eq!(rig.registers("meter-2", "meters"), 0);
}
