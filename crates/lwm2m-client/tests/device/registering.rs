//! Registration, Update, De-register and what makes them fail.

use std::time::Duration;

use coap::{Code, Failure, Response};
use lwm2m::{Binding, Lifetime, LwM2mVersion, RegisterRequest, UpdateRequest};
use lwm2m_client::{Config, Event, ProfileId, RegistrationFailure, Retry};

use crate::pair::{Pair, accept, config, request, text, with_version};

fn is_registered(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

#[test]
fn a_device_registers_with_all_that_a_server_needs() {
    for version in [LwM2mVersion::V1_0, LwM2mVersion::V1_1, LwM2mVersion::V1_2] {
        let mut config = config();
        config.version = version;
        config.binding = Binding::UDP_QUEUED;
        let mut pair = Pair::new(config);
        let registered = pair.wait_for(is_registered);
        assert_eq!(
            registered,
            Event::Registered {
                location: "/rd/a1".to_owned()
            }
        );
        let sent = &pair.requests[0];
        assert_eq!(sent.content_format, Some(40));
        let parsed = RegisterRequest::parse(&sent.query, &sent.payload).unwrap();
        assert_eq!(parsed.endpoint.unwrap().as_str(), "device-1");
        assert_eq!(parsed.lifetime, Some(Lifetime::from_secs(300)));
        assert_eq!(parsed.version, version);
        assert_eq!(parsed.binding, Binding::UDP_QUEUED);
        assert!(parsed.links.instances(3303).eq([0]));
    }
}

#[test]
fn a_lossy_network_delays_a_registration_only() {
    for percent in [10, 30] {
        let mut pair = Pair::new(config());
        pair.lose(percent);
        pair.device.start(pair.now);
        pair.settle();
        pair.wait_for(is_registered);
        assert!(pair.device.is_registered());
    }
}

#[test]
fn updates_come_at_half_of_the_lifetime_and_say_nothing_new() {
    let mut pair = Pair::registered(config());
    pair.drive(Duration::from_secs(134));
    assert!(pair.requests.is_empty());
    pair.drive(Duration::from_secs(17));
    assert_eq!(pair.requests.len(), 1);
    let update = &pair.requests[0];
    assert_eq!(update.path, ["rd", "a1"]);
    assert!(update.query.is_empty() && update.payload.is_empty());
    assert_eq!(pair.events, [Event::Updated]);
}

#[test]
fn an_infinite_lifetime_needs_no_update() {
    let mut config = config();
    config.lifetime = Lifetime::INFINITE;
    let mut pair = Pair::registered(config);
    pair.drive(Duration::from_hours(48));
    assert!(pair.requests.is_empty());
}

#[test]
fn an_unknown_registration_is_made_again() {
    let mut pair = Pair::registered(config());
    pair.answer = |request| match request.path.len() {
        1 => accept(request),
        _ => Response::new(Code::NOT_FOUND_4_04),
    };
    pair.wait_for(is_registered);
    assert_eq!(pair.requests[1].path, ["rd"]);
    assert!(matches!(
        pair.events[0],
        Event::UpdateFailed {
            reason: RegistrationFailure::Refused(Code::NOT_FOUND_4_04),
            ..
        }
    ));
}

#[test]
fn a_refused_registration_is_tried_again_after_growing_waits() {
    let mut config = config();
    config.retry = Retry {
        shortest: Duration::from_secs(2),
        longest: Duration::from_secs(16),
    };
    let mut pair = Pair::new(config);
    pair.answer = |_| Response::new(Code::BAD_REQUEST_4_00);
    pair.drive(Duration::from_mins(2));
    let attempts = pair.requests.len();
    assert!((7..=16).contains(&attempts), "{attempts}");
    pair.answer = accept;
    pair.wait_for(is_registered);
}

#[test]
fn an_overloaded_server_is_left_alone_for_its_max_age() {
    let mut pair = Pair::new(config());
    pair.answer = |_| Response {
        max_age: Some(40),
        ..Response::new(Code::SERVICE_UNAVAILABLE_5_03)
    };
    pair.drive(Duration::from_secs(39));
    assert_eq!(pair.requests.len(), 1);
    pair.answer = accept;
    pair.drive(Duration::from_secs(25));
    assert_eq!(pair.requests.len(), 2);
    assert!(pair.device.is_registered());
}

#[test]
fn an_update_that_is_put_off_keeps_the_registration() {
    let mut pair = Pair::registered(config());
    pair.answer = |_| Response {
        max_age: Some(10),
        ..Response::new(Code::SERVICE_UNAVAILABLE_5_03)
    };
    pair.wait_for(|event| matches!(event, Event::UpdateFailed { .. }));
    assert!(pair.device.is_registered());
    pair.answer = accept;
    pair.wait_for(|event| *event == Event::Updated);
    assert!(pair.requests.iter().all(|request| request.path.len() == 2));
}

#[test]
fn a_silent_server_is_registered_with_again() {
    let mut pair = Pair::registered(config());
    pair.cut();
    let failed = pair.wait_for(|event| matches!(event, Event::UpdateFailed { .. }));
    let Event::UpdateFailed { reason, .. } = failed else {
        unreachable!()
    };
    assert_eq!(reason, RegistrationFailure::NoAnswer);
    pair.lose(0);
    pair.wait_for(is_registered);
}

#[test]
fn a_deregistered_device_is_silent() {
    let mut pair = Pair::registered(config());
    pair.device.deregister(pair.now);
    pair.wait_for(|event| *event == Event::Deregistered);
    assert_eq!(pair.requests[0].method, Code::DELETE);
    assert_eq!(pair.requests[0].path, ["rd", "a1"]);
    pair.send(request(Code::GET, "/3/0/0"));
    pair.drive(Duration::from_mins(10));
    assert_eq!(pair.requests.len(), 1);
    assert!(!pair.device.is_registered());
}

#[test]
fn deregistering_ends_without_a_server() {
    let mut pair = Pair::registered(config());
    pair.cut();
    pair.device.deregister(pair.now);
    pair.wait_for(|event| *event == Event::Deregistered);
}

#[test]
fn a_new_lifetime_is_told_at_once() {
    let mut pair = Pair::registered(config());
    let response = pair.ask(text(Code::PUT, "/1/0/1", "60"));
    assert_eq!(response.code, Code::CHANGED_2_04);
    pair.wait_for(|event| *event == Event::Updated);
    assert_eq!(pair.requests.last().unwrap().query, ["lt=60"]);
    let told = pair.now;
    pair.events.clear();
    pair.wait_for(|event| *event == Event::Updated);
    assert!(pair.now - told <= Duration::from_secs(31));
    assert!(pair.requests.last().unwrap().query.is_empty());
}

#[test]
fn the_update_trigger_asks_for_an_update() {
    let mut pair = Pair::registered(config());
    assert_eq!(
        pair.ask(request(Code::POST, "/1/0/8")).code,
        Code::CHANGED_2_04
    );
    pair.drive(Duration::from_secs(1));
    assert!(pair.events.contains(&Event::Updated));
}

#[test]
fn new_instances_are_told_at_once() {
    let mut pair = Pair::registered(config());
    assert_eq!(
        pair.ask(request(Code::POST, "/3303")).code,
        Code::CREATED_2_01
    );
    pair.wait_for(|event| *event == Event::Updated);
    let update = pair.requests.last().unwrap();
    let parsed = UpdateRequest::parse(&update.query, &update.payload).unwrap();
    assert!(parsed.links.unwrap().instances(3303).eq([0, 1]));
}

#[test]
fn a_sleeping_device_hears_nothing_until_its_update() {
    let mut config = config();
    config.binding = Binding::UDP_QUEUED;
    let mut pair = Pair::registered(config);
    pair.drive(Duration::from_secs(100));
    assert_eq!(pair.events, [Event::FellAsleep]);
    pair.send(request(Code::POST, "/3303/0/5605"));
    pair.drive(Duration::from_secs(3));
    assert_eq!(pair.events.len(), 1, "it sleeps");
    pair.wait_for(|event| *event == Event::Updated);
    assert_eq!(
        pair.ask(request(Code::GET, "/3/0/0")).code,
        Code::CONTENT_2_05
    );
}

#[test]
fn a_rebooted_device_registers_again() {
    let mut pair = Pair::registered(config());
    assert_eq!(
        pair.ask(request(Code::POST, "/3/0/4")).code,
        Code::CHANGED_2_04
    );
    pair.wait_for(is_registered);
    let reported: Vec<_> = pair
        .events
        .iter()
        .filter(|event| matches!(event, Event::RebootStarted | Event::Booted))
        .collect();
    assert_eq!(reported, [&Event::RebootStarted, &Event::Booted]);
}

#[test]
fn a_factory_reset_restores_values() {
    let mut pair = Pair::registered(config());
    pair.ask(text(Code::PUT, "/3/0/14", "+05:00"));
    pair.ask(request(Code::POST, "/3/0/5"));
    pair.wait_for(is_registered);
    let offset = pair.ask(request(Code::GET, "/3/0/14"));
    assert_eq!(offset.payload, b"+00:00");
}

#[test]
fn a_disabled_device_comes_back_after_its_timeout() {
    let mut pair = Pair::registered(config());
    pair.ask(text(Code::PUT, "/1/0/5", "120"));
    let executed = pair.ask(request(Code::POST, "/1/0/4"));
    assert_eq!(executed.code, Code::CHANGED_2_04);
    pair.wait_for(|event| *event == Event::Deregistered);
    assert_eq!(pair.requests.last().unwrap().method, Code::DELETE);
    let left = pair.now;
    pair.send(request(Code::GET, "/3/0/0"));
    pair.wait_for(is_registered);
    assert!(pair.now - left >= Duration::from_secs(120));
    assert_eq!(pair.requests.last().unwrap().path, ["rd"]);
}

#[test]
fn what_comes_before_the_registration_is_complete_is_ignored() {
    let mut pair = Pair::new(config());
    pair.answer = |_| Response {
        max_age: Some(3600),
        ..Response::new(Code::SERVICE_UNAVAILABLE_5_03)
    };
    pair.drive(Duration::from_secs(1));
    pair.send(text(Code::PUT, "/3/0/14", "+05:00"));
    pair.drive(Duration::from_mins(5));
    assert!(matches!(pair.concluded[..], [(_, Err(Failure::Timeout))]));
    let written = |event: &Event| matches!(event, Event::Written { .. });
    assert!(!pair.events.iter().any(written));
}

#[test]
fn a_profile_id_stands_for_the_list_of_objects() {
    for (besides, listed) in [(vec![], None), (vec![4], Some("</4/0>"))] {
        let mut pair = Pair::new(Config {
            profile_id: Some(ProfileId {
                id: "6:27354b9a".to_owned(),
                besides,
            }),
            ..with_version(LwM2mVersion::V1_2)
        });
        pair.wait_for(is_registered);
        let sent = &pair.requests[0];
        assert!(sent.query.contains(&"pid=6:27354b9a".to_owned()));
        let payload = String::from_utf8(sent.payload.clone()).unwrap();
        assert_eq!(sent.content_format, listed.map(|_| 40));
        assert!(payload.ends_with(listed.unwrap_or_default()), "{payload}");
        assert!(!payload.contains("</3/0>"));
    }
}

#[test]
fn a_server_that_refuses_a_profile_id_gets_the_list() {
    let mut pair = Pair::new(Config {
        profile_id: Some(ProfileId {
            id: "6:27354b9a".to_owned(),
            besides: Vec::new(),
        }),
        ..with_version(LwM2mVersion::V1_2)
    });
    pair.answer = |request| {
        let by_id = request.query.iter().any(|part| part.starts_with("pid="));
        if by_id {
            Response::new(Code::BAD_REQUEST_4_00)
        } else {
            accept(request)
        }
    };
    pair.wait_for(is_registered);
    assert_eq!(pair.requests.len(), 2);
    let parsed = RegisterRequest::parse(&pair.requests[1].query, &pair.requests[1].payload);
    assert!(parsed.unwrap().links.instances(3303).eq([0]));
    // The device does not try again what was refused.
    pair.ask(request(Code::POST, "/3/0/4"));
    pair.requests.clear();
    pair.events.clear();
    pair.wait_for(is_registered);
    assert_eq!(pair.requests.len(), 1);
}
