//! Sessions that are resumed by their id.

use std::time::Duration;

use dtls::{
    CidOffer, Client, ClientConfig, ClientOutput, CloseReason, Config, CookieSecret,
    HandshakeFailure, HandshakeKind, MasterSecretKind, Output, Psk, ResumptionExport, ResumptionId,
    Retransmission, Server, SessionOrigin, StoreOutcome,
};

use crate::fixtures::{self, certificate_client};
use crate::handshake::{client_failure, server_failure};
use crate::pair::{
    Answers, Direction, Pair, assert_no_nonce_repeats, client_config, psk, psk_identity, records,
    server_config,
};
use crate::suites::{assert_identity, clients};

/// Puts a client in the place of the pair's that asks for the session of the one before.
fn return_as(pair: &mut Pair, config: ClientConfig, seed: u8) {
    let resumption = pair.client.resumption().cloned();
    assert!(resumption.is_some(), "nothing to resume");
    pair.client = Client::new(config.with_resumption(resumption), [seed; 32]);
    pair.session = None;
    pair.sent.clear();
    pair.client_events.clear();
    pair.server_events.clear();
}

/// A server that knows nothing but what the state tier does.
fn another_server(pair: &mut Pair, config: Config) {
    pair.server = Server::new(config, &CookieSecret::new([1; 32]), [0x77; 32]);
    pair.server.set_credentials(fixtures::server_credentials());
}

/// A client that has been connected once and is to come back.
fn absent(cid: CidOffer) -> Pair {
    let mut pair = Pair::connected(cid.clone());
    return_as(&mut pair, client_config(cid), 0x42);
    pair
}

fn connected_how(pair: &Pair) -> Option<HandshakeKind> {
    pair.client_events.iter().find_map(|event| match event {
        ClientOutput::Connected { how, .. } => Some(*how),
        _ => None,
    })
}

fn issued(pair: &Pair) -> ResumptionId {
    match &pair.origins[0] {
        SessionOrigin::New {
            resumption: Some(resumption),
        } => resumption.id,
        other => panic!("{other:?}"),
    }
}

/// Lets the first datagrams of the client get lost that bring its Finished.
fn lose_finished(pair: &mut Pair, mut times: u32) {
    pair.tap = Some(Box::new(move |direction, _, datagram| {
        if direction == Direction::ToServer && datagram.first() == Some(&20) && times > 0 {
            times -= 1;
            datagram.clear();
        }
    }));
}

#[test]
fn every_suite_resumes_at_another_server_with_and_without_connection_ids() {
    for client in clients() {
        for cid in [CidOffer::None, CidOffer::Length(0), CidOffer::Length(5)] {
            for master_secret in [MasterSecretKind::Extended, MasterSecretKind::Classic] {
                let config = ClientConfig {
                    cid: cid.clone(),
                    master_secret,
                    ..client.clone()
                };
                let mut pair = Pair::connected_as(config.clone());
                let id = issued(&pair);
                pair.assert_traffic_flows();
                let questions = pair.asked.len() + pair.presented.len();
                // The same id serves any number of times.
                for seed in 1..4 {
                    another_server(&mut pair, server_config());
                    return_as(&mut pair, config.clone(), seed);
                    pair.client.start(pair.now);
                    pair.drive();
                    assert_eq!(connected_how(&pair), Some(HandshakeKind::Abbreviated));
                    assert_eq!(pair.origins.last(), Some(&SessionOrigin::Resumed(id)));
                    assert_eq!(pair.wanted.last().map(|wanted| wanted.1), Some(id));
                    let session = pair.session.unwrap();
                    assert_identity(&client, pair.server.identity(session).unwrap());
                    let partition = pair.server.cid(session).map(dtls::ConnectionId::partition);
                    assert_eq!(partition.is_some(), cid != CidOffer::None);
                    assert!(partition.is_none_or(|partition| partition == id.partition()));
                    assert_eq!(pair.stored.last().unwrap().suite, client.suites[0]);
                    pair.assert_traffic_flows();
                    let length = if cid == CidOffer::Length(5) { 5 } else { 0 };
                    assert_no_nonce_repeats(&pair.sent, length);
                    let counters = pair.server.counters();
                    assert_eq!(counters.handshakes_completed, 1);
                    assert_eq!(counters.handshakes_resumed, 1);
                }
                // Nobody was asked for a key or shown one again.
                assert_eq!(pair.asked.len() + pair.presented.len(), questions);
            }
        }
    }
}

#[test]
fn resumption_survives_loss_repetition_and_reordering() {
    let retransmission = Retransmission {
        attempts: 30,
        longest: Duration::from_secs(4),
        ..Retransmission::default()
    };
    for client in clients() {
        for seed in 0..20u8 {
            let mtu = [256, 576, 1200][usize::from(seed) % 3];
            let config = ClientConfig {
                mtu,
                retransmission,
                cid: [CidOffer::None, CidOffer::Length(0), CidOffer::Length(7)]
                    [usize::from(seed) % 3]
                    .clone(),
                ..client.clone()
            };
            let server = Config {
                mtu,
                retransmission,
                handshake_timeout: Duration::from_mins(20),
                ..server_config()
            };
            let mut pair = Pair::connected_as(config.clone());
            another_server(&mut pair, server);
            return_as(&mut pair, config, seed);
            pair.percent = u64::from(seed % 7) * 5;
            pair.client.start(pair.now);
            let done = pair.run_until(Duration::from_mins(10), |pair| {
                pair.client.is_connected() && pair.session.is_some()
            });
            let context = format!("{:?} seed {seed} mtu {mtu}", client.suites);
            let counters = *pair.server.counters();
            assert!(done, "{context} {counters:?}");
            assert_eq!(
                connected_how(&pair),
                Some(HandshakeKind::Abbreviated),
                "{context}"
            );
            assert_eq!(counters.handshakes_resumed, 1, "{context}");
            let longest = pair.sent.iter().map(|(_, datagram)| datagram.len()).max();
            assert!(longest <= Some(mtu), "{context} {longest:?}");
            pair.percent = 0;
            pair.run_for(Duration::from_secs(20));
            pair.assert_traffic_flows();
            // A hello that comes late begins another handshake, with keys and numbers of its own.
            if pair.server.counters().handshakes_started > 1 {
                pair.sent.retain(|(to, _)| *to == Direction::ToServer);
            }
            assert_no_nonce_repeats(&pair.sent, if seed % 3 == 2 { 7 } else { 0 });
        }
    }
}

#[test]
fn what_cannot_be_resumed_becomes_a_full_handshake() {
    type Change = fn(&mut Pair);
    let changes: [(&str, Change); 4] = [
        ("forgotten", |pair| pair.resumptions.clear()),
        ("of another suite", |pair| {
            let suites = dtls::CipherSuite::ALL[1..].to_vec();
            let config = Config {
                suites,
                ..server_config()
            };
            another_server(pair, config);
        }),
        ("of another id", |pair| {
            for bytes in pair.resumptions.values_mut() {
                bytes[20] ^= 1;
            }
        }),
        // RFC 7627 §5.3: the hello offers more than the session has.
        ("without extended master secret", |pair| {
            for bytes in pair.resumptions.values_mut() {
                assert_eq!(bytes[35], 1);
                bytes[35] = 0;
            }
        }),
    ];
    for (what, change) in changes {
        let mut pair = absent(CidOffer::Length(0));
        let before = pair.asked.len();
        change(&mut pair);
        pair.client.start(pair.now);
        pair.drive();
        assert_eq!(connected_how(&pair), Some(HandshakeKind::Full), "{what}");
        assert_eq!(pair.wanted.len(), 1, "{what}");
        // One handshake with one name.
        let [(handshake, identity)] = &pair.asked[before..] else {
            panic!("{what}: asked {} times", pair.asked.len());
        };
        assert_eq!(*identity, crate::pair::IDENTITY);
        assert_eq!(*handshake, pair.wanted[0].0, "{what}");
        assert_eq!(pair.store.last(), Some(handshake), "{what}");
        assert_eq!(pair.server.counters().handshakes_resumed, 0, "{what}");
        pair.assert_traffic_flows();
        // The new session can be resumed in its turn.
        another_server(&mut pair, server_config());
        return_as(&mut pair, client_config(CidOffer::Length(0)), 5);
        pair.client.start(pair.now);
        pair.drive();
        assert_eq!(connected_how(&pair), Some(HandshakeKind::Abbreviated));
    }
}

#[test]
fn a_session_of_another_server_name_is_not_resumed() {
    let name = b"server.example";
    // Host names do not differ in case.
    for (stored, how) in [
        (b"SERVER.example", HandshakeKind::Abbreviated),
        (b"tenant.example", HandshakeKind::Full),
    ] {
        let config = certificate_client("server.example");
        let mut pair = Pair::connected_as(config.clone());
        return_as(&mut pair, config, 7);
        for bytes in pair.resumptions.values_mut() {
            let mut windows = bytes.windows(name.len());
            let at = windows.position(|window| window == name).unwrap();
            bytes[at..at + name.len()].copy_from_slice(stored);
        }
        pair.client.start(pair.now);
        pair.drive();
        assert_eq!(connected_how(&pair), Some(how));
        pair.assert_traffic_flows();
    }
}

#[test]
fn ids_that_this_cluster_cannot_have_issued_are_not_looked_up() {
    let off = Config {
        resumption: false,
        ..server_config()
    };
    let few = Config {
        partitions: 1.try_into().unwrap(),
        ..server_config()
    };
    for config in [off, few] {
        let is_on = config.resumption;
        let mut pair = absent(CidOffer::None);
        assert!(issued(&pair).partition() > 0);
        another_server(&mut pair, config);
        pair.client.start(pair.now);
        pair.drive();
        assert_eq!(connected_how(&pair), Some(HandshakeKind::Full));
        assert!(pair.wanted.is_empty());
        assert_eq!(pair.client.resumption().is_some(), is_on);
        let off = SessionOrigin::New { resumption: None };
        assert_eq!(pair.origins.last() == Some(&off), !is_on);
    }
}

#[test]
fn a_hello_without_extended_master_secret_does_not_resume_a_session_that_has_it() {
    let mut pair = absent(CidOffer::Length(0));
    pair.tap = Some(Box::new(|direction, _, datagram| {
        // Turns the extension in the client's hellos into one that nobody knows.
        let at = datagram.windows(4).rposition(|part| part == [0, 23, 0, 0]);
        if let (Direction::ToServer, Some(at)) = (direction, at) {
            datagram[at] = 0xEE;
        }
    }));
    pair.client.start(pair.now);
    pair.drive();
    assert_eq!(
        server_failure(&pair),
        Some(HandshakeFailure::MissingExtendedMasterSecret)
    );
    let told = client_failure(&pair).unwrap().to_string();
    assert_eq!(told, "peer sent the fatal alert handshake_failure");
    assert_eq!(pair.store.len(), 1);
    assert_eq!(pair.server.handshake_count(), 0);
}

#[test]
fn a_client_asks_only_for_what_fits_it() {
    let changes: [fn(ClientConfig) -> ClientConfig; 3] = [
        |config| ClientConfig {
            server_name: Some("server.example".to_owned()),
            ..config
        },
        |config| ClientConfig {
            master_secret: MasterSecretKind::Classic,
            ..config
        },
        |config| ClientConfig {
            suites: dtls::CipherSuite::ALL[1..].to_vec(),
            ..config
        },
    ];
    for change in changes {
        let mut pair = Pair::connected(CidOffer::None);
        return_as(&mut pair, change(client_config(CidOffer::None)), 3);
        pair.client.start(pair.now);
        pair.drive();
        assert_eq!(connected_how(&pair), Some(HandshakeKind::Full));
        assert!(pair.wanted.is_empty());
    }
}

#[test]
fn nothing_is_stored_for_somebody_who_knows_the_id_and_not_the_secret() {
    let mut pair = Pair::connected(CidOffer::Length(0));
    let victim = pair.session.unwrap();
    // The thief's secret is not the one that the state tier has.
    for bytes in pair.resumptions.values_mut() {
        bytes[40] ^= 1;
    }
    let mut thief = Pair::connected(CidOffer::Length(0));
    std::mem::swap(&mut pair.client, &mut thief.client);
    let resumption = pair.client.resumption().cloned();
    let config = client_config(CidOffer::Length(0)).with_resumption(resumption);
    pair.client = Client::new(config, [0x66; 32]);
    pair.address.set_port(666);
    pair.client.start(pair.now);
    pair.drive();
    assert_eq!((pair.wanted.len(), pair.server.handshake_count()), (1, 1));
    // What it makes up is not believed, nor does it end the wait.
    let (_, flight) = pair.sent.last().unwrap();
    assert_eq!(records(flight, 0).len(), 3);
    for sequence in 0..20 {
        let mut forged = vec![22, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, sequence, 0, 40];
        forged.extend([sequence; 40]);
        let peer = pair.address;
        pair.server.handle_datagram(pair.now, peer, &mut forged);
    }
    pair.run_for(Duration::from_mins(3));
    assert_eq!(server_failure(&pair), Some(HandshakeFailure::TimedOut));
    assert_eq!(client_failure(&pair), Some(HandshakeFailure::TimedOut));
    assert_eq!(pair.store.len(), 1);
    assert_eq!(pair.server.session_count(), 1);
    // Its owner is not disturbed.
    assert_eq!(pair.server.identity(victim), Some(&psk_identity()));
    pair.client = thief.client;
    pair.address.set_port(40_000);
    pair.session = Some(victim);
    pair.assert_traffic_flows();
}

#[test]
fn nothing_is_stored_before_the_finished_of_the_client() {
    let mut pair = absent(CidOffer::Length(0));
    lose_finished(&mut pair, u32::MAX);
    pair.client.start(pair.now);
    pair.run_for(Duration::from_mins(2));
    // The server has repeated its Finished, and the client has answered each time.
    assert!(pair.client.is_connected());
    assert!(pair.client.counters().retransmissions >= 5);
    assert_no_nonce_repeats(&pair.sent, 0);
    assert_eq!(pair.store.len(), 1);
    assert_eq!(server_failure(&pair), Some(HandshakeFailure::TimedOut));
    assert_eq!(pair.server.handshake_count(), 0);
}

#[test]
fn what_is_said_behind_the_finished_waits_for_the_store() {
    for cid in [CidOffer::None, CidOffer::Length(0), CidOffer::Length(3)] {
        for lost in 0..3 {
            let mut pair = absent(cid.clone());
            lose_finished(&mut pair, lost);
            pair.answers = Answers::ByTheTest;
            pair.client.start(pair.now);
            pair.run_for(Duration::from_millis(100));
            let (handshake, id) = pair.wanted[0];
            assert!(pair.resume(handshake, id));
            let connected = Duration::from_millis(100);
            assert!(pair.run_until(connected, |pair| pair.client.is_connected()));
            for message in [&b"one"[..], b"two", b"three"] {
                pair.client.send(message).unwrap();
            }
            pair.run_for(Duration::from_secs(8));
            assert!(pair.server_events.is_empty(), "{:?}", pair.server_events);
            pair.client.send(b"four").unwrap();
            pair.run_for(Duration::from_secs(1));
            let handshake = *pair.store.last().unwrap();
            assert_eq!(pair.store.len(), 2);
            pair.server
                .session_stored(pair.now, handshake, StoreOutcome::Stored);
            pair.drain();
            assert!(pair.server_events.iter().any(|event| matches!(
                event,
                Output::Connected {
                    how: HandshakeKind::Abbreviated,
                    ..
                }
            )));
            let said = [&b"one"[..], b"two", b"three", b"four"];
            assert_eq!(pair.received_by_server(), said, "{cid:?} {lost}");
            pair.assert_traffic_flows();
            pair.run_for(Duration::from_secs(60));
            assert_eq!(pair.server.handshake_count(), 0);
            let length = if cid == CidOffer::Length(3) { 3 } else { 0 };
            assert_no_nonce_repeats(&pair.sent, length);
        }
    }
}

/// A client that is connected while the server waits for its session to be stored.
fn storing() -> Pair {
    let mut pair = absent(CidOffer::Length(0));
    pair.answers = Answers::ByTheTest;
    pair.client.start(pair.now);
    pair.drive();
    let (handshake, id) = pair.wanted[0];
    assert!(pair.resume(handshake, id));
    pair.drive();
    assert!(pair.client.is_connected());
    assert_eq!(pair.store.len(), 2);
    pair
}

#[test]
fn what_waits_for_the_store_is_bounded() {
    for (length, expected) in [(10, 8), (3000, 2), (16_000, 0)] {
        let mut pair = storing();
        for _ in 0..30 {
            pair.client.send(&vec![0x5A; length]).unwrap();
        }
        pair.drive();
        let handshake = pair.store[1];
        pair.server
            .session_stored(pair.now, handshake, StoreOutcome::Stored);
        pair.drain();
        assert_eq!(pair.received_by_server().len(), expected, "{length}");
        pair.assert_traffic_flows();
    }
}

#[test]
fn a_client_that_closes_during_the_store_is_connected_and_closed() {
    let mut pair = storing();
    pair.client.send(b"bye").unwrap();
    pair.client.close();
    pair.drive();
    let handshake = pair.store[1];
    pair.server
        .session_stored(pair.now, handshake, StoreOutcome::Stored);
    pair.drive();
    let [
        Output::Connected { .. },
        Output::Plaintext { data, .. },
        Output::Closed { reason, .. },
    ] = &pair.server_events[..]
    else {
        panic!("{:?}", pair.server_events);
    };
    assert_eq!(data, b"bye");
    assert_eq!(*reason, CloseReason::PeerClosed);
    assert_eq!(pair.server.session_count(), 1);
}

#[test]
fn a_refused_store_tells_the_client_under_its_keys() {
    let mut pair = storing();
    let handshake = pair.store[1];
    pair.server
        .session_stored(pair.now, handshake, StoreOutcome::Refused);
    pair.drive();
    assert_eq!(server_failure(&pair), Some(HandshakeFailure::StoreRefused));
    let closed = pair.client_events.iter().find_map(|event| match event {
        ClientOutput::Closed(reason) => Some(reason.to_string()),
        _ => None,
    });
    assert_eq!(
        closed.as_deref(),
        Some("peer sent the fatal alert internal_error")
    );
    // RFC 5246 §7.2.2: it is not resumed again.
    assert_eq!(pair.client.resumption(), None);
    assert_no_nonce_repeats(&pair.sent, 0);
}

#[test]
fn a_hello_is_asked_about_once_and_given_up_without_an_answer() {
    let mut pair = absent(CidOffer::None);
    pair.answers = Answers::ByTheTest;
    pair.client.start(pair.now);
    pair.run_for(Duration::from_secs(8));
    assert_eq!(pair.wanted.len(), 1);
    assert_eq!(pair.server.handshake_count(), 1);
    pair.run_for(Duration::from_mins(2));
    assert_eq!(server_failure(&pair), Some(HandshakeFailure::TimedOut));
    assert_eq!(client_failure(&pair), Some(HandshakeFailure::TimedOut));
    assert_eq!(pair.server.handshake_count(), 0);
    assert_eq!(
        pair.server.poll_timeout().is_some(),
        pair.server.session_count() > 0
    );
    // Too late.
    let (handshake, id) = pair.wanted[0];
    assert!(!pair.resume(handshake, id));
    pair.drain();
    assert_eq!(pair.server.handshake_count(), 0);
}

#[test]
fn an_answer_counts_once_and_only_for_its_question() {
    let mut pair = absent(CidOffer::None);
    pair.answers = Answers::ByTheTest;
    pair.client.start(pair.now);
    pair.drive();
    let (handshake, id) = pair.wanted[0];
    assert!(pair.resume(handshake, id));
    assert!(!pair.resume(handshake, id));
    pair.drive();
    pair.server
        .session_stored(pair.now, pair.store[1], StoreOutcome::Stored);
    pair.drive();
    pair.assert_traffic_flows();
}

#[test]
fn alerts_and_junk_of_a_stranger_do_not_end_a_resumption() {
    let mut pair = absent(CidOffer::None);
    lose_finished(&mut pair, 1);
    pair.client.start(pair.now);
    pair.drive();
    assert!(pair.client.is_connected());
    let alert = vec![21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    let mut message = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 98, 0, 13];
    message.extend([16, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 0]);
    for mut junk in [alert, message] {
        let peer = pair.address;
        pair.server.handle_datagram(pair.now, peer, &mut junk);
    }
    let connected = pair.run_until(Duration::from_secs(3), |pair| pair.session.is_some());
    assert!(connected, "{:?}", pair.server_events);
    pair.assert_traffic_flows();
}

#[test]
fn a_long_hello_is_not_remembered() {
    let mut pair = Pair::connected(CidOffer::None);
    let many = vec![dtls::CipherSuite::PskAes128Ccm8; 600];
    let config = ClientConfig {
        suites: many,
        mtu: 2000,
        ..client_config(CidOffer::None)
    };
    return_as(&mut pair, config, 3);
    pair.client.start(pair.now);
    pair.drive();
    assert_eq!(connected_how(&pair), Some(HandshakeKind::Full));
    assert!(pair.wanted.is_empty());
}

#[test]
fn what_is_stored_says_who_it_was() {
    let pair = Pair::connected(CidOffer::Length(0));
    let id = issued(&pair);
    let stored = ResumptionExport::decode(&pair.resumptions[&id]).unwrap();
    assert_eq!(stored.id, id);
    assert_eq!(stored.identity, psk_identity());
    assert_eq!(stored.suite, dtls::CipherSuite::PskAes128Ccm8);
    let cid = pair.stored[0].cid().unwrap();
    assert_eq!(cid.partition(), id.partition());
    // A credential whose key was replaced is another one.
    assert!(stored.is_under(&psk()));
    assert!(!stored.is_under(&Psk::new(b"another 16 bytes").unwrap()));

    let pair = Pair::connected_as(fixtures::raw_key_client());
    let stored = ResumptionExport::decode(&pair.resumptions[&issued(&pair)]).unwrap();
    assert!(!stored.is_under(&psk()));
}
