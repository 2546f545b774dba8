//! Making a backup.
//!
//! 1. Mark it as started, so that nobody takes files away that it counts on.
//! 2. For every shard: have a checkpoint made, write the files that no backup has yet, let the checkpoint go.
//! 3. See that every file is there that the manifest names.
//! 4. Write the manifest. From then on the backup exists.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest as _, Sha256};

use crate::layout;
use crate::manifest::{Cluster, FORMAT, File, Manifest, ManifestError, Position, Shard};
use crate::name::{BackupId, Digest, FileName};
use crate::target::{Target, TargetError, Upload};

/// How often a shard's checkpoint, or the rest of a file, is asked for again.
const ATTEMPTS: usize = 5;
/// Between two attempts: an election takes one to two seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// A checkpoint that waits to be read.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Names it at the source.
    pub checkpoint: String,
    pub cluster: Cluster,
    pub shards: u16,
    pub software: String,
    pub node: String,
    pub revision: Position,
    pub leader_time_ms: u64,
    pub files: Vec<File>,
}

/// What to do about an error of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The same again.
    Retry,
    /// The checkpoint is gone: another one.
    PrepareAgain,
    GiveUp,
}

/// What a backup is made of.
pub trait Source {
    type Error: Error + Send + Sync + 'static;

    /// Has a checkpoint made of a shard, with everything that was acknowledged before.
    fn prepare(&self, shard: u16) -> impl Future<Output = Result<Prepared, Self::Error>>;

    /// The bytes of a file from `offset` on.
    fn read(
        &self,
        checkpoint: &str,
        name: &FileName,
        offset: u64,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes, Self::Error>>, Self::Error>>;

    /// Lets a checkpoint go. It would go by itself later.
    fn release(&self, checkpoint: &str) -> impl Future<Output = ()>;

    fn recovery(error: &Self::Error) -> Recovery;
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The shard's checkpoint is there; `new` of its bytes have to be written.
    Prepared { shard: u16, bytes: u64, new: u64 },
    /// So many bytes more were written.
    Written { bytes: u64 },
    /// All files of the shard are there.
    Finished { shard: u16 },
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum CreateError<E: Error + 'static> {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("cannot read shard {shard}")]
    Source {
        shard: u16,
        #[source]
        source: E,
    },
    #[error(
        "{name} of shard {shard} does not arrive as it was announced, which is a fault of a disk or of the network"
    )]
    Damaged { shard: u16, name: FileName },
    #[error("shard {shard} answers for another cluster, or for another number of shards")]
    OtherCluster { shard: u16 },
    #[error("files vanished while the backup was made; was another one deleted? make it again")]
    Vanished,
    #[error("the manifest cannot be written")]
    Manifest(#[from] ManifestError),
}

/// What happened to a checkpoint.
enum ShardError<E: Error + 'static> {
    Gone(E),
    Failed(CreateError<E>),
}

impl<E: Error + 'static> From<TargetError> for ShardError<E> {
    fn from(error: TargetError) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes a backup of everything that `source` has, with `parallel` shards at a time.
pub async fn create<S: Source>(
    source: &S,
    target: &Target,
    parallel: usize,
    progress: &dyn Fn(Progress),
) -> Result<Manifest, CreateError<S::Error>> {
    let started = now();
    let id = BackupId::new(started, rand::random());
    let mark = layout::started(&id);
    target.write(&mark, Bytes::new()).await?;
    let made = Making::begin(source, target, progress).await;
    let made = match made {
        Ok(making) => making.finish(id, started, parallel).await,
        Err(error) => Err(error),
    };
    // The mark of a backup that was not made would keep files for a day.
    let unmarked = target.remove(&mark).await;
    let manifest = made?;
    unmarked?;
    Ok(manifest)
}

struct Making<'a, S: Source> {
    source: &'a S,
    target: &'a Target,
    progress: &'a dyn Fn(Progress),
    /// The sizes of the files that are there, or that somebody is about to write.
    known: Mutex<BTreeMap<Digest, u64>>,
}

impl<'a, S: Source> Making<'a, S> {
    async fn begin(
        source: &'a S,
        target: &'a Target,
        progress: &'a dyn Fn(Progress),
    ) -> Result<Self, CreateError<S::Error>> {
        let known = pool(target).await?;
        Ok(Self {
            source,
            target,
            progress,
            known: Mutex::new(known),
        })
    }

    async fn finish(
        &self,
        id: BackupId,
        started: SystemTime,
        parallel: usize,
    ) -> Result<Manifest, CreateError<S::Error>> {
        let first = self.prepare(0).await?;
        let (cluster, software, count) =
            (first.cluster.clone(), first.software.clone(), first.shards);
        let first = self.shard(0, first);
        let others = (1..count).map(|shard| {
            let cluster = &cluster;
            async move {
                let prepared = self.prepare(shard).await?;
                if prepared.cluster.id != cluster.id || prepared.shards != count {
                    self.source.release(&prepared.checkpoint).await;
                    return Err(CreateError::OtherCluster { shard });
                }
                self.shard(shard, prepared).await
            }
        });
        let others = futures::stream::iter(others)
            .buffered(parallel.max(1))
            .try_collect::<Vec<Shard>>();
        let (first, others) = futures::future::try_join(first, others).await?;
        let manifest = Manifest {
            format: FORMAT,
            id,
            cluster: cluster.clone(),
            software,
            started,
            finished: now(),
            shards: [vec![first], others].concat(),
        };
        self.check_files(&manifest).await?;
        let bytes = Bytes::from(manifest.encode()?);
        let path = layout::manifest(&manifest.id);
        self.target.write(&path, bytes).await?;
        Ok(manifest)
    }

    async fn prepare(&self, shard: u16) -> Result<Prepared, CreateError<S::Error>> {
        let mut attempt = 1;
        loop {
            match self.source.prepare(shard).await {
                Ok(prepared) => return Ok(prepared),
                Err(error) if attempt < ATTEMPTS && S::recovery(&error) != Recovery::GiveUp => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(source) => return Err(CreateError::Source { shard, source }),
            }
        }
    }

    /// Copies a shard. A checkpoint that goes, because its node does, is replaced by another one.
    async fn shard(
        &self,
        shard: u16,
        mut prepared: Prepared,
    ) -> Result<Shard, CreateError<S::Error>> {
        let mut attempt = 1;
        loop {
            let copied = self.copy(shard, &prepared).await;
            self.source.release(&prepared.checkpoint).await;
            match copied {
                Ok(()) => break,
                Err(ShardError::Gone(_)) if attempt < ATTEMPTS => {
                    attempt += 1;
                    prepared = self.prepare(shard).await?;
                }
                Err(ShardError::Gone(source)) => return Err(CreateError::Source { shard, source }),
                Err(ShardError::Failed(error)) => return Err(error),
            }
        }
        (self.progress)(Progress::Finished { shard });
        Ok(Shard {
            shard,
            node: prepared.node,
            revision: prepared.revision,
            leader_time_ms: prepared.leader_time_ms,
            files: prepared.files,
        })
    }

    async fn copy(&self, shard: u16, prepared: &Prepared) -> Result<(), ShardError<S::Error>> {
        let new = self.claim(&prepared.files);
        (self.progress)(Progress::Prepared {
            shard,
            bytes: prepared.files.iter().map(|file| file.size).sum(),
            new: new.iter().map(|file| file.size).sum(),
        });
        for (at, file) in new.iter().enumerate() {
            if let Err(error) = self.copy_file(shard, &prepared.checkpoint, file).await {
                self.disclaim(&new[at..]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The files that are not there yet, which nobody else writes from now on.
    fn claim<'f>(&self, files: &'f [File]) -> Vec<&'f File> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // One of another size is none of ours, and is written again.
        let is_new = |file: &&File| known.insert(file.sha256, file.size) != Some(file.size);
        files.iter().filter(is_new).collect()
    }

    fn disclaim(&self, files: &[&File]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files {
            known.remove(&file.sha256);
        }
    }

    async fn copy_file(
        &self,
        shard: u16,
        checkpoint: &str,
        file: &File,
    ) -> Result<(), ShardError<S::Error>> {
        let mut upload = self.target.begin(&layout::file(&file.sha256));
        let copied = self.copy_bytes(shard, checkpoint, file, &mut upload).await;
        match copied {
            Ok(digest) if digest == file.sha256 => Ok(upload.finish().await?),
            Ok(_) => {
                upload.abandon().await?;
                let name = file.name.clone();
                Err(ShardError::Failed(CreateError::Damaged { shard, name }))
            }
            Err(error) => {
                // The first error is the one to tell; what is left behind is no object.
                let _left = upload.abandon().await;
                Err(error)
            }
        }
    }

    /// Goes on where a stream broke off.
    async fn copy_bytes(
        &self,
        shard: u16,
        checkpoint: &str,
        file: &File,
        upload: &mut Upload,
    ) -> Result<Digest, ShardError<S::Error>> {
        let mut hasher = Sha256::new();
        let mut offset = 0;
        let mut attempt = 1;
        while offset < file.size {
            let read = self.source.read(checkpoint, &file.name, offset).await;
            let ended = match read {
                Ok(mut stream) => loop {
                    match stream.try_next().await {
                        Ok(Some(bytes)) => {
                            offset += bytes.len() as u64;
                            if offset > file.size {
                                let name = file.name.clone();
                                return Err(ShardError::Failed(CreateError::Damaged {
                                    shard,
                                    name,
                                }));
                            }
                            hasher.update(&bytes);
                            let bytes_written = bytes.len() as u64;
                            upload.put(bytes).await?;
                            (self.progress)(Progress::Written {
                                bytes: bytes_written,
                            });
                        }
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                },
                Err(error) => Some(error),
            };
            if offset >= file.size {
                break;
            }
            match ended {
                // A file that ends early was announced wrongly.
                None => break,
                Some(error) => match S::recovery(&error) {
                    Recovery::Retry if attempt < ATTEMPTS => {
                        attempt += 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                    Recovery::Retry | Recovery::PrepareAgain => {
                        return Err(ShardError::Gone(error));
                    }
                    Recovery::GiveUp => {
                        let source = error;
                        return Err(ShardError::Failed(CreateError::Source { shard, source }));
                    }
                },
            }
        }
        Ok(Digest(hasher.finalize().into()))
    }

    /// Files that were there at the beginning may have been taken away by somebody who saw no mark.
    async fn check_files(&self, manifest: &Manifest) -> Result<(), CreateError<S::Error>> {
        let pool = pool(self.target).await?;
        let there = |file: &File| pool.get(&file.sha256) == Some(&file.size);
        if manifest.files().all(|(_, file)| there(file)) {
            Ok(())
        } else {
            Err(CreateError::Vanished)
        }
    }
}

/// The time as it is kept: in whole milliseconds.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// The sizes of the files that are there.
pub(crate) async fn pool(target: &Target) -> Result<BTreeMap<Digest, u64>, TargetError> {
    let listed = target.list(layout::FILES).await?;
    let file = |(path, listed): (String, crate::target::Listed)| {
        Some((layout::digest(&path)?, listed.size))
    };
    Ok(listed.into_iter().filter_map(file).collect())
}

#[cfg(test)]
mod tests;
