//! `credentials`: pre-shared keys, which can be written and never read back.

pub(crate) mod import;

use std::io::Read as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use proto::drover::v1::{
    Credential, DeleteCredentialRequest, ListCredentialsRequest, PutCredentialRequest,
};

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::time;
use crate::view::credential::{CredentialView, CredentialsView};

const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum Credentials {
    /// Add a pre-shared key, or replace the key of an identity.
    #[command(after_help = "\
Examples:
  drover credentials add --endpoint dev-7 --psk-identity dev-7 --psk-key 000102030405060708090a0b
  openssl rand -hex 16 | drover credentials add --endpoint dev-8 --psk-identity dev-8 --psk-key -")]
    Add(Add),
    /// Add the pre-shared keys of many devices from a file, or replace them.
    #[command(after_help = "\
Nothing is stored if a line is wrong. If it ends early, repeat it: keys that are stored are replaced by themselves.
JSON: {\"imported\"}

Examples:
  drover credentials import devices.csv
  drover-sim run --server coaps://HOST:PORT --psk-file devices.csv    devices with these keys")]
    Import(import::Import),
    /// List endpoints and identities; keys cannot be read.
    #[command(
        after_help = "JSON: {\"credentials\": [{\"endpoint\", \"pskIdentity\", \"createTime\"}]}"
    )]
    List {
        /// Only those of this endpoint.
        #[arg(long, value_name = "ENDPOINT", default_value = "")]
        endpoint: String,
    },
    /// Remove a pre-shared key. A session that it was used for goes on.
    #[command(after_help = "Example:\n  drover credentials remove --psk-identity meter-7")]
    Remove {
        #[command(flatten)]
        identity: Identity,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Endpoint name that the key is for.
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: String,
    #[command(flatten)]
    identity: Identity,
    /// Key in hex, 1 to 64 bytes; - reads it from standard input.
    #[arg(long, value_name = "HEX")]
    psk_key: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Identity {
    /// Identity that the device sends, as text.
    #[arg(long, value_name = "TEXT")]
    psk_identity: Option<String>,
    /// Identity that the device sends, in hex.
    #[arg(long, value_name = "HEX")]
    psk_identity_hex: Option<String>,
}

impl Identity {
    fn bytes(self) -> Result<Vec<u8>, Failure> {
        match (self.psk_identity, self.psk_identity_hex) {
            (Some(text), _) => Ok(text.into_bytes()),
            (None, Some(hex)) => unhex("--psk-identity-hex", &hex),
            (None, None) => Ok(Vec::new()),
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

impl Credentials {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(global).await,
            Self::Import(import) => import.run(global).await,
            Self::List { endpoint } => list(global, endpoint).await,
            Self::Remove { identity } => {
                let psk_identity = identity.bytes()?;
                let api = Api::connect(global).await?;
                let request = api.request(DeleteCredentialRequest { psk_identity });
                let answer = api.credentials().delete_credential(request).await;
                answer.map_err(Failure::call("remove the credential"))?;
                Ok(())
            }
        }
    }
}

impl Add {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let psk_identity = self.identity.bytes()?;
        let psk_key = key(&self.psk_key)?;
        let api = Api::connect(global).await?;
        let credential = put(&api, self.endpoint, psk_identity, psk_key).await?;
        global
            .output
            .show(&CredentialView::from(credential), |_| String::new())
    }
}

fn key(given: &str) -> Result<Vec<u8>, Failure> {
    if given != "-" {
        return unhex("--psk-key", given);
    }
    let mut text = String::new();
    // A key has 128 digits at most.
    let mut input = std::io::stdin().lock().take(1024);
    input
        .read_to_string(&mut text)
        .context("cannot read the key from standard input")?;
    unhex("--psk-key", &text)
}

/// Stores a pre-shared key.
async fn put(
    api: &Api,
    endpoint: String,
    psk_identity: Vec<u8>,
    psk_key: Vec<u8>,
) -> Result<Credential, Failure> {
    let action = format!("add a credential of {endpoint}");
    let request = PutCredentialRequest {
        endpoint,
        psk_identity,
        psk_key,
    };
    let answer = api.credentials().put_credential(api.request(request)).await;
    Ok(answer.map_err(Failure::call(action))?.into_inner())
}

async fn list(global: &Global, endpoint: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let mut credentials = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListCredentialsRequest {
            endpoint: endpoint.clone(),
            page_size: PAGE,
            page_token,
        };
        let answer = api
            .credentials()
            .list_credentials(api.request(request))
            .await;
        let page = answer
            .map_err(Failure::call("list credentials"))?
            .into_inner();
        credentials.extend(page.credentials.into_iter().map(CredentialView::from));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    credentials.sort_by(|a: &CredentialView, b| a.order().cmp(&b.order()));
    let view = CredentialsView { credentials };
    global.output.show(&view, |view| view.table(time::now()))
}
