//! How many handshakes may begin per time.

use std::time::Duration;

use dtls::{CidOffer, Client, Config, HandshakeRate};

use crate::pair::{Pair, client_config, server_config};

const PLENTY: HandshakeRate = HandshakeRate::new(1_000_000, 1_000_000);

/// Starts a client behind each of so many ports and lets them go on until they are silent for a
/// moment. Says how many got to a session.
fn rush(pair: &mut Pair, host: u8, clients: u16) -> u64 {
    let before = pair.server.counters().handshakes_completed;
    for port in 0..clients {
        pair.address = ([192, 0, 2, host], 10_000 + port).into();
        pair.client = Client::new(client_config(CidOffer::Length(0)), [port as u8; 32]);
        pair.client.start(pair.now);
        let now = pair.now;
        pair.drive();
        // All of them come at once.
        pair.now = now;
    }
    pair.server.counters().handshakes_completed - before
}

#[test]
fn a_source_begins_no_more_handshakes_than_its_rate_allows() {
    let config = Config {
        handshake_rate: PLENTY,
        handshake_rate_per_source: HandshakeRate::new(5, 20),
        ..server_config()
    };
    let mut pair = Pair::new(config, client_config(CidOffer::Length(0)), 6);
    assert_eq!(rush(&mut pair, 1, 50), 20);
    assert_eq!(pair.server.counters().refused_by_rate, 30);
    // Others are not affected, and nobody is told.
    assert_eq!(rush(&mut pair, 2, 10), 10);
    assert_eq!(pair.server.counters().handshakes_failed, 0);
    assert_eq!(pair.server.handshake_count(), 0);
    pair.now += Duration::from_secs(2);
    assert_eq!(rush(&mut pair, 1, 50), 10);
}

#[test]
fn all_sources_together_begin_no_more_than_the_total() {
    let config = Config {
        handshake_rate: HandshakeRate::new(5, 20),
        handshake_rate_per_source: PLENTY,
        ..server_config()
    };
    let mut pair = Pair::new(config, client_config(CidOffer::Length(0)), 6);
    let begun: u64 = (1..=10).map(|host| rush(&mut pair, host, 5)).sum();
    assert_eq!(begun, 20);
    assert_eq!(pair.server.counters().refused_by_rate, 30);
}

#[test]
fn a_client_that_came_too_soon_gets_in_by_repeating_its_hello() {
    let config = Config {
        handshake_rate_per_source: HandshakeRate::new(1, 1),
        ..server_config()
    };
    let mut pair = Pair::new(config, client_config(CidOffer::Length(0)), 6);
    assert_eq!(rush(&mut pair, 1, 1), 1);
    pair.address.set_port(9);
    pair.client = Client::new(client_config(CidOffer::Length(0)), [9; 32]);
    pair.client.start(pair.now);
    let done = pair.run_until(Duration::from_secs(5), |pair| pair.client.is_connected());
    assert!(done);
    assert_eq!(pair.server.counters().refused_by_rate, 1);
    pair.assert_traffic_flows();
}

#[test]
fn the_repetitions_of_one_hello_count_once() {
    let config = Config {
        handshake_rate_per_source: HandshakeRate::new(1, 1),
        ..server_config()
    };
    let mut pair = Pair::new(config, client_config(CidOffer::Length(0)), 6);
    pair.tap = Some(Box::new(|direction, count, datagram| {
        // The server's flight gets lost at first.
        if direction == crate::pair::Direction::ToClient && (1..3).contains(&count) {
            datagram.clear();
        }
    }));
    pair.client.start(pair.now);
    let done = pair.run_until(Duration::from_secs(20), |pair| pair.client.is_connected());
    assert!(done);
    assert_eq!(pair.server.counters().refused_by_rate, 0);
}
