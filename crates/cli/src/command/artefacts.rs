//! `artefacts`: packages that devices fetch from the cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::{Args, Subcommand};
use device_state::Digest;
use futures::stream;
use proto::drover::v1::put_artefact_request::{Description, Kind};
use proto::drover::v1::{
    Artefact, DeleteArtefactRequest, GetArtefactRequest, ListArtefactsRequest, PutArtefactRequest,
};
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::arguments::{Global, Once};
use crate::failure::Failure;
use crate::output::note;
use crate::view::artefact::{ArtefactView, ArtefactsView};
use crate::view::backup::size;

/// How long storing a package may take, whatever `--timeout` says of an answer. State nodes wait no longer either.
const STORE_TIMEOUT: Duration = Duration::from_mins(10);
/// Bytes of one message.
const PART: usize = 256 << 10;

#[derive(Debug, Subcommand)]
pub(crate) enum Artefacts {
    /// Store a package.
    #[command(after_help = "\
All ingress nodes serve it to devices, by the addresses that devices know. It is known by its digest,
and never changes; storing it again changes nothing.

Examples:
  drover artefacts put meters-2.0.0.bin
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
    /// The package.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What people call it [default: the name of the file].
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The digest that it must have: sha256: and 64 hex digits.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
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
        let package = Package::read(&self.file)?;
        if let Some(given) = self.digest
            && given != package.digest
        {
            return Err(Failure::usage(
                format!("{} has the digest {}", self.file.display(), package.digest),
                format!("it should have {given}; nothing was stored"),
            ));
        }
        let package = Package {
            title: self.title.unwrap_or(package.title),
            ..package
        };
        let api = Api::connect(global).await?;
        let stored = package.store(&api).await?;
        let view = ArtefactView::from(stored);
        global.output.show(&view, |view| format!("{}\n", view.uri))
    }
}

/// A file that is to be stored.
pub(crate) struct Package {
    pub(crate) digest: Digest,
    title: String,
    bytes: Bytes,
}

impl Package {
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let title = file.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            digest: Digest(Sha256::digest(&bytes).into()),
            title: title.into_owned(),
            bytes: bytes.into(),
        })
    }

    /// Sends it, and tells how far it is.
    pub(crate) async fn store(self, api: &Api) -> Result<Artefact, Failure> {
        let action = format!("store {}", self.title);
        let all = self.bytes.len();
        note(&format!(
            "{}: {}, {}",
            self.title,
            size(all as u64),
            self.digest
        ));
        let description = Description {
            digest: self.digest.to_string(),
            size_bytes: all as u64,
            title: self.title,
        };
        let mut parts = vec![Kind::Description(description)];
        let data = (0..all).step_by(PART);
        parts.extend(data.map(|at| Kind::Data(self.bytes.slice(at..all.min(at + PART)))));
        let parts = parts
            .into_iter()
            .map(|kind| PutArtefactRequest { kind: Some(kind) });
        let timeout = api.timeout().max(STORE_TIMEOUT);
        let request = Api::request_within(timeout, stream::iter(parts));
        let answer = api.artefacts().put_artefact(request).await;
        Ok(answer.map_err(Failure::call(action))?.into_inner())
    }
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
