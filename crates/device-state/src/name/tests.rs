use lwm2m::EndpointName;
use proptest::prelude::*;

use super::*;

fn endpoint(text: &str) -> EndpointName {
    EndpointName::new(text).expect("an endpoint name")
}

fn namespace(text: &str) -> Namespace {
    Namespace::new(text).expect("a namespace")
}

#[test]
fn a_namespace_is_a_label_of_the_dns() {
    for good in ["a", "0", "acme", "acme-2", &"x".repeat(63)] {
        assert_eq!(namespace(good).as_str(), good);
    }
    for bad in [
        "",
        "-a",
        "a-",
        "A",
        "a.b",
        "a_b",
        "é",
        "a\u{1f}b",
        &"x".repeat(64),
    ] {
        assert_eq!(Namespace::new(bad), Err(NamespaceError), "{bad:?}");
    }
}

#[test]
fn in_the_default_namespace_nothing_stored_is_otherwise() {
    let name = DeviceName::new(&Namespace::default(), &endpoint("urn:imei:1"));
    assert_eq!(name.stored(), "urn:imei:1");
    assert_eq!(name.shown().to_string(), "urn:imei:1");
    assert_eq!(Namespace::default().stored(), "");
    assert_eq!(DeviceName::parse("urn:imei:1"), Ok(name));
}

#[test]
fn another_namespace_is_in_front_of_the_name() {
    let name = DeviceName::new(&namespace("acme"), &endpoint("urn:imei:1"));
    assert_eq!(name.stored(), "\u{1f}acme\u{1f}urn:imei:1");
    assert_eq!(name.shown().to_string(), "acme/urn:imei:1");
    assert_eq!(name.namespace(), namespace("acme"));
    assert_eq!(name.endpoint(), endpoint("urn:imei:1"));
}

#[test]
fn one_device_has_one_text() {
    for bad in [
        "",
        "\u{1f}",
        "\u{1f}acme",
        "\u{1f}acme\u{1f}",
        "\u{1f}\u{1f}meter",
        "\u{1f}default\u{1f}meter",
        "\u{1f}ACME\u{1f}meter",
        "\u{1f}acme\u{1f}me\u{1f}ter",
        "me\u{1f}ter",
    ] {
        assert!(DeviceName::parse(bad).is_err(), "{bad:?}");
    }
}

fn any_namespace() -> impl Strategy<Value = Namespace> {
    prop_oneof![
        Just(Namespace::default()),
        "[ab]([ab-]{0,2}[ab])?".prop_map(|text| namespace(&text)),
    ]
}

fn any_endpoint() -> impl Strategy<Value = EndpointName> {
    prop_oneof![
        "[ ab~é\u{10ffff}]{1,3}".prop_map(|text| endpoint(&text)),
        Just(endpoint(&"~".repeat(EndpointName::MAX_BYTES))),
        Just(endpoint(&"\u{10ffff}".repeat(EndpointName::MAX_BYTES / 4))),
    ]
}

fn any_name() -> impl Strategy<Value = DeviceName> {
    (any_namespace(), any_endpoint()).prop_map(|(of, name)| DeviceName::new(&of, &name))
}

fn any_prefix() -> impl Strategy<Value = DevicePrefix> {
    prop_oneof![
        Just(DevicePrefix::everything()),
        (any_namespace(), "[ ab~é]{0,2}").prop_map(|(of, text)| DevicePrefix::new(&of, &text)),
    ]
}

proptest! {
    #[test]
    fn the_text_tells_both_parts(of in any_namespace(), name in any_endpoint()) {
        let device = DeviceName::new(&of, &name);
        prop_assert_eq!(device.namespace(), of.clone());
        prop_assert!(device.is_in(&of));
        prop_assert_eq!(device.endpoint(), name);
        prop_assert!(device.stored().len() <= DeviceName::MAX_BYTES);
        prop_assert_eq!(DeviceName::parse(device.stored()), Ok(device));
    }

    #[test]
    fn what_a_prefix_covers_is_one_range_of_names(prefix in any_prefix(), name in any_name()) {
        let is_between = prefix.first() <= name && name < prefix.last();
        prop_assert_eq!(prefix.covers(&name), is_between);
    }

    #[test]
    fn namespaces_sort_as_the_names_in_them_do(left in any_name(), right in any_name()) {
        let (of_left, of_right) = (left.namespace(), right.namespace());
        if of_left != of_right {
            prop_assert_eq!(of_left.cmp(&of_right), left.cmp(&right));
        }
    }

    #[test]
    fn what_devices_call_themselves_is_in_no_other_namespace(text in "[\u{1f}a-c]{1,8}") {
        if let Ok(name) = EndpointName::new(&text) {
            prop_assert!(DeviceName::new(&Namespace::default(), &name).namespace().is_default());
        }
    }
}
