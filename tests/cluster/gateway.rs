//! Devices behind a gateway, asked by way of it (OMA LwM2M Gateway 1.1).

use tests::{Drover, Options};

#[test]
fn a_device_behind_a_gateway_is_listed_read_written_executed_and_discovered() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let (_simulator, gateway) = drover.full_device("gateway-");
    let gateway = gateway.as_str();
    let listed = drover.json(&["children", gateway]);
    let second = &listed["children"][1];
    assert_eq!(second["id"], "gateway-000000-dev1", "{listed}");
    assert_eq!(second["prefix"], "dev1", "{listed}");
    assert_eq!(
        second["objects"],
        serde_json::json!(["/3/0", "/3303/0"]),
        "{listed}"
    );

    let read = |path: &str, child: &str| {
        let read = drover.json(&["read", gateway, path, "--child", child]);
        read["values"][0]["value"].clone()
    };
    let zone = "/3/0/14";
    let own = "+01:00";
    drover.json(&["write", gateway, zone, own]);
    let written = drover.json(&["write", gateway, zone, "+07:00", "--child", "dev1"]);
    assert_eq!(written["path"], "/dev1/3/0/14", "{written}");
    assert_eq!(written["state"], "Delivered", "{written}");
    assert_eq!(read(zone, "dev1"), "+07:00");
    assert_eq!(read(zone, "dev0"), "+00:00");
    assert_eq!(
        drover.json(&["read", gateway, zone])["values"][0]["value"],
        own
    );
    // What was written to the child is not taken for a value of the gateway.
    let known = drover.json(&["device", gateway]);
    let known = known["values"].as_array().unwrap();
    let known = known.iter().find(|value| value["path"] == zone).unwrap();
    assert_eq!(known["value"], own, "{known}");

    let executed = drover.json(&["exec", gateway, "/3/0/4", "--child", "dev0"]);
    assert_eq!(executed["state"], "Delivered", "{executed}");
    let set = [
        "attributes",
        gateway,
        "/3303/0/5700",
        "pmin=10",
        "--child",
        "dev0",
    ];
    assert_eq!(drover.json(&set)["state"], "Delivered");
    let links = drover.json(&["discover", gateway, "/3303/0", "--child", "dev0"]);
    let links = links["links"].as_array().unwrap();
    assert!(
        links.iter().any(|link| link["path"] == "/3303/0/5700"),
        "{links:?}"
    );

    let nobody = drover.run(&["read", gateway, zone, "--child", "dev7"]);
    assert_eq!(nobody.code, 3, "{nobody:?}");
    let number = drover.run(&["read", gateway, zone, "--child", "33"]);
    assert_eq!(number.code, 2, "{number:?}");
}
