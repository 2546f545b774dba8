//! Bringing the files of a shard back.

use std::io;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;

use crate::layout;
use crate::manifest::{File, Shard};
use crate::name::Digest;
use crate::target::{Target, TargetError};

/// Why a shard was not brought back.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{object}, which is {name} of shard {shard}, is damaged")]
    Damaged {
        object: String,
        shard: u16,
        name: String,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Writes the files of a shard into the empty folder `dir`, each checked and synced.
pub async fn fetch_shard(target: &Target, shard: &Shard, dir: &Path) -> Result<(), FetchError> {
    for file in &shard.files {
        fetch(target, shard.shard, file, dir).await?;
    }
    let failed = |source| FetchError::Write {
        path: dir.to_owned(),
        source,
    };
    let dir = tokio::fs::File::open(dir).await.map_err(failed)?;
    dir.sync_all().await.map_err(failed)
}

async fn fetch(target: &Target, shard: u16, file: &File, dir: &Path) -> Result<(), FetchError> {
    let object = layout::file(&file.sha256);
    let path = dir.join(file.name.as_str());
    let failed = |source| FetchError::Write {
        path: path.clone(),
        source,
    };
    let damaged = || FetchError::Damaged {
        object: object.clone(),
        shard,
        name: file.name.to_string(),
    };
    let mut stream = target.stream(&object).await?;
    let mut written = tokio::fs::File::create_new(&path).await.map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut size = 0;
    while let Some(bytes) = stream.try_next().await? {
        size += bytes.len() as u64;
        // No more than was announced reaches the disk.
        if size > file.size {
            return Err(damaged());
        }
        hasher.update(&bytes);
        written.write_all(&bytes).await.map_err(failed)?;
    }
    written.flush().await.map_err(failed)?;
    written.sync_all().await.map_err(failed)?;
    if size == file.size && Digest(hasher.finalize().into()) == file.sha256 {
        Ok(())
    } else {
        Err(damaged())
    }
}
