//! Leshan's device in every security mode of LwM2M Transport 1.2 §5.2.

use tests::leshan::start_device;
use tests::{Drover, Program, metric, until_some};

use crate::leshan::{KEY, SOON, observed, value_of};
use crate::secured::Secured;

impl Secured {
    fn device(&self, endpoint: &str, cid_length: &str, mode: &[&str]) -> Program {
        let uri = format!("coaps://{}", self.drover.endpoint("/ingress/0/coaps"));
        let arguments = [&[uri.as_str(), "300", cid_length], mode].concat();
        let device = start_device(&self.drover, endpoint, &arguments);
        self.drover.wait_for_device(endpoint, SOON);
        device
    }

    fn raw_key_device(&self, endpoint: &str) -> Program {
        let keys = self.authority.issue(endpoint, "DNS:unused.example");
        let public = keys.file("pub.pem");
        let added = self.drover.run(&[
            "credentials",
            "add",
            "--endpoint",
            endpoint,
            "--public-key",
            &public,
        ]);
        assert_eq!(added.code, 0, "{added:?}");
        let (key, public) = (keys.file("key.der"), keys.file("pub.der"));
        let mode = ["rpk", &key, &public, &self.server.file("pub.der")];
        self.device(endpoint, "0", &mode)
    }

    fn certified_device(&self, endpoint: &str, certified: &str) -> Program {
        let keys = self
            .authority
            .issue(certified, &format!("URI:urn:dev:{certified}"));
        let (key, certificate) = (keys.file("key.der"), keys.file("cert.der"));
        let mode = ["x509", &key, &certificate, &self.server.file("cert.der")];
        self.device(endpoint, "0", &mode)
    }

    fn sessions_revoked(&self) -> f64 {
        let admin = self.drover.endpoint("/ingress/0/admin");
        metric(&admin, "drover_ingress_sessions_revoked_total")
    }

    fn wait_for_revocation(&self) {
        until_some("an ended session", SOON, || match self.sessions_revoked() {
            ended if ended >= 1.0 => Ok(()),
            ended => Err(ended),
        });
    }
}

/// Reads, writes and observes.
fn manage(drover: &Drover, endpoint: &str, device: &mut Program) {
    assert_eq!(value_of(drover, endpoint, "/3/0/0"), "Drover");
    let written = drover.run(&["write", endpoint, "/3/0/14", "+02:00"]);
    assert_eq!(written.code, 0, "{written:?}");
    device.wait_for_output("written 14 +02:00", SOON);
    let mut observe = drover.command(&["observe", endpoint, "/3303/0/5700", "-o", "json"]);
    let output = drover.scratch().join(format!("observe-{endpoint}"));
    let observer = Program::start(&mut observe, &output).unwrap();
    until_some("notifications", SOON, || {
        let lines = observed(&observer);
        if lines.len() >= 3 { Ok(()) } else { Err(lines) }
    });
}

#[test]
fn leshan_devices_are_managed_in_every_security_mode() {
    let secured = Secured::start();
    let drover = &secured.drover;

    drover.add_psk("leshan-plain-cid", "leshan-identity", KEY);
    let psk = ["psk", "leshan-identity", KEY];
    let mut device = secured.device("leshan-plain-cid", "-1", &psk);
    let shown = drover.json(&["device", "leshan-plain-cid"]);
    assert_eq!(shown["connectionId"].as_str(), None, "{shown}");
    manage(drover, "leshan-plain-cid", &mut device);

    let mut device = secured.raw_key_device("leshan-rpk");
    manage(drover, "leshan-rpk", &mut device);

    let mut device = secured.certified_device("leshan-x509", "leshan-x509");
    manage(drover, "leshan-x509", &mut device);

    // A name of the certificate that is not its common name.
    let mut device = secured.certified_device("urn:dev:leshan-urn", "leshan-urn");
    manage(drover, "urn:dev:leshan-urn", &mut device);
}

#[test]
fn a_removed_public_key_ends_its_session() {
    let secured = Secured::start();
    let mut device = secured.raw_key_device("leshan-removed");
    let listed = secured.drover.json(&["credentials", "list"]);
    assert_eq!(listed["credentials"][0]["kind"], "public-key", "{listed}");
    let key = secured.authority.file("leshan-removed.pub.pem");
    let removed = secured
        .drover
        .run(&["credentials", "remove", "--public-key", &key]);
    assert_eq!(removed.code, 0, "{removed:?}");
    secured.wait_for_revocation();
    device.say("update");
    // Its next handshake is refused.
    device.wait_for_output("Unable to", SOON);
}

#[test]
fn a_revoked_certificate_ends_its_session() {
    let secured = Secured::start();
    let mut revoked = secured.certified_device("leshan-revoked", "leshan-revoked");
    let mut other = secured.certified_device("leshan-other", "leshan-other");
    secured.authority.revoke(&["leshan-revoked"]);
    secured.wait_for_revocation();
    revoked.say("update");
    revoked.wait_for_output("Unable to", SOON);
    manage(&secured.drover, "leshan-other", &mut other);
    assert!((secured.sessions_revoked() - 1.0).abs() < f64::EPSILON);
}
