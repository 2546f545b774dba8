//! Raw public keys and certificates: who is let in, and how the server's key is picked.

use std::time::Duration;

use dtls::{
    ClientConfig, ClientCredentials, Credential, CredentialError, ExpiredLists, Fingerprint,
    HandshakeFailure, PeerRejection, ServerCredentials, ServerTrust, TrustAnchors,
    TrustAnchorsError,
};

use crate::fixtures::{
    CA, DEVICE, DEVICE_KEY, EXPIRED_REVOCATIONS, ISSUER, REVOKED, SERVER, SERVER_KEY, TENANT,
    TENANT_KEY, TIME, anchors, certificate_client, fingerprint, key, raw_key_client,
    revoked_client, server_credentials,
};
use crate::handshake::{client_failure, server_failure};
use crate::pair::{Answers, Direction, Pair, server_config};

/// What either side says to the attempt.
fn failures(client: ClientConfig, credentials: ServerCredentials) -> [Option<String>; 2] {
    let mut pair = Pair::new(server_config(), client, 5);
    pair.server.set_credentials(credentials);
    pair.client.start(pair.now);
    pair.drive();
    assert!(pair.session.is_none() && !pair.client.is_connected());
    assert_eq!(pair.server.handshake_count(), 0);
    assert!(pair.stored.is_empty());
    [server_failure(&pair), client_failure(&pair)].map(|reason| Some(reason?.to_string()))
}

fn said(server: &str, client: &str) -> [Option<String>; 2] {
    [Some(server.to_owned()), Some(client.to_owned())]
}

#[test]
fn a_key_that_the_driver_does_not_know_is_refused() {
    let stranger = ClientConfig {
        credentials: ClientCredentials::Key {
            credential: Credential::raw_public_key(key(TENANT_KEY)),
            server: ServerTrust::PinnedKeys(vec![fingerprint(SERVER_KEY)]),
        },
        ..raw_key_client()
    };
    assert_eq!(
        failures(stranger, server_credentials()),
        said(
            "peer's key was not accepted: key or name is unknown",
            "peer sent the fatal alert certificate_unknown"
        )
    );
    assert_eq!(
        failures(revoked_client(), server_credentials()),
        said(
            "peer's key was not accepted: certificate is revoked",
            "peer sent the fatal alert certificate_revoked"
        )
    );
}

#[test]
fn a_server_that_the_client_does_not_expect_is_refused() {
    let pinned = |fingerprint: Fingerprint| {
        let credential = Credential::raw_public_key(key(DEVICE_KEY));
        ClientConfig::with_key(credential, ServerTrust::PinnedKeys(vec![fingerprint]))
    };
    assert_eq!(
        failures(pinned(Fingerprint([0; 32])), server_credentials()),
        said(
            "peer sent the fatal alert certificate_unknown",
            "peer's key was not accepted: key or name is unknown"
        )
    );
    assert_eq!(
        failures(certificate_client("unknown.example"), server_credentials()),
        said(
            "peer sent the fatal alert bad_certificate",
            "peer's key was not accepted: certificate is invalid"
        )
    );
}

#[test]
fn without_a_form_of_key_in_common_there_is_no_handshake() {
    let mut only_raw = ServerCredentials::default();
    only_raw.add([""; 0], Credential::raw_public_key(key(SERVER_KEY)));
    assert_eq!(
        failures(certificate_client("server.example"), only_raw),
        said(
            "no certificate type in common",
            "peer sent the fatal alert unsupported_certificate"
        )
    );
    assert_eq!(
        failures(raw_key_client(), ServerCredentials::default()),
        said(
            "no cipher suite in common",
            "peer sent the fatal alert handshake_failure"
        )
    );
}

#[test]
fn the_server_name_picks_the_certificate() {
    for name in ["server.example", "ANOTHER.example"] {
        let mut pair = Pair::connected_as(certificate_client(name));
        pair.assert_traffic_flows();
    }
    // A name that nobody has gets the first certificate; this client knows its key.
    let client = ClientConfig {
        server_name: Some("nobody.example".to_owned()),
        credentials: ClientCredentials::Key {
            credential: Credential::raw_public_key(key(DEVICE_KEY)),
            server: ServerTrust::PinnedKeys(vec![fingerprint(SERVER_KEY)]),
        },
        ..raw_key_client()
    };
    Pair::connected_as(client).assert_traffic_flows();
}

#[test]
fn a_client_is_judged_once_and_told_nothing_before() {
    for client in [raw_key_client(), certificate_client("server.example")] {
        let mut pair = Pair::new(server_config(), client, 6);
        pair.answers = Answers::ByTheTest;
        pair.client.start(pair.now);
        // The client repeats its flight meanwhile.
        pair.run_for(Duration::from_secs(4));
        assert_eq!(pair.presented.len(), 1);
        let (handshake, _) = pair.presented[0];
        pair.server.accept_peer(pair.now, handshake, Ok(()));
        pair.server
            .accept_peer(pair.now, handshake, Err(PeerRejection::Unknown));
        pair.run_for(Duration::from_secs(8));
        assert_eq!((pair.presented.len(), pair.store.len()), (1, 1));
        assert!(!pair.client.is_connected());
        let outcome = dtls::StoreOutcome::Stored;
        pair.server.session_stored(pair.now, pair.store[0], outcome);
        pair.run_for(Duration::from_secs(1));
        pair.assert_traffic_flows();
        pair.server
            .accept_peer(pair.now, handshake, Err(PeerRejection::Unknown));
        pair.assert_traffic_flows();
    }
}

/// Whoever presents a key without having it.
#[test]
fn a_changed_signature_ends_the_handshake_before_the_driver_is_asked() {
    for (direction, kind) in [(Direction::ToServer, 15), (Direction::ToClient, 12)] {
        let mut pair = Pair::new(server_config(), raw_key_client(), 7);
        pair.tap = Some(Box::new(move |way, _, datagram| {
            let mut start = 0;
            while way == direction && start + 25 < datagram.len() && datagram[start] == 22 {
                let length = usize::from(u16::from_be_bytes([
                    datagram[start + 11],
                    datagram[start + 12],
                ]));
                let end = start + 13 + length;
                if datagram[start + 13] == kind && datagram[start + 4] == 0 {
                    datagram[end - 1] ^= 1;
                }
                start = end;
            }
        }));
        pair.client.start(pair.now);
        pair.drive();
        let failure = match direction {
            Direction::ToServer => server_failure(&pair),
            Direction::ToClient => client_failure(&pair),
        };
        assert_eq!(failure, Some(HandshakeFailure::BadSignature));
        assert!(pair.presented.is_empty() && pair.stored.is_empty());
    }
}

#[test]
fn paths_are_validated() {
    let chain = |ders: &[&[u8]]| ders.iter().map(|der| der.to_vec()).collect::<Vec<_>>();
    let anchors = anchors();
    let names = anchors
        .validate_client(&chain(&[DEVICE, ISSUER]), TIME)
        .unwrap();
    assert_eq!(names.common_name.as_deref(), Some("urn:dev:ops:1"));
    let cases = [
        (chain(&[DEVICE]), TIME, PeerRejection::UnknownIssuer),
        (chain(&[REVOKED, ISSUER]), TIME, PeerRejection::Revoked),
        (
            chain(&[DEVICE, ISSUER]),
            Duration::ZERO,
            PeerRejection::Expired,
        ),
        // Not for a client, not an end entity, nothing, noise.
        (chain(&[SERVER]), TIME, PeerRejection::Invalid),
        (chain(&[ISSUER]), TIME, PeerRejection::Invalid),
        (chain(&[]), TIME, PeerRejection::Invalid),
        (chain(&[b"noise"]), TIME, PeerRejection::Invalid),
    ];
    for (chain, time, expected) in cases {
        assert_eq!(anchors.validate_client(&chain, time), Err(expected));
    }
    let server = chain(&[SERVER]);
    assert_eq!(
        anchors.validate_server(&server, "server.example", TIME),
        Ok(())
    );
    assert_eq!(anchors.validate_server(&server, "127.0.0.1", TIME), Ok(()));
    for name in ["another.example", "127.0.0.2", "not a name"] {
        let verdict = anchors.validate_server(&server, name, TIME);
        assert_eq!(verdict, Err(PeerRejection::Invalid), "{name}");
    }
    let bad_anchor = TrustAnchors::new(&[CA, b"noise"], &[[0; 0]; 0]);
    assert_eq!(bad_anchor.unwrap_err(), TrustAnchorsError::Anchor(1));
    let bad_list = TrustAnchors::new(&[CA], &[b"noise"]);
    assert_eq!(bad_list.unwrap_err(), TrustAnchorsError::RevocationList(0));
}

#[test]
fn an_expired_revocation_list_refuses_whom_it_is_about_unless_it_is_trusted() {
    let chain = |ders: &[&[u8]]| ders.iter().map(|der| der.to_vec()).collect::<Vec<_>>();
    let [device, revoked] = [chain(&[DEVICE, ISSUER]), chain(&[REVOKED, ISSUER])];
    let expiry = Duration::from_secs(1_796_083_200);
    let strict = || TrustAnchors::new(&[CA], &[EXPIRED_REVOCATIONS]).unwrap();
    assert_eq!(strict().next_updates(), [expiry]);
    let before = expiry.saturating_sub(Duration::from_secs(1));
    assert!(strict().validate_client(&device, before).is_ok());
    let unknown = Err(PeerRejection::RevocationUnknown);
    assert_eq!(strict().validate_client(&device, expiry), unknown);
    // Of the authority there is no list.
    let server = strict().validate_server(&chain(&[SERVER]), "server.example", TIME);
    assert_eq!(server, Ok(()));

    let lenient = strict().with_expired_lists(ExpiredLists::Trust);
    assert!(lenient.validate_client(&device, TIME).is_ok());
    let refused = lenient.validate_client(&revoked, TIME);
    assert_eq!(refused, Err(PeerRejection::Revoked));
}

#[test]
fn a_credential_is_a_chain_that_begins_with_the_own_key() {
    let make = |chain: &[&[u8]], key_der| {
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        Credential::certificates(chain, key(key_der)).map(drop)
    };
    assert_eq!(make(&[TENANT, CA], TENANT_KEY), Ok(()));
    assert_eq!(make(&[TENANT], SERVER_KEY), Err(CredentialError::WrongKey));
    assert_eq!(make(&[], SERVER_KEY), Err(CredentialError::BadCertificate));
    let long = [0; Credential::MAX_CHAIN];
    assert!(matches!(
        make(&[SERVER, &long], SERVER_KEY),
        Err(CredentialError::TooLong { .. })
    ));
}
