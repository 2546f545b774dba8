//! What the engine counts of the exchange with a device, and whom it says it refused.

use std::time::Duration;

use coap::Code;
use lwm2m::{Operation, Path};
use lwm2m_server::Origin;

use crate::site::{Commits, LIST, Site, answer, anyone, asked_of, certified, endpoint};

const READ: Operation = Operation::Read {
    path: Path::Resource(3, 0, 9),
    accept: None,
};

/// The same session from another port, as after a translator forgot the one before.
fn rebound(origin: &Origin, port: u16) -> Origin {
    let mut rebound = origin.clone();
    rebound.address.set_port(port);
    rebound
}

#[test]
fn what_is_repeated_and_what_is_not_answered_is_counted() {
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "meter", "");
    let asked = asked_of(1, &site.operate(&id, READ));
    site.tell(&anyone(1), &answer(&asked, Code::CONTENT_2_05, "80"));
    site.operate(&id, READ);
    site.pass(Duration::from_mins(2));
    let update = site.update(&id, "", "");
    site.tell(&anyone(1), &update);
    site.tell(&anyone(1), &update);

    let contact = site.engine.contact(&endpoint("meter")).unwrap();
    assert_eq!((contact.requests, contact.unanswered), (2, 1));
    // RFC 7252 §4.2: MAX_RETRANSMIT is 4.
    assert_eq!(contact.sent_again, 4);
    // The Register came before there was a device.
    assert_eq!((contact.heard, contact.heard_again), (3, 1));
    assert_eq!((contact.moves, contact.registered_again), (0, 0));
    assert_eq!(site.engine.contact(&endpoint("other")), None);
}

#[test]
fn a_change_of_address_is_counted_with_and_without_a_new_registration() {
    let mut site = Site::new();
    let first = certified(1, "meter");
    let id = site.registered(&first, "meter", "");
    let update = site.update(&id, "", "");
    site.tell(&rebound(&first, 6_000), &update);
    site.tell(&rebound(&first, 6_000), &update);
    site.registered(&rebound(&first, 7_000), "meter", "");

    let contact = site.engine.contact(&endpoint("meter")).unwrap();
    assert_eq!((contact.moves, contact.registered_again), (2, 1));
    let last = contact.last_move.as_deref().unwrap();
    assert_eq!((last.from.port(), last.to.port()), (6_000, 7_000));
}

#[test]
fn an_update_from_another_peer_counts_as_a_change_of_address() {
    let mut site = Site::new();
    let id = site.registered(&anyone(1), "meter", "");
    let update = site.update(&id, "", "");
    assert_eq!(site.ask(&anyone(2), &update).code, Code::CHANGED_2_04);

    let contact = site.engine.contact(&endpoint("meter")).unwrap();
    assert_eq!(contact.moves, 1);
    let last = contact.last_move.as_deref().unwrap();
    assert_eq!((last.from, last.to), (anyone(1).address, anyone(2).address));
}

#[test]
fn a_refused_registration_is_told_under_both_names() {
    let mut site = Site::new();
    let register = site.register("ep=lock&lt=600&lwm2m=1.1", LIST);
    let refused = site.ask(&certified(1, "meter"), &register);
    assert_eq!(refused.code, Code::FORBIDDEN_4_03);
    let reason = "the endpoint name is not the one of the credential";
    let told: Vec<_> = site.refused.drain(..).collect();
    assert_eq!(
        told,
        [
            (endpoint("lock"), reason.to_owned()),
            (endpoint("meter"), reason.to_owned())
        ]
    );
    let register = site.register("ep=lock&lt=600&lwm2m=3.0", LIST);
    site.ask(&anyone(1), &register);
    assert_eq!(site.refused.len(), 1);
    // Overload is nothing that is wrong with the device.
    site.commits = Commits::Fail;
    let register = site.register("ep=lock&lt=600&lwm2m=1.1", LIST);
    site.ask(&anyone(1), &register);
    assert_eq!(site.refused.len(), 1);
}

#[test]
fn a_device_that_another_worker_had_is_known_to_have_moved() {
    let (mut former, mut site) = (Site::new(), Site::new());
    former.registered(&anyone(1), "meter", "");
    // Both have the same state tier.
    site.tables = former.tables;
    site.registered(&anyone(2), "meter", "");
    let contact = site.engine.contact(&endpoint("meter")).unwrap();
    assert_eq!((contact.moves, contact.registered_again), (1, 0));
    let last = contact.last_move.as_deref().unwrap();
    assert_eq!((last.from, last.to), (anyone(1).address, anyone(2).address));
}
