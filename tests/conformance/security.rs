//! Security, 401 to 406, and how a device uses an account.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dtls::{
    ClientConfig, Credential, Fingerprint, HandshakeFailure, PeerRejection, Psk, ServerTrust,
    SigningKey, TrustAnchors,
};
use lwm2m_client::bootstrap::{StoredAccount, StoredOscore, StoredSecurity};
use oscore::{Algorithm, ContextState, Secrets};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use tests::until_some;

use crate::cases::{Case, not_run, short};
use crate::channel::{Carrier, Channel};
use crate::keys::Identity;
use crate::stage::{SOON, Stage};

/// A pre-shared key and a master secret of cases.
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f";

/// COSE AES-CCM-16-64-128.
const AES_CCM: i64 = 10;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        short("1.1-int-401", "UDP with DTLS and PSK", psk),
        short("1.1-int-402", "UDP with DTLS and certificate", certificate),
        short(
            "1.1-int-403",
            "Certificate with another host name",
            other_host_name,
        ),
        short("1.1-int-404", "TLS with certificate", tls),
        short("1.1-int-405", "OSCORE", oscore),
        not_run(
            "1.1-int-406",
            "TLS with PSK",
            "TLS of the ingress nodes has no suites with pre-shared keys (rustls)",
        ),
    ]
}

/// Where a URI leads.
pub(crate) fn address(uri: &str) -> SocketAddr {
    let (_, host) = uri.split_once("://").unwrap();
    host.to_socket_addrs().unwrap().next().unwrap()
}

/// What an account says of how the device and the server know each other.
pub(crate) fn carrier(stage: &Stage, account: &StoredAccount) -> Carrier {
    let pinned = |public_key: &[u8]| {
        let fingerprint = Fingerprint(Sha256::digest(public_key).into());
        ServerTrust::PinnedKeys(vec![fingerprint])
    };
    let config = match &account.security {
        StoredSecurity::NoSec => {
            return match &account.oscore {
                None => Carrier::Udp,
                Some(oscore) => context(oscore),
            };
        }
        StoredSecurity::Psk { identity, key } => {
            ClientConfig::new(identity.clone(), Psk::new(key).unwrap())
        }
        StoredSecurity::RawPublicKey {
            private_key,
            server_public_key,
            ..
        } => {
            let key = SigningKey::from_der(private_key).unwrap();
            ClientConfig::with_key(Credential::raw_public_key(key), pinned(server_public_key))
        }
        StoredSecurity::Certificate {
            certificate,
            private_key,
            server_certificate,
            ..
        } => {
            assert_eq!(*server_certificate, stage.identity.certificate);
            let key = SigningKey::from_der(private_key).unwrap();
            let chain = Credential::certificates(vec![certificate.clone()], key);
            ClientConfig::with_key(chain.unwrap(), pinned(&stage.identity.public_key))
        }
    };
    Carrier::Dtls(Box::new(config))
}

/// An OSCORE context as the device has it.
fn context(stored: &StoredOscore) -> Carrier {
    assert_eq!(stored.aead_algorithm, AES_CCM);
    let secrets = Secrets {
        algorithm: Algorithm::AesCcm16_64_128,
        master_secret: &stored.master_secret,
        master_salt: &stored.master_salt,
        id_context: stored.id_context.as_deref(),
        sender_id: &stored.sender_id,
        recipient_id: &stored.recipient_id,
    };
    Carrier::Oscore(Box::new(ContextState::never_used(&secrets).unwrap()))
}

/// A context that the server is told of, with this Sender ID of the device in hexadecimal.
pub(crate) fn with_context(stage: &Stage, id: &str, client_id: &str) -> Carrier {
    stage.ok(&[
        "credentials",
        "add",
        "--endpoint",
        id,
        "--oscore-client-id",
        client_id,
        "--oscore-server-id",
        "00",
        "--oscore-master-secret",
        KEY,
    ]);
    let secrets = Secrets {
        algorithm: Algorithm::AesCcm16_64_128,
        master_secret: &hex::decode(KEY).unwrap(),
        master_salt: &[],
        id_context: None,
        sender_id: &hex::decode(client_id).unwrap(),
        recipient_id: &[0],
    };
    Carrier::Oscore(Box::new(ContextState::never_used(&secrets).unwrap()))
}

/// A device with a certificate of the lane's authority, which trusts that authority for a server of this name.
fn certified_for(stage: &Stage, id: &str, server_name: &str) -> Carrier {
    let Identity {
        certificate,
        private_key,
        ..
    } = stage.authority.issue(id, &[]);
    let key = SigningKey::from_der(&private_key).unwrap();
    let anchors = TrustAnchors::new(&[&stage.authority.certificate], &[&[0_u8; 0]; 0]).unwrap();
    let trust = ServerTrust::Anchors {
        anchors: Arc::new(anchors),
        server_name: server_name.to_owned(),
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap(),
    };
    let credential = Credential::certificates(vec![certificate], key).unwrap();
    Carrier::Dtls(Box::new(ClientConfig::with_key(credential, trust)))
}

pub(crate) fn certified(stage: &Stage, id: &str) -> Carrier {
    certified_for(stage, id, "localhost")
}

fn managed_on(stage: &Stage, id: &str, channel: Channel, transport: &str) {
    let _device = stage.device_on(channel, id, |_| {});
    let shown = stage.shown(id);
    assert_eq!(shown["transport"], transport, "{shown}");
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
}

/// A device of the simulated fleet, which is on DTLS with a pre-shared key.
fn psk(stage: &Stage, _id: &str) {
    let endpoint = until_some("a secured device", SOON, || {
        stage.secured_devices().into_iter().next().ok_or(())
    });
    let shown = stage.shown(&endpoint);
    assert_eq!(shown["transport"], "DTLS", "{shown}");
    assert_eq!(stage.value(&endpoint, "/3/0/0"), "Drover");
}

fn certificate(stage: &Stage, id: &str) {
    let channel = Channel::open(stage.ingress("coaps"), &certified(stage, id));
    managed_on(stage, id, channel.unwrap(), "DTLS");
}

/// The device ends the handshake, and the server registers nothing.
fn other_host_name(stage: &Stage, id: &str) {
    let carrier = certified_for(stage, id, "server.example.com");
    let failure = Channel::open(stage.ingress("coaps"), &carrier).err();
    assert_eq!(
        failure,
        Some(HandshakeFailure::PeerRejected(PeerRejection::Invalid))
    );
    assert_eq!(stage.run(&["device", id]).code, 3);
    // With the right name the same server is the right one.
    let channel = Channel::open(stage.ingress("coaps"), &certified(stage, id));
    managed_on(stage, id, channel.unwrap(), "DTLS");
}

fn tls(stage: &Stage, id: &str) {
    let identity = stage.authority.issue(id, &[]);
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from(stage.authority.certificate.clone());
    roots.add(authority).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from(identity.certificate)],
            PrivateKeyDer::Pkcs8(identity.private_key.into()),
        );
    let name = ServerName::try_from("localhost").unwrap();
    let carrier = Carrier::Tls(Arc::new(config.unwrap()), name);
    let channel = Channel::open(stage.ingress("tls"), &carrier).unwrap();
    managed_on(stage, id, channel, "TLS");
}

/// Every message is one that OSCORE protects, both ways: the channel passes nothing else.
fn oscore(stage: &Stage, id: &str) {
    let carrier = with_context(stage, id, "0c");
    let channel = Channel::open(stage.ingress("coap"), &carrier).unwrap();
    let _device = stage.device_on(channel, id, |_| {});
    assert_eq!(stage.value(id, "/3/0/0"), "Drover");
    // The name is the context's now, and nobody's without it.
    let shown = stage.shown(id);
    assert_eq!(shown["state"], "Registered", "{shown}");
}
