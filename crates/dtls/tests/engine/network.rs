//! Devices with the default times on networks of every quality and datagram size.

use std::time::Duration;

use dtls::{CidOffer, ClientConfig, ClientOutput, Config, Retransmission, ServerCredentials};

use crate::fixtures::{self, certificate_client, long_chain_client, raw_key_client};
use crate::pair::{Dice, Direction, Pair, assert_no_nonce_repeats, client_config, server_config};
use crate::suites::{ECDSA, PSK};

const SEEDS: u8 = 24;
/// RFC 791: what every host takes.
const SMALLEST_MTU: u64 = 576;
const LARGEST_MTU: u64 = 1500;
/// For a device that starts over whenever a handshake has come to nothing.
const PATIENCE: Duration = Duration::from_mins(30);

/// Every identity with every suite that it can have.
fn clients() -> Vec<(&'static str, ClientConfig)> {
    let with = |suite, config: ClientConfig| ClientConfig {
        suites: vec![suite],
        ..config
    };
    let mut clients = Vec::new();
    for suite in PSK {
        clients.push(("key", with(suite, client_config(CidOffer::None))));
    }
    for suite in ECDSA {
        clients.push(("raw key", with(suite, raw_key_client())));
        let chain = certificate_client("server.example");
        clients.push(("chain", with(suite, chain)));
        let chain = long_chain_client("long.example");
        clients.push(("long chain", with(suite, chain)));
    }
    clients
}

/// Runs until both ends have the session, as a device does that starts over when it has failed.
fn connect(pair: &mut Pair) -> bool {
    let until = pair.now + PATIENCE;
    pair.client.start(pair.now);
    while pair.now < until {
        let is_over = |pair: &Pair| {
            let failed = |event: &ClientOutput| matches!(event, ClientOutput::Failed(_));
            let is_done = pair.client.is_connected() && pair.session.is_some();
            is_done || pair.client_events.iter().any(failed)
        };
        pair.run_until(until - pair.now, is_over);
        if pair.client.is_connected() {
            return true;
        }
        pair.client_events.clear();
        pair.client.start(pair.now);
    }
    false
}

/// The Connection ID that the client was told of.
fn told(pair: &Pair) -> Option<Vec<u8>> {
    let connected = pair
        .client_events
        .iter()
        .rev()
        .find_map(|event| match event {
            ClientOutput::Connected { server_cid, .. } => Some(server_cid.clone()),
            _ => None,
        });
    connected.unwrap()
}

fn check(name: &str, client: &ClientConfig, cid: u8, seed: u8) {
    let mut dice = Dice::new(u64::from(seed) << 8 | u64::from(cid));
    let mtu = (SMALLEST_MTU + dice.roll(LARGEST_MTU - SMALLEST_MTU + 1)) as usize;
    let offer = match cid {
        0 => CidOffer::None,
        1 => CidOffer::Length(0),
        _ => CidOffer::Length(7),
    };
    let client = ClientConfig {
        mtu,
        cid: offer,
        ..client.clone()
    };
    let server = Config {
        mtu,
        ..server_config()
    };
    let context = format!(
        "{name} {:?} {:?} mtu {mtu} seed {seed}",
        client.suites, client.cid
    );
    let mut pair = Pair::new(server, client, seed);
    let mut credentials: ServerCredentials = fixtures::server_credentials();
    credentials.add(["long.example"], fixtures::long_server_chain());
    pair.server.set_credentials(credentials);
    pair.percent = dice.roll(26);
    assert!(connect(&mut pair), "{context} {:?}", pair.server.counters());
    // What is still under way arrives and changes nothing.
    pair.percent = 0;
    pair.run_for(Duration::from_mins(2));
    pair.assert_traffic_flows();

    for (direction, datagram) in &pair.sent {
        let length = datagram.len();
        assert!(length <= mtu, "{context} {direction:?} {length}");
    }
    let of_server = pair.server.cid(pair.session.unwrap());
    let of_server = of_server.map(|cid| cid.as_bytes().to_vec());
    assert_eq!(told(&pair), of_server, "{context}");
    assert_eq!(of_server.is_some(), cid != 0, "{context}");
    assert_eq!(pair.server.handshake_count(), 0, "{context}");
    if name == "long chain" {
        let fragmented = |direction| {
            let sent = pair.sent.iter().filter(|(other, _)| *other == direction);
            sent.filter(|(_, datagram)| datagram.len() > mtu / 2)
                .count()
                > 1
        };
        assert!(
            fragmented(Direction::ToServer) && fragmented(Direction::ToClient),
            "{context}"
        );
    }
    if pair.server.session_count() == 1 {
        assert_no_nonce_repeats(&pair.sent, if cid == 2 { 7 } else { 0 });
    }
}

#[test]
fn devices_of_every_kind_connect_through_loss_and_never_exceed_the_datagram_size() {
    assert_eq!(Config::default().retransmission, Retransmission::default());
    for (name, client) in clients() {
        for seed in 0..SEEDS {
            for cid in 0..3 {
                check(name, &client, cid, seed);
            }
        }
    }
}
