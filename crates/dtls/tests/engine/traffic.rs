use std::collections::HashSet;
use std::time::Duration;

use dtls::{CidOffer, ClientOutput, CloseReason, ConnectionId, Output};

use crate::pair::{Direction, Pair, assert_no_nonce_repeats, records};

#[test]
fn connection_ids_appear_as_negotiated_in_both_directions() {
    for (offer, length) in [
        (CidOffer::None, 0),
        (CidOffer::Length(0), 0),
        (CidOffer::Length(5), 5),
        (CidOffer::Exact(vec![0xC1; 32]), 32),
        (CidOffer::Length(255), 32),
    ] {
        let mut pair = Pair::connected(offer.clone());
        pair.assert_traffic_flows();
        let session = pair.session.unwrap();
        let cid = pair.server.cid(session);
        assert_eq!(cid.is_some(), offer != CidOffer::None);
        for (direction, datagram) in &pair.sent {
            let (expected, cid_length) = match direction {
                Direction::ToServer => (cid.is_some(), 8),
                Direction::ToClient => (length > 0, length),
            };
            for (kind, epoch, _, _) in records(datagram, cid_length) {
                assert_eq!(
                    kind == 25,
                    epoch == 1 && expected,
                    "{direction:?} {offer:?}"
                );
            }
        }
        if let Some(cid) = cid {
            assert!(cid.partition() < 128);
            assert_eq!(pair.server.session_of(cid), Some(session));
            let (_, last) = pair
                .sent
                .iter()
                .rfind(|(d, _)| *d == Direction::ToServer)
                .unwrap();
            assert_eq!(ConnectionId::of_datagram(last), Some(cid));
        }
        assert_no_nonce_repeats(&pair.sent, length);
    }
}

#[test]
fn partitions_are_all_used() {
    let mut pair = Pair::with_cid(CidOffer::Length(0));
    let mut partitions = HashSet::new();
    for _ in 0..60 {
        pair.client.start(pair.now);
        pair.drive();
        let cid = pair.server.cid(pair.session.unwrap()).unwrap();
        partitions.insert(cid.partition());
    }
    assert!(partitions.len() > 30, "{}", partitions.len());
    assert_eq!(pair.server.session_count(), 60);
}

#[test]
fn the_address_follows_only_the_newest_authenticated_record() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    let session = pair.session.unwrap();
    let home = pair.address;
    let away = "203.0.113.9:1234".parse().unwrap();

    pair.client.send(b"early").unwrap();
    let Some(ClientOutput::Transmit(mut early)) = pair.client.poll_output() else {
        panic!("nothing sent");
    };
    pair.client.send(b"late").unwrap();
    let Some(ClientOutput::Transmit(late)) = pair.client.poll_output() else {
        panic!("nothing sent");
    };
    let mut forged = late.clone();
    *forged.last_mut().unwrap() ^= 1;
    pair.server.handle_datagram(pair.now, away, &mut forged);
    assert_eq!(pair.server.peer(session), Some(home));
    assert_eq!(pair.server.counters().unauthentic, 1);

    pair.server
        .handle_datagram(pair.now, home, &mut late.clone());
    // Authentic, but not the newest.
    pair.server.handle_datagram(pair.now, away, &mut early);
    assert_eq!(pair.server.peer(session), Some(home));
    // A replay of the newest.
    pair.server
        .handle_datagram(pair.now, away, &mut late.clone());
    assert_eq!(pair.server.peer(session), Some(home));
    assert_eq!(pair.server.counters().replayed, 1);
    pair.drain();
    assert_eq!(pair.received_by_server(), [&b"late"[..], b"early"]);

    pair.address = away;
    pair.assert_traffic_flows();
    assert_eq!(pair.server.peer(session), Some(away));
    assert_eq!(pair.server.counters().peers_moved, 1);
    assert!(pair.server_events.iter().any(|event| matches!(
        event,
        Output::PeerMoved { peer, .. } if *peer == away
    )));
}

#[test]
fn a_session_without_connection_id_stays_at_its_address() {
    let mut pair = Pair::connected(CidOffer::None);
    let home = pair.address;
    pair.address = "203.0.113.9:1234".parse().unwrap();
    pair.client.send(b"lost").unwrap();
    pair.drive();
    assert!(pair.received_by_server().is_empty());
    assert_eq!(pair.server.counters().unknown_session, 1);
    pair.address = home;
    pair.assert_traffic_flows();
}

#[test]
fn messages_arrive_once_over_a_bad_network() {
    let mut pair = Pair::connected(CidOffer::Length(4));
    pair.percent = 20;
    let session = pair.session.unwrap();
    for i in 0..300u32 {
        pair.client.send(&i.to_be_bytes()).unwrap();
        pair.server.send(session, &i.to_be_bytes()).unwrap();
        pair.run_for(Duration::from_millis(100));
    }
    pair.run_for(Duration::from_secs(10));
    for received in [pair.received_by_server(), pair.received_by_client()] {
        let distinct: HashSet<_> = received.iter().collect();
        assert_eq!(distinct.len(), received.len());
        assert!(received.len() > 150, "{}", received.len());
    }
    assert!(pair.server.counters().replayed > 0);
    assert_no_nonce_repeats(&pair.sent, 4);
}

#[test]
fn close_notify_ends_the_session_on_either_side() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    pair.client.close();
    pair.drive();
    assert!(pair.server_events.iter().any(|event| matches!(
        event,
        Output::Closed {
            reason: CloseReason::PeerClosed,
            ..
        }
    )));
    assert_eq!(pair.server.session_count(), 0);

    let mut pair = Pair::connected(CidOffer::None);
    pair.server.close(pair.session.unwrap());
    pair.drive();
    assert!(
        pair.client_events
            .contains(&ClientOutput::Closed(CloseReason::PeerClosed))
    );
    assert_eq!(pair.server.session_count(), 0);
}

#[test]
fn alerts_that_nobody_vouches_for_do_not_end_a_session() {
    for cid in [CidOffer::None, CidOffer::Length(0)] {
        let mut pair = Pair::connected(cid);
        let mut alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
        pair.server
            .handle_datagram(pair.now, pair.address, &mut alert.clone());
        pair.client.handle_datagram(pair.now, &mut alert);
        pair.drive();
        pair.assert_traffic_flows();
        assert_eq!(pair.server.counters().ignored_alerts, 1);
    }
}

#[test]
fn records_of_an_unknown_epoch_are_counted_and_dropped() {
    let mut pair = Pair::connected(CidOffer::None);
    pair.client.send(b"x").unwrap();
    let Some(ClientOutput::Transmit(mut datagram)) = pair.client.poll_output() else {
        panic!("nothing sent");
    };
    datagram[4] = 2;
    pair.server
        .handle_datagram(pair.now, pair.address, &mut datagram);
    assert_eq!(pair.server.counters().unknown_epoch, 1);
    pair.assert_traffic_flows();
}

#[test]
fn the_empty_and_the_longest_message_pass_and_a_longer_one_is_refused() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    let longest = vec![7; 1 << 14];
    pair.client.send(&[]).unwrap();
    pair.client.send(&longest).unwrap();
    assert!(pair.client.send(&vec![7; (1 << 14) + 1]).is_err());
    pair.drive();
    assert_eq!(pair.received_by_server(), [longest]);
}
