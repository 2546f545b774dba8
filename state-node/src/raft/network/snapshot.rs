//! Sending a checkpoint to another node, file by file, and receiving one.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::raft::SnapshotResponse;
use proto::rpc::v1::snapshot_chunk::Kind;
use proto::rpc::v1::{SnapshotChunk, SnapshotFile, SnapshotHeader, SnapshotInstalled};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::raft::group::Group;
use crate::raft::network::peers::Peer;
use crate::raft::state_machine::Snapshot;
use crate::raft::{SnapshotMeta, TypeConfig, Vote};
use crate::store::{Checkpoint, StoreError};

/// Bytes of a file that travel in one message.
const CHUNK: usize = 256 << 10;
/// Messages that are read ahead of the network.
const READ_AHEAD: usize = 8;
/// Files of one checkpoint; more are refused.
const MAX_FILES: usize = 100_000;

/// Why a snapshot was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the snapshot's description cannot be encoded")]
    Encoding(#[from] postcard::Error),
    #[error("the checkpoint cannot be read")]
    Read(#[from] io::Error),
    #[error("the node refused the snapshot")]
    Refused(#[from] Status),
}

/// Sends a snapshot and waits until it is installed.
pub async fn send(
    peer: &Peer,
    group: u16,
    vote: Vote,
    snapshot: Snapshot,
) -> Result<SnapshotResponse<TypeConfig>, SendError> {
    let header = SnapshotHeader {
        group: u32::from(group),
        vote: postcard::to_stdvec(&vote)?,
        meta: postcard::to_stdvec(&snapshot.meta)?,
    };
    let (sink, chunks) = mpsc::channel(READ_AHEAD);
    let read = async {
        let sent = send_chunks(header, &snapshot.snapshot, &sink).await;
        // The end of the stream says "complete", so a failed read must not look like one: the receiver counts files.
        drop(sink);
        sent
    };
    let mut client = peer.client();
    let call = client.install_snapshot(peer.addressed(ReceiverStream::new(chunks)));
    let (read, installed) = tokio::join!(read, call);
    let installed = installed?;
    read?;
    Ok(postcard::from_bytes(&installed.into_inner().ok)?)
}

async fn send_chunks(
    header: SnapshotHeader,
    checkpoint: &Checkpoint,
    sink: &mpsc::Sender<SnapshotChunk>,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    sink.send(chunk(Kind::Header(header))).await.map_err(gone)?;
    let mut entries = fs::read_dir(checkpoint.path()).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let (size, crc32) = measure(&entry.path()).await?;
        sink.send(chunk(Kind::File(SnapshotFile { name, size, crc32 })))
            .await
            .map_err(gone)?;
        let mut file = File::open(entry.path()).await?;
        loop {
            let mut buffer = vec![0; CHUNK];
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            buffer.truncate(read);
            sink.send(chunk(Kind::Data(Bytes::from(buffer))))
                .await
                .map_err(gone)?;
        }
    }
    // An empty name ends the list.
    sink.send(chunk(Kind::File(SnapshotFile::default())))
        .await
        .map_err(gone)
}

fn chunk(kind: Kind) -> SnapshotChunk {
    SnapshotChunk { kind: Some(kind) }
}

async fn measure(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path).await?;
    let mut hasher = crc32fast::Hasher::new();
    let mut size = 0;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok((size, hasher.finalize()));
        }
        size += read as u64;
        hasher.update(&buffer[..read]);
    }
}

/// Why a snapshot was not installed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("the stream broke")]
    Stream(#[from] Status),
    #[error("the stream does not follow the protocol: {0}")]
    Protocol(&'static str),
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
            Self::Damaged(_) => Status::data_loss(self.to_string()),
            Self::Write(_) | Self::Store(_) | Self::Raft(_) => Status::internal(self.to_string()),
        }
    }
}

/// Receives a snapshot, checks it and installs it.
pub async fn receive(
    mut stream: Streaming<SnapshotChunk>,
    group: impl Fn(u32) -> Option<Arc<Group>>,
) -> Result<SnapshotInstalled, ReceiveError> {
    let Some(Kind::Header(header)) = next(&mut stream).await? else {
        return Err(ReceiveError::Protocol("no header"));
    };
    let group = group(header.group).ok_or(ReceiveError::Protocol("no such group"))?;
    let vote: Vote = postcard::from_bytes(&header.vote)?;
    let meta: SnapshotMeta = postcard::from_bytes(&header.meta)?;
    let incoming = Incoming(group.store().incoming_dir()?);
    receive_files(&mut stream, &incoming.0).await?;
    let path = incoming.0.clone();
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

/// The folder that a snapshot arrives in; goes when the installation ends, well or badly.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        // The installed database has links of its own. A folder that stays is removed at the next start.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn next(stream: &mut Streaming<SnapshotChunk>) -> Result<Option<Kind>, ReceiveError> {
    Ok(stream.message().await?.and_then(|chunk| chunk.kind))
}

async fn receive_files(
    stream: &mut Streaming<SnapshotChunk>,
    dir: &Path,
) -> Result<(), ReceiveError> {
    for _ in 0..MAX_FILES {
        let Some(Kind::File(file)) = next(stream).await? else {
            return Err(ReceiveError::Protocol("the list of files does not end"));
        };
        if file.name.is_empty() {
            File::open(dir).await?.sync_all().await?;
            return Ok(());
        }
        receive_file(stream, dir, &file).await?;
    }
    Err(ReceiveError::Protocol("too many files"))
}

async fn receive_file(
    stream: &mut Streaming<SnapshotChunk>,
    dir: &Path,
    file: &SnapshotFile,
) -> Result<(), ReceiveError> {
    // One plain component: nothing may be written outside the folder.
    let mut components = Path::new(&file.name).components();
    let plain = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    );
    if !plain {
        return Err(ReceiveError::Protocol("a file name with folders"));
    }
    let mut target = File::create_new(dir.join(&file.name)).await?;
    let mut hasher = crc32fast::Hasher::new();
    let mut left = file.size;
    while left > 0 {
        let Some(Kind::Data(data)) = next(stream).await? else {
            return Err(ReceiveError::Protocol("a file ends early"));
        };
        left = left
            .checked_sub(data.len() as u64)
            .ok_or(ReceiveError::Protocol("a file is too long"))?;
        hasher.update(&data);
        target.write_all(&data).await?;
    }
    target.flush().await?;
    target.sync_all().await?;
    if hasher.finalize() != file.crc32 {
        return Err(ReceiveError::Damaged(file.name.clone()));
    }
    Ok(())
}
