use std::time::Duration;

use dtls::{CidOffer, Client, ClientConfig, MasterSecretKind, PeerRejection};
use proptest::prelude::*;

use crate::fixtures::{certificate_client, raw_key_client};
use crate::pair::{Answers, Direction, Pair, client_config, server_config};

#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, u8),
    Repeat,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Damage::Set(at, value)),
        (any::<usize>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Damage::Insert(at, value)),
        Just(Damage::Repeat),
    ]
}

fn apply(damages: &[Damage], datagram: &mut Vec<u8>) {
    for damage in damages {
        if datagram.is_empty() {
            return;
        }
        let length = datagram.len();
        match *damage {
            Damage::Set(at, value) => datagram[at % length] = value,
            Damage::Flip(at, bit) => datagram[at % length] ^= 1 << bit,
            Damage::Cut(at) => datagram.truncate(at % length),
            Damage::Insert(at, value) => datagram.insert(at % length, value),
            Damage::Repeat => datagram.extend_from_within(..),
        }
    }
}

/// A client for each way to agree on keys.
fn client(choice: u8) -> ClientConfig {
    let cid = offer(choice);
    match choice / 3 % 3 {
        0 => client_config(cid),
        1 => ClientConfig {
            cid,
            ..raw_key_client()
        },
        _ => ClientConfig {
            cid,
            ..certificate_client("server.example")
        },
    }
}

fn offer(choice: u8) -> CidOffer {
    match choice % 3 {
        0 => CidOffer::None,
        1 => CidOffer::Length(0),
        _ => CidOffer::Length(8),
    }
}

/// Bytes that get past the first look at a header.
fn plausible_datagram() -> impl Strategy<Value = Vec<u8>> {
    let record = (
        prop::sample::select(vec![20u8, 21, 22, 22, 22, 23, 25]),
        0u8..3,
        any::<[u8; 6]>(),
        prop::collection::vec(any::<u8>(), 0..80),
        prop::sample::select(vec![0u8, 1, 2, 3, 11, 12, 13, 14, 15, 16, 20]),
    );
    prop::collection::vec(record, 1..5).prop_map(|records| {
        let mut datagram = Vec::new();
        for (kind, epoch, sequence, mut body, message) in records {
            datagram.extend([kind, 0xFE, 0xFD, 0, epoch]);
            datagram.extend(sequence);
            if kind == 25 {
                datagram.extend([1, 0, 3, 1, 2, 3, 4, 5]);
            }
            if kind == 22 && body.len() >= 12 {
                let length = (body.len() - 12) as u8;
                body[..12].copy_from_slice(&[message, 0, 0, length, 0, 1, 0, 0, 0, 0, 0, length]);
            }
            datagram.extend((body.len() as u16).to_be_bytes());
            datagram.extend(body);
        }
        datagram
    })
}

fn victim(to_server: bool) -> Direction {
    if to_server {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}

/// Damages one datagram of the client's next handshake, by its direction and number, and sees that the client gets a
/// session nevertheless.
fn get_over(pair: &mut Pair, (victim, which): (Direction, usize), damages: Vec<Damage>) {
    pair.tap = Some(Box::new(move |direction, number, datagram| {
        if direction == victim && number == which {
            apply(&damages, datagram);
        }
    }));
    pair.client.start(pair.now);
    pair.run_for(Duration::from_secs(70));
    if !pair.client.is_connected() {
        // Unprotected bytes can end a handshake, but not the next one.
        pair.client.start(pair.now);
        pair.run_for(Duration::from_secs(70));
    }
    assert!(pair.client.is_connected());
    pair.tap = None;
    pair.assert_traffic_flows();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Every datagram of a handshake may be damaged, those after the valid cookie included.
    #[test]
    fn damage_in_a_handshake_never_panics_and_can_be_got_over(
        which in 0usize..4,
        to_server: bool,
        choice: u8,
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        let mut pair = Pair::new(server_config(), client(choice), 1);
        get_over(&mut pair, (victim(to_server), which), damages);
    }

    /// The same for a session that is resumed.
    #[test]
    fn damage_in_a_resumption_never_panics_and_can_be_got_over(
        which in 0usize..3,
        to_server: bool,
        choice: u8,
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        let config = client(choice);
        let mut pair = Pair::connected_as(config.clone());
        let config = config.with_resumption(pair.client.resumption().cloned());
        pair.client = Client::new(config, [9; 32]);
        pair.session = None;
        pair.sent.clear();
        get_over(&mut pair, (victim(to_server), which), damages);
    }

    #[test]
    fn damage_to_a_session_is_dropped(
        choice: u8,
        datagrams in prop::collection::vec(prop::collection::vec(damage(), 1..4), 1..8),
    ) {
        let mut pair = Pair::connected_as(client(choice));
        let session = pair.session.unwrap();
        for damages in datagrams {
            let original = damages.clone();
            pair.tap = Some(Box::new(move |_, _, datagram| {
                let before = datagram.clone();
                apply(&original, datagram);
                // An untouched copy of the record would rightly be accepted.
                if datagram.windows(before.len()).any(|part| part == before) {
                    datagram.clear();
                }
            }));
            pair.client.send(b"to be damaged").unwrap();
            pair.server.send(session, b"to be damaged").unwrap();
            pair.drive();
        }
        prop_assert!(pair.received_by_server().is_empty());
        prop_assert!(pair.received_by_client().is_empty());
        pair.tap = None;
        pair.assert_traffic_flows();
    }

    #[test]
    fn bytes_from_nowhere_never_panic_nor_end_a_session(
        choice: u8,
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        plausible in prop::collection::vec(plausible_datagram(), 0..8),
    ) {
        let mut pair = Pair::connected_as(client(choice));
        for bytes in noise.iter().chain(&plausible) {
            pair.server.handle_datagram(pair.now, pair.address, &mut bytes.clone());
            pair.client.handle_datagram(pair.now, &mut bytes.clone());
        }
        pair.drive();
        prop_assert!(pair.received_by_server().is_empty());
        pair.assert_traffic_flows();
    }

    /// The same in every stage of a handshake.
    #[test]
    fn bytes_from_nowhere_in_a_handshake_never_panic(
        stage in 0u8..4,
        choice: u8,
        plausible in prop::collection::vec(plausible_datagram(), 1..12),
    ) {
        let config = ClientConfig {
            master_secret: MasterSecretKind::Classic,
            ..client(choice)
        };
        let mut pair = Pair::new(server_config(), config, 8);
        pair.answers = Answers::ByTheTest;
        pair.client.start(pair.now);
        match stage {
            0 => {}
            1 => {
                pair.tap = Some(Box::new(|direction, number, datagram| {
                    if direction == Direction::ToServer && number == 2 {
                        datagram.clear();
                    }
                }));
                pair.run_for(Duration::from_millis(500));
                prop_assert_eq!(pair.server.handshake_count(), 1);
            }
            _ => {
                pair.run_for(Duration::from_millis(500));
                prop_assert_eq!(pair.asked.len() + pair.presented.len(), 1);
                if stage == 3 {
                    if let Some(&(handshake, _)) = pair.asked.first() {
                        pair.server.provide_psk(pair.now, handshake, None);
                    }
                    if let Some(&(handshake, _)) = pair.presented.first() {
                        let verdict = Err(PeerRejection::Unknown);
                        pair.server.accept_peer(pair.now, handshake, verdict);
                    }
                }
            }
        }
        for bytes in &plausible {
            pair.server.handle_datagram(pair.now, pair.address, &mut bytes.clone());
            pair.client.handle_datagram(pair.now, &mut bytes.clone());
        }
        pair.run_for(Duration::from_secs(200));
        prop_assert_eq!(pair.server.handshake_count(), 0);
        prop_assert_eq!(pair.server.session_count(), 0);
    }
}
