//! Device management and service enablement, 201 to 290.

use lwm2m_client::Event;

use crate::cases::{Case, delegated, short};
use crate::registration::wait_for_updates;
use crate::stage::Stage;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = reading();
    cases.extend(writing());
    cases.extend(vec![
        short(
            "1.1-int-221",
            "Operations on the Security object",
            security_object,
        ),
        short("1.1-int-241", "Reboot", reboot),
        short("1.1-int-256", "Write that fails", write_failure),
        short(
            "1.1-int-260",
            "Discover with inherited attributes",
            inherited,
        ),
        short("1.1-int-261", "Attributes at every level", attribute_levels),
        short("1.2-int-264", "Discover, depth 1", depth_1),
        short("1.2-int-266", "Discover, depths 2 and 3", depths_2_and_3),
        delegated("1.1-int-270", "1.1-int-1630"),
        delegated("1.1-int-290", "1.1-int-1635"),
    ]);
    cases
}

fn reading() -> Vec<Case> {
    vec![
        short("1.1-int-201", "Read, text", read_text),
        short("1.1-int-203", "Read, TLV", |stage, id| {
            read_instance(stage, id, "tlv");
        }),
        short("1.1-int-204", "Read, JSON", |stage, id| {
            read_instance(stage, id, "json");
        }),
        short("1.1-int-211", "Read, CBOR", read_cbor),
        short("1.1-int-222", "Read an object", read_object),
        short("1.1-int-223", "Read an object instance", |stage, id| {
            read_instance(stage, id, "lwm2m-cbor");
        }),
        short("1.1-int-224", "Read a resource", read_resource),
        short(
            "1.1-int-225",
            "Read a resource instance",
            read_resource_instance,
        ),
        short("1.1-int-229", "Read-Composite", composite),
        short("1.1-int-231", "Read, SenML JSON", |stage, id| {
            read_levels(stage, id, "senml-json");
        }),
        short("1.1-int-232", "Read, SenML CBOR", |stage, id| {
            read_levels(stage, id, "senml-cbor");
        }),
        short("1.1-int-235", "Read-Composite of the root", composite_root),
        short(
            "1.1-int-236",
            "Read-Composite, partial presence",
            composite_partial,
        ),
        short("1.1-int-237", "Read without Accept", read_without_accept),
        short("1.1-int-280", "Read-Composite that succeeds", composite),
        short(
            "1.1-int-281",
            "Read-Composite that succeeds in part",
            composite_with_action,
        ),
    ]
}

fn writing() -> Vec<Case> {
    vec![
        short("1.1-int-205", "Write, text", write_text),
        short("1.1-int-212", "Write, CBOR", write_cbor),
        short("1.1-int-215", "Write, TLV", write_tlv),
        short("1.1-int-220", "Write, JSON", write_json),
        short("1.1-int-226", "Partial update", partial_update),
        short("1.1-int-227", "Replace a resource", replace),
        short(
            "1.1-int-228",
            "Write a resource instance",
            write_resource_instance,
        ),
        short("1.1-int-230", "Write-Composite", write_composite),
        short("1.1-int-233", "Write, SenML CBOR", write_senml_cbor),
        short("1.1-int-234", "Write, SenML JSON", write_senml_json),
        short(
            "1.1-int-257",
            "Write-Composite of Server and Device",
            write_composite_given,
        ),
    ]
}

/// Asserts what was read, whatever else was.
fn assert_has(read: &[(String, String)], wanted: &[(&str, &str)]) {
    for (path, text) in wanted {
        let found = read.iter().find(|(known, _)| known == path);
        assert_eq!(
            found.map(|(_, text)| text.as_str()),
            Some(*text),
            "{path} in {read:?}"
        );
    }
}

const DEVICE: [(&str, &str); 3] = [
    ("/3/0/0", "Drover"),
    ("/3/0/1", "sim-1"),
    ("/3/0/3", "1.0.0"),
];

fn read_text(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    for (path, text) in [("/3/0/0", "Drover"), ("/3/0/1", "sim-1"), ("/3/0/2", id)] {
        let answer = stage.raw(&[id, "GET", path, "--accept", "text"]);
        assert_eq!(answer, ("2.05".to_owned(), hex::encode(text)));
    }
}

fn read_instance(stage: &Stage, id: &str, format: &str) {
    let _peer = stage.peer(id);
    let read = stage.read(&[id, "/3/0", "--accept", format]);
    assert_has(&read, &DEVICE);
    assert_has(
        &read,
        &[("/3/0/2", id), ("/3/0/7/1", "5000"), ("/3/0/9", "100")],
    );
}

fn read_cbor(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let answer = stage.raw(&[id, "GET", "/3/0/9", "--accept", "cbor"]);
    assert_eq!(answer, ("2.05".to_owned(), "1864".to_owned()));
    let read = stage.read(&[id, "/3/0/0", "--accept", "cbor"]);
    assert_eq!(read, [("/3/0/0".to_owned(), "Drover".to_owned())]);
}

fn read_object(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    assert_has(&stage.read(&[id, "/3"]), &DEVICE);
    let access = stage.read(&[id, "/2"]);
    assert_has(
        &access,
        &[("/2/0/0", "3"), ("/2/0/2/1", "31"), ("/2/1/0", "3303")],
    );
}

fn read_resource(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
    let voltages = stage.read(&[id, "/3/0/7"]);
    assert_has(&voltages, &[("/3/0/7/0", "3800"), ("/3/0/7/1", "5000")]);
    assert_eq!(voltages.len(), 2, "{voltages:?}");
}

fn read_resource_instance(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    assert_eq!(stage.value(id, "/3/0/7/1"), "5000");
}

fn read_levels(stage: &Stage, id: &str, format: &str) {
    let _peer = stage.peer(id);
    for path in ["/3", "/3/0"] {
        assert_has(&stage.read(&[id, path, "--accept", format]), &DEVICE);
    }
    for (path, text) in [("/3/0/0", "Drover"), ("/3/0/7/1", "5000")] {
        let read = stage.read(&[id, path, "--accept", format]);
        assert_eq!(read, [(path.to_owned(), text.to_owned())]);
    }
}

fn composite(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let read = stage.read(&[id, "/3/0/0", "/3/0/9", "/1/0/1"]);
    assert_has(
        &read,
        &[("/3/0/0", "Drover"), ("/3/0/9", "100"), ("/1/0/1", "300")],
    );
    assert_eq!(read.len(), 3, "{read:?}");
    let shown = stage.shown(id);
    assert_eq!(shown["quirks"], serde_json::json!([]), "{shown}");
}

fn composite_root(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let read = stage.read(&[id, "/"]);
    assert_has(&read, &DEVICE);
    assert_has(
        &read,
        &[("/1/0/1", "300"), ("/6/0/0", "52.52"), ("/2/0/2/1", "31")],
    );
}

fn composite_partial(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let read = stage.read(&[id, "/3/0/0", "/3/0/9", "/3/7/9", "/3441/0/110", "--force"]);
    assert_has(&read, &[("/3/0/0", "Drover"), ("/3/0/9", "100")]);
    assert_eq!(read.len(), 2, "{read:?}");
}

fn composite_with_action(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let read = stage.read(&[id, "/3/0/0", "/3/0/4", "--force"]);
    assert_eq!(read, [("/3/0/0".to_owned(), "Drover".to_owned())]);
}

fn read_without_accept(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let raw = stage.json(&["raw", id, "GET", "/3/0"]);
    assert_eq!(raw["coapCode"], "2.05", "{raw}");
    assert!(raw["format"].is_string(), "{raw}");
    assert_has(&stage.read(&[id, "/3/0"]), &DEVICE);
}

/// Writes as it is, and expects success.
fn put(stage: &Stage, arguments: &[&str]) {
    let (code, payload) = stage.raw(arguments);
    assert_eq!(
        (code.as_str(), payload.as_str()),
        ("2.04", ""),
        "{arguments:?}"
    );
}

fn write_text(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    for (path, text) in [("/1/0/2", "101"), ("/1/0/3", "1010"), ("/1/0/5", "2000")] {
        put(
            stage,
            &[id, "PUT", path, "--format", "text", "--text", text],
        );
    }
    let read = stage.read(&[id, "/1/0"]);
    assert_has(
        &read,
        &[("/1/0/2", "101"), ("/1/0/3", "1010"), ("/1/0/5", "2000")],
    );
}

fn write_cbor(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    put(
        stage,
        &[id, "PUT", "/1/0/2", "--format", "cbor", "--hex", "1865"],
    );
    put(
        stage,
        &[id, "PUT", "/1/0/3", "--format", "cbor", "--hex", "1903f2"],
    );
    let read = stage.read(&[id, "/1/0"]);
    assert_has(&read, &[("/1/0/2", "101"), ("/1/0/3", "1010")]);
}

/// Default periods 101 and 1010, Disable Timeout 2000, storing, binding U.
const SERVER: [(&str, &str); 5] = [
    ("/1/0/2", "101"),
    ("/1/0/3", "1010"),
    ("/1/0/5", "2000"),
    ("/1/0/6", "true"),
    ("/1/0/7", "U"),
];

fn write_tlv(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let partial = "c10265c20303f2c20507d0c10601c10755";
    put(
        stage,
        &[id, "POST", "/1/0", "--format", "tlv", "--hex", partial],
    );
    let read = stage.read(&[id, "/1/0"]);
    assert_has(&read, &SERVER);
    assert_has(&read, &[("/1/0/1", "300")]);
    // The instance as it was, but for what only bootstrap writes: lifetime 300, not storing, binding U.
    let whole = "c201012cc10600c10755";
    put(
        stage,
        &[id, "PUT", "/1/0", "--format", "tlv", "--hex", whole],
    );
    let read = stage.read(&[id, "/1/0"]);
    assert_has(&read, &[("/1/0/1", "300"), ("/1/0/6", "false")]);
    assert!(!read.iter().any(|(path, _)| path == "/1/0/2"), "{read:?}");
}

fn write_json(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let partial = r#"{"bn":"/1/0/","e":[{"n":"2","v":101},{"n":"3","v":1010},{"n":"5","v":2000},{"n":"6","bv":true},{"n":"7","sv":"U"}]}"#;
    put(
        stage,
        &[id, "POST", "/1/0", "--format", "json", "--text", partial],
    );
    assert_has(&stage.read(&[id, "/1/0"]), &SERVER);
}

fn partial_update(stage: &Stage, id: &str) {
    let device = stage.device(id);
    stage.ok(&["write", id, "/1/0", "1=61", "6=true"]);
    let written = device.count(|event| matches!(event, Event::Written { .. }));
    assert_eq!(written, 1);
    wait_for_updates(&device, 1);
    stage.until_shown("the lifetime", id, |shown| shown["lifetimeSeconds"] == 61);
    let read = stage.read(&[id, "/1/0"]);
    assert_has(
        &read,
        &[("/1/0/1", "61"), ("/1/0/6", "true"), ("/1/0/7", "U")],
    );
}

fn replace(stage: &Stage, id: &str) {
    let device = stage.device(id);
    put(
        stage,
        &[id, "PUT", "/1/0/1", "--format", "text", "--text", "65"],
    );
    wait_for_updates(&device, 1);
    stage.until_shown("the lifetime", id, |shown| shown["lifetimeSeconds"] == 65);
    assert_eq!(stage.value(id, "/1/0/1"), "65");
}

fn write_resource_instance(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["write", id, "/16/0/0/2", "model-2"]);
    let read = stage.read(&[id, "/16/0/0"]);
    assert_has(&read, &[("/16/0/0/1", "Drover"), ("/16/0/0/2", "model-2")]);
}

fn write_composite(stage: &Stage, id: &str) {
    let device = stage.device(id);
    stage.ok(&[
        "write-composite",
        id,
        "/1/0/1=60",
        "/1/0/6=true",
        "/16/0/0/0=host",
    ]);
    assert_eq!(
        device.count(|event| matches!(event, Event::Written { .. })),
        1
    );
    wait_for_updates(&device, 1);
    let read = stage.read(&[id, "/1/0/1", "/1/0/6", "/16/0/0/0"]);
    assert_has(
        &read,
        &[("/1/0/1", "60"), ("/1/0/6", "true"), ("/16/0/0/0", "host")],
    );
}

fn write_senml_cbor(stage: &Stage, id: &str) {
    let device = stage.device(id);
    // [{-2: "/1/0/", 0: "1", 2: 62}, {0: "6", 4: true}]
    let records = "82a321652f312f302f00613102183ea200613604f5";
    put(
        stage,
        &[
            id,
            "POST",
            "/1/0",
            "--format",
            "senml-cbor",
            "--hex",
            records,
        ],
    );
    wait_for_updates(&device, 1);
    let read = stage.read(&[id, "/1/0"]);
    assert_has(&read, &[("/1/0/1", "62"), ("/1/0/6", "true")]);
}

fn write_senml_json(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let records = r#"[{"bn":"/1/0/","n":"1","v":63},{"n":"6","vb":true}]"#;
    put(
        stage,
        &[
            id,
            "POST",
            "/1/0",
            "--format",
            "senml-json",
            "--text",
            records,
        ],
    );
    wait_for_updates(&device, 1);
    let read = stage.read(&[id, "/1/0"]);
    assert_has(&read, &[("/1/0/1", "63"), ("/1/0/6", "true")]);
}

fn write_composite_given(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let records = r#"[{"bn":"/1/0/","n":"1","v":64},{"n":"6","vb":true},{"bn":"/3/0/","n":"14","vs":"+02:00"}]"#;
    put(
        stage,
        &[
            id,
            "iPATCH",
            "/",
            "--format",
            "senml-json",
            "--text",
            records,
        ],
    );
    wait_for_updates(&device, 1);
    let read = stage.read(&[id, "/1/0/1", "/1/0/6", "/3/0/14"]);
    assert_has(
        &read,
        &[("/1/0/1", "64"), ("/1/0/6", "true"), ("/3/0/14", "+02:00")],
    );
}

fn security_object(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let requests: [&[&str]; 3] = [
        &[id, "GET", "/0"],
        &[
            id, "PUT", "/0/0/0", "--format", "text", "--text", "coap://x",
        ],
        &[id, "PUT", "/0?pmin=30&pmax=45"],
    ];
    for request in requests {
        assert_eq!(stage.raw(request).0, "4.01", "{request:?}");
    }
}

fn reboot(stage: &Stage, id: &str) {
    let device = stage.device(id);
    let before = stage.shown(id);
    stage.ok(&["exec", id, "/3/0/4"]);
    device.wait_for("another registration", 2, |event| {
        matches!(event, Event::Registered { .. })
    });
    let after = stage.shown(id);
    assert_ne!(before["registrationId"], after["registrationId"], "{after}");
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
}

fn write_failure(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.refused("4.05", &["write", id, "/1/0/0", "2", "--force"]);
    assert_eq!(stage.value(id, "/1/0/0"), "1");
}

/// The links of a Discover: path, and attributes in the order of the answer.
fn discover(stage: &Stage, arguments: &[&str]) -> Vec<(String, Vec<String>)> {
    let discovered = stage.json(&[&["discover"], arguments].concat());
    let links = discovered["links"].as_array().cloned().unwrap();
    let attribute = |one: &serde_json::Value| {
        let value = one["value"].as_str().unwrap_or_default();
        format!("{}={value}", one["name"].as_str().unwrap())
    };
    links
        .iter()
        .map(|link| {
            let attributes = link["attributes"].as_array().unwrap();
            let path = link["path"].as_str().unwrap().to_owned();
            (path, attributes.iter().map(attribute).collect())
        })
        .collect()
}

fn assert_linked(links: &[(String, Vec<String>)], path: &str, wanted: &[&str]) {
    let found = links.iter().find(|(known, _)| known == path);
    let (_, attributes) = found.unwrap_or_else(|| panic!("{path} in {links:?}"));
    for attribute in wanted {
        assert!(
            attributes.iter().any(|one| one == attribute),
            "{attribute} in {links:?}"
        );
    }
}

fn inherited(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["attributes", id, "/3/0", "pmin=10", "pmax=200"]);
    stage.ok(&["attributes", id, "/3/0/7", "lt=1", "gt=6", "st=1"]);
    let wanted = ["pmin=10", "pmax=200", "dim=2", "lt=1", "gt=6", "st=1"];
    assert_linked(&discover(stage, &[id, "/3/0/7"]), "/3/0/7", &wanted);
}

fn attribute_levels(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    stage.ok(&["attributes", id, "/3", "pmin=5", "pmax=55"]);
    stage.ok(&["attributes", id, "/3/0", "epmin=1", "epmax=2"]);
    stage.ok(&["attributes", id, "/3/0/7/1", "lt=1", "gt=6"]);
    assert_linked(&discover(stage, &[id, "/3"]), "/3", &["pmin=5", "pmax=55"]);
    assert_linked(
        &discover(stage, &[id, "/3/0"]),
        "/3/0",
        &["epmin=1", "epmax=2"],
    );
    let links = discover(stage, &[id, "/3/0/7"]);
    assert_linked(&links, "/3/0/7/1", &["lt=1", "gt=6"]);
    // Without a value, an attribute goes away.
    stage.ok(&["attributes", id, "/3", "pmin"]);
    let (_, left) = discover(stage, &[id, "/3"]).swap_remove(0);
    assert!(left.contains(&"pmax=55".to_owned()), "{left:?}");
    assert!(!left.iter().any(|one| one.starts_with("pmin")), "{left:?}");
}

/// The number of ids of the longest path.
fn deepest(links: &[(String, Vec<String>)]) -> usize {
    let ids = links.iter().map(|(path, _)| path.matches('/').count());
    ids.max().unwrap()
}

fn depth_1(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let links = discover(stage, &[id, "/3", "--depth", "1"]);
    assert_linked(&links, "/3/0", &[]);
    assert_eq!(deepest(&links), 2, "{links:?}");
}

fn depths_2_and_3(stage: &Stage, id: &str) {
    let _peer = stage.peer(id);
    let links = discover(stage, &[id, "/3", "--depth", "2"]);
    assert_linked(&links, "/3/0/7", &["dim=2"]);
    assert_eq!(deepest(&links), 3, "{links:?}");
    let links = discover(stage, &[id, "/3", "--depth", "3"]);
    assert_linked(&links, "/3/0/7/1", &[]);
    assert_eq!(deepest(&links), 4, "{links:?}");
}
