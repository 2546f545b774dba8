//! A device with two servers that know nothing of each other, 950 and 951: each is a cluster.

use lwm2m::Value;

use crate::cases::{Case, long};
use crate::registration::is_gone;
use crate::reporting::{Observer, observed};
use crate::stage::Stage;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        long("1.1-int-950", "Two servers", two_servers),
        long(
            "1.1-int-951",
            "Attributes per server",
            attributes_per_server,
        ),
    ]
}

fn two_servers(stage: &Stage, id: &str) {
    let other = Stage::another();
    let device = stage.device_of_two(&other, id);
    for server in [stage, &other] {
        assert_eq!(server.value(id, "/1/0/0"), "1");
        assert_eq!(server.value(id, "/1/1/0"), "2");
        assert_eq!(server.value(id, "/3/0/0"), "Drover");
    }
    assert_eq!(stage.shown(id)["lifetimeSeconds"], 300);
    assert_eq!(other.shown(id)["lifetimeSeconds"], 600);
    other.ok(&["write", id, "/3/0/14", "+02:00"]);
    assert_eq!(stage.value(id, "/3/0/14"), "+02:00");
    let observers = [stage, &other].map(|server| Observer::start(server, id, &["/3/0/9"]));
    device.set("/3/0/9", Value::Integer(41));
    for observer in &observers {
        observer.until("the new value", |messages| last_is(messages, "41"));
    }
    // The end of one registration is not that of the other, nor of its observations.
    device.with(|device, now| device.towards(1).unwrap().deregister(now));
    other.until_shown("no registration", id, is_gone);
    device.set("/3/0/9", Value::Integer(40));
    observers[0].until("the new value", |messages| last_is(messages, "40"));
    assert_eq!(stage.value(id, "/3/0/9"), "40");
}

fn last_is(messages: &[Vec<(String, String)>], value: &str) -> bool {
    messages.last().is_some_and(|last| last[0].1 == value)
}

fn attributes_per_server(stage: &Stage, id: &str) {
    let other = Stage::another();
    let device = stage.device_of_two(&other, id);
    let observer = Observer::start(&other, id, &["/3/0/9"]);
    stage.ok(&["attributes", id, "/3/0/9", "pmin=1", "pmax=2"]);
    let discovered = |server: &Stage| server.json(&["discover", id, "/3/0/9"]).to_string();
    assert!(discovered(stage).contains("pmax"));
    assert!(!discovered(&other).contains("pmax"));
    // The one server hears every two seconds, the other only of a change.
    assert_eq!(observed(stage, &[id, "/3/0/9"], 3).len(), 3);
    device.set("/3/0/9", Value::Integer(41));
    observer.until("the new value", |messages| last_is(messages, "41"));
    observer.until("the values before and after", |messages| {
        messages.len() == 2
    });
}
