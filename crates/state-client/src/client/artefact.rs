//! Packages that devices fetch from the cluster.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use device_state::{Artefact, ArtefactName, Digest, ShardId};
use proto::rpc::v1::ReadArtefactRequest;
use proto::rpc::v1::read_artefact_response::Kind;
use proto::rpc::v1::state_client::StateClient;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::Client;
use super::device::{Unary, with_timeout};
use crate::error::DescribeError;

impl Client {
    /// All bytes of a package, whose digest is not checked; `None` if there is no such package here.
    pub async fn artefact(
        &self,
        digest: Digest,
        timeout: Duration,
    ) -> Result<Option<Bytes>, DescribeError> {
        let deadline = Instant::now() + timeout;
        let topology = timeout_at(deadline, self.ready())
            .await
            .map_err(|_| Unary::Unavailable)?;
        let name = ArtefactName {
            namespace: self.namespace().clone(),
            digest,
        };
        let shard = ShardId::of_artefact(&name, topology.shards);
        let call = |client: StateClient<Channel>, left: Duration| {
            let request = ReadArtefactRequest {
                artefact: Some(name.clone().into()),
                head_only: false,
            };
            async move { read(client, request, left).await.map(Response::new) }
        };
        match self.at_leader_of(shard, deadline, call).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Unary::Refused(status)) if status.code() == Code::NotFound => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}

async fn read(
    mut client: StateClient<Channel>,
    request: ReadArtefactRequest,
    left: Duration,
) -> Result<Bytes, Status> {
    let parts = client.read_artefact(with_timeout(request, left)).await?;
    let mut parts = parts.into_inner();
    let (mut size, mut bytes) = (0, BytesMut::new());
    while let Some(part) = parts.message().await? {
        match part.kind {
            Some(Kind::Head(head)) if head.size <= Artefact::MAX_SIZE => {
                size = head.size as usize;
                bytes.reserve(size);
            }
            Some(Kind::Data(data)) if bytes.len() + data.len() <= size => {
                bytes.extend_from_slice(&data);
            }
            _ => return Err(Status::data_loss("a package with more bytes than its size")),
        }
    }
    if bytes.len() < size {
        return Err(Status::data_loss(
            "a package with fewer bytes than its size",
        ));
    }
    Ok(bytes.freeze())
}
