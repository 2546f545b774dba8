//! `token`: bearer tokens for a cluster of `drover dev --secure`, signed by the key in its directory.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::json;

use crate::api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::output;

/// What the tokens of `drover dev` have as iss.
pub(crate) const ISSUER: &str = "drover-dev";
/// And as aud.
pub(crate) const AUDIENCE: &str = "drover";
const KEY_ID: &str = "dev";

#[derive(Debug, Args)]
#[command(after_help = "\
Signs a token with DIR/access/tokens.key, which `drover dev --secure` makes. What its owner may do is in
DIR/access/policy.yaml: the groups operators and viewers are there from the beginning.

Examples:
  drover token alice --group operators > alice.token
  drover devices --api-token-file alice.token")]
pub(crate) struct Token {
    /// Name of the owner.
    #[arg(value_name = "NAME")]
    name: String,
    /// A group that the owner is in; may be given more than once.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// How long the token is good.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// The key to sign with, Ed25519 in PEM, instead of that of the directory.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Token {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        let file = self.key.clone();
        let file = file.unwrap_or_else(|| api::directory(global).join("access/tokens.key"));
        let key = std::fs::read_to_string(&file)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(KeyPair::from_pem(&text)?))
            .with_context(|| format!("cannot use the key {}", file.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.context("the clock is before 1970")?;
        output::write(&format!("{}\n", self.signed(&key, now)?))
    }

    // RFC 7515 §3.1, RFC 8037 §3.1
    fn signed(&self, key: &KeyPair, now: Duration) -> anyhow::Result<String> {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": KEY_ID});
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": self.name,
            "groups": self.groups,
            "iat": now.as_secs(),
            "exp": now.saturating_add(self.lifetime).as_secs(),
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The public part of an Ed25519 key, as state nodes read it.
pub(crate) fn key_set(key: &KeyPair) -> String {
    let point = URL_SAFE_NO_PAD.encode(key.der_bytes());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": KEY_ID, "x": point});
    json!({ "keys": [key] }).to_string()
}
