use std::time::Duration;

use dtls::{
    CidOffer, ClientConfig, ClientCredentials, ClientOutput, CloseReason, Config, CookieSecret,
    HandshakeFailure, MasterSecretKind, Output, Psk, Retransmission, SendError, StoreOutcome,
};

use crate::pair::{
    Answers, Direction, IDENTITY, Pair, assert_no_nonce_repeats, client_config, psk, psk_identity,
    records, server_config,
};

pub(crate) fn client_failure(pair: &Pair) -> Option<HandshakeFailure> {
    pair.client_events.iter().find_map(|event| match event {
        ClientOutput::Failed(reason) => Some(*reason),
        _ => None,
    })
}

pub(crate) fn server_failure(pair: &Pair) -> Option<HandshakeFailure> {
    pair.server_events.iter().find_map(|event| match event {
        Output::HandshakeFailed { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn either_master_secret_leads_to_traffic_both_ways() {
    for master_secret in [MasterSecretKind::Extended, MasterSecretKind::Classic] {
        let config = ClientConfig {
            master_secret,
            ..client_config(CidOffer::Length(0))
        };
        let mut pair = Pair::new(server_config(), config, 3);
        pair.client.start(pair.now);
        pair.drive();
        let identity = pair.server.identity(pair.session.unwrap());
        assert_eq!(identity, Some(&psk_identity()));
        pair.assert_traffic_flows();
        assert_eq!(pair.server.handshake_count(), 0);
        assert_eq!(pair.server.counters().handshakes_completed, 1);
    }
}

#[test]
fn handshakes_survive_loss_repetition_and_reordering() {
    for seed in 0..60u8 {
        let percent = u64::from(seed % 7) * 5;
        let cid = match seed % 3 {
            0 => CidOffer::None,
            1 => CidOffer::Length(0),
            _ => CidOffer::Length(7),
        };
        let retransmission = Retransmission {
            attempts: 20,
            longest: Duration::from_secs(4),
            ..Retransmission::default()
        };
        let mtu = [256, 576, 1200][usize::from(seed) % 3];
        let identity = vec![b'i'; 128];
        let client = ClientConfig {
            credentials: ClientCredentials::Psk {
                identity: identity.clone(),
                key: psk(),
            },
            mtu,
            retransmission,
            ..client_config(cid.clone())
        };
        let server = Config {
            mtu,
            retransmission,
            handshake_timeout: Duration::from_mins(10),
            ..server_config()
        };
        let mut pair = Pair::new(server, client, seed);
        pair.keys.insert(identity, psk());
        pair.percent = percent;
        pair.client.start(pair.now);
        let done = pair.run_until(Duration::from_mins(5), |pair| {
            pair.client.is_connected() && pair.session.is_some()
        });
        assert!(
            done,
            "seed {seed}, {percent} %, {:?}",
            pair.server.counters()
        );
        assert!(
            pair.sent.iter().all(|(_, datagram)| datagram.len() <= mtu),
            "seed {seed}"
        );
        pair.percent = 0;
        pair.run_for(Duration::from_secs(20));
        pair.assert_traffic_flows();
        let length = if cid == CidOffer::Length(7) { 7 } else { 0 };
        assert_no_nonce_repeats(&pair.sent, length);
    }
}

#[test]
fn nothing_is_kept_before_a_valid_cookie_and_answers_are_smaller_than_questions() {
    let mut pair = Pair::with_cid(CidOffer::Length(0));
    pair.client.start(pair.now);
    let Some(ClientOutput::Transmit(hello)) = pair.client.poll_output() else {
        panic!("no hello");
    };
    for port in 1..1000 {
        let peer = format!("198.51.100.1:{port}").parse().unwrap();
        let mut copy = hello.clone();
        pair.server.handle_datagram(pair.now, peer, &mut copy);
        let Some(Output::Transmit { datagram, .. }) = pair.server.poll_output() else {
            panic!("no answer");
        };
        assert!(datagram.len() < hello.len());
        assert!(pair.server.poll_output().is_none());
    }
    // Many hellos in one datagram draw no more than they weigh.
    let mut many = hello.repeat(30);
    pair.server
        .handle_datagram(pair.now, pair.address, &mut many);
    let mut answered = 0;
    while let Some(Output::Transmit { datagram, .. }) = pair.server.poll_output() {
        answered += datagram.len();
    }
    assert!(answered < many.len());
    assert_eq!(pair.server.handshake_count(), 0);
    assert_eq!(pair.server.poll_timeout(), None);
}

#[test]
fn a_cookie_is_good_for_one_address_and_two_secrets() {
    let mut pair = Pair::with_cid(CidOffer::Length(0));
    pair.client.start(pair.now);
    pair.drive();
    let hello = pair
        .sent
        .iter()
        .filter(|(direction, _)| *direction == Direction::ToServer)
        .nth(1)
        .map(|(_, datagram)| datagram.clone())
        .unwrap();
    let started = |pair: &mut Pair, address: &str| {
        let before = pair.server.counters().handshakes_started;
        let mut copy = hello.clone();
        let address = address.parse().unwrap();
        pair.server.handle_datagram(pair.now, address, &mut copy);
        while pair.server.poll_output().is_some() {}
        pair.server.counters().handshakes_started - before
    };
    assert_eq!(started(&mut pair, "192.0.2.7:40001"), 0);
    assert_eq!(started(&mut pair, "192.0.2.8:40000"), 0);
    pair.server
        .rotate_cookie_secret(&CookieSecret::new([0x77; 32]));
    assert_eq!(started(&mut pair, "192.0.2.7:40000"), 1);
    pair.server
        .rotate_cookie_secret(&CookieSecret::new([0x78; 32]));
    pair.run_for(Duration::from_mins(2));
    assert_eq!(pair.server.handshake_count(), 0);
    assert_eq!(started(&mut pair, "192.0.2.7:40000"), 0);
}

#[test]
fn an_unknown_identity_and_a_wrong_key_look_the_same_to_the_client() {
    let sizes = |pair: &Pair| -> Vec<(Direction, usize)> {
        let sent = pair.sent.iter();
        sent.map(|(direction, datagram)| (*direction, datagram.len()))
            .collect()
    };
    let mut traces = Vec::new();
    for unknown in [true, false] {
        let mut pair = Pair::with_cid(CidOffer::Length(0));
        if unknown {
            pair.keys.clear();
        } else {
            let wrong = Psk::new(b"another 16 bytes").unwrap();
            pair.keys.insert(IDENTITY.to_vec(), wrong);
        }
        pair.client.start(pair.now);
        assert!(pair.run_until(Duration::from_mins(1), |pair| {
            client_failure(pair).is_some()
        }));
        assert_eq!(
            client_failure(&pair).unwrap().to_string(),
            "peer sent the fatal alert decrypt_error"
        );
        assert_eq!(server_failure(&pair), Some(HandshakeFailure::Undecryptable));
        assert_eq!(pair.server.handshake_count(), 0);
        assert!(pair.stored.is_empty());
        traces.push(sizes(&pair));
    }
    assert_eq!(traces[0], traces[1]);
}

#[test]
fn the_client_is_told_nothing_before_the_session_is_stored() {
    let mut pair = Pair::with_cid(CidOffer::Length(0));
    pair.answers = Answers::ByTheTest;
    pair.client.start(pair.now);
    // The client repeats its flight meanwhile.
    pair.run_for(Duration::from_secs(4));
    let [(handshake, identity)] = &pair.asked[..] else {
        panic!("asked {} times", pair.asked.len());
    };
    assert_eq!(identity, IDENTITY);
    assert!(pair.server.is_handshaking(*handshake));
    pair.server.provide_psk(pair.now, *handshake, Some(&psk()));
    pair.run_for(Duration::from_secs(8));
    assert_eq!(pair.store.len(), 1);
    assert_eq!(pair.stored[0].generation, 0);
    assert!(pair.session.is_none() && !pair.client.is_connected());
    let finished = |pair: &Pair| {
        let to_client = pair.sent.iter().filter(|(d, _)| *d == Direction::ToClient);
        to_client
            .flat_map(|(_, datagram)| records(datagram, 0))
            .filter(|r| r.1 == 1)
            .count()
    };
    assert_eq!(finished(&pair), 0);
    pair.server
        .session_stored(pair.now, pair.store[0], StoreOutcome::Stored);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.client.is_connected());
    pair.run_for(Duration::from_secs(20));
    assert_eq!(finished(&pair), 1);
    pair.assert_traffic_flows();
    // Late answers to a handshake that is over have no effect.
    pair.server
        .session_stored(pair.now, pair.store[0], StoreOutcome::Refused);
    let handshake = pair.asked[0].0;
    assert!(!pair.server.is_handshaking(handshake));
    pair.server.provide_psk(pair.now, handshake, None);
    pair.assert_traffic_flows();
}

#[test]
fn a_refused_store_ends_the_handshake() {
    let mut pair = Pair::with_cid(CidOffer::Length(0));
    pair.answers = Answers::ByTheTest;
    pair.client.start(pair.now);
    pair.drive();
    pair.server
        .provide_psk(pair.now, pair.asked[0].0, Some(&psk()));
    pair.drive();
    pair.server
        .session_stored(pair.now, pair.store[0], StoreOutcome::Refused);
    pair.drive();
    assert_eq!(server_failure(&pair), Some(HandshakeFailure::StoreRefused));
    assert_eq!(
        client_failure(&pair).unwrap().to_string(),
        "peer sent the fatal alert internal_error"
    );
    assert_eq!(pair.server.session_count(), 0);
}

#[test]
fn questions_that_nobody_answers_time_out() {
    let mut pair = Pair::with_cid(CidOffer::Length(0));
    pair.answers = Answers::ByTheTest;
    pair.client.start(pair.now);
    pair.run_for(Duration::from_secs(90));
    assert_eq!(server_failure(&pair), Some(HandshakeFailure::TimedOut));
    assert_eq!(client_failure(&pair), Some(HandshakeFailure::TimedOut));
    assert_eq!(pair.server.handshake_count(), 0);
    assert_eq!(pair.server.poll_timeout(), None);
}

#[test]
fn a_lost_final_flight_is_repeated_on_request() {
    let mut pair = Pair::with_cid(CidOffer::Length(3));
    let mut lost = 0;
    pair.tap = Some(Box::new(move |direction, _, datagram| {
        // ChangeCipherSpec begins the server's last flight.
        if direction == Direction::ToClient && datagram[0] == 20 && lost < 2 {
            lost += 1;
            datagram.clear();
        }
    }));
    pair.client.start(pair.now);
    assert!(pair.run_until(Duration::from_secs(30), |pair| pair.client.is_connected()));
    assert_eq!(pair.server.counters().retransmissions, 2);
    pair.tap = None;
    pair.assert_traffic_flows();
}

#[test]
fn a_new_handshake_does_not_touch_the_old_session_before_it_is_complete() {
    let mut pair = Pair::connected(CidOffer::None);
    let old = pair.session.unwrap();
    let mut newcomer = Pair::new(server_config(), client_config(CidOffer::None), 9);
    std::mem::swap(&mut pair.client, &mut newcomer.client);
    let mut old_client = newcomer.client;
    pair.answers = Answers::ByTheTest;
    pair.client.start(pair.now);
    pair.drive();
    assert_eq!(pair.server.handshake_count(), 1);

    // The old client still talks in the middle of the new handshake.
    for stage in 0..2 {
        old_client.send(b"still here").unwrap();
        while let Some(ClientOutput::Transmit(mut datagram)) = old_client.poll_output() {
            pair.server
                .handle_datagram(pair.now, pair.address, &mut datagram);
        }
        pair.drain();
        assert_eq!(pair.received_by_server(), [b"still here"]);
        if stage == 0 {
            let handshake = pair.asked.last().unwrap().0;
            pair.server.provide_psk(pair.now, handshake, Some(&psk()));
            pair.drive();
            assert_eq!(pair.server.peer(old), Some(pair.address));
        }
    }

    let handshake = *pair.store.last().unwrap();
    pair.server
        .session_stored(pair.now, handshake, StoreOutcome::Stored);
    pair.drive();
    assert_ne!(pair.session, Some(old));
    assert!(pair.server_events.iter().any(|event| matches!(
        event,
        Output::Closed { session, reason: CloseReason::Superseded } if *session == old
    )));
    assert_eq!(pair.server.session_count(), 1);
    pair.assert_traffic_flows();
}

#[test]
fn limits_hold_for_a_source_and_for_all() {
    for (all, each, expected) in [(5, 100, 5), (100, 3, 3)] {
        let config = Config {
            max_handshakes: all,
            max_handshakes_per_source: each,
            ..server_config()
        };
        let mut pair = Pair::new(config, client_config(CidOffer::Length(0)), 4);
        pair.answers = Answers::ByTheTest;
        for port in 0..10 {
            pair.address.set_port(50_000 + port);
            let client = client_config(CidOffer::Length(0));
            pair.client = dtls::Client::new(client, [port as u8; 32]);
            pair.client.start(pair.now);
            pair.drive();
        }
        assert_eq!(pair.server.handshake_count(), expected);
        assert_eq!(
            pair.server.counters().refused_by_limit,
            10 - expected as u64
        );
        pair.run_for(Duration::from_mins(2));
        assert_eq!(pair.server.handshake_count(), 0);
    }
}

/// RFC 4279 §5.3.
#[test]
fn a_key_of_any_length_up_to_64_bytes_and_an_identity_of_128_lead_to_traffic() {
    for length in [1, 16, 64] {
        let key = Psk::new(&vec![0x5A; length]).unwrap();
        let identity = vec![b'i'; 128];
        let client = ClientConfig::new(identity.clone(), key.clone());
        let mut pair = Pair::new(server_config(), client, 1);
        pair.keys.insert(identity, key);
        pair.client.start(pair.now);
        pair.drive();
        assert!(pair.client.is_connected(), "{length} bytes");
        pair.assert_traffic_flows();
    }
    assert!(Psk::new(&[0; 65]).is_err() && Psk::new(&[]).is_err());
}

/// Nothing but a client's hello begins a handshake.
#[test]
fn a_server_without_a_session_sends_nothing_and_begins_no_handshake() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    let session = pair.session.unwrap();
    pair.client.close();
    pair.drive();
    let sent = pair.sent.len();
    assert_eq!(
        pair.server.send(session, b"read /3/0"),
        Err(SendError::NoSession)
    );
    pair.run_for(Duration::from_hours(1));
    assert_eq!((pair.sent.len(), pair.server.handshake_count()), (sent, 0));
    // The client comes.
    pair.client.start(pair.now);
    pair.drive();
    pair.assert_traffic_flows();
}

#[test]
fn an_identity_that_is_too_long_is_refused() {
    let mut pair = Pair::with_cid(CidOffer::Length(0));
    let config = ClientConfig::new(vec![0; 129], psk());
    pair.client = dtls::Client::new(config, [1; 32]);
    pair.client.start(pair.now);
    pair.drive();
    assert_eq!(
        server_failure(&pair),
        Some(HandshakeFailure::IdentityTooLong)
    );
}
