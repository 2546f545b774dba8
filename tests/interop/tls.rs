//! CoAP over TLS (RFC 8323 §8.1) with certificates on both sides: libcoap and `openssl s_client` as devices.

use std::process::Command;

use tests::{Program, metric, until};

use crate::keys::Keys;
use crate::leshan::SOON;
use crate::libcoap;
use crate::secured::Secured;

impl Secured {
    /// Registers with libcoap over TLS and returns what that printed.
    fn register(&self, endpoint: &str, keys: Option<&Keys>) -> String {
        let roots = self.authority.file("ca.cert.pem");
        let files = keys.map(|keys| ["cert.pem", "key.pem"].map(|kind| keys.file(kind)));
        let mut security = vec!["-R", &roots];
        if let Some([certificate, key]) = &files {
            security.extend(["-c", certificate, "-j", key]);
        }
        let program = "coap-client-openssl";
        libcoap::register(program, &security, &self.tls, "coaps+tcp", endpoint)
    }

    fn device_keys(&self, name: &str) -> Keys {
        self.authority.issue(name, "DNS:unused.example")
    }

    /// A connection that stays, of a device with these keys; what it receives is in its output.
    fn connect(&self, name: &str, keys: &Keys) -> Program {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect", &self.tls, "-CAfile"])
            .arg(self.authority.file("ca.cert.pem"))
            .args([
                "-cert",
                &keys.file("cert.pem"),
                "-key",
                &keys.file("key.pem"),
            ]);
        Program::start(&mut command, &self.drover.scratch().join(name)).unwrap()
    }

    fn wait_for_connections(&self, count: f64) {
        let admin = self.drover.endpoint("/ingress/0/admin");
        until("connections", SOON, || {
            metric(&admin, "drover_ingress_connections") >= count
        });
    }
}

#[test]
fn a_certificate_names_the_endpoint_over_tls() {
    let secured = Secured::start();
    let keys = secured.device_keys("libcoap-tls");
    let said = secured.register("libcoap-tls", Some(&keys));
    assert!(said.contains("2.01"), "{said}");
    let shown = secured.drover.json(&["device", "libcoap-tls"]);
    assert_eq!(shown["transport"], "TLS", "{shown}");

    let said = secured.register("somebody-else", Some(&keys));
    assert!(said.contains("4.03"), "{said}");
    let said = secured.register("no-certificate", None);
    assert!(!said.contains("2.01"), "{said}");
    assert_eq!(secured.drover.devices(), ["libcoap-tls"]);
}

#[test]
fn a_certificate_that_nobody_vouches_for_counts_by_its_key() {
    let secured = Secured::start();
    let stranger = secured.authority.self_signed("stranger");
    let said = secured.register("by-key", Some(&stranger));
    assert!(!said.contains("2.01"), "{said}");
    let public = stranger.file("pub.pem");
    let arguments = ["credentials", "add", "--endpoint", "by-key"];
    let added = secured
        .drover
        .run(&[&arguments[..], &["--public-key", &public]].concat());
    assert_eq!(added.code, 0, "{added:?}");
    let said = secured.register("by-key", Some(&stranger));
    assert!(said.contains("2.01"), "{said}");

    let mut connected = secured.connect("by-key", &stranger);
    connected.wait_for_output("Verify return code: 0 (ok)", SOON);
    secured.wait_for_connections(1.0);
    let removed = ["credentials", "remove", "--public-key", &public];
    let removed = secured.drover.run(&removed);
    assert_eq!(removed.code, 0, "{removed:?}");
    connected.wait_for_output("was revoked", SOON);
    let said = secured.register("by-key", Some(&stranger));
    assert!(!said.contains("2.01"), "{said}");
}

#[test]
fn a_revoked_certificate_ends_its_connection() {
    let secured = Secured::start();
    let [revoked, other] = ["tls-revoked", "tls-other"].map(|name| secured.device_keys(name));
    let mut first = secured.connect("tls-revoked", &revoked);
    let mut second = secured.connect("tls-other", &other);
    secured.wait_for_connections(2.0);
    secured.authority.revoke(&["tls-revoked"]);
    first.wait_for_output("was revoked", SOON);
    first.wait_for_end(SOON);
    assert!(second.is_running());
    // The handshake says why.
    let mut again = secured.connect("tls-revoked-again", &revoked);
    again.wait_for_output("certificate revoked", SOON);
}

#[test]
fn a_new_certificate_is_shown_without_a_restart() {
    let secured = Secured::start();
    let keys = secured.device_keys("tls-watcher");
    let mut before = secured.connect("before", &keys);
    before.wait_for_output("subject=CN = server\n", SOON);
    let renewed = secured
        .authority
        .issue("renewed", "DNS:localhost,IP:127.0.0.1");
    for kind in ["key.pem", "cert.pem"] {
        std::fs::rename(renewed.file(kind), secured.server.file(kind)).unwrap();
    }
    let mut attempt = 0;
    until("the new certificate", SOON, || {
        attempt += 1;
        let mut device = secured.connect(&format!("after-{attempt}"), &keys);
        device.wait_for_output("subject=CN = ", SOON);
        device.output().contains("subject=CN = renewed\n")
    });
    assert!(before.is_running());
}
