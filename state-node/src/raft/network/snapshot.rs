//! Sending a checkpoint to another node, file by file, and receiving one.
//!
//! ```text
//!  OfferSnapshot: names, sizes, checksums ──▶ which files are still needed
//!  InstallSnapshot: those files           ──▶ installed
//! ```
//!
//! A stream that breaks costs the file that it broke in: whoever offers the same snapshot again is asked for what is
//! missing only. Files are sent whole, because RocksDB's are 64 MiB at most, and a checksum of a whole file says that all
//! of it is right.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::raft::SnapshotResponse;
use proto::rpc::v1::snapshot_chunk::Kind;
use proto::rpc::v1::{
    SnapshotChunk, SnapshotFile, SnapshotHeader, SnapshotInstalled, SnapshotManifest,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::raft::group::Group;
use crate::raft::network::peers::Peer;
use crate::raft::state_machine::Snapshot;
use crate::raft::{SnapshotMeta, TypeConfig, Vote};
use crate::store::{Checkpoint, CheckpointFile, StoreError};
use incoming::{Incoming, Slot};

pub mod incoming;
#[cfg(test)]
mod tests;

/// Bytes of a file that travel in one message.
const CHUNK: usize = 256 << 10;
/// Messages that are read ahead of the network.
const READ_AHEAD: usize = 8;

/// Why a snapshot was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the snapshot's description cannot be encoded")]
    Encoding(#[from] postcard::Error),
    #[error("the checkpoint cannot be read")]
    Read(#[from] io::Error),
    #[error("the checkpoint cannot be read")]
    Store(#[from] StoreError),
    #[error("file {0} of the checkpoint is not what it was")]
    Changed(String),
    #[error("the node asks for files that were not offered")]
    Wanted,
    #[error("the node refused the snapshot")]
    Refused(#[from] Status),
}

/// Sends what the node lacks of a snapshot and waits until it is installed.
pub async fn send(
    peer: &Peer,
    group: u16,
    vote: Vote,
    snapshot: Snapshot,
) -> Result<SnapshotResponse<TypeConfig>, SendError> {
    let meta = postcard::to_stdvec(&snapshot.meta)?;
    let checkpoint = snapshot.snapshot;
    let measured = checkpoint.clone();
    let files = tokio::task::spawn_blocking(move || measured.files())
        .await
        .map_err(io::Error::other)??;
    let manifest = SnapshotManifest {
        group: u32::from(group),
        meta: meta.clone(),
        files: files.iter().map(described).collect(),
    };
    let mut client = peer.client();
    let wanted = client.offer_snapshot(peer.addressed(manifest)).await?;
    let wanted = wanted.into_inner();
    let header = SnapshotHeader {
        group: u32::from(group),
        vote: postcard::to_stdvec(&vote)?,
        meta,
        snapshot: wanted.snapshot,
    };
    let needed: Option<Vec<&CheckpointFile>> = wanted
        .files
        .iter()
        .map(|index| files.get(*index as usize))
        .collect();
    let needed = needed.ok_or(SendError::Wanted)?;
    tracing::info!(
        group,
        files = needed.len(),
        of = files.len(),
        "sending a snapshot"
    );
    let (sink, chunks) = mpsc::channel(READ_AHEAD);
    let read = async {
        let sent = send_chunks(header, &checkpoint, &needed, &sink).await;
        // The end of the stream says "complete", so a failed read must not look like one: the receiver counts files.
        drop(sink);
        sent
    };
    let call = client.install_snapshot(peer.addressed(ReceiverStream::new(chunks)));
    let (read, installed) = tokio::join!(read, call);
    if let Err(SendError::Changed(name)) = read {
        return Err(SendError::Changed(name));
    }
    let installed = installed?;
    read?;
    Ok(postcard::from_bytes(&installed.into_inner().ok)?)
}

fn described(file: &CheckpointFile) -> SnapshotFile {
    SnapshotFile {
        name: file.name.clone(),
        size: file.size,
        crc32: file.crc32,
    }
}

async fn send_chunks(
    header: SnapshotHeader,
    checkpoint: &Checkpoint,
    files: &[&CheckpointFile],
    sink: &mpsc::Sender<SnapshotChunk>,
) -> Result<(), SendError> {
    put(sink, Kind::Header(header)).await?;
    for file in files {
        put(sink, Kind::File(described(file))).await?;
        let mut source = File::open(checkpoint.path().join(&file.name)).await?;
        let mut hasher = crc32fast::Hasher::new();
        loop {
            let mut buffer = vec![0; CHUNK];
            let read = source.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            buffer.truncate(read);
            hasher.update(&buffer);
            put(sink, Kind::Data(Bytes::from(buffer))).await?;
        }
        if hasher.finalize() != file.crc32 {
            return Err(SendError::Changed(file.name.clone()));
        }
    }
    // An empty name ends the list.
    put(sink, Kind::File(SnapshotFile::default())).await
}

async fn put(sink: &mpsc::Sender<SnapshotChunk>, kind: Kind) -> Result<(), SendError> {
    let sent = sink.send(SnapshotChunk { kind: Some(kind) }).await;
    sent.map_err(|_| SendError::Read(io::ErrorKind::BrokenPipe.into()))
}

/// Why a snapshot was not installed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("the stream broke")]
    Stream(#[from] Status),
    #[error("the stream does not follow the protocol: {0}")]
    Protocol(&'static str),
    #[error("another snapshot of the shard is arriving")]
    Busy,
    #[error("no such snapshot was offered, or another was since then")]
    NotOffered,
    #[error("a part of the snapshot is malformed")]
    Encoding(#[from] postcard::Error),
    #[error("file {0} arrived damaged")]
    Damaged(String),
    #[error("the snapshot cannot be written")]
    Write(#[from] io::Error),
    #[error("the snapshot cannot be stored")]
    Store(#[from] StoreError),
    #[error("raft has stopped: {0}")]
    Raft(String),
}

impl ReceiveError {
    /// What the sender is told.
    pub fn into_status(self) -> Status {
        match self {
            Self::Stream(status) => status,
            Self::Protocol(_) | Self::Encoding(_) => Status::invalid_argument(self.to_string()),
            Self::Busy => Status::unavailable(self.to_string()),
            Self::NotOffered => Status::failed_precondition(self.to_string()),
            Self::Damaged(_) => Status::data_loss(self.to_string()),
            Self::Write(_) | Self::Store(_) | Self::Raft(_) => Status::internal(self.to_string()),
        }
    }
}

/// Receives what was missing of the snapshot that was offered for the slot, checks it and installs all of it.
pub async fn receive(
    mut stream: impl Stream<Item = Result<SnapshotChunk, Status>> + Unpin,
    target: impl Fn(u32) -> Option<(Arc<Group>, Slot)>,
) -> Result<SnapshotInstalled, ReceiveError> {
    let Some(Kind::Header(header)) = next(&mut stream).await? else {
        return Err(ReceiveError::Protocol("no header"));
    };
    let (group, slot) = target(header.group).ok_or(ReceiveError::Protocol("no such group"))?;
    let vote: Vote = postcard::from_bytes(&header.vote)?;
    let meta: SnapshotMeta = postcard::from_bytes(&header.meta)?;
    let mut slot = slot.lock().await?;
    let offered = slot
        .as_mut()
        .filter(|incoming| incoming.is(&header.snapshot, &header.meta));
    let offered = offered.ok_or(ReceiveError::NotOffered)?;
    receive_files(&mut stream, offered).await?;
    // Whatever comes now, it does not help to keep the files.
    let incoming = slot.take().ok_or(ReceiveError::NotOffered)?;
    let path = incoming.path().to_owned();
    let checkpoint = tokio::task::spawn_blocking(move || Checkpoint::received(path)).await;
    let checkpoint = Arc::new(checkpoint.map_err(io::Error::other)??);
    let snapshot = Snapshot {
        meta,
        snapshot: checkpoint,
    };
    let installed = group.raft().install_full_snapshot(vote, snapshot).await;
    let response = installed.map_err(|fatal| ReceiveError::Raft(fatal.to_string()))?;
    Ok(SnapshotInstalled {
        ok: Bytes::from(postcard::to_stdvec(&response)?),
    })
}

async fn next(
    stream: &mut (impl Stream<Item = Result<SnapshotChunk, Status>> + Unpin),
) -> Result<Option<Kind>, ReceiveError> {
    let chunk = stream.next().await.transpose()?;
    Ok(chunk.and_then(|chunk| chunk.kind))
}

async fn receive_files(
    stream: &mut (impl Stream<Item = Result<SnapshotChunk, Status>> + Unpin),
    incoming: &mut Incoming,
) -> Result<(), ReceiveError> {
    loop {
        let Some(Kind::File(file)) = next(stream).await? else {
            return Err(ReceiveError::Protocol("the list of files does not end"));
        };
        if file.name.is_empty() {
            return incoming.complete().await;
        }
        let mut arriving = incoming.begin(&file).await?;
        while arriving.left() > 0 {
            let Some(Kind::Data(data)) = next(stream).await? else {
                return Err(ReceiveError::Protocol("a file ends early"));
            };
            arriving.write(&data).await?;
        }
        let arrived = arriving.finish().await?;
        incoming.keep(arrived);
    }
}
