//! The manifest: what a backup is made of.
//!
//! It is JSON in an envelope with its SHA-256. Everything in it is checked when it is read: a manifest is what a restore
//! writes files by, and whoever can write to the place where backups lie can write one.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::name::{BackupId, Digest, FileName};

/// The form of what is kept. A later form gets another number, and this program refuses it.
pub const FORMAT: u32 = 1;

/// Larger manifests are not read: 1,024 shards with a thousand files each take less.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
const MAX_SHARDS: usize = 1_024;
const MAX_FILES: usize = 100_000;
/// Names the newest list of table files; a checkpoint without it does not open.
const CURRENT: &str = "CURRENT";

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u32,
    pub id: BackupId,
    pub cluster: Cluster,
    /// Version of the state nodes that it was made of.
    pub software: String,
    #[serde(with = "rfc3339")]
    pub started: SystemTime,
    #[serde(with = "rfc3339")]
    pub finished: SystemTime,
    /// By number, without gaps.
    pub shards: Vec<Shard>,
}

/// Whose backup it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: String,
    /// For people.
    pub name: String,
}

/// The rows of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    pub shard: u16,
    /// The state node that made the checkpoint. The files of its next one are mostly the same.
    pub node: String,
    /// Everything up to here is in it, and nothing after.
    pub revision: Position,
    /// The newest time of a leader in it.
    pub leader_time_ms: u64,
    pub files: Vec<File>,
}

/// Where in a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub term: u64,
    pub index: u64,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub name: FileName,
    pub size: u64,
    /// Also its name in the pool.
    pub sha256: Digest,
}

/// Why a manifest is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it is not JSON of the right form")]
    Json(#[from] serde_json::Error),
    #[error("it does not have the SHA-256 that it names: it was damaged or changed")]
    Checksum,
    #[error("it has the format {0}, and this program knows 1 to {FORMAT}: use a newer one")]
    Format(u32),
    #[error("it is of backup {0}")]
    OtherBackup(BackupId),
    #[error("it names {0} shards, not 1 to {MAX_SHARDS}")]
    Shards(usize),
    #[error("shard {found} stands where shard {expected} belongs")]
    Order { expected: usize, found: u16 },
    #[error("shard {shard} names {files} files, more than {MAX_FILES}")]
    Files { shard: u16, files: usize },
    #[error("shard {shard} names {name} twice")]
    Repeated { shard: u16, name: FileName },
    #[error("shard {shard} has no file {CURRENT}")]
    NoCurrent { shard: u16 },
    #[error("the sizes of the files of shard {shard} make no sense")]
    Sizes { shard: u16 },
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    sha256: Digest,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

/// What tells the form, before anything else is looked at.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

impl Manifest {
    /// The bytes to keep.
    pub fn encode(&self) -> Result<Vec<u8>, ManifestError> {
        let text = serde_json::to_string_pretty(self)?;
        let sha256 = Digest::of(text.as_bytes());
        let manifest = RawValue::from_string(text)?;
        let mut bytes = serde_json::to_vec(&Envelope {
            sha256,
            manifest: &manifest,
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads what was kept of backup `id`.
    pub fn decode(id: &BackupId, bytes: &[u8]) -> Result<Self, ManifestError> {
        let envelope: Envelope<'_> = serde_json::from_slice(bytes)?;
        let text = envelope.manifest.get();
        if Digest::of(text.as_bytes()) != envelope.sha256 {
            return Err(ManifestError::Checksum);
        }
        let Form { format } = serde_json::from_str(text)?;
        if !(1..=FORMAT).contains(&format) {
            return Err(ManifestError::Format(format));
        }
        let manifest: Self = serde_json::from_str(text)?;
        manifest.check(id)?;
        Ok(manifest)
    }

    fn check(&self, id: &BackupId) -> Result<(), ManifestError> {
        if self.id != *id {
            return Err(ManifestError::OtherBackup(self.id.clone()));
        }
        if !(1..=MAX_SHARDS).contains(&self.shards.len()) {
            return Err(ManifestError::Shards(self.shards.len()));
        }
        for (expected, shard) in self.shards.iter().enumerate() {
            if usize::from(shard.shard) != expected {
                let found = shard.shard;
                return Err(ManifestError::Order { expected, found });
            }
            shard.check()?;
        }
        Ok(())
    }

    /// All files of all shards, each with its shard.
    pub fn files(&self) -> impl Iterator<Item = (&Shard, &File)> {
        let of = |shard| move |file| (shard, file);
        self.shards
            .iter()
            .flat_map(move |shard| shard.files.iter().map(of(shard)))
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files().map(|(_, file)| file.size).sum()
    }
}

impl Shard {
    fn check(&self) -> Result<(), ManifestError> {
        let shard = self.shard;
        if self.files.len() > MAX_FILES {
            let files = self.files.len();
            return Err(ManifestError::Files { shard, files });
        }
        let mut names = BTreeSet::new();
        for file in &self.files {
            if !names.insert(&file.name) {
                let name = file.name.clone();
                return Err(ManifestError::Repeated { shard, name });
            }
        }
        if !names.iter().any(|name| name.as_str() == CURRENT) {
            return Err(ManifestError::NoCurrent { shard });
        }
        // Whole backups are added up in 64 bits: 1,024 shards of up to 2^48 bytes fit.
        let total = self
            .files
            .iter()
            .try_fold(0_u64, |total, file| total.checked_add(file.size));
        match total {
            Some(total) if total < 1 << 48 => Ok(()),
            _ => Err(ManifestError::Sizes { shard }),
        }
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
