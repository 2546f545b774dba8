use serde_json::{Value, json};

use super::{Table, example, refusals};

const FILE: &str = "firmware-rollout.yaml";

const TABLE: Table = Table {
    file: FILE,
    accepted: &[
        "{}",
        "{selector: null, groupRef: {name: g}}",
        "{approvedThrough: canary}",
        "{transfer: {mode: Push, protocol: null}}",
        "{onFailure: Pause, rollback: null}",
        "{schedule: null, device: null, transfer: null, orderingSeed: null}",
        "{strategy: {waves: [{name: all, size: 100%}], maxUnavailable: 500}}",
        "{strategy: {waves: [{name: a, size: 0.5%}, {name: b, size: 100%}]}}",
    ],
    refused: &[
        (
            "{groupRef: {name: g}}",
            "exactly one of selector and groupRef",
        ),
        ("{selector: null}", "exactly one of selector and groupRef"),
        (
            "{selector: {matchExpressions: [{key: a, operator: In}]}}",
            "In and NotIn need values",
        ),
        (
            "{approvedThrough: nobody}",
            "approvedThrough must be the name of a wave",
        ),
        (
            "{rollback: null}",
            "onFailure Rollback needs rollback.imageRef",
        ),
        (
            "{rollback: {imageRef: {name: m200-2.3.1}}}",
            "rollback.imageRef must be another image",
        ),
        ("{transfer: {mode: Push}}", "protocol is for mode Pull"),
        (
            "{transfer: {blockSizeBytes: 1000}}",
            "blockSizeBytes must be 16, 32",
        ),
        (
            "{strategy: {waves: [{name: a, size: 50%}]}}",
            "the last wave must have size 100%",
        ),
        (
            "{strategy: {waves: [{name: a, size: '100'}]}}",
            "the last wave must have size 100%",
        ),
        (
            "{strategy: {waves: [{name: A, size: 100%}]}}",
            "the name of a wave has lower-case letters",
        ),
        (
            "{strategy: {waves: [{name: a, size: '0'}, {name: b, size: 100%}]}}",
            "size must be a number of devices",
        ),
        (
            "{strategy: {waves: [{name: a, size: 0.0%}, {name: b, size: 100%}]}}",
            "size must be a number of devices",
        ),
        (
            "{strategy: {waves: [{name: a, size: 101%}, {name: b, size: 100%}]}}",
            "size must be a number of devices",
        ),
        (
            "{strategy: {waves: [{name: a, size: 100%, successThreshold: '99'}]}}",
            "successThreshold must be a percentage",
        ),
        (
            "{strategy: {waves: [{name: a, size: 100%, failureThreshold: {}}]}}",
            "failureThreshold needs devices or percent",
        ),
        (
            "{strategy: {waves: [{name: a, size: 100%, failureThreshold: {percent: 101%}}]}}",
            "percent must be a percentage",
        ),
        (
            "{strategy: {pauseWhenUnreachable: '20'}}",
            "pauseWhenUnreachable must be a percentage",
        ),
        (
            "{schedule: {windows: [{startTime: '1:00', endTime: '04:00'}]}}",
            "startTime must be HH:MM",
        ),
        (
            "{schedule: {windows: [{startTime: '01:00', endTime: '04:60'}]}}",
            "endTime must be HH:MM",
        ),
        (
            "{schedule: {windows: [{startTime: '01:00', endTime: '01:00'}]}}",
            "startTime and endTime must differ",
        ),
        (
            "{schedule: {windows: [{startTime: '01:00', endTime: '02:00', timeZone: 'a b'}]}}",
            "timeZone must be an IANA name",
        ),
    ],
    changed: &[
        "{paused: true}",
        "{abort: true}",
        "{approvedThrough: canary}",
        "{schedule: {windows: null}}",
        "{schedule: {windows: [{startTime: '02:00', endTime: '03:00'}]}}",
    ],
    fixed: &[
        ("{imageRef: {name: other}}", "imageRef is immutable"),
        (
            "{selector: {matchLabels: {model: m300}}}",
            "selector is immutable",
        ),
        (
            "{selector: null, groupRef: {name: g}}",
            "selector and groupRef are immutable",
        ),
        ("{membership: Dynamic}", "membership is immutable"),
        ("{orderingSeed: other}", "orderingSeed is immutable"),
        ("{orderingSeed: null}", "orderingSeed is immutable"),
        ("{transfer: {bytesPerSecond: 1}}", "transfer is immutable"),
        (
            "{transfer: null}",
            "transfer, device and rollback are immutable",
        ),
        (
            "{device: {installTimeoutSeconds: 1}}",
            "device is immutable",
        ),
        ("{onFailure: Abort}", "onFailure is immutable"),
        ("{rollback: {policy: Automatic}}", "rollback is immutable"),
        (
            "{schedule: {notBeforeTime: '2026-12-02T00:00:00Z'}}",
            "notBeforeTime is immutable",
        ),
        (
            "{schedule: {deadlineSeconds: 5}}",
            "deadlineSeconds is immutable",
        ),
        (
            "{schedule: null}",
            "of schedule only windows can be changed",
        ),
        (
            "{schedule: {deadlineSeconds: null}}",
            "of schedule only windows can be changed",
        ),
        (
            "{strategy: {waves: [{name: rest, size: 100%}]}}",
            "waves cannot be added, removed",
        ),
        (
            "{strategy: {maxUnavailable: 5}}",
            "maxUnavailable is immutable",
        ),
        (
            "{strategy: {maxUnavailable: null}}",
            "maxUnavailable and pauseWhenUnreachable are immutable",
        ),
        (
            "{strategy: {pauseWhenUnreachable: 50%}}",
            "pauseWhenUnreachable is immutable",
        ),
        ("{ordering: Other}", "ordering is immutable"),
    ],
};

#[test]
fn a_firmware_rollout() {
    TABLE.check_but(&[
        "groupRef is immutable",
        "abort cannot be taken back",
        "of a wave only maxConcurrent",
        "size is immutable",
        "successThreshold is immutable",
        "failureThreshold is immutable",
        "minimumResults is immutable",
        "soakSeconds is immutable",
        "promotion is immutable",
    ]);
}

fn with_wave(field: &str, value: Value) -> Value {
    let mut object = example(FILE);
    object["spec"]["strategy"]["waves"][0][field] = value;
    object
}

#[test]
fn of_a_wave_only_its_concurrency_changes() {
    let old = example(FILE);
    for concurrency in [json!(5), json!("5%")] {
        let new = with_wave("maxConcurrent", concurrency);
        assert_eq!(refusals(&new, Some(&old)), Vec::<String>::new());
    }
    for (field, value, message) in [
        ("size", json!("30"), "size is immutable"),
        (
            "selector",
            json!({"matchLabels": {"ring": "b"}}),
            "selector is immutable",
        ),
        (
            "successThreshold",
            json!("98%"),
            "successThreshold is immutable",
        ),
        (
            "failureThreshold",
            json!({"devices": 2}),
            "failureThreshold is immutable",
        ),
        ("minimumResults", json!(7), "minimumResults is immutable"),
        ("soakSeconds", json!(7), "soakSeconds is immutable"),
        ("promotion", json!("Automatic"), "promotion is immutable"),
    ] {
        let found = refusals(&with_wave(field, value), Some(&old));
        assert!(found.iter().any(|one| one == message), "{field}: {found:?}");
    }
    let mut without = old.clone();
    let wave = without["spec"]["strategy"]["waves"][0].as_object_mut();
    assert!(wave.is_some_and(|wave| wave.remove("selector").is_some()));
    let found = refusals(&without, Some(&old));
    assert!(
        found.iter().any(|one| one.starts_with("of a wave only")),
        "{found:?}"
    );
}

#[test]
fn waves_keep_their_order() {
    let old = example(FILE);
    let mut new = old.clone();
    let waves = new["spec"]["strategy"]["waves"].as_array_mut();
    assert!(waves.map(|waves| waves.swap(0, 1)).is_some());
    let found = refusals(&new, Some(&old));
    assert!(
        found.iter().any(|one| one.contains("reordered")),
        "{found:?}"
    );
}

#[test]
fn an_abort_is_for_good() {
    let old = with("abort", json!(true));
    let found = refusals(&example(FILE), Some(&old));
    assert_eq!(found, ["abort cannot be taken back"]);
    assert_eq!(
        refusals(&with("paused", json!(true)), Some(&example(FILE))),
        Vec::<String>::new()
    );
}

#[test]
fn a_group_stays_the_same() {
    let grouped = |name: &str| {
        let mut object = with("groupRef", json!({"name": name}));
        let spec = object["spec"].as_object_mut();
        assert!(spec.is_some_and(|spec| spec.remove("selector").is_some()));
        object
    };
    assert_eq!(
        refusals(&grouped("b"), Some(&grouped("a"))),
        ["groupRef is immutable"]
    );
}

fn with(field: &str, value: Value) -> Value {
    let mut object = example(FILE);
    object["spec"][field] = value;
    object
}
