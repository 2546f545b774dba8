//! `drover.v1.Backups`: checkpoints of shards, file by file. Any node serves it: a checkpoint is made by the leader of the
//! shard, and read through whichever node is asked.

use std::io::SeekFrom;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use device_state::ShardId;
use futures::StreamExt;
use futures::stream::BoxStream;
use node_runtime::Stage;
use proto::drover::v1 as public;
use proto::drover::v1::backups_client::BackupsClient;
use proto::drover::v1::backups_server::Backups as Service;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::backups::{Backups, CheckpointId, LEASE, Measured, Reading};
use crate::raft::caretaker::members_of;
use crate::raft::group::Group;
use crate::raft::network::MAX_MESSAGE;
use crate::raft::proposals::DiskGuard;
use crate::raft::state_machine::Position;
use crate::service::state::{Origin, StateService, at_leader};
use crate::service::status;

/// How long it may take to measure a shard of which nothing was measured before.
const PREPARE: Duration = Duration::from_secs(600);
/// How long a file may take that is read through another node.
const READ: Duration = Duration::from_secs(24 * 3_600);
/// How long the shard may be without a leader.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a file in one message.
const CHUNK: usize = 256 << 10;

/// The service of one node.
#[derive(Clone, Debug)]
pub struct BackupService {
    pub state: StateService,
    pub backups: Arc<Backups>,
    pub cluster_name: String,
    pub disk: DiskGuard,
}

impl BackupService {
    async fn prepare(
        &self,
        shard: ShardId,
        origin: Origin,
    ) -> Result<public::PrepareBackupResponse, Status> {
        let group = self.state.router.group(shard);
        let group = group.ok_or_else(|| status::field("shard", &"is none of this cluster"))?;
        at_leader(origin, PATIENCE, || async {
            match group.not_leader().leader {
                _ if group.leads() => self.prepare_here(group).await,
                Some(leader) if origin == Origin::Caller => {
                    let request = public::PrepareBackupRequest {
                        shard: u32::from(shard.0),
                    };
                    let request = self.state.router.forwarded(request, PREPARE);
                    let mut client = self.client(&leader.member.internal);
                    client
                        .prepare_backup(request)
                        .await
                        .map(Response::into_inner)
                }
                Some(_) | None => Err(status::no_leader()),
            }
        })
        .await
    }

    async fn prepare_here(
        &self,
        group: &Arc<Group>,
    ) -> Result<public::PrepareBackupResponse, Status> {
        let cluster_id = self.state.cluster_id();
        if cluster_id.is_empty() {
            return Err(status::no_leader());
        }
        // A checkpoint keeps files that would be removed otherwise.
        if self.disk.is_closed() {
            return Err(status::disk_nearly_full());
        }
        let place = self.backups.place().map_err(|error| status::hold(&error))?;
        let shard = group.shard();
        let made = group.make_backup().await;
        let checkpoint = made.map_err(|error| status::backup(&error))?;
        let position = Position::decode(checkpoint.applied())
            .map_err(|error| Status::internal(error.to_string()))?;
        let backups = self.backups.clone();
        let held = tokio::task::spawn_blocking(move || backups.hold(shard, checkpoint, place));
        let held = held
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        let (id, files) = held.map_err(|error| status::hold(&error))?;
        tracing::info!(%shard, checkpoint = %id, files = files.len(), "a checkpoint for a backup");
        Ok(public::PrepareBackupResponse {
            checkpoint: id.to_string(),
            cluster_id,
            cluster_name: self.cluster_name.clone(),
            shards: u32::from(self.state.router.shards()),
            node: self.state.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            term: position.last.map_or(0, |last| last.leader_id.term),
            index: position.last.map_or(0, |last| last.index),
            leader_time: Some(timestamp(position.leader_time_ms)),
            lease: prost_types::Duration::try_from(LEASE).ok(),
            files: files.into_iter().map(file).collect(),
        })
    }

    fn client(&self, internal: &str) -> BackupsClient<Channel> {
        let channel = self.state.router.channel(internal);
        BackupsClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
    }

    /// The node that has a checkpoint, if it is another one.
    fn holder(
        &self,
        id: CheckpointId,
        origin: Origin,
    ) -> Result<Option<BackupsClient<Channel>>, Status> {
        if id.node == self.state.node {
            return Ok(None);
        }
        let members = members_of(self.state.router.groups());
        match members.get(&id.node) {
            Some(member) if origin == Origin::Caller => Ok(Some(self.client(&member.internal))),
            _ => Err(status::checkpoint_gone()),
        }
    }

    async fn read_here(
        &self,
        reading: Reading,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<public::ReadBackupFileResponse, Status>>, Status> {
        let failed = |error: std::io::Error| Status::internal(error.to_string());
        let mut file = File::open(&reading.path).await.map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        let (backups, drain) = (self.backups.clone(), self.state.tasks.drain(Stage::Intake));
        let chunks = futures::stream::try_unfold((file, reading), move |(mut file, reading)| {
            let (backups, drain) = (backups.clone(), drain.clone());
            async move {
                if drain.has_started() {
                    return Err(status::stopping());
                }
                backups.renew(reading.id);
                let mut buffer = vec![0; CHUNK];
                let read = file.read(&mut buffer).await.map_err(failed)?;
                buffer.truncate(read);
                let data = Bytes::from(buffer);
                let message = public::ReadBackupFileResponse { data };
                Ok((read > 0).then_some((message, (file, reading))))
            }
        });
        Ok(chunks.boxed())
    }
}

fn timestamp(ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: (ms % 1_000) as i32 * 1_000_000,
    }
}

fn file((name, measured): (String, Measured)) -> public::BackupFile {
    public::BackupFile {
        name,
        size: measured.size,
        sha256: measured.sha256.to_vec(),
    }
}

fn checkpoint(text: &str) -> Result<CheckpointId, Status> {
    let id = CheckpointId::parse(text);
    id.ok_or_else(|| status::field("checkpoint", &"is not the name of a checkpoint"))
}

#[tonic::async_trait]
impl Service for BackupService {
    type ReadBackupFileStream = BoxStream<'static, Result<public::ReadBackupFileResponse, Status>>;

    async fn prepare_backup(
        &self,
        request: Request<public::PrepareBackupRequest>,
    ) -> Result<Response<public::PrepareBackupResponse>, Status> {
        let origin = Origin::of(&request);
        let shard = u16::try_from(request.into_inner().shard);
        let shard = shard.map_err(|_| status::field("shard", &"is none of this cluster"))?;
        self.prepare(ShardId(shard), origin)
            .await
            .map(Response::new)
    }

    async fn read_backup_file(
        &self,
        request: Request<public::ReadBackupFileRequest>,
    ) -> Result<Response<Self::ReadBackupFileStream>, Status> {
        let origin = Origin::of(&request);
        let request = request.into_inner();
        let id = checkpoint(&request.checkpoint)?;
        if let Some(mut holder) = self.holder(id, origin)? {
            let request = self.state.router.forwarded(request, READ);
            let stream = holder.read_backup_file(request).await?.into_inner();
            return Ok(Response::new(stream.boxed()));
        }
        let reading = self.backups.read(id, &request.name);
        let reading = reading.map_err(|error| status::hold(&error))?;
        let stream = self.read_here(reading, request.offset).await?;
        Ok(Response::new(stream))
    }

    async fn release_backup(
        &self,
        request: Request<public::ReleaseBackupRequest>,
    ) -> Result<Response<public::ReleaseBackupResponse>, Status> {
        let origin = Origin::of(&request);
        let request = request.into_inner();
        let id = checkpoint(&request.checkpoint)?;
        match self.holder(id, origin) {
            Ok(Some(mut holder)) => {
                let request = self.state.router.forwarded(request, PATIENCE);
                return holder.release_backup(request).await;
            }
            Ok(None) => self.backups.release(id),
            // Its node is not one of the cluster any more.
            Err(_) => {}
        }
        Ok(Response::new(public::ReleaseBackupResponse {}))
    }
}
