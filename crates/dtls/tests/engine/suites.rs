//! Every suite with every kind of credential, over good and bad networks.

use std::time::Duration;

use dtls::{
    CidOffer, CipherSuite, ClientConfig, Config, CookieSecret, HandshakeFailure, MasterSecretKind,
    PeerIdentity, Retransmission, Server, SessionExport,
};

use crate::fixtures::{DEVICE_KEY, certificate_client, fingerprint, raw_key_client};
use crate::handshake::{client_failure, server_failure};
use crate::pair::{Pair, assert_no_nonce_repeats, client_config, psk_identity, server_config};

pub(crate) const PSK: [CipherSuite; 3] = [
    CipherSuite::PskAes128Ccm8,
    CipherSuite::PskAes128CbcSha256,
    CipherSuite::EcdhePskAes128CbcSha256,
];
pub(crate) const ECDSA: [CipherSuite; 2] = [
    CipherSuite::EcdheEcdsaAes128Ccm8,
    CipherSuite::EcdheEcdsaAes128GcmSha256,
];

/// A client for each suite in each of its modes.
pub(crate) fn clients() -> Vec<ClientConfig> {
    let with = |suite, config: ClientConfig| ClientConfig {
        suites: vec![suite],
        ..config
    };
    let psk = PSK.map(|suite| with(suite, client_config(CidOffer::Length(0))));
    let raw = ECDSA.map(|suite| with(suite, raw_key_client()));
    let certified = ECDSA.map(|suite| with(suite, certificate_client("server.example")));
    psk.into_iter().chain(raw).chain(certified).collect()
}

pub(crate) fn assert_identity(client: &ClientConfig, identity: &PeerIdentity) {
    match identity {
        PeerIdentity::Psk(_) => assert_eq!(*identity, psk_identity()),
        PeerIdentity::RawPublicKey(key) => assert_eq!(**key, fingerprint(DEVICE_KEY)),
        PeerIdentity::Certificate(identity) => {
            assert_eq!(client.server_name.as_deref(), Some("server.example"));
            assert_eq!(identity.key, fingerprint(DEVICE_KEY));
            assert_eq!(identity.names.common_name.as_deref(), Some("urn:dev:ops:1"));
            assert_eq!(identity.names.dns_names, ["device.example"]);
            assert_eq!(identity.names.uris, ["urn:dev:ops:1"]);
        }
    }
}

#[test]
fn every_suite_leads_to_traffic_with_and_without_connection_ids() {
    for client in clients() {
        for cid in [CidOffer::None, CidOffer::Length(0), CidOffer::Length(5)] {
            for master_secret in [MasterSecretKind::Extended, MasterSecretKind::Classic] {
                let config = ClientConfig {
                    cid: cid.clone(),
                    master_secret,
                    ..client.clone()
                };
                let mut pair = Pair::connected_as(config);
                let session = pair.session.unwrap();
                assert_eq!(pair.stored[0].suite, client.suites[0]);
                assert_identity(&client, pair.server.identity(session).unwrap());
                pair.assert_traffic_flows();
                for length in [1, 15, 16, 17, 1 << 14] {
                    let message = vec![0x5A; length];
                    pair.client.send(&message).unwrap();
                    pair.server.send(session, &message).unwrap();
                    pair.drive();
                    assert_eq!(pair.received_by_server(), [&message[..]]);
                    assert_eq!(pair.received_by_client(), [&message[..]]);
                }
            }
        }
    }
}

#[test]
fn every_suite_survives_loss_repetition_and_reordering() {
    let retransmission = Retransmission {
        attempts: 30,
        longest: Duration::from_secs(4),
        ..Retransmission::default()
    };
    for client in clients() {
        for seed in 0..12u8 {
            let mtu = [256, 576, 1000, 1500][usize::from(seed) % 4];
            let config = ClientConfig {
                mtu,
                retransmission,
                cid: [CidOffer::None, CidOffer::Length(0), CidOffer::Length(7)]
                    [usize::from(seed) % 3]
                    .clone(),
                ..client.clone()
            };
            let cid_length = if seed % 3 == 2 { 7 } else { 0 };
            let server = Config {
                mtu,
                retransmission,
                handshake_timeout: Duration::from_mins(20),
                ..server_config()
            };
            let mut pair = Pair::new(server, config, seed);
            pair.percent = u64::from(seed % 5) * 5;
            pair.client.start(pair.now);
            let done = pair.run_until(Duration::from_mins(10), |pair| {
                pair.client.is_connected() && pair.session.is_some()
            });
            let context = format!("{:?} seed {seed} mtu {mtu}", client.suites);
            assert!(done, "{context} {:?}", pair.server.counters());
            let longest = pair.sent.iter().map(|(_, datagram)| datagram.len()).max();
            assert!(longest <= Some(mtu), "{context} {longest:?}");
            pair.percent = 0;
            pair.run_for(Duration::from_secs(20));
            pair.assert_traffic_flows();
            assert_no_nonce_repeats(&pair.sent, cid_length);
        }
    }
}

#[test]
fn a_session_of_every_suite_goes_on_at_another_server() {
    for client in clients() {
        let mut pair = Pair::connected_as(client.clone());
        pair.assert_traffic_flows();
        for generation in 1..4 {
            let bytes = pair.stored[0].encode();
            let export = SessionExport::decode(&bytes).unwrap();
            assert_eq!(export, pair.stored[0]);
            let secret = CookieSecret::new([1; 32]);
            pair.server = Server::new(server_config(), &secret, [generation as u8; 32]);
            let session = pair.server.import(pair.now, export, generation).unwrap();
            assert_identity(&client, pair.server.identity(session).unwrap());
            pair.session = Some(session);
            pair.assert_traffic_flows();
        }
        assert_no_nonce_repeats(&pair.sent, 0);
    }
}

#[test]
fn a_client_and_a_server_without_a_suite_in_common_part() {
    for client in clients() {
        let suites = CipherSuite::ALL.iter().copied();
        let server = Config {
            suites: suites.filter(|suite| *suite != client.suites[0]).collect(),
            ..server_config()
        };
        let mut pair = Pair::new(server, client, 3);
        pair.client.start(pair.now);
        pair.drive();
        assert_eq!(server_failure(&pair), Some(HandshakeFailure::NoCommonSuite));
        let told = client_failure(&pair).unwrap().to_string();
        assert_eq!(told, "peer sent the fatal alert handshake_failure");
        assert_eq!(pair.server.handshake_count(), 0);
    }
}

#[test]
fn block_ciphers_are_not_negotiated_without_encrypt_then_mac() {
    for suite in [PSK[1], PSK[2]] {
        let client = ClientConfig {
            suites: vec![suite],
            ..client_config(CidOffer::None)
        };
        let mut pair = Pair::new(server_config(), client, 3);
        pair.tap = Some(Box::new(|direction, _, datagram| {
            // Turns encrypt_then_mac in the client's hellos into an extension that nobody knows.
            let needle = [0, 22, 0, 0];
            let at = datagram.windows(4).rposition(|window| window == needle);
            if let (crate::pair::Direction::ToServer, Some(at)) = (direction, at) {
                datagram[at] = 0xEE;
            }
        }));
        pair.client.start(pair.now);
        pair.drive();
        assert_eq!(server_failure(&pair), Some(HandshakeFailure::NoCommonSuite));
    }
}
