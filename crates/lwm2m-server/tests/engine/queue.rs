//! Queue mode (LwM2M Core 1.2 §6.5, Transport 1.2 §5.4).

use std::time::Duration;

use coap::{Code, Message, number};
use device_state::OperationOutcome;
use lwm2m::{Operation, RegistrationId};
use lwm2m_server::OperationFailure;

use super::registering::{TEMPERATURE, notification, observed, read};
use super::site::{Commits, Site, answer, anyone, asked_of, endpoint};

/// MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2).
const WINDOW: Duration = Duration::from_secs(93);
const INSTANT: Duration = Duration::from_millis(1);

/// A device in queue mode whose window is open.
fn queued() -> (Site, RegistrationId) {
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "device-1", "b=U&Q");
    (site, id)
}

fn temperature() -> Operation {
    read(TEMPERATURE)
}

fn send(site: &mut Site) -> Message {
    let mut send = site.request(Code::POST, &["dp"], &[]);
    send.options.push_uint(number::CONTENT_FORMAT, 110);
    send.payload = br#"[{"n":"/3303/0/5700","v":20.5}]"#.to_vec();
    send
}

/// Asks for something; whether it was sent. If not, that is because the device sleeps.
fn reaches(site: &mut Site, id: &RegistrationId) -> bool {
    site.done.clear();
    let sent = site.operate(id, temperature());
    if sent.is_empty() {
        assert!(matches!(
            site.done[..],
            [(_, Err(OperationFailure::Asleep))]
        ));
        return false;
    }
    let request = asked_of(1, &sent);
    // A device that cannot answer now says so, so that nothing is left over.
    let refused = answer(&request, Code::NOT_FOUND_4_04, "");
    site.tell(&anyone(1), &refused);
    true
}

#[test]
fn a_window_is_open_for_93_seconds_after_the_last_message() {
    let (mut site, id) = queued();
    site.pass(WINDOW.saturating_sub(INSTANT));
    assert!(reaches(&mut site, &id));
    // The exchange has opened it anew.
    site.pass(WINDOW.saturating_sub(INSTANT));
    assert!(reaches(&mut site, &id));
    site.pass(WINDOW);
    assert!(!reaches(&mut site, &id));
    assert_eq!(site.awake, []);
}

#[test]
fn any_message_of_a_sleeping_device_opens_its_window() {
    let (mut site, id) = queued();
    let observation = observed(&mut site, 1, &id);
    let update = site.update(&id, "", "");
    let send = send(&mut site);
    let notification = notification(&observation, 2);
    let ping = Message::new(
        coap::Type::Confirmable,
        Code::EMPTY,
        coap::MessageId(50_000),
    );
    for message in [update, send, notification, ping] {
        site.pass(WINDOW);
        assert!(!reaches(&mut site, &id));
        site.awake.clear();
        site.tell(&anyone(1), &message);
        assert_eq!(site.awake, [endpoint("device-1")], "{message:?}");
        assert!(reaches(&mut site, &id), "{message:?}");
    }
    // A Register is another registration.
    site.pass(WINDOW);
    let id = site.registered(&anyone(1), "device-1", "b=U&Q");
    assert!(reaches(&mut site, &id));
}

#[test]
fn what_waits_for_a_sleeping_device_is_sent_after_the_answer_to_its_message() {
    let (mut site, id) = queued();
    let observation = observed(&mut site, 1, &id);
    let update = site.update(&id, "", "");
    let send = send(&mut site);
    let notification = notification(&observation, 2);
    for (message, answered) in [
        (update, Code::CHANGED_2_04),
        (send, Code::CHANGED_2_04),
        // It is answered by its acknowledgement.
        (notification, Code::EMPTY),
    ] {
        site.pass(WINDOW);
        site.commits = Commits::Wait;
        assert_eq!(site.tell(&anyone(1), &message), []);
        // Whoever has the queue hears that the device is awake before its message is committed here.
        assert_eq!(site.operate(&id, temperature()), []);
        let sent = site.commit();
        let codes: Vec<Code> = sent.iter().map(|(_, message)| message.code).collect();
        assert_eq!(codes, [answered, Code::GET], "{message:?}");
        site.commits = Commits::Succeed;
        let request = asked_of(1, &sent);
        site.tell(&anyone(1), &answer(&request, Code::CONTENT_2_05, "20.5"));
    }
    let delivered =
        |outcome: &OperationOutcome| matches!(outcome, OperationOutcome::Delivered { .. });
    let ends = site.done.iter().map(|(_, result)| result.as_ref());
    assert_eq!(ends.filter(|end| end.is_ok_and(delivered)).count(), 4);
}

#[test]
fn what_waits_for_two_answers_is_sent_after_the_second() {
    let (mut site, id) = queued();
    site.commits = Commits::Wait;
    let (first, second) = (send(&mut site), send(&mut site));
    site.tell(&anyone(1), &first);
    assert_eq!(site.operate(&id, temperature()), []);
    site.tell(&anyone(1), &second);
    let codes: Vec<Code> = site
        .commit()
        .iter()
        .map(|(_, message)| message.code)
        .collect();
    assert_eq!(codes, [Code::CHANGED_2_04, Code::CHANGED_2_04, Code::GET]);
}

#[test]
fn a_message_that_cannot_be_committed_keeps_nothing_back() {
    let (mut site, id) = queued();
    site.commits = Commits::Fail;
    let update = site.update(&id, "", "");
    let refused = site.ask(&anyone(1), &update);
    assert_eq!(refused.code, Code::SERVICE_UNAVAILABLE_5_03);
    assert!(reaches(&mut site, &id));
}

#[test]
fn one_request_at_a_time_is_under_way_to_a_device() {
    let (mut site, id) = queued();
    let first = asked_of(1, &site.operate(&id, temperature()));
    assert_eq!(site.operate(&id, temperature()), []);
    let sent = site.tell(&anyone(1), &answer(&first, Code::CONTENT_2_05, "20.5"));
    let second = asked_of(1, &sent);
    assert_ne!(first.token, second.token);
}

/// It is no device that is offline, so whoever has the queue tries again.
#[test]
fn a_request_that_a_device_slept_through_is_lost_and_not_refused() {
    let (mut site, id) = queued();
    site.pass(WINDOW.saturating_sub(INSTANT));
    asked_of(1, &site.operate(&id, temperature()));
    let repetitions = site.pass(WINDOW * 2);
    assert_eq!(repetitions.len(), 4);
    assert!(matches!(
        site.done[..],
        [(_, Err(OperationFailure::Timeout))]
    ));
    assert!(!reaches(&mut site, &id));
    let update = site.update(&id, "", "");
    site.tell(&anyone(1), &update);
    assert!(reaches(&mut site, &id));
}
