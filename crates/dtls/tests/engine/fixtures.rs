//! The keys and certificates of `tests/fixtures`, which `make.sh` there explains.

use std::sync::Arc;
use std::time::Duration;

use dtls::{
    ClientConfig, Credential, Fingerprint, ServerCredentials, ServerTrust, SigningKey, TrustAnchors,
};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/", $name))
    };
}

/// In January 2027, which is within the certificates' time.
pub(crate) const TIME: Duration = Duration::from_secs(1_800_000_000);
pub(crate) const CA: &[u8] = fixture!("ca.der");
pub(crate) const ISSUER: &[u8] = fixture!("issuer.der");
pub(crate) const DEVICE: &[u8] = fixture!("device.der");
pub(crate) const DEVICE_KEY: &[u8] = fixture!("device.key");
pub(crate) const REVOKED: &[u8] = fixture!("revoked.der");
pub(crate) const SERVER: &[u8] = fixture!("server.der");
pub(crate) const SERVER_KEY: &[u8] = fixture!("server.key");
pub(crate) const TENANT: &[u8] = fixture!("tenant.der");
pub(crate) const TENANT_KEY: &[u8] = fixture!("tenant.key");
const REVOKED_KEY: &[u8] = fixture!("revoked.key");
const REVOCATIONS: &[u8] = fixture!("issuer.crl");
/// The same, until the first of December 2026.
pub(crate) const EXPIRED_REVOCATIONS: &[u8] = fixture!("expired.crl");

pub(crate) fn key(der: &[u8]) -> SigningKey {
    SigningKey::from_der(der).unwrap()
}

pub(crate) fn fingerprint(key_der: &[u8]) -> Fingerprint {
    Fingerprint::of(&key(key_der).public_key_info())
}

fn certificates(chain: &[&[u8]], key_der: &[u8]) -> Credential {
    let chain = chain.iter().map(|der| der.to_vec()).collect();
    Credential::certificates(chain, key(key_der)).unwrap()
}

/// What the server trusts in, with the issuer's revocations.
pub(crate) fn anchors() -> TrustAnchors {
    TrustAnchors::new(&[CA], &[REVOCATIONS]).unwrap()
}

/// A raw key and a certificate for server.example, and a certificate for another.example.
pub(crate) fn server_credentials() -> ServerCredentials {
    let mut credentials = ServerCredentials::default();
    credentials.add([""; 0], Credential::raw_public_key(key(SERVER_KEY)));
    credentials.add(["server.example"], certificates(&[SERVER], SERVER_KEY));
    credentials.add(["another.example"], certificates(&[TENANT], TENANT_KEY));
    credentials
}

/// A client with a raw key that expects the server's raw key.
pub(crate) fn raw_key_client() -> ClientConfig {
    let trust = ServerTrust::PinnedKeys(vec![fingerprint(SERVER_KEY)]);
    ClientConfig::with_key(Credential::raw_public_key(key(DEVICE_KEY)), trust)
}

fn trust_in(server_name: &str) -> ServerTrust {
    ServerTrust::Anchors {
        anchors: Arc::new(TrustAnchors::new(&[CA], &[&[0; 0]; 0]).unwrap()),
        server_name: server_name.to_owned(),
        unix_time: TIME,
    }
}

/// A client with a certificate that expects one for the name.
pub(crate) fn certificate_client(server_name: &str) -> ClientConfig {
    let credential = certificates(&[DEVICE, ISSUER], DEVICE_KEY);
    ClientConfig {
        server_name: Some(server_name.to_owned()),
        ..ClientConfig::with_key(credential, trust_in(server_name))
    }
}

/// The same with a chain that no single datagram holds: authorities of no use are allowed in it.
pub(crate) fn long_chain_client(server_name: &str) -> ClientConfig {
    let credential = certificates(&[DEVICE, ISSUER, ISSUER, CA, CA, CA, CA, CA], DEVICE_KEY);
    ClientConfig {
        server_name: Some(server_name.to_owned()),
        ..ClientConfig::with_key(credential, trust_in("server.example"))
    }
}

/// A chain as long for server.example.
pub(crate) fn long_server_chain() -> Credential {
    certificates(&[SERVER, CA, CA, CA, CA, CA, CA, CA], SERVER_KEY)
}

/// A client whose certificate is revoked.
pub(crate) fn revoked_client() -> ClientConfig {
    let credential = certificates(&[REVOKED, ISSUER], REVOKED_KEY);
    ClientConfig::with_key(credential, trust_in("server.example"))
}
