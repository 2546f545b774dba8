//! Reading a backup again.

use std::collections::BTreeMap;
use std::fmt;

use futures::{StreamExt, TryStreamExt};
use sha2::{Digest as _, Sha256};

use crate::layout;
use crate::manifest::{File, Manifest};
use crate::name::{Digest, FileName};
use crate::target::{Target, TargetError};

/// What reading it again said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that were read; what several shards have in common, once.
    pub files: u64,
    pub bytes: u64,
    pub problems: Vec<Problem>,
}

/// A file that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it lies.
    pub object: String,
    /// One that needs it.
    pub shard: u16,
    pub name: FileName,
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Missing,
    Size { found: u64 },
    Content,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("it is missing"),
            Self::Size { found } => write!(formatter, "it has {found} bytes"),
            Self::Content => formatter.write_str("its content is not what was written"),
        }
    }
}

/// Reads all files of a backup, `parallel` at a time. `progress` is told of bytes as they are read.
pub async fn verify(
    target: &Target,
    manifest: &Manifest,
    parallel: usize,
    progress: &dyn Fn(u64),
) -> Result<Verified, TargetError> {
    let files: BTreeMap<Digest, (u16, &File)> = manifest
        .files()
        .map(|(shard, file)| (file.sha256, (shard.shard, file)))
        .collect();
    let mut verified = Verified {
        files: files.len() as u64,
        bytes: files.values().map(|(_, file)| file.size).sum(),
        problems: Vec::new(),
    };
    let checked = files.into_values().map(|(shard, file)| async move {
        let fault = fault(target, file, progress).await?;
        Ok::<_, TargetError>(fault.map(|fault| Problem {
            object: layout::file(&file.sha256),
            shard,
            name: file.name.clone(),
            fault,
        }))
    });
    let problems: Vec<Option<Problem>> = futures::stream::iter(checked)
        .buffer_unordered(parallel.max(1))
        .try_collect()
        .await?;
    verified.problems = problems.into_iter().flatten().collect();
    verified.problems.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(verified)
}

async fn fault(
    target: &Target,
    file: &File,
    progress: &dyn Fn(u64),
) -> Result<Option<Fault>, TargetError> {
    let mut stream = match target.stream(&layout::file(&file.sha256)).await {
        Ok(stream) => stream,
        Err(error) if error.is_missing() => return Ok(Some(Fault::Missing)),
        Err(error) => return Err(error),
    };
    let mut hasher = Sha256::new();
    let mut found = 0;
    while let Some(bytes) = stream.try_next().await? {
        found += bytes.len() as u64;
        hasher.update(&bytes);
        progress(bytes.len() as u64);
    }
    Ok(if found != file.size {
        Some(Fault::Size { found })
    } else if Digest(hasher.finalize().into()) != file.sha256 {
        Some(Fault::Content)
    } else {
        None
    })
}
