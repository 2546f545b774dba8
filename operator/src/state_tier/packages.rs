//! Packages that devices get from the cluster.

use bytes::Bytes;
use device_state::{Digest, Namespace};
use futures::stream;
use proto::convert::public::{STORE_TIMEOUT, artefact_parts};
use proto::drover::v1 as api;
use proto::drover::v1::artefacts_client::ArtefactsClient;
use tonic::Code;

use super::{CallError, StateTier, about, known};

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
        let answer = self.call_for(STORE_TIMEOUT, |channel| {
            let request = about(
                namespace,
                stream::iter(artefact_parts(digest, title, package.clone())),
            );
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
