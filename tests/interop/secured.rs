//! A cluster whose ingress node has keys of its own.

use std::path::Path;

use tests::{Drover, Options, free_address};

use crate::keys::{Authority, Keys};

/// A cluster whose ingress node has a raw key and a certificate.
pub(crate) struct Secured {
    pub(crate) drover: Drover,
    /// Where it serves TLS.
    pub(crate) tls: String,
    pub(crate) authority: Authority,
    pub(crate) server: Keys,
    _keys: tempfile::TempDir,
}

impl Secured {
    pub(crate) fn start() -> Self {
        let keys = tempfile::tempdir().unwrap();
        let authority = Authority::new(keys.path());
        authority.revoke(&[]);
        let server = authority.issue("server", "DNS:localhost,IP:127.0.0.1");
        let (key, certificate) = (server.file("key.pem"), server.file("cert.pem"));
        let tls = free_address();
        let authorities = authority.certificate().display().to_string();
        let revoked = authority.revocation_list().display().to_string();
        let trust = format!(
            "client_authorities_file = {authorities:?}\nrevocation_list_files = [{revoked:?}]\ntrust_reload_seconds = 1\n\
             [[dtls_keys]]\nkey_file = {key:?}\n\
             [[dtls_keys]]\nkey_file = {key:?}\ncertificate_file = {certificate:?}\n",
        );
        let config = format!(
            "coaps_tcp_listen = {tls:?}\ntls_certificate_file = {certificate:?}\ntls_key_file = {key:?}\n{trust}",
        );
        let file = keys.path().join("ingress.toml");
        std::fs::write(&file, config).unwrap();
        // The same keys and authorities, but not the same ports.
        let bootstrap = keys.path().join("bootstrap.toml");
        std::fs::write(&bootstrap, &trust).unwrap();
        let flag = |name: &str, file: &Path| [name.to_owned(), file.display().to_string()];
        let drover = Drover::start(&Options {
            state_nodes: 1,
            flags: [
                flag("--ingress-config", &file),
                flag("--bootstrap-config", &bootstrap),
            ]
            .concat(),
            ..Options::default()
        });
        Self {
            drover,
            tls,
            authority,
            server,
            _keys: keys,
        }
    }
}
