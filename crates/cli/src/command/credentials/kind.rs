//! The kinds of credentials as flags.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use proto::drover::v1::credential_id::Kind;
use proto::drover::v1::put_credential_request::Credential as Secret;
use proto::drover::v1::{CredentialId, OscoreContext, PreSharedKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;

/// Neither a key in hex nor a PEM file of one is longer.
const MAX_INPUT: u64 = 64 << 10;

/// What a device shows of its credential.
#[derive(Debug, Args)]
#[group(id = "id", required = true, multiple = false)]
pub(crate) struct Id {
    /// PSK identity that the device sends, as text.
    #[arg(long, value_name = "TEXT")]
    psk_identity: Option<String>,
    /// PSK identity that the device sends, in hex.
    #[arg(long, value_name = "HEX")]
    psk_identity_hex: Option<String>,
    /// File with the device's P-256 public key in PEM; - reads standard input.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// OSCORE Sender ID of the device in hex, at most 7 bytes.
    #[arg(long, value_name = "HEX")]
    oscore_client_id: Option<String>,
}

/// The secret that belongs to an [`Id`].
#[derive(Debug, Args)]
pub(crate) struct SecretPart {
    /// Pre-shared key in hex, 1 to 64 bytes; - reads it from standard input.
    #[arg(long, value_name = "HEX", conflicts_with_all = ["public_key", "oscore_client_id"])]
    psk_key: Option<String>,
    /// OSCORE master secret in hex, 1 to 64 bytes; - reads it from standard input.
    #[arg(long, value_name = "HEX", requires = "oscore_client_id")]
    oscore_master_secret: Option<String>,
    /// OSCORE master salt in hex, at most 64 bytes.
    #[arg(long, value_name = "HEX", requires = "oscore_client_id")]
    oscore_master_salt: Option<String>,
    /// OSCORE Sender ID of the server in hex, at most 7 bytes; empty unless given.
    #[arg(long, value_name = "HEX", requires = "oscore_client_id")]
    oscore_server_id: Option<String>,
    /// OSCORE ID context in hex, at most 64 bytes, if the device has one.
    #[arg(long, value_name = "HEX", requires = "oscore_client_id")]
    oscore_id_context: Option<String>,
}

enum Shown {
    Psk(Vec<u8>),
    /// DER of the SubjectPublicKeyInfo.
    PublicKey(Vec<u8>),
    Oscore(Vec<u8>),
}

impl Id {
    fn read(self) -> Result<Shown, Failure> {
        if let Some(text) = self.psk_identity {
            return Ok(Shown::Psk(text.into_bytes()));
        }
        if let Some(hex) = self.psk_identity_hex {
            return unhex("--psk-identity-hex", &hex).map(Shown::Psk);
        }
        if let Some(file) = self.public_key {
            return public_key(&file).map(Shown::PublicKey);
        }
        let hex = self.oscore_client_id.unwrap_or_default();
        unhex("--oscore-client-id", &hex).map(Shown::Oscore)
    }

    /// As a credential is named that is there already.
    pub(super) fn into_wire(self) -> Result<CredentialId, Failure> {
        let kind = match self.read()? {
            Shown::Psk(identity) => Kind::PskIdentity(identity),
            Shown::PublicKey(info) => Kind::PublicKeyFingerprint(Sha256::digest(info).to_vec()),
            Shown::Oscore(id) => Kind::OscoreClientId(id),
        };
        Ok(CredentialId { kind: Some(kind) })
    }
}

impl SecretPart {
    /// The credential that `id` and this make.
    pub(super) fn with(self, id: Id) -> Result<Secret, Failure> {
        match id.read()? {
            Shown::Psk(identity) => {
                let key = secret("--psk-key", self.psk_key)?;
                Ok(Secret::PreSharedKey(PreSharedKey { identity, key }))
            }
            Shown::PublicKey(info) => Ok(Secret::PublicKey(info)),
            Shown::Oscore(client_id) => {
                let optional =
                    |name, hex: Option<String>| hex.map(|hex| unhex(name, &hex)).transpose();
                let server_id = optional("--oscore-server-id", self.oscore_server_id)?;
                let salt = optional("--oscore-master-salt", self.oscore_master_salt)?;
                Ok(Secret::Oscore(OscoreContext {
                    client_id,
                    server_id: server_id.unwrap_or_default(),
                    master_secret: secret("--oscore-master-secret", self.oscore_master_secret)?,
                    master_salt: salt.unwrap_or_default(),
                    id_context: optional("--oscore-id-context", self.oscore_id_context)?,
                }))
            }
        }
    }
}

fn unhex(name: &str, text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text.trim()).map_err(|error| {
        // The text is not repeated: it may be a key.
        Failure::usage(
            format!("{name} is not hex: {error}"),
            "give an even number of hex digits, for example 0a1b2c3d",
        )
    })
}

fn secret(name: &str, given: Option<String>) -> Result<Vec<u8>, Failure> {
    let given = given.ok_or_else(|| {
        Failure::usage(
            format!("{name} is missing"),
            "give the key in hex, or - to read it from standard input",
        )
    })?;
    if given != "-" {
        return unhex(name, &given);
    }
    let text = read(Path::new("-")).context("cannot read the key from standard input")?;
    unhex(name, &text)
}

fn public_key(file: &Path) -> Result<Vec<u8>, Failure> {
    let name = file.display();
    let text = read(file).with_context(|| format!("cannot read {name}"))?;
    let info = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        Failure::usage(
            format!("{name} holds no public key in PEM"),
            "make one from the device's key: openssl ec -in KEY -pubout, or from its certificate: openssl x509 -in \
             CERTIFICATE -noout -pubkey",
        )
    })?;
    Ok(info.to_vec())
}

/// The text of a file, or of standard input for `-`.
fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    input.take(MAX_INPUT).read_to_string(&mut text)?;
    Ok(text)
}
