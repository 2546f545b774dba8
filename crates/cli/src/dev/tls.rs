//! The certificate for TLS on this machine.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::dev::home::{Home, create_private};

/// The names under which devices of this machine reach the nodes.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Files of a certificate that signed itself, and its key. They stay as long as the directory.
pub(super) struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    /// That of the directory; it is made when there is none.
    pub(super) fn of(home: &Home) -> anyhow::Result<Self> {
        let folder = home.path().join("tls");
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        if !certificate.exists() {
            make(&folder, &certificate, &key).context("cannot make a certificate for TLS")?;
        }
        let text = |path: PathBuf| path.display().to_string();
        Ok(Self {
            certificate: text(certificate),
            key: text(key),
        })
    }

    /// What ingress nodes are told.
    pub(super) fn settings(&self) -> [(&str, &str); 3] {
        [
            ("DROVER_INGRESS__TLS_CERTIFICATE_FILE", &self.certificate),
            ("DROVER_INGRESS__TLS_KEY_FILE", &self.key),
            ("DROVER_INGRESS__COAPS_TCP_REQUIRES_CERTIFICATE", "false"),
        ]
    }
}

/// The certificate comes last: where it is, the key is too.
fn make(folder: &Path, certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned))?;
    fs::create_dir_all(folder)?;
    if key.exists() {
        fs::remove_file(key)?;
    }
    create_private(key)?.write_all(made.signing_key.serialize_pem().as_bytes())?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(made.cert.pem().as_bytes())?;
    file.persist(certificate)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn a_directory_keeps_its_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(dir.path())).unwrap();
        let read = || {
            let made = Certificate::of(&home).unwrap();
            [made.certificate, made.key].map(|path| fs::read_to_string(path).unwrap())
        };
        let first = read();
        assert!(first[0].starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(first[1].starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(read(), first);
    }
}
