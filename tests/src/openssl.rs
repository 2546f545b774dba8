//! Keys and signatures as people make them, by OpenSSL. Every command has to succeed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What kind of key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// For signatures of the bytes themselves.
    Ed25519,
    /// As `cosign generate-key-pair` makes it.
    P256,
}

/// A pair of keys in PEM.
#[derive(Clone, Debug)]
pub struct KeyPair {
    curve: Curve,
    private: PathBuf,
    public: PathBuf,
}

impl KeyPair {
    /// Makes one, in `NAME.key` and `NAME.pub` of the folder.
    pub fn make(folder: &Path, name: &str, curve: Curve) -> Self {
        let (private, public) = (format!("{name}.key"), format!("{name}.pub"));
        let kind: &[&str] = match curve {
            Curve::Ed25519 => &["ed25519"],
            Curve::P256 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        };
        let make = [&["genpkey", "-out", &private, "-algorithm"], kind].concat();
        openssl(folder, &make);
        let publish = ["pkey", "-in", &private, "-pubout", "-out", &public];
        openssl(folder, &publish);
        Self {
            curve,
            private: folder.join(private),
            public: folder.join(public),
        }
    }

    /// The file of the public key.
    pub fn public(&self) -> &str {
        text(&self.public)
    }

    /// The public key in PEM.
    pub fn pem(&self) -> String {
        std::fs::read_to_string(&self.public).expect("the key was made")
    }

    /// The signature of a file in Base64: by Ed25519 of its bytes, by P-256 of their SHA-256.
    pub fn sign(&self, file: &Path) -> String {
        let folder = file.parent().expect("a file is in a folder");
        let (key, file) = (text(&self.private), text(file));
        let sign: &[&str] = match self.curve {
            Curve::Ed25519 => &["pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file],
            Curve::P256 => &["dgst", "-sha256", "-sign", key, file],
        };
        let signature = folder.join("signature");
        std::fs::write(&signature, openssl(folder, sign)).expect("the folder can be written to");
        let coded = openssl(folder, &["base64", "-A", "-in", text(&signature)]);
        String::from_utf8(coded).expect("Base64 is text")
    }
}

/// `sha256:` and the digest of a file.
pub fn digest(file: &Path) -> String {
    let folder = file.parent().expect("a file is in a folder");
    let told = openssl(folder, &["dgst", "-sha256", "-r", text(file)]);
    let told = String::from_utf8(told).expect("a digest is text");
    let hex = told.get(..64).expect("the digest comes first");
    format!("sha256:{hex}")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("scratch folders have plain names")
}

/// What OpenSSL says to this.
fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    let output = command.current_dir(folder).args(arguments).output();
    let output = output.expect("openssl can be started");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output.stdout
}
