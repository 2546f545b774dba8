//! `artefacts`: packages that devices get from the cluster.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use device_state::{Artefact, Digest};
use package_source::{Expected, PublicKey, Signature, SignedBy, Source, Wanted};
use proto::drover::v1::{DeleteArtefactRequest, GetArtefactRequest, ListArtefactsRequest};

use crate::api::Api;
use crate::arguments::{Global, Once};
use crate::failure::Failure;
use crate::package::{Package, credentials};
use crate::view::artefact::{ArtefactView, ArtefactsView};

#[derive(Debug, Subcommand)]
pub(crate) enum Artefacts {
    /// Store a package.
    #[command(after_help = "\
All ingress nodes serve it to devices, by the addresses that devices know. It is known by its digest,
and never changes; storing it again changes nothing.

What is fetched from elsewhere is checked before it is stored. A registry is asked with what
`docker login` has written, if that is there; a bucket as AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL and the like say.

Examples:
  drover artefacts put meters-2.0.0.bin
  drover artefacts put https://firmware.example.com/meters-2.0.0.bin --digest sha256:…
  drover artefacts put oci://registry.example.com/meters@sha256:… --public-key cosign.pub
  drover artefacts put s3://firmware/meters-2.0.0.bin --public-key release.pem --signature …
  drover rollout create meters-2 --version 2.0.0 --uri drover:sha256:… --wave all
  drover rollout create meters-2 --version 2.0.0 --package meters-2.0.0.bin --wave all

JSON: {\"digest\", \"sizeBytes\", \"title\", \"uri\", \"createTime\"}.")]
    Put(Put),
    /// List packages.
    #[command(
        after_help = "JSON: {\"artefacts\": [{\"digest\", \"sizeBytes\", \"title\", \"uri\", \"createTime\"}]}."
    )]
    List,
    /// Show a package.
    #[command(
        after_help = "JSON: {\"digest\", \"sizeBytes\", \"title\", \"uri\", \"createTime\"}."
    )]
    Get {
        /// Digest of the package: sha256: and 64 hex digits.
        #[arg(value_name = "DIGEST")]
        digest: String,
    },
    /// Remove a package that no campaign offers any more.
    Remove {
        /// Digest of the package: sha256: and 64 hex digits.
        #[arg(value_name = "DIGEST")]
        digest: String,
        #[command(flatten)]
        once: Once,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The package: a file, or where it lies: https://…, http://…, oci://HOST/REPOSITORY@sha256:… or s3://BUCKET/KEY.
    #[arg(value_name = "FILE|URL")]
    package: String,
    /// What people call it [default: the end of its name].
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The digest that it must have: sha256: and 64 hex digits.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// Who must have signed it, in PEM: Ed25519, or ECDSA on P-256 for cosign. Without --signature, cosign's in the registry
    /// counts.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// The signature by the key of all bytes of the package: 64 bytes in Base64.
    #[arg(long, value_name = "BASE64", requires = "public_key")]
    signature: Option<String>,
}

impl Artefacts {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(global).await,
            Self::List => list(global).await,
            Self::Get { digest } => get(global, digest).await,
            Self::Remove { digest, once } => {
                let api = Api::connect(global).await?;
                let action = format!("remove the package {digest}");
                let request = api.request(DeleteArtefactRequest {
                    digest,
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = api.artefacts().delete_artefact(request).await;
                answer.map(drop).map_err(Failure::call(action))
            }
        }
    }
}

impl Put {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let signature = self.signature()?;
        let package = if self.package.contains("://") {
            self.fetched(signature).await?
        } else {
            self.read(signature.as_ref())?
        };
        let package = match self.title {
            Some(title) => package.titled(title),
            None => package,
        };
        let api = Api::connect(global).await?;
        let stored = package.store(&api).await?;
        let view = ArtefactView::from(stored);
        global.output.show(&view, |view| format!("{}\n", view.uri))
    }

    fn signature(&self) -> Result<Option<Signature>, Failure> {
        let Some(file) = &self.public_key else {
            return Ok(None);
        };
        let pem = std::fs::read_to_string(file);
        let pem = pem.with_context(|| format!("cannot read {}", file.display()))?;
        let key = PublicKey::from_pem(&pem);
        let key = key.map_err(|error| invalid(&format!("{}: {error}", file.display())))?;
        let by = match &self.signature {
            None => SignedBy::Cosign,
            Some(text) => {
                let value = package_source::raw_signature(text);
                SignedBy::Value(value.map_err(|fault| invalid(&format!("--signature: {fault}")))?)
            }
        };
        Ok(Some(Signature { key, by }))
    }

    async fn fetched(&self, signature: Option<Signature>) -> Result<Package, Failure> {
        let source: Source = self
            .package
            .parse()
            .map_err(|error| invalid(&format!("{error}")))?;
        let wanted = Wanted {
            credentials: credentials(&source)?,
            source,
            expected: Expected {
                size: None,
                digest: self.digest,
                limit: Artefact::MAX_SIZE,
            },
            signature,
        };
        Package::fetch(&wanted).await
    }

    fn read(&self, signature: Option<&Signature>) -> Result<Package, Failure> {
        let package = Package::read(Path::new(&self.package))?;
        if let Some(given) = self.digest
            && given != package.digest
        {
            return Err(Failure::usage(
                format!("{} has the digest {}", self.package, package.digest),
                format!("it should have {given}; nothing was stored"),
            ));
        }
        match signature {
            None => {}
            Some(Signature {
                key,
                by: SignedBy::Value(value),
            }) => package
                .is_signed(key, value)
                .map_err(|error| invalid(&format!("{}: {error}", self.package)))?,
            Some(_) => {
                return Err(Failure::usage(
                    "--public-key: what did it sign?".to_owned(),
                    "give the --signature of the file; only artefacts of registries have theirs beside them",
                ));
            }
        }
        Ok(package)
    }
}

fn invalid(what: &str) -> Failure {
    Failure::usage(what.to_owned(), "nothing was stored")
}

async fn list(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(ListArtefactsRequest {});
    let answer = api.artefacts().list_artefacts(request).await;
    let answer = answer.map_err(Failure::call("list packages"))?.into_inner();
    let view = ArtefactsView {
        artefacts: answer
            .artefacts
            .into_iter()
            .map(ArtefactView::from)
            .collect(),
    };
    global.output.show(&view, ArtefactsView::table)
}

async fn get(global: &Global, digest: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("get the package {digest}");
    let request = api.request(GetArtefactRequest { digest });
    let answer = api.artefacts().get_artefact(request).await;
    let artefact = answer.map_err(Failure::call(action))?.into_inner();
    global
        .output
        .show(&ArtefactView::from(artefact), ArtefactView::text)
}
