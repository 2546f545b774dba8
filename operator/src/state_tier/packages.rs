//! Packages that devices get from the cluster.

use std::time::Duration;

use bytes::Bytes;
use device_state::{Digest, Namespace};
use futures::stream;
use proto::drover::v1 as api;
use proto::drover::v1::artefacts_client::ArtefactsClient;
use proto::drover::v1::put_artefact_request::{Description, Kind};
use tonic::Code;

use super::{CallError, StateTier, about, known};

/// How long storing a package may take. State nodes wait no longer either.
const STORE_TIMEOUT: Duration = Duration::from_mins(10);
/// Bytes of one message.
const PART: usize = 256 << 10;
/// Reasons of RESOURCE_EXHAUSTED that say that there is no room.
const NO_ROOM: [&str; 2] = ["DISK_NEARLY_FULL", "TOO_MANY_ARTEFACTS"];

impl StateTier {
    /// The bytes of a package of the namespace; `None` if it is not there.
    pub(crate) async fn package_size(
        &self,
        namespace: &Namespace,
        digest: Digest,
    ) -> Result<Option<u64>, CallError> {
        let answer = self.call(|channel| async move {
            let request = api::GetArtefactRequest {
                digest: digest.to_string(),
            };
            ArtefactsClient::new(channel)
                .get_artefact(about(namespace, request))
                .await
        });
        Ok(known(answer.await)?.map(|found| found.size_bytes))
    }

    /// Stores a package. One that is there already stays as it is.
    pub(crate) async fn put_package(
        &self,
        namespace: &Namespace,
        (digest, title): (Digest, &str),
        package: Bytes,
    ) -> Result<(), CallError> {
        let all = package.len();
        let description = Description {
            digest: digest.to_string(),
            size_bytes: all as u64,
            title: title.to_owned(),
        };
        let parts = move || {
            let package = package.clone();
            let data = (0..all)
                .step_by(PART)
                .map(move |at| Kind::Data(package.slice(at..all.min(at + PART))));
            let all = std::iter::once(Kind::Description(description.clone())).chain(data);
            stream::iter(all.map(|kind| api::PutArtefactRequest { kind: Some(kind) }))
        };
        let answer = self.call_for(STORE_TIMEOUT, |channel| {
            let request = about(namespace, parts());
            async move { ArtefactsClient::new(channel).put_artefact(request).await }
        });
        answer.await.map(drop)
    }
}

impl CallError {
    /// Whether there is no room for a package, nor soon will be.
    pub(crate) fn is_about_room(&self) -> bool {
        self.is(Code::ResourceExhausted) && NO_ROOM.contains(&self.told().as_str())
    }
}
