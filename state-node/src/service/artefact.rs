//! Packages for ingress nodes, and for other state nodes that want to know whether there is one.

use std::sync::Arc;

use bytes::Bytes;
use device_state::{Artefact, ArtefactName, ArtefactState, ShardId, query};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, future};
use proto::rpc::v1::read_artefact_response::Kind;
use proto::rpc::v1::{ReadArtefactRequest, ReadArtefactResponse};
use tonic::Status;

use crate::raft::group::Group;
use crate::router::{Route, Router};
use crate::service::state::{DESCRIBE_TIMEOUT, Origin, at_leader};
use crate::service::status;

/// The package, then its bytes, each chunk when it is asked for. From the leader, which alone knows that there is no such
/// package.
pub(super) async fn read(
    router: &Router,
    request: ReadArtefactRequest,
) -> Result<BoxStream<'static, Result<ReadArtefactResponse, Status>>, Status> {
    let name = request
        .artefact
        .ok_or_else(|| status::missing("artefact"))?;
    let name = ArtefactName::try_from(name).map_err(|error| status::convert(&error))?;
    let group = group(router, &name)?.clone();
    let artefact = complete(&group, &name).await?;
    let chunks = if request.head_only {
        0
    } else {
        artefact.chunks()
    };
    let chunks = (0..chunks).map(move |number| chunk(&group, &name, number));
    let head = Ok(part(Kind::Head(artefact.into())));
    Ok(stream::once(future::ready(head))
        .chain(stream::iter(chunks))
        .boxed())
}

/// What is known of a package, from the leader of its shard; NOT_FOUND unless all of it is there.
pub(super) async fn describe(router: &Router, name: &ArtefactName) -> Result<Artefact, Status> {
    let group = group(router, name)?;
    at_leader(Origin::Caller, DESCRIBE_TIMEOUT, || {
        describe_once(router, group, name)
    })
    .await
}

async fn describe_once(
    router: &Router,
    group: &Arc<Group>,
    name: &ArtefactName,
) -> Result<Artefact, Status> {
    let mut client = match router.route(group) {
        Route::Here(group) => return complete(group, name).await,
        Route::There(client) => client,
        Route::Nowhere => return Err(status::no_leader()),
    };
    let request = ReadArtefactRequest {
        artefact: Some(name.clone().into()),
        head_only: true,
    };
    let parts = client.read_artefact(router.forwarded(request, DESCRIBE_TIMEOUT));
    let head = parts.await?.into_inner().message().await?;
    match head.and_then(|head| head.kind) {
        Some(Kind::Head(artefact)) => {
            Artefact::try_from(artefact).map_err(|error| status::convert(&error))
        }
        Some(Kind::Data(_)) | None => Err(Status::internal("a package without a beginning")),
    }
}

fn group<'r>(router: &'r Router, name: &ArtefactName) -> Result<&'r Arc<Group>, Status> {
    let shard = ShardId::of_artefact(name, router.shards());
    router.group(shard).ok_or_else(status::no_leader)
}

async fn complete(group: &Group, name: &ArtefactName) -> Result<Artefact, Status> {
    let found = group
        .read_current(|tables| query::artefact(tables, name))
        .await
        .map_err(|_| status::no_leader())?;
    found
        .filter(|artefact| artefact.state == ArtefactState::Complete)
        .ok_or_else(|| status::not_found("the package"))
}

fn chunk(
    group: &Arc<Group>,
    name: &ArtefactName,
    number: u32,
) -> Result<ReadArtefactResponse, Status> {
    let chunk = group
        .store()
        .read(|tables| query::artefact_chunk(tables, name, number));
    // Whether there is none any more is for the next call to find out.
    let chunk = chunk.ok_or_else(|| Status::aborted("the package was removed meanwhile"))?;
    Ok(part(Kind::Data(Bytes::from(chunk.bytes))))
}

const fn part(kind: Kind) -> ReadArtefactResponse {
    ReadArtefactResponse { kind: Some(kind) }
}
