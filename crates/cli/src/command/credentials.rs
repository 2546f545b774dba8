//! `credentials`: what devices prove themselves with. Secrets can be written and never read back.

pub(crate) mod import;
mod kind;

use clap::{Args, Subcommand};
use proto::drover::v1::put_credential_request::Credential as Secret;
use proto::drover::v1::{
    Credential, DeleteCredentialRequest, ListCredentialsRequest, PutCredentialRequest,
};

use self::kind::{Id, SecretPart};
use crate::api::Api;
use crate::arguments::{Global, Once, Seen};
use crate::failure::Failure;
use crate::time;
use crate::view::credential::{CredentialView, CredentialsView};

const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum Credentials {
    /// Add a pre-shared key, a public key or an OSCORE context, or replace the one with its identity.
    #[command(after_help = "\
A public key may be raw (RFC 7250) or of the device's certificate, which then needs no trusted issuer. Devices with
certificates of a trusted issuer need no credential: their endpoint name is a name in the certificate.

Examples:
  drover credentials add --endpoint dev-7 --psk-identity dev-7 --psk-key 000102030405060708090a0b
  openssl rand -hex 16 | drover credentials add --endpoint dev-8 --psk-identity dev-8 --psk-key -
  openssl ec -in dev-9.key -pubout | drover credentials add --endpoint dev-9 --public-key -
  openssl rand -hex 16 | drover credentials add --endpoint dev-10 --oscore-client-id 0a --oscore-server-id 00 \\
    --oscore-master-secret -")]
    Add(Add),
    /// Add the pre-shared keys of many devices from a file, or replace them.
    #[command(after_help = "\
Nothing is stored if a line is wrong. If it ends early, repeat it: keys that are stored are replaced by themselves.
JSON: {\"imported\"}

Examples:
  drover credentials import devices.csv
  drover-sim run --server coaps://HOST:PORT --psk-file devices.csv    devices with these keys")]
    Import(import::Import),
    /// List endpoints and identities; secrets cannot be read.
    #[command(
        after_help = "JSON: {\"credentials\": [{\"endpoint\", \"kind\": psk|public-key|oscore, \"identity\", \"createTime\", \"etag\"}]}"
    )]
    List {
        /// Only those of this endpoint.
        #[arg(long, value_name = "ENDPOINT", default_value = "")]
        endpoint: String,
    },
    /// Remove a credential and end the sessions that it was used for.
    #[command(after_help = "\
Examples:
  drover credentials remove --psk-identity meter-7
  drover credentials remove --public-key dev-9.pub
  drover credentials remove --oscore-client-id 0a")]
    Remove {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        seen: Seen,
        #[command(flatten)]
        once: Once,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Endpoint name that the credential is for.
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: String,
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    secret: SecretPart,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    once: Once,
}

impl Credentials {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(global).await,
            Self::Import(import) => import.run(global).await,
            Self::List { endpoint } => list(global, endpoint).await,
            Self::Remove { id, seen, once } => {
                let id = Some(id.into_wire()?);
                let api = Api::connect(global).await?;
                let request = api.request(DeleteCredentialRequest {
                    id,
                    etag: seen.etag,
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = api.credentials().delete_credential(request).await;
                answer.map_err(Failure::call("remove the credential"))?;
                Ok(())
            }
        }
    }
}

impl Add {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let secret = self.secret.with(self.id)?;
        let api = Api::connect(global).await?;
        let request = PutCredentialRequest {
            etag: self.seen.etag,
            request_id: self.once.request_id,
            validate_only: self.once.dry_run,
            ..new(self.endpoint, secret)
        };
        let credential = put(&api, request).await?;
        global
            .output
            .show(&CredentialView::from(credential), |_| String::new())
    }
}

fn new(endpoint: String, secret: Secret) -> PutCredentialRequest {
    PutCredentialRequest {
        endpoint,
        credential: Some(secret),
        ..Default::default()
    }
}

/// Stores a credential.
async fn put(api: &Api, request: PutCredentialRequest) -> Result<Credential, Failure> {
    let action = format!("add a credential of {}", request.endpoint);
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
