//! Packages on their way into the cluster.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use device_state::Digest;
use futures::stream;
use package_source::{Credentials, Fetcher, PublicKey, SignatureError, Source, Wanted};
use proto::convert::public::{STORE_TIMEOUT, artefact_parts};
use proto::drover::v1::Artefact;
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::failure::Failure;
use crate::output::note;
use crate::view::backup::size;

/// As `docker login` writes it, and as a Secret of Kubernetes calls it.
const LOGINS: &str = ".dockerconfigjson";

/// A package that is to be stored.
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
        Ok(Self::new(title.into_owned(), bytes.into()))
    }

    /// Fetches it from elsewhere, and checks it.
    pub(crate) async fn fetch(wanted: &Wanted) -> Result<Self, Failure> {
        let place = wanted.source.to_string();
        note(&format!("fetching {place}"));
        let fetcher = Fetcher::new().map_err(anyhow::Error::from)?;
        let bytes = fetcher.fetch_wanted(wanted).await;
        let bytes = bytes.map_err(|error| Failure::Unfinished {
            message: format!("{place} is not stored: {error}"),
            hint: "nothing was stored".to_owned(),
        })?;
        let title = place.rsplit('/').next().unwrap_or_default();
        Ok(Self::new(title.to_owned(), bytes))
    }

    fn new(title: String, bytes: Bytes) -> Self {
        Self {
            digest: Digest(Sha256::digest(&bytes).into()),
            title,
            bytes,
        }
    }

    pub(crate) fn titled(self, title: String) -> Self {
        Self { title, ..self }
    }

    /// Whether the key has signed all of its bytes.
    pub(crate) fn is_signed(
        &self,
        key: &PublicKey,
        signature: &[u8; 64],
    ) -> Result<(), SignatureError> {
        package_source::verify_raw(key, signature, &self.bytes)
    }

    /// Sends it, and tells how far it is.
    pub(crate) async fn store(self, api: &Api) -> Result<Artefact, Failure> {
        let action = format!("store {}", self.title);
        let all = size(self.bytes.len() as u64);
        note(&format!("{}: {all}, {}", self.title, self.digest));
        let parts = artefact_parts(self.digest, &self.title, self.bytes);
        let timeout = api.timeout().max(STORE_TIMEOUT);
        let request = Api::request_within(timeout, stream::iter(parts));
        let answer = api.artefacts().put_artefact(request).await;
        Ok(answer.map_err(Failure::call(action))?.into_inner())
    }
}

/// What a source asks for, as it is kept for other programs.
pub(crate) fn credentials(source: &Source) -> Result<Credentials, Failure> {
    if !matches!(source, Source::Registry { .. }) {
        return Ok(Credentials::of_this_process());
    }
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    let Some(file) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(Credentials::default());
    };
    let logins = match std::fs::read(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Credentials::default()),
        logins => logins.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let entries = BTreeMap::from([(LOGINS.to_owned(), logins)]);
    let credentials = Credentials::from_entries(&entries);
    Ok(credentials.with_context(|| format!("cannot use {}", file.display()))?)
}
