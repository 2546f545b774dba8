//! Filters, masks and terms of the public API.

use std::collections::{BTreeMap, BTreeSet};

use device_state::command::Missing;
use device_state::guard::Effectiveness;
use device_state::selection::{Condition, DeviceTest, Order, OrderTest, Pattern, TextTest};
use device_state::{Command, Indexed, LabelKey, LabelValue, MapChange, Namespace, Timestamp};
use proto::convert::public::{Change, device_filter, operation_filter};
use proto::drover::v1 as public;

use crate::public::in_default;

fn key(text: &str) -> LabelKey {
    LabelKey::new(text).unwrap()
}

fn refusal(text: &str) -> String {
    device_filter(text).unwrap_err().to_string()
}

#[test]
fn fields_of_devices_become_tests() {
    let is = |text: &str| TextTest::Is(Pattern::Whole(text.to_owned()));
    let test = |text: &str| match device_filter(text).unwrap() {
        Condition::Test(test) => test,
        other => panic!("{other:?}"),
    };
    assert_eq!(test("labels.a/b=x"), DeviceTest::Label(key("a/b"), is("x")));
    assert_eq!(test("labels:a"), DeviceTest::HasLabel(key("a")));
    assert_eq!(test("labels.a:*"), DeviceTest::HasLabel(key("a")));
    assert_eq!(
        test("model=X1"),
        DeviceTest::Value(Indexed::Model, is("X1"))
    );
    assert_eq!(test("objects:3303"), DeviceTest::Object(3303, None));
    assert_eq!(test("objects:\"/3/0\""), DeviceTest::Object(3, Some(0)));
    let since = OrderTest {
        is: Order::AtLeast,
        than: Timestamp(1_500),
    };
    assert_eq!(
        test("last_update_time >= 1970-01-01T00:00:01.5Z"),
        DeviceTest::UpdatedAt(since)
    );
    assert_eq!(test("state=REGISTERED"), DeviceTest::Registered);
    assert_eq!(
        test("enrollment_policy=meters"),
        DeviceTest::EnrollmentPolicy(is("meters"))
    );
    assert_eq!(test("quarantined=true"), DeviceTest::Quarantined);
    assert_eq!(device_filter(" "), Ok(Condition::everything()));
}

#[test]
fn a_refused_filter_says_where_and_why() {
    assert_eq!(
        refusal("endpoint=a AND colour=red"),
        "filter: at position 15: there is no field colour; there are endpoint, labels, state, lwm2m_version, binding, \
         transport, registration_time, last_update_time, expire_time, objects, manufacturer, model, firmware_version, \
         ingress_node, enrollment_policy and quarantined"
    );
    assert_eq!(
        refusal("model<3"),
        "filter: at position 0: model takes = and !="
    );
    assert_eq!(
        refusal("state=AWAKE"),
        "filter: at position 6: \"AWAKE\" is not REGISTERED or NOT_REGISTERED"
    );
    assert_eq!(
        refusal("quarantined=yes"),
        "filter: at position 12: \"yes\" is not true or false"
    );
    assert_eq!(
        refusal("expire_time>soon"),
        "filter: at position 12: \"soon\" is not a time such as 2026-11-30T17:00:00Z"
    );
    assert_eq!(
        refusal("model.x=3"),
        "filter: at position 0: model has no key after a dot"
    );
    assert!(operation_filter("state = PENDING AND path = \"/3/*\"").is_ok());
    assert!(operation_filter("model=3").is_err());
}

fn update(labels: &[(&str, &str)], mask: Option<&[&str]>) -> Result<Command, String> {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let request = public::UpdateDeviceRequest {
        device: Some(public::Device {
            endpoint: "m".to_owned(),
            labels: labels.iter().map(text).collect(),
            ..Default::default()
        }),
        update_mask: mask.map(|paths| prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..Default::default()
    };
    Command::try_from(in_default(request)).map_err(|error| error.to_string())
}

fn label_change(command: Result<Command, String>) -> MapChange<LabelValue> {
    match command {
        Ok(Command::ChangeMetadata {
            labels,
            annotations,
            missing: Missing::Refused,
            ..
        }) if annotations == MapChange::none() => labels,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mask_says_which_labels_change() {
    let of = |key: &str, value: &str| (self::key(key), LabelValue::new(value).unwrap());
    let one = BTreeMap::from([of("a", "1")]);
    let merge = |remove: &[&str]| MapChange::Merge {
        set: one.clone(),
        remove: remove
            .iter()
            .map(|key| self::key(key))
            .collect::<BTreeSet<_>>(),
    };
    let given = [("a", "1"), ("b", "2")];
    assert_eq!(
        label_change(update(&given, Some(&["labels.a", "labels.`x.y/c`"]))),
        merge(&["x.y/c"])
    );
    let both = BTreeMap::from([of("a", "1"), of("b", "2")]);
    for mask in [None, Some(["labels"].as_slice())] {
        assert_eq!(
            label_change(update(&given, mask)),
            MapChange::Replace(both.clone())
        );
    }
    assert_eq!(label_change(update(&[], None)), MapChange::none());
    assert_eq!(
        update(&given, Some(&["state"])).unwrap_err(),
        "update_mask: has no field \"state\" that can be written: labels, annotations, labels.KEY, annotations.KEY or *"
    );
    assert!(
        update(&[("a b", "1")], None)
            .unwrap_err()
            .starts_with("device.labels.key: is not the key")
    );
}

#[test]
fn terms_say_how_a_change_is_wanted() {
    let request = public::SetDesiredRequest {
        endpoint: "m".to_owned(),
        validate_only: true,
        ..Default::default()
    };
    let terms = request.terms(&Namespace::default()).unwrap();
    assert_eq!(terms.guard.effect, Effectiveness::Rehearsed);
    assert_eq!(terms.request_id(""), None);
    let long = public::SetDesiredRequest {
        request_id: "x".repeat(65),
        ..request
    };
    assert_eq!(
        long.terms(&Namespace::default()).unwrap_err().to_string(),
        "request_id: has a length of 65 bytes"
    );
}
