//! `bootstrap`: which accounts devices get from the bootstrap server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use proto::drover::v1::access_rule::Right;
use proto::drover::v1::bootstrap_account::{CertificateUse, Security};
use proto::drover::v1::{
    AccessRule, BootstrapAccount, BootstrapProfile, DeleteBootstrapProfileRequest,
    ListBootstrapProfilesRequest, PutBootstrapProfileRequest, StartBootstrapRequest,
};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use crate::api::Api;
use crate::arguments::{Global, Once, Seen};
use crate::command::write::{DeliveryOptions, finish, request};
use crate::failure::Failure;
use crate::view::bootstrap::{ProfileView, ProfilesView};

#[derive(Debug, Subcommand)]
pub(crate) enum Bootstrap {
    /// Add a profile, or replace the one of its name.
    #[command(after_help = "\
A device that asks the bootstrap server gets the accounts of the profile with the longest --prefix that its
name begins with. What a device proves itself with is made for it, and the cluster knows it before the
device does: a pre-shared key for --security psk (the default for coaps), a key pair for rpk and x509, a
context for oscore. `drover credentials list` shows them. When the device has its new accounts, those of
earlier bootstraps are removed.

Examples:
  drover bootstrap add all --server coaps://lwm2m.example.com
  drover bootstrap add meters --prefix meter- --server coaps://a.example.com --lifetime 1d --binding UQ
  drover bootstrap add cars --prefix car- --server coaps://lwm2m.example.com --security x509 --server-key server.pem
  drover bootstrap add shared --server coaps://a.example.com --server coaps://b.example.com --access /3303/0=1:rwed,2:r
  drover bootstrap add tags --prefix tag- --server coap://lwm2m.example.com --security oscore

A device proves itself to the bootstrap server with a credential of its own:
  drover credentials add --endpoint meter-7 --psk-identity meter-7-factory --psk-key 000102030405060708090a0b0c0d0e0f")]
    Add(Add),
    /// List profiles.
    #[command(after_help = "\
JSON: {\"profiles\": [{\"name\", \"endpointPrefix\", \"servers\": [{\"uri\", \"shortServerId\", \"security\": psk|rpk|x509|oscore|nosec,
  \"lifetimeSeconds\", \"binding\"}], \"access\": [{\"path\", \"rights\": {\"ID\": \"LETTERS\"}, \"owner\"}], \"etag\"}]}")]
    List,
    /// Remove a profile. Devices keep the accounts that they have.
    Remove {
        /// Name of the profile.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        seen: Seen,
        #[command(flatten)]
        once: Once,
    },
    /// Tell a registered device to get its accounts anew.
    #[command(after_help = "\
Executes the device's Bootstrap-Request Trigger, /1/x/9. `drover device` shows what came of it.

Example:
  drover bootstrap start meter-7")]
    Start(Start),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the profile: a-z, 0-9 and -.
    #[arg(value_name = "NAME")]
    name: String,
    /// Devices whose names begin with this; all of them unless it is given.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// URI of a management server, such as coaps://HOST:PORT. Given several times, the device gets
    /// several accounts, with the ids 1, 2, …
    #[arg(long = "server", value_name = "URI", required = true)]
    servers: Vec<String>,
    /// Short server id of the first account.
    #[arg(long, value_name = "ID", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=65_500))]
    short_server_id: u16,
    /// How the device and the servers know each other [default: psk for coaps, else nosec].
    #[arg(long, value_enum)]
    security: Option<SecurityName>,
    /// What the device knows the servers by, for rpk and x509: a public key or a certificate, PEM or DER.
    #[arg(long, value_name = "FILE", required_if_eq_any([("security", "rpk"), ("security", "x509")]))]
    server_key: Option<PathBuf>,
    /// What the certificate in --server-key is to the device.
    #[arg(long, value_enum, requires = "server_key", default_value_t = UseName::DomainIssued)]
    certificate_use: UseName,
    /// How long a registration lives.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = parse_lifetime)]
    lifetime: Duration,
    /// Transports: U, T, …; with Q for queue mode of LwM2M 1.0 devices.
    #[arg(long, value_name = "LETTERS", default_value = "U")]
    binding: String,
    /// What servers may do with an object instance: PATH=ID:RIGHTS[,ID:RIGHTS…][@OWNER], of the rights r, w, e, d
    /// and c. ID 0 stands for all other servers, an object's path for the right to create; the owner is the first
    /// server unless named. May be given several times.
    #[arg(long, value_name = "RULE", value_parser = access_rule)]
    access: Vec<AccessRule>,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    once: Once,
}

/// Reads `/3303/0=1:rwed,2:r@1`.
fn access_rule(text: &str) -> Result<AccessRule, String> {
    let form = || {
        "a rule is PATH=ID:RIGHTS[,ID:RIGHTS…][@OWNER], for example /3303/0=1:rwed,2:r".to_owned()
    };
    let (path, rest) = text.split_once('=').ok_or_else(form)?;
    let (rights, owner) = match rest.split_once('@') {
        Some((rights, owner)) => (rights, owner.parse().map_err(|_| form())?),
        None => (rest, 0),
    };
    let right = |text: &str| -> Option<Right> {
        let (id, letters) = text.split_once(':')?;
        Some(Right {
            short_server_id: id.parse().ok()?,
            letters: letters.to_owned(),
        })
    };
    let rights: Option<Vec<Right>> = rights.split(',').map(right).collect();
    Ok(AccessRule {
        path: path.to_owned(),
        rights: rights.ok_or_else(form)?,
        owner,
    })
}

fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a lifetime is 300s, 12h or 1d"))?;
    if lifetime.subsec_nanos() == 0 && (1..=u64::from(u32::MAX)).contains(&lifetime.as_secs()) {
        Ok(lifetime)
    } else {
        Err("a lifetime is a number of whole seconds, 1 at least".to_owned())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SecurityName {
    /// A pre-shared key
    Psk,
    /// Raw public keys
    Rpk,
    /// Certificates
    X509,
    /// OSCORE over coap or coap+tcp
    Oscore,
    /// Nothing
    Nosec,
}

/// `/0/x/15` (RFC 6698 §2.1.1)
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UseName {
    /// An authority that the server's certificate must come from, besides the usual checks
    CaConstraint,
    /// The server's certificate, besides the usual checks
    ServiceCertificate,
    /// The authority to trust
    TrustAnchor,
    /// The server's certificate and nothing more
    DomainIssued,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    #[command(flatten)]
    delivery: DeliveryOptions,
}

impl Bootstrap {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(global).await,
            Self::List => list(global).await,
            Self::Remove { name, seen, once } => {
                let api = Api::connect(global).await?;
                let action = format!("remove the bootstrap profile {name}");
                let request = api.request(DeleteBootstrapProfileRequest {
                    name,
                    etag: seen.etag,
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = api.bootstrap().delete_bootstrap_profile(request).await;
                answer.map(drop).map_err(Failure::call(action))
            }
            Self::Start(start) => start.run(global).await,
        }
    }
}

impl Add {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let security = match self.security {
            None => Security::Unspecified,
            Some(SecurityName::Psk) => Security::Psk,
            Some(SecurityName::Rpk) => Security::RawPublicKey,
            Some(SecurityName::X509) => Security::Certificate,
            Some(SecurityName::Oscore) => Security::Oscore,
            Some(SecurityName::Nosec) => Security::NoSec,
        };
        let server_key = match &self.server_key {
            Some(file) => server_key(file, security)?,
            None => Vec::new(),
        };
        let certificate_use = match (security, self.certificate_use) {
            (Security::Certificate, UseName::CaConstraint) => CertificateUse::CaConstraint,
            (Security::Certificate, UseName::ServiceCertificate) => {
                CertificateUse::ServiceCertificateConstraint
            }
            (Security::Certificate, UseName::TrustAnchor) => CertificateUse::TrustAnchorAssertion,
            // What a device takes it for that is told nothing.
            _ => CertificateUse::Unspecified,
        };
        let account = |(id, uri): (u32, String)| BootstrapAccount {
            uri,
            short_server_id: id,
            security: security.into(),
            lifetime: prost_types::Duration::try_from(self.lifetime).ok(),
            binding: self.binding.clone(),
            server_key: server_key.clone(),
            certificate_use: certificate_use.into(),
        };
        let action = format!("add the bootstrap profile {}", self.name);
        let profile = BootstrapProfile {
            name: self.name,
            endpoint_prefix: self.prefix,
            servers: (self.short_server_id.into()..)
                .zip(self.servers)
                .map(account)
                .collect(),
            access: self.access,
            etag: self.seen.etag,
        };
        let api = Api::connect(global).await?;
        let request = api.request(PutBootstrapProfileRequest {
            profile: Some(profile),
            request_id: self.once.request_id,
            validate_only: self.once.dry_run,
        });
        let answer = api.bootstrap().put_bootstrap_profile(request).await;
        let stored = answer.map_err(Failure::call(action))?.into_inner();
        global
            .output
            .show(&ProfileView::from(stored), |_| String::new())
    }
}

/// What a device is to know a server by, in DER.
fn server_key(file: &Path, security: Security) -> Result<Vec<u8>, Failure> {
    let wrong = |error: String| {
        Failure::usage(
            format!("--server-key: {}: {error}", file.display()),
            "rpk takes a public key: openssl pkey -in KEY -pubout; x509 a certificate: openssl x509 -in CERTIFICATE",
        )
    };
    let content = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    if !content.starts_with(b"-----") {
        return Ok(content);
    }
    let der = match security {
        Security::RawPublicKey => {
            SubjectPublicKeyInfoDer::from_pem_slice(&content).map(|der| der.as_ref().to_vec())
        }
        _ => CertificateDer::from_pem_slice(&content).map(|der| der.as_ref().to_vec()),
    };
    der.map_err(|error| wrong(error.to_string()))
}

async fn list(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(ListBootstrapProfilesRequest {});
    let answer = api.bootstrap().list_bootstrap_profiles(request).await;
    let answer = answer
        .map_err(Failure::call("list bootstrap profiles"))?
        .into_inner();
    let view = ProfilesView {
        profiles: answer.profiles.into_iter().map(ProfileView::from).collect(),
    };
    global.output.show(&view, ProfilesView::table)
}

impl Start {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let action = format!("start a bootstrap of {}", self.endpoint);
        let message = StartBootstrapRequest {
            endpoint: self.endpoint,
            delivery: Some(self.delivery.message(global)),
        };
        let api = Api::connect(global).await?;
        let answer = api
            .bootstrap()
            .start_bootstrap(request(global, message))
            .await;
        finish(global, action, answer)
    }
}
