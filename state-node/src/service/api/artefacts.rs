//! `drover.v1.Artefacts`: packages come in as a whole, and are checked, before anything of them is stored.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use device_state::{
    Artefact, ArtefactChunk, ArtefactName, ArtefactState, Campaign, Command, Digest, FeatureLevel,
    Namespace, Outcome, Profile, ShardId, Timestamp, query,
};
use futures::{StreamExt, TryStreamExt, stream};
use lwm2m::Value;
use proto::convert::public::{InNamespace, NewArtefact, artefact_name};
use proto::drover::v1 as public;
use proto::drover::v1::artefacts_server::Artefacts;
use proto::drover::v1::put_artefact_request::Kind;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::raft::group::Group;
use crate::service::api::{Api, tenant, terms};
use crate::service::{artefact, status};

/// Packages that may be on their way to this node at a time: each is in memory until it is stored.
const MAX_UPLOADS: usize = 4;
/// And those of one namespace.
const MAX_UPLOADS_OF_ONE: usize = 2;
/// How long a package may be on its way, and the next part of one.
const PATIENCE: Duration = Duration::from_mins(10);
const PART_PATIENCE: Duration = Duration::from_secs(30);
/// Chunks of a package that are being committed at a time.
const IN_FLIGHT: usize = 8;
const CHUNK: usize = ArtefactChunk::BYTES as usize;

/// Packages that are on their way to a node, by their namespaces.
#[derive(Clone, Debug, Default)]
pub struct Uploads(Arc<Mutex<HashMap<Namespace, usize>>>);

/// A package that is on its way.
struct Upload {
    uploads: Uploads,
    namespace: Namespace,
}

impl Uploads {
    /// `None` if there is no room.
    fn begin(&self, namespace: &Namespace) -> Option<Upload> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = under_way.get(namespace).copied().unwrap_or_default();
        let all: usize = under_way.values().sum();
        if own >= MAX_UPLOADS_OF_ONE || all >= MAX_UPLOADS {
            return None;
        }
        under_way.insert(namespace.clone(), own + 1);
        Some(Upload {
            uploads: self.clone(),
            namespace: namespace.clone(),
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut under_way = self
            .uploads
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut own) = under_way.entry(self.namespace.clone()) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[tonic::async_trait]
impl Artefacts for Api {
    async fn put_artefact(
        &self,
        request: Request<Streaming<public::PutArtefactRequest>>,
    ) -> Result<Response<public::Artefact>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        self.all_know(FeatureLevel::ARTEFACTS).await?;
        let room = self.uploads.begin(&namespace);
        let room = room.ok_or_else(status::too_many_uploads)?;
        let received = timeout(PATIENCE, receive(request)).await;
        let (new, bytes) = received.map_err(|_| too_slow())??;
        let artefact = Artefact {
            name: ArtefactName {
                namespace,
                digest: checked(&new, &bytes).await?,
            },
            size: new.size,
            title: new.title,
            // Whoever stores it says when.
            created_at: Timestamp(0),
            state: ArtefactState::Complete,
        };
        let digest = artefact.name.digest;
        let stored = self.store_artefact(artefact, bytes).await?;
        drop(room);
        tracing::info!(%digest, title = stored.title, "a package is stored");
        Ok(Response::new(stored.into()))
    }

    async fn get_artefact(
        &self,
        request: Request<public::GetArtefactRequest>,
    ) -> Result<Response<public::Artefact>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        let name = artefact_name(&namespace, &request.digest);
        let name = name.map_err(|error| status::convert(&error))?;
        let found = artefact::describe(self.router(), &name).await?;
        Ok(Response::new(found.into()))
    }

    async fn list_artefacts(
        &self,
        request: Request<public::ListArtefactsRequest>,
    ) -> Result<Response<public::ListArtefactsResponse>, Status> {
        let namespace = tenant(request)?.namespace;
        let of_shard = |shard: &Arc<Group>| {
            let store = shard.store();
            store.read(|tables| query::artefacts(tables, &namespace))
        };
        let mut found: Vec<Artefact> = self.router().groups().iter().flat_map(of_shard).collect();
        found.retain(|artefact| artefact.state == ArtefactState::Complete);
        found.sort_by_key(|artefact| artefact.name.digest);
        Ok(Response::new(public::ListArtefactsResponse {
            artefacts: found.into_iter().map(Into::into).collect(),
        }))
    }

    async fn delete_artefact(
        &self,
        request: Request<public::DeleteArtefactRequest>,
    ) -> Result<Response<public::DeleteArtefactResponse>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let namespace = asked.namespace.clone();
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        let Command::RemoveArtefact { artefact } = &command else {
            return Err(Status::internal("a deletion that is none"));
        };
        let (digest, shard) = (artefact.digest, self.shard_of_artefact(artefact));
        if let Some(campaign) = self.offered_by(&namespace, digest) {
            return Err(status::artefact_of_campaign(&campaign.name));
        }
        if let Some(profile) = self.desired_by(&namespace, digest) {
            return Err(status::artefact_of_profile(&profile.name));
        }
        self.commit_on(shard, &terms, command).await?;
        Ok(Response::new(public::DeleteArtefactResponse {}))
    }
}

impl Api {
    /// Stores a package that was checked. Repeated, it goes on where it was.
    async fn store_artefact(&self, artefact: Artefact, bytes: Bytes) -> Result<Artefact, Status> {
        let shard = self.shard_of_artefact(&artefact.name);
        let name = artefact.name.clone();
        let begun = Command::BeginArtefact {
            artefact: artefact.clone(),
        };
        let mut complete = is_complete(&self.commit(shard, begun).await?);
        if !complete {
            let put = |number: u32| {
                let first = number as usize * CHUNK;
                let bytes = bytes.slice(first..bytes.len().min(first + CHUNK));
                let chunk = ArtefactChunk {
                    artefact: name.clone(),
                    number,
                    bytes: bytes.to_vec(),
                };
                self.commit(shard, Command::PutArtefactChunk { chunk })
            };
            let mut puts = stream::iter(0..artefact.chunks())
                .map(put)
                .buffer_unordered(IN_FLIGHT);
            while let Some(put) = puts.try_next().await? {
                complete |= is_complete(&put);
            }
        }
        if !complete {
            return Err(status::artefact_removed());
        }
        artefact::describe(self.router(), &name).await
    }

    fn shard_of_artefact(&self, name: &ArtefactName) -> ShardId {
        ShardId::of_artefact(name, self.router().shards())
    }

    /// Whether all packages of the cluster that a campaign offers are stored. They may be removed at the same moment; then its
    /// devices say that there is nothing at the URI.
    pub(super) async fn packages_are_there(&self, campaign: &Campaign) -> Result<(), Status> {
        let images = [
            Some(&campaign.plan.image),
            campaign.plan.rollback_image.as_ref(),
        ];
        let digests = images.into_iter().flatten();
        for digest in digests.filter_map(|image| Digest::of_package_uri(&image.uri)) {
            let name = ArtefactName {
                namespace: campaign.namespace.clone(),
                digest,
            };
            match artefact::describe(self.router(), &name).await {
                Err(error) if error.code() == Code::NotFound => {
                    return Err(status::no_artefact(digest));
                }
                found => found.map(drop)?,
            }
        }
        Ok(())
    }

    /// A campaign that may still send devices for the package.
    fn offered_by(&self, namespace: &Namespace, digest: Digest) -> Option<Campaign> {
        let common = self.router().common_group();
        let campaigns = common
            .store()
            .read(|tables| query::campaigns(tables, Some(namespace)));
        let is_of = |uri: &str| Digest::of_package_uri(uri) == Some(digest);
        campaigns.into_iter().find(|campaign| {
            let rollback = campaign.plan.rollback_image.as_ref();
            let offers =
                is_of(&campaign.plan.image.uri) || rollback.is_some_and(|image| is_of(&image.uri));
            offers && campaign.course.ended_at.is_none()
        })
    }

    /// A profile that has devices get the package.
    fn desired_by(&self, namespace: &Namespace, digest: Digest) -> Option<Profile> {
        let common = self.router().common_group();
        let profiles = common
            .store()
            .read(|tables| query::profiles(tables, Some(namespace)));
        let is_of = |value: &Value| match value {
            Value::String(text) => Digest::of_package_uri(text) == Some(digest),
            _ => false,
        };
        profiles.into_iter().find(|profile| {
            let mut goals = profile.resources.iter().map(|one| one.goal.value());
            goals.any(|value| value.is_some_and(is_of))
        })
    }
}

/// A package and what it is said to be.
async fn receive(
    mut parts: Streaming<public::PutArtefactRequest>,
) -> Result<(NewArtefact, Bytes), Status> {
    let description = match next(&mut parts).await? {
        Some(Kind::Description(description)) => description,
        Some(Kind::Data(_)) | None => return Err(status::missing("description")),
    };
    let new = NewArtefact::try_from(description).map_err(|error| status::convert(&error))?;
    // At most 64 MiB, and no more than arrives.
    let mut bytes = BytesMut::new();
    while let Some(part) = next(&mut parts).await? {
        let Kind::Data(data) = part else {
            return Err(status::field("description", &"is there twice"));
        };
        if data.is_empty() {
            return Err(status::field("data", &"is empty"));
        }
        bytes.extend_from_slice(&data);
        if bytes.len() as u64 > new.size {
            let reason = format!("is {}, and there is more", new.size);
            return Err(status::field("size_bytes", &reason));
        }
    }
    if (bytes.len() as u64) < new.size {
        let reason = format!("is {}, and there are {}", new.size, bytes.len());
        return Err(status::field("size_bytes", &reason));
    }
    Ok((new, bytes.freeze()))
}

async fn next(parts: &mut Streaming<public::PutArtefactRequest>) -> Result<Option<Kind>, Status> {
    let part = timeout(PART_PATIENCE, parts.message()).await;
    let part = part.map_err(|_| too_slow())??;
    part.map(|part| part.kind.ok_or_else(|| status::missing("data")))
        .transpose()
}

fn too_slow() -> Status {
    Status::deadline_exceeded("the package did not arrive in time")
}

/// Whether all of the package was there after the command.
const fn is_complete(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Arrived { complete: true })
}

/// The digest, if it is the one that was given.
async fn checked(new: &NewArtefact, bytes: &Bytes) -> Result<Digest, Status> {
    let whole = bytes.clone();
    // A tenth of a second for the largest package.
    let hashed = tokio::task::spawn_blocking(move || Digest(Sha256::digest(&whole).into()));
    let found = hashed
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    match new.digest {
        Some(given) if given != found => {
            let reason = format!("is {given}, and what arrived has {found}");
            Err(status::field("digest", &reason))
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_leaves_room_for_others() {
        let uploads = Uploads::default();
        let named = |name| Namespace::new(name).expect("it is a name");
        let (north, south, east) = (named("north"), named("south"), named("east"));
        let first = uploads.begin(&north);
        let second = uploads.begin(&north);
        assert!(first.is_some() && second.is_some());
        assert!(uploads.begin(&north).is_none());
        let others = [uploads.begin(&south), uploads.begin(&south)];
        assert!(others.iter().all(Option::is_some));
        assert!(uploads.begin(&east).is_none());
        drop(first);
        assert!(uploads.begin(&east).is_some());
        assert!(uploads.begin(&north).is_some());
    }
}
