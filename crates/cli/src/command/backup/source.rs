//! The cluster as what a backup is made of.

use std::cell::RefCell;
use std::time::Duration;

use backup::{Cluster, Digest, File, FileName, Position, Prepared, Recovery, Source};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use proto::drover::v1::backups_client::BackupsClient;
use proto::drover::v1::{
    BackupFile, PrepareBackupRequest, PrepareBackupResponse, ReadBackupFileRequest,
    ReleaseBackupRequest,
};
use tonic::{Code, Status};

use crate::api::{Addresses, Api, Channel};
use crate::arguments::Global;
use crate::failure::Failure;

/// A shard of which nothing was measured before is read once by its node.
const PREPARE: Duration = Duration::from_secs(600);

/// Reads through the first node that answers, and through another one when that goes.
pub(super) struct ApiSource {
    addresses: Addresses,
    timeout: Duration,
    api: RefCell<Option<Api>>,
}

impl ApiSource {
    pub(super) async fn connect(global: &Global) -> Result<Self, Failure> {
        let addresses = Addresses::find(global)?;
        let api = Api::new(addresses.connect().await?, global.timeout);
        Ok(Self {
            addresses,
            timeout: global.timeout,
            api: RefCell::new(Some(api)),
        })
    }

    async fn client(&self) -> Result<BackupsClient<Channel>, Status> {
        let known = self.api.borrow().clone();
        if let Some(api) = known {
            return Ok(api.backups());
        }
        let channel = self.addresses.connect().await;
        let channel = channel.map_err(|failure| Status::unavailable(failure.to_string()));
        let api = Api::new(channel?, self.timeout);
        self.api.replace(Some(api.clone()));
        Ok(api.backups())
    }

    /// After an error: the node may be gone, and another one there.
    fn failed(&self, status: Status) -> Status {
        if status.code() == Code::Unavailable {
            self.api.replace(None);
        }
        status
    }
}

impl Source for ApiSource {
    type Error = Status;

    async fn prepare(&self, shard: u16) -> Result<Prepared, Status> {
        let request = PrepareBackupRequest {
            shard: shard.into(),
        };
        let request = Api::request_within(PREPARE, request);
        let answer = self.client().await?.prepare_backup(request).await;
        prepared(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    async fn read(
        &self,
        checkpoint: &str,
        name: &FileName,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        let request = ReadBackupFileRequest {
            checkpoint: checkpoint.to_owned(),
            name: name.to_string(),
            offset,
        };
        // The stream itself may take as long as it needs; only its beginning may not.
        let mut client = self.client().await?;
        let begun = tokio::time::timeout(self.timeout, client.read_backup_file(request)).await;
        let begun = begun.unwrap_or_else(|_| Err(Status::unavailable("the API does not answer")));
        let stream = begun.map_err(|status| self.failed(status))?.into_inner();
        Ok(stream.map_ok(|message| message.data).boxed())
    }

    async fn release(&self, checkpoint: &str) {
        let request = ReleaseBackupRequest {
            checkpoint: checkpoint.to_owned(),
        };
        let request = Api::request_within(self.timeout, request);
        if let Ok(mut client) = self.client().await {
            // Its lease ends it.
            let _unreleased = client.release_backup(request).await;
        }
    }

    fn recovery(error: &Status) -> Recovery {
        match error.code() {
            Code::NotFound => Recovery::PrepareAgain,
            // A stream that breaks with its connection is told as any of these.
            Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted => Recovery::Retry,
            _ => Recovery::GiveUp,
        }
    }
}

fn prepared(answer: PrepareBackupResponse) -> Result<Prepared, Status> {
    let malformed = |what: &str| Status::data_loss(format!("the API answers with {what}"));
    let files = answer.files.into_iter().map(file);
    let leader_time = answer.leader_time.unwrap_or_default();
    Ok(Prepared {
        checkpoint: answer.checkpoint,
        cluster: Cluster {
            id: answer.cluster_id,
            name: answer.cluster_name,
        },
        shards: u16::try_from(answer.shards)
            .ok()
            .filter(|shards| *shards > 0)
            .ok_or_else(|| malformed("a number of shards that cannot be"))?,
        software: answer.version,
        node: answer.node,
        revision: Position {
            term: answer.term,
            index: answer.index,
        },
        leader_time_ms: u64::try_from(leader_time.seconds).unwrap_or_default() * 1_000
            + u64::try_from(leader_time.nanos).unwrap_or_default() / 1_000_000,
        files: files
            .collect::<Option<_>>()
            .ok_or_else(|| malformed("a file that cannot be"))?,
    })
}

fn file(file: BackupFile) -> Option<File> {
    Some(File {
        name: FileName::try_from(file.name).ok()?,
        size: file.size,
        sha256: Digest(file.sha256.try_into().ok()?),
    })
}
