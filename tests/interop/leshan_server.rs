//! Our device library at a server on Leshan's server library, in every security mode of LwM2M Transport 1.2 §5.2.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use dtls::{
    ClientConfig, Credential, Fingerprint, HandshakeFailure, PeerRejection, Psk, ServerTrust,
    SigningKey, TrustAnchors,
};
use tests::leshan::class_path;
use tests::{Program, until_some};

use crate::device::SecuredDevice;
use crate::keys::{Authority, Keys};
use crate::leshan::{KEY, SOON};

const ENDPOINT: &str = "drover-device";

/// A server, and where it listens.
struct Server {
    program: Program,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(security: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("java");
        command
            .current_dir(folder.path())
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-cp", class_path(), "InteropServer", ENDPOINT])
            .args(security);
        let program = Program::start(&mut command, &folder.path().join("output")).unwrap();
        let port = until_some("a server's port", SOON, || {
            let output = program.output();
            let (_, port) = output
                .split_once("listens ")
                .ok_or_else(|| output.clone())?;
            let (port, _) = port.split_once('\n').ok_or_else(|| output.clone())?;
            port.parse::<u16>().map_err(|error| error.to_string())
        });
        Self {
            program,
            address: ([127, 0, 0, 1], port).into(),
            _folder: folder,
        }
    }

    /// The device registers, is read and written, and reports at least twice.
    fn manages(&self, security: ClientConfig) {
        let mut device = SecuredDevice::new(ENDPOINT, self.address, security);
        let until = Instant::now() + SOON;
        let failure = device.run(|| {
            let output = self.program.output();
            assert!(!output.contains("failed"), "{output}");
            assert!(Instant::now() < until, "{output}");
            output.matches("notified /3303/0/5700").count() >= 2
        });
        let output = self.program.output();
        assert_eq!(failure, None, "{output}");
        for line in [
            "registered drover-device",
            "read CONTENT(205)",
            "write CHANGED(204)",
            "observe CONTENT(205)",
        ] {
            assert!(output.contains(line), "{line}: {output}");
        }
    }
}

fn der(keys: &Keys, kind: &str) -> Vec<u8> {
    std::fs::read(keys.file(kind)).unwrap()
}

fn signing_key(keys: &Keys) -> SigningKey {
    SigningKey::from_der(&der(keys, "key.der")).unwrap()
}

#[test]
fn our_device_is_managed_by_leshan_with_a_pre_shared_key() {
    let server = Server::start(&["psk", "identity", KEY]);
    let psk = Psk::new(&hex::decode(KEY).unwrap()).unwrap();
    server.manages(ClientConfig::new(b"identity".to_vec(), psk));
}

#[test]
fn our_device_is_managed_by_leshan_with_raw_public_keys() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let server_keys = authority.issue("server", "DNS:localhost");
    let keys = authority.issue(ENDPOINT, "DNS:unused.example");
    let files = ["key.der", "pub.der"].map(|kind| server_keys.file(kind));
    let server = Server::start(&["rpk", &files[0], &files[1], &keys.file("pub.der")]);
    let own = Credential::raw_public_key(signing_key(&keys));
    let pinned = |keys: &Keys| {
        let fingerprint = Fingerprint::of(&der(keys, "pub.der"));
        ServerTrust::PinnedKeys(vec![fingerprint])
    };
    server.manages(ClientConfig::with_key(own.clone(), pinned(&server_keys)));

    // A server with another key than the device knows of is not talked to.
    let other = ClientConfig::with_key(own, pinned(&keys));
    let mut device = SecuredDevice::new(ENDPOINT, server.address, other);
    let until = Instant::now() + SOON;
    let failure = device.run(|| Instant::now() >= until);
    assert_eq!(
        failure,
        Some(HandshakeFailure::PeerRejected(PeerRejection::Unknown))
    );
}

#[test]
fn our_device_is_managed_by_leshan_with_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let server_keys = authority.issue("server", "DNS:localhost");
    let keys = authority.issue(ENDPOINT, "DNS:unused.example");
    let files = ["key.der", "cert.der"].map(|kind| server_keys.file(kind));
    let root = authority.file("ca.cert.der");
    let server = Server::start(&["x509", &files[0], &files[1], &root]);
    let own = Credential::certificates(vec![der(&keys, "cert.der")], signing_key(&keys)).unwrap();
    let anchors = TrustAnchors::new(&[std::fs::read(root).unwrap()], &[[0_u8; 0]; 0]).unwrap();
    let trust = ServerTrust::Anchors {
        anchors: Arc::new(anchors),
        server_name: "localhost".to_owned(),
        unix_time: SystemTime::UNIX_EPOCH.elapsed().unwrap(),
    };
    server.manages(ClientConfig::with_key(own, trust));
}
