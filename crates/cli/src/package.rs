//! Packages on their way into the cluster.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use device_state::Digest;
use futures::stream;
use package_source::{Credentials, Fetcher, Progress, PublicKey, SignatureError, Source, Wanted};
use proto::convert::public::{STORE_TIMEOUT, artefact_parts};
use proto::drover::v1::Artefact;
use proto::drover::v1::put_artefact_request::Kind;
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::failure::Failure;
use crate::output::note;
use crate::view::backup::size;

/// Between two lines about a package on its way.
const TELL_EVERY: Duration = Duration::from_secs(5);
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
        let progress = Progress::default();
        let fetcher = Fetcher::new().map_err(anyhow::Error::from)?;
        let fetcher = fetcher.counting(progress.clone());
        let all = wanted.expected.size;
        let all = all.map_or_else(String::new, |bytes| format!(" of {}", size(bytes)));
        let so_far = || format!("{place}: {}{all} fetched", size(progress.bytes()));
        let bytes = told_meanwhile(fetcher.fetch_wanted(wanted), so_far).await;
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
        let (title, sent) = (self.title, Progress::default());
        let parts = artefact_parts(self.digest, &title, self.bytes);
        let counted = sent.clone();
        let parts = parts.inspect(move |part| {
            if let Some(Kind::Data(data)) = &part.kind {
                counted.add(data.len());
            }
        });
        let timeout = api.timeout().max(STORE_TIMEOUT);
        let request = Api::request_within(timeout, stream::iter(parts));
        let mut artefacts = api.artefacts();
        let so_far = || format!("{title}: {} of {all} sent", size(sent.bytes()));
        let answer = told_meanwhile(artefacts.put_artefact(request), so_far).await;
        Ok(answer.map_err(Failure::call(action))?.into_inner())
    }
}

/// Tells of work that takes long how far it is.
async fn told_meanwhile<T>(work: impl Future<Output = T>, so_far: impl Fn() -> String) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(TELL_EVERY) => note(&so_far()),
        }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_long_is_told_of() {
        let told = Cell::new(0);
        let so_far = || {
            told.set(told.get() + 1);
            format!("so far: {}", told.get())
        };
        assert_eq!(told_meanwhile(async { 1 }, so_far).await, 1);
        assert_eq!(told.get(), 0);
        let long = tokio::time::sleep(TELL_EVERY * 2 + TELL_EVERY / 2);
        told_meanwhile(long, so_far).await;
        assert_eq!(told.get(), 2);
    }
}
