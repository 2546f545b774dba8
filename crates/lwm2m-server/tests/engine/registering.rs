//! Register, Update and the end of a registration (LwM2M Core 1.2 §6.2).

use std::collections::BTreeSet;
use std::time::Duration;

use coap::{Code, Message, MessageId, Type, number};
use device_state::{Command, DeviceName, Namespace, NodeId, Outcome, SecurityIdentity, query};
use lwm2m::{
    Entry, ExecuteArguments, Lifetime, LwM2mVersion, NotificationAttributes, Operation, Path,
    QueueMode, RegistrationId, Setting, Value, WriteMode,
};
use lwm2m_server::{Config, OperationFailure};

use super::site::{Commits, LIST, Site, answer, anyone, asked_of, certified};

pub(crate) const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);

pub(crate) fn read(path: Path) -> Operation {
    Operation::Read { path, accept: None }
}

/// Observes the temperature; the request that the device has accepted.
pub(crate) fn observed(site: &mut Site, peer: u8, id: &RegistrationId) -> Message {
    let observe = Operation::Observe {
        observed: TEMPERATURE.into(),
        parameters: NotificationAttributes::default(),
    };
    let sent = site.operate(id, observe);
    let request = asked_of(peer, &sent);
    let mut accepted = answer(&request, Code::CONTENT_2_05, "20.5");
    accepted.options.push_uint(number::OBSERVE, 1);
    site.tell(&anyone(peer), &accepted);
    request
}

/// A confirmable notification.
pub(crate) fn notification(observation: &Message, sequence: u16) -> Message {
    let id = MessageId(40_000 + sequence);
    let mut notification = Message::new(Type::Confirmable, Code::CONTENT_2_05, id);
    notification.token = observation.token;
    notification
        .options
        .push_uint(number::OBSERVE, u32::from(sequence));
    notification.options.push_uint(number::CONTENT_FORMAT, 0);
    notification.payload = b"21.5".to_vec();
    notification
}

/// What a confirmable notification for `observation` is answered by.
fn notified(site: &mut Site, peer: u8, observation: &Message, sequence: u16) -> Type {
    let notification = notification(observation, sequence);
    let sent = site.tell(&anyone(peer), &notification);
    let mut replies = sent.iter().filter(|(_, reply)| reply.id == notification.id);
    replies.next().unwrap_or_else(|| panic!("{sent:?}")).1.kind
}

fn location(created: &Message) -> Vec<String> {
    let options = created.options.iter();
    options
        .filter(|(number, _)| *number == number::LOCATION_PATH)
        .map(|(_, segment)| String::from_utf8(segment.to_vec()).unwrap())
        .collect()
}

#[test]
fn the_name_may_be_left_out_where_the_credential_tells_it_and_may_be_no_other() {
    let mut site = Site::new();
    for (origin, query, code) in [
        (anyone(9), "lt=60&lwm2m=1.1", Code::BAD_REQUEST_4_00),
        (
            certified(8, "device-1"),
            "ep=device-2&lt=60&lwm2m=1.1",
            Code::FORBIDDEN_4_03,
        ),
        (
            certified(8, "device-1"),
            "lt=60&lwm2m=1.1",
            Code::CREATED_2_01,
        ),
    ] {
        let register = site.register(query, LIST);
        assert_eq!(site.ask(&origin, &register).code, code, "{query}");
    }
    assert_eq!(site.registration("device-2"), None);
    let registration = site.registration("device-1").unwrap();
    assert_eq!(
        registration.identity,
        certified(8, "device-1").principal.identity
    );
}

#[test]
fn a_name_alone_does_not_take_a_secured_device_over() {
    let mut site = Site::new();
    site.registered(&certified(8, "device-1"), "device-1", "");
    let before = site.registration("device-1");
    let register = site.register("ep=device-1&lt=60&lwm2m=1.1", LIST);
    assert_eq!(site.ask(&anyone(9), &register).code, Code::FORBIDDEN_4_03);
    assert_eq!(site.registration("device-1"), before);
}

#[test]
fn a_register_without_lifetime_or_release_is_a_bad_request_and_one_with_a_vendors_parameter_is_not()
{
    let mut site = Site::new();
    for (query, code) in [
        ("ep=device-1&lwm2m=1.1", Code::BAD_REQUEST_4_00),
        ("ep=device-1&lwm2m=1.2", Code::BAD_REQUEST_4_00),
        ("ep=device-1&lt=60", Code::BAD_REQUEST_4_00),
        (
            "ep=device-1&lt=60&lwm2m=1.1&et=meter&flag",
            Code::CREATED_2_01,
        ),
    ] {
        let register = site.register(query, LIST);
        assert_eq!(site.ask(&anyone(1), &register).code, code, "{query}");
    }
}

#[test]
fn a_device_of_an_unknown_release_is_told_to_step_down() {
    let mut site = Site::new();
    for release in ["2.0", "1.3", "1", "", "1.1.0"] {
        let register = site.register(&format!("ep=device-1&lt=60&lwm2m={release}"), LIST);
        let answer = site.ask(&anyone(1), &register);
        assert_eq!(answer.code, Code::PRECONDITION_FAILED_4_12, "{release}");
    }
    for release in [LwM2mVersion::V1_2, LwM2mVersion::V1_1, LwM2mVersion::V1_0] {
        let register = site.register(&format!("ep=device-1&lt=60&lwm2m={release}"), LIST);
        assert_eq!(
            site.ask(&anyone(1), &register).code,
            Code::CREATED_2_01,
            "{release}"
        );
        assert_eq!(site.registration("device-1").unwrap().version, release);
    }
}

#[test]
fn a_location_is_short_and_cannot_be_guessed() {
    /// Location-Query (RFC 7252 §5.10).
    const LOCATION_QUERY: u16 = 20;
    let mut site = Site::new();
    let mut ids = BTreeSet::new();
    for number in 0..200 {
        let register = site.register(&format!("ep=device-{number}&lt=60&lwm2m=1.1"), LIST);
        let created = site.ask(&anyone(1), &register);
        let location = location(&created);
        let [rd, id] = &location[..] else {
            panic!("{location:?}");
        };
        assert_eq!(rd, "rd");
        assert!(id.len() <= 32, "{id}");
        assert_eq!(created.options.first(LOCATION_QUERY), None);
        ids.insert(u64::from_str_radix(&id[4..], 16).unwrap());
    }
    // What is not the worker's number is chance: no two are alike, and each bit is now this and now that.
    assert_eq!(ids.len(), 200);
    let both = ids
        .iter()
        .fold((0, u64::MAX), |(ones, zeros), id| (ones | id, zeros & id));
    assert_eq!(both, (!0xff, 0));
}

#[test]
fn a_new_register_ends_the_old_registration_and_its_observations() {
    let mut site = Site::new();
    let old = site.registered(&anyone(1), "device-1", "");
    let observation = observed(&mut site, 1, &old);
    assert_eq!(
        notified(&mut site, 1, &observation, 2),
        Type::Acknowledgement
    );
    let new = site.registered(&anyone(1), "device-1", "");
    assert_ne!(old, new);
    let late = site.update(&old, "", "");
    assert_eq!(site.ask(&anyone(1), &late).code, Code::NOT_FOUND_4_04);
    assert_eq!(notified(&mut site, 1, &observation, 3), Type::Reset);
    assert_eq!(site.engine.device_count(), 1);
}

#[test]
fn a_register_that_is_repeated_is_answered_again_and_replaces_nothing() {
    let mut site = Site::new();
    let register = site.register("ep=device-1&lt=600&lwm2m=1.1", LIST);
    let first = site.ask(&anyone(1), &register);
    let id = site.registration("device-1").unwrap().id;
    let observation = observed(&mut site, 1, &id);
    let asked = site.asked;
    site.pass(Duration::from_secs(3));
    let again = site.ask(&anyone(1), &register);
    assert_eq!(again, first);
    assert_eq!(site.asked, asked);
    assert_eq!(
        notified(&mut site, 1, &observation, 2),
        Type::Acknowledgement
    );
}

#[test]
fn an_update_renews_the_lifetime_and_changes_only_what_it_names() {
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "device-1", "b=U&Q");
    let mut expected = site.registration("device-1").unwrap();
    for (query, list) in [
        ("", ""),
        ("lt=60", ""),
        // There is no Q in an Update: it stays.
        ("b=UT", ""),
        // Without Content-Format and with what nobody knows.
        ("", "</1/0>;x=1;y,</4/0>"),
        ("vendor=1", ""),
    ] {
        site.pass(Duration::from_secs(10));
        let update = site.update(&id, query, list);
        let changed = site.ask(&anyone(1), &update);
        assert_eq!(changed.code, Code::CHANGED_2_04, "{query} {list}");
        match query {
            "lt=60" => expected.lifetime = Lifetime::from_secs(60),
            "b=UT" => expected.binding = "UTQ".parse().unwrap(),
            _ => {}
        }
        if !list.is_empty() {
            list.clone_into(&mut expected.links);
        }
        expected.updated_at = site.clock().wall;
        let lives = expected.lifetime.duration().unwrap() + Duration::from_secs(93);
        expected.expires_at = expected.updated_at.saturating_add(lives);
        assert_eq!(site.registration("device-1").unwrap(), expected, "{query}");
    }
}

/// What the engine believes of a device follows its Updates, too.
#[test]
fn an_update_may_turn_the_queue_mode_on_and_in_1_0_off() {
    for (release, on_after) in [("1.0", false), ("1.1", true)] {
        let mut site = Site::new();
        let register = site.register(&format!("ep=device-1&lt=600&lwm2m={release}&b=U"), LIST);
        site.ask(&anyone(1), &register);
        let id = site.registration("device-1").unwrap().id;
        for (binding, sleeps) in [("UQ", true), ("U", on_after)] {
            let update = site.update(&id, &format!("b={binding}"), "");
            site.ask(&anyone(1), &update);
            site.pass(Duration::from_secs(100));
            let sent = site.operate(&id, read(TEMPERATURE));
            assert_eq!(sent.is_empty(), sleeps, "{release} {binding}");
            let known = site.registration("device-1").unwrap().binding;
            assert_eq!(known.queue_mode() == QueueMode::On, sleeps);
        }
    }
}

#[test]
fn an_update_from_elsewhere_moves_the_device_there() {
    let mut site = Site::new();
    let id = site.registered(&certified(1, "device-1"), "device-1", "");
    let update = site.update(&id, "", "");
    let moved = site.ask(&certified(2, "device-1"), &update);
    assert_eq!(moved.code, Code::CHANGED_2_04);
    let registration = site.registration("device-1").unwrap();
    assert_eq!(registration.id, id);
    assert_eq!(registration.peer, certified(2, "device-1").address);
    let sent = site.operate(&id, read(TEMPERATURE));
    asked_of(2, &sent);
}

#[test]
fn another_identity_cannot_tell_a_registration_from_none() {
    let mut site = Site::new();
    let id = site.registered(&certified(1, "device-1"), "device-1", "");
    let before = site.registration("device-1");
    let none = RegistrationId::new("00000123456789abcd00").unwrap();
    for stranger in [certified(2, "device-2"), anyone(3)] {
        let mut said = Vec::new();
        for id in [&id, &none] {
            let update = site.update(id, "lt=1", "");
            let delete = site.request(Code::DELETE, &["rd", id.as_str()], &[]);
            for request in [update, delete] {
                let refused = site.ask(&stranger, &request);
                assert_eq!(refused.code, Code::NOT_FOUND_4_04);
                said.push(refused.payload);
            }
        }
        assert!(said.iter().all(|payload| *payload == said[0]));
    }
    assert_eq!(site.registration("device-1"), before);
}

#[test]
fn a_lifetime_that_ends_takes_the_observations_along() {
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "device-1", "");
    let observation = observed(&mut site, 1, &id);
    site.pass(Duration::from_secs(600 + 93) - Duration::from_millis(1));
    assert_eq!(
        notified(&mut site, 1, &observation, 2),
        Type::Acknowledgement
    );
    site.pass(Duration::from_millis(1));
    assert_eq!(notified(&mut site, 1, &observation, 3), Type::Reset);
    assert_eq!(site.engine.device_count(), 0);
}

#[test]
fn what_is_reported_under_a_registration_that_is_over_is_not_acknowledged() {
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "device-1", "");
    let observation = observed(&mut site, 1, &id);
    // The state tier has had enough of it, or it has registered at another node.
    let over = site.apply(Command::Deregister {
        namespace: Namespace::default(),
        id,
        identity: SecurityIdentity::Unauthenticated,
    });
    assert!(matches!(over, Outcome::Deregistered { .. }), "{over:?}");
    for sequence in [2, 2, 3] {
        let reply = notified(&mut site, 1, &observation, sequence);
        assert_eq!(reply, Type::Reset, "{sequence}");
    }
}

#[test]
fn a_first_report_in_place_of_the_answer_is_acknowledged_when_it_is_committed() {
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "device-1", "");
    site.commits = Commits::Fail;
    let observe = Operation::Observe {
        observed: TEMPERATURE.into(),
        parameters: NotificationAttributes::default(),
    };
    // The device has answered, and its answer was lost.
    let sent = site.operate(&id, observe);
    let report = notification(&asked_of(1, &sent), 2);
    assert_eq!(site.tell(&anyone(1), &report), []);
    assert!(matches!(site.done.as_slice(), [(_, Ok(_))]));
    site.commits = Commits::Succeed;
    let sent = site.tell(&anyone(1), &report);
    assert!(
        matches!(sent.as_slice(), [(1, reply)] if reply.kind == Type::Acknowledgement),
        "{sent:?}"
    );
    let device = DeviceName::parse("device-1").unwrap();
    let last = query::last_value(&site.tables, &device, TEMPERATURE);
    assert_eq!(last.map(|last| last.value), Some(Value::Float(21.5)));
}

#[test]
fn a_device_of_1_0_that_names_no_lifetime_lives_for_a_day() {
    let mut site = Site::new();
    let register = site.register("ep=device-1&lwm2m=1.0", LIST);
    site.ask(&anyone(1), &register);
    let registration = site.registration("device-1").unwrap();
    assert_eq!(registration.lifetime.as_secs(), 86_400);
}

#[test]
fn nothing_is_asked_of_a_device_before_its_register_is_answered() {
    let mut site = Site::new();
    site.commits = Commits::Wait;
    let register = site.register("ep=device-1&lt=600&lwm2m=1.1", LIST);
    site.tell(&anyone(1), &register);
    // The state tier may know of the registration before the engine hears of its commit.
    let waiting = site.pass(Duration::from_millis(500));
    assert_eq!(waiting, []);
    let Some(Command::Register { registration }) = site.waiting_command() else {
        panic!("no Register is to be committed");
    };
    let early = registration.id.clone();
    assert_eq!(site.operate(&early, read(TEMPERATURE)), []);
    let codes: Vec<Code> = site
        .commit()
        .iter()
        .map(|(_, message)| message.code)
        .collect();
    assert_eq!(codes, [Code::CREATED_2_01, Code::GET]);
}

#[test]
fn credentials_in_a_list_are_passed_over() {
    let mut site = Site::new();
    let list = "</0/0>,</1/0>;ver=1.1,</21/0>,</23>,</3/0>";
    let register = site.register("ep=device-1&lt=600&lwm2m=1.1", list);
    site.ask(&anyone(1), &register);
    let registration = site.registration("device-1").unwrap();
    assert_eq!(registration.links, "</1/0>;ver=1.1,</3/0>");
    let update = site.update(&registration.id, "", "</0/0>,</3/0>,</4/0>");
    site.ask(&anyone(1), &update);
    let registration = site.registration("device-1").unwrap();
    assert_eq!(registration.links, "</3/0>,</4/0>");
}

#[test]
fn every_operation_carries_the_alternate_path() {
    let mut site = Site::new();
    let list = "</lwm2m>;rt=\"oma.lwm2m\";ct=110,</lwm2m/1/0>,</lwm2m/3303/0>";
    let register = site.register("ep=device-1&lt=600&lwm2m=1.1", list);
    site.ask(&anyone(1), &register);
    let id = site.registration("device-1").unwrap().id;
    let operations = [
        read(TEMPERATURE),
        Operation::Execute {
            path: TEMPERATURE,
            arguments: ExecuteArguments::default(),
        },
        Operation::Discover {
            path: TEMPERATURE,
            depth: None,
        },
        Operation::Observe {
            observed: TEMPERATURE.into(),
            parameters: NotificationAttributes::default(),
        },
        Operation::WriteAttributes {
            path: TEMPERATURE,
            attributes: NotificationAttributes {
                pmin: Setting::To(5),
                ..NotificationAttributes::default()
            },
        },
        Operation::Write {
            path: TEMPERATURE,
            mode: WriteMode::Replace,
            values: vec![Entry::new(TEMPERATURE, Value::Float(20.0))],
        },
    ];
    for operation in operations {
        let name = operation.name().to_owned();
        let sent = site.operate(&id, operation);
        let request = asked_of(1, &sent);
        let path: Vec<&[u8]> = request
            .options
            .iter()
            .filter(|(number, _)| *number == number::URI_PATH)
            .map(|(_, segment)| segment)
            .collect();
        let expected: [&[u8]; 4] = [b"lwm2m", b"3303", b"0", b"5700"];
        assert_eq!(path, expected, "{name}");
        site.tell(&anyone(1), &answer(&request, Code::BAD_REQUEST_4_00, ""));
    }
}

#[test]
fn overload_is_a_5_03_that_says_when_to_come_back() {
    let full = Config {
        max_devices: 0,
        ..Config::new(NodeId(1), 1)
    };
    let busy = Config {
        max_pending_commits: 0,
        ..Config::new(NodeId(1), 1)
    };
    let failing = Config::new(NodeId(1), 1);
    for (config, commits) in [
        (full, Commits::Succeed),
        (busy, Commits::Succeed),
        (failing, Commits::Fail),
    ] {
        let mut site = Site::with(config);
        site.commits = commits;
        let register = site.register("ep=device-1&lt=600&lwm2m=1.1", LIST);
        let refused = site.ask(&anyone(1), &register);
        assert_eq!(refused.code, Code::SERVICE_UNAVAILABLE_5_03);
        let max_age = refused.options.first(number::MAX_AGE).unwrap();
        let seconds = max_age
            .iter()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        assert!((5..=300).contains(&seconds), "{seconds}");
        assert_eq!(site.registration("device-1"), None);
    }
    // So are an Update and a Send of a device that is registered.
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "device-1", "");
    site.commits = Commits::Fail;
    let update = site.update(&id, "", "");
    let mut send = site.request(Code::POST, &["dp"], &[]);
    send.options.push_uint(number::CONTENT_FORMAT, 110);
    send.payload = br#"[{"n":"/3303/0/5700","v":20.5}]"#.to_vec();
    for request in [update, send] {
        let refused = site.ask(&anyone(1), &request);
        assert_eq!(refused.code, Code::SERVICE_UNAVAILABLE_5_03);
        assert!(refused.options.first(number::MAX_AGE).is_some());
    }
}

#[test]
fn a_device_that_is_gone_before_its_register_is_committed_is_not_taken_on() {
    let mut site = Site::new();
    site.commits = Commits::Wait;
    let register = site.register("ep=device-1&lt=600&lwm2m=1.1", LIST);
    assert!(site.tell(&anyone(1), &register).is_empty());
    let now = site.clock();
    site.engine.forget_peer(now, 1);
    assert!(site.commit().is_empty());
    let id = site.registration("device-1").unwrap().id;
    assert_eq!(site.engine.device_count(), 0);
    let sent = site.operate(&id, read(TEMPERATURE));
    assert!(sent.is_empty(), "{sent:?}");
    let (_, result) = site.done.pop().unwrap();
    assert_eq!(result, Err(OperationFailure::NotHere));
}
