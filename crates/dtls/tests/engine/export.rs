use dtls::{CidOffer, ClientOutput, ConnectionId, CookieSecret, Output, Server, SessionExport};

use crate::pair::{Direction, Pair, assert_no_nonce_repeats, server_config};

fn other_server() -> Server {
    Server::new(server_config(), &CookieSecret::new([1; 32]), [0x99; 32])
}

/// Stops the server as a crash would, and feeds another one with what was stored.
fn take_over(pair: &mut Pair, bytes: &[u8], generation: u16) {
    pair.server = other_server();
    pair.session = None;
    let unknown = loop {
        pair.client.send(b"anybody there?").unwrap();
        pair.drive();
        let found = pair
            .server_events
            .iter()
            .position(|event| matches!(event, Output::UnknownCid { .. }));
        if let Some(index) = found {
            break pair.server_events.swap_remove(index);
        }
    };
    let Output::UnknownCid {
        cid,
        peer,
        mut datagram,
    } = unknown
    else {
        unreachable!();
    };
    let export = SessionExport::decode(bytes).unwrap();
    assert_eq!(export.cid(), Some(cid));
    let session = pair.server.import(pair.now, export, generation).unwrap();
    pair.session = Some(session);
    pair.server.handle_datagram(pair.now, peer, &mut datagram);
    pair.drive();
    assert_eq!(pair.received_by_server(), [b"anybody there?"]);
}

#[test]
fn a_session_goes_on_at_another_server_without_a_handshake() {
    for offer in [CidOffer::Length(0), CidOffer::Length(6)] {
        let mut pair = Pair::connected(offer.clone());
        let stored = pair.stored[0].encode();
        for generation in 1..5 {
            pair.assert_traffic_flows();
            pair.address.set_port(41_000 + generation);
            // Always from what was stored before the first record.
            take_over(&mut pair, &stored, generation);
            pair.assert_traffic_flows();
        }
        assert_eq!(pair.server.counters().hello_verify_requests, 0);
        let hellos = pair
            .sent
            .iter()
            .filter(|(d, s)| *d == Direction::ToServer && s[0] == 22);
        assert_eq!(hellos.count(), 3);
        let length = if offer == CidOffer::Length(6) { 6 } else { 0 };
        assert_no_nonce_repeats(&pair.sent, length);
    }
}

#[test]
fn after_an_orderly_hand_over_nothing_can_be_replayed() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    pair.assert_traffic_flows();
    let export = pair.server.release(pair.session.unwrap()).unwrap();
    assert_eq!(pair.server.session_count(), 0);
    let export = SessionExport::decode(&export.encode()).unwrap();
    pair.server = other_server();
    pair.session = Some(pair.server.import(pair.now, export, 1).unwrap());
    let old: Vec<_> = pair.sent.clone();
    for (_, mut datagram) in old
        .into_iter()
        .filter(|(d, s)| *d == Direction::ToServer && s[0] == 25)
    {
        pair.server
            .handle_datagram(pair.now, pair.address, &mut datagram);
    }
    pair.drain();
    assert!(pair.received_by_server().is_empty());
    pair.assert_traffic_flows();
}

#[test]
fn after_a_crash_a_record_can_be_replayed_once_and_no_more() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    let stored = pair.stored[0].clone();
    pair.client.send(b"once").unwrap();
    let Some(ClientOutput::Transmit(record)) = pair.client.poll_output() else {
        panic!("nothing sent");
    };
    pair.server
        .handle_datagram(pair.now, pair.address, &mut record.clone());
    pair.server = other_server();
    pair.server.import(pair.now, stored, 1).unwrap();
    for _ in 0..3 {
        pair.server
            .handle_datagram(pair.now, pair.address, &mut record.clone());
    }
    pair.drain();
    assert_eq!(pair.received_by_server(), [b"once"]);
}

#[test]
fn a_session_without_connection_id_goes_on_too() {
    let mut pair = Pair::connected(CidOffer::None);
    let stored = pair.stored[0].clone();
    pair.server = other_server();
    pair.session = Some(pair.server.import(pair.now, stored, 1).unwrap());
    pair.assert_traffic_flows();
}

#[test]
fn foreign_connection_ids_are_not_asked_about() {
    let mut server = other_server();
    let now = std::time::Instant::now();
    let peer = "192.0.2.1:1".parse().unwrap();
    let mut record = vec![25, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 1];
    record.extend([1, 0, 127, 1, 2, 3, 4, 5, 0, 3, 9, 9, 9]);
    let cid = ConnectionId::of_datagram(&record).unwrap();
    assert_eq!(cid.partition(), 127);
    let mut twice = record.repeat(2);
    server.handle_datagram(now, peer, &mut twice);
    let Some(Output::UnknownCid { datagram, .. }) = server.poll_output() else {
        panic!("not asked");
    };
    assert_eq!(datagram, record.repeat(2));
    assert!(server.poll_output().is_none());

    for (byte, value) in [(11, 2), (13, 128)] {
        let mut foreign = record.clone();
        foreign[byte] = value;
        server.handle_datagram(now, peer, &mut foreign);
        assert!(server.poll_output().is_none());
    }
    assert_eq!(server.counters().foreign_cid, 2);
}

#[test]
fn only_a_record_that_the_client_sealed_authenticates() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    let stored = pair.stored[0].clone();
    let before = pair.sent.len();
    pair.client.send(b"still here").unwrap();
    pair.drive();
    let (_, genuine) = pair.sent[before].clone();
    assert!(stored.authenticates(&genuine));
    // Asked again, it is the same: nothing is marked as seen.
    assert!(stored.authenticates(&genuine));

    // Whoever saw the Connection ID on the wire has no key.
    for index in [8, 10, 14, genuine.len() - 1] {
        let mut forged = genuine.clone();
        forged[index] ^= 1;
        assert!(!stored.authenticates(&forged), "byte {index}");
    }
    for length in 0..genuine.len() {
        assert!(!stored.authenticates(&genuine[..length]), "{length} bytes");
    }

    // After an orderly hand-over the window knows what was seen.
    let handed_over = pair.server.release(pair.session.unwrap()).unwrap();
    assert!(!handed_over.authenticates(&genuine));
}
