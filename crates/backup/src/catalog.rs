//! Which backups there are, and taking them away.
//!
//! A file goes when no manifest names it. While a backup is being made its files are named by none, so nothing goes then;
//! a mark that is older than a day was left by a program that died.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt};

use crate::layout::{self, Part};
use crate::manifest::{self, Manifest, ManifestError};
use crate::name::{BackupId, Digest, Wanted};
use crate::target::{Target, TargetError};

/// Manifests that are read, and objects that are removed, at a time.
const AT_ONCE: usize = 8;
/// A backup that takes longer is believed to have died.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Why something cannot be done with the backups.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("there is no backup {0}")]
    Unknown(BackupId),
    #[error("there is no backup at {0}")]
    Empty(String),
    #[error("the manifest of backup {id} cannot be used")]
    Manifest {
        id: BackupId,
        #[source]
        source: ManifestError,
    },
}

/// A backup in a list.
#[derive(Debug)]
pub struct Entry {
    pub id: BackupId,
    /// What it is, if its manifest can be read.
    pub manifest: Result<Manifest, CatalogError>,
}

/// What was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub backups: Vec<BackupId>,
    pub files: u64,
    pub bytes: u64,
    /// The backups that are being made: files stay until they have ended.
    pub waits_for: Vec<BackupId>,
}

/// The backups at a target.
#[derive(Clone, Copy, Debug)]
pub struct Catalog<'a> {
    target: &'a Target,
}

/// What lies in the folder of backups.
#[derive(Debug, Default)]
struct Folder {
    /// In order, the oldest first.
    backups: BTreeSet<BackupId>,
    under_way: BTreeSet<BackupId>,
    died: BTreeSet<BackupId>,
}

impl<'a> Catalog<'a> {
    /// Of the backups at `target`.
    pub fn new(target: &'a Target) -> Self {
        Self { target }
    }

    /// All backups, the oldest first.
    pub async fn list(&self) -> Result<Vec<Entry>, CatalogError> {
        let Folder { backups, .. } = self.folder().await?;
        let entries = backups.into_iter().map(|id| async move {
            let manifest = match self.get(&id).await {
                // Removed since it was listed.
                Err(CatalogError::Unknown(_)) => return Ok(None),
                Err(CatalogError::Target(error)) => return Err(error),
                manifest => manifest,
            };
            Ok(Some(Entry { id, manifest }))
        });
        let entries: Result<Vec<Option<Entry>>, TargetError> = futures::stream::iter(entries)
            .buffered(AT_ONCE)
            .try_collect()
            .await;
        Ok(entries?.into_iter().flatten().collect())
    }

    /// The backup that somebody means.
    pub async fn find(&self, wanted: &Wanted) -> Result<Manifest, CatalogError> {
        let id = match wanted {
            Wanted::One(id) => id.clone(),
            Wanted::Latest => {
                let newest = self.folder().await?.backups.pop_last();
                newest.ok_or_else(|| CatalogError::Empty(self.target.to_string()))?
            }
        };
        self.get(&id).await
    }

    /// One backup.
    pub async fn get(&self, id: &BackupId) -> Result<Manifest, CatalogError> {
        let path = layout::manifest(id);
        let bytes = self.target.read(&path, manifest::MAX_BYTES).await?;
        let bytes = bytes.ok_or_else(|| CatalogError::Unknown(id.clone()))?;
        Manifest::decode(id, &bytes).map_err(|source| CatalogError::Manifest {
            id: id.clone(),
            source,
        })
    }

    /// Removes backups, and the files that only they name.
    pub async fn delete(&self, ids: &[BackupId]) -> Result<Removed, CatalogError> {
        let folder = self.folder().await?;
        if let Some(unknown) = ids.iter().find(|id| !folder.backups.contains(*id)) {
            return Err(CatalogError::Unknown(unknown.clone()));
        }
        self.remove(ids.iter().cloned().collect()).await
    }

    /// Removes all backups but the newest `keep`, and files that no backup names.
    pub async fn prune(&self, keep: usize) -> Result<Removed, CatalogError> {
        let folder = self.folder().await?;
        let old = folder.backups.len().saturating_sub(keep);
        self.remove(folder.backups.into_iter().take(old).collect())
            .await
    }

    async fn remove(&self, ids: BTreeSet<BackupId>) -> Result<Removed, CatalogError> {
        // Read before anything goes: with a manifest that cannot be read nobody knows what is needed.
        let wanted = self.named_besides(&ids).await?;
        for id in &ids {
            // From here on the backup does not exist.
            self.target.remove(&layout::manifest(id)).await?;
        }
        let mut removed = Removed {
            backups: ids.into_iter().collect(),
            ..Removed::default()
        };
        let garbage: Vec<_> = self
            .target
            .list(layout::FILES)
            .await?
            .into_iter()
            .filter(|(path, _)| layout::digest(path).is_some_and(|file| !wanted.contains(&file)))
            .collect();
        // Looked at last: a backup that began meanwhile counts on what it saw. One that begins from here on checks its
        // files before it writes its manifest.
        let folder = self.folder().await?;
        let newer = self.named_besides(&BTreeSet::new()).await?;
        if !folder.under_way.is_empty() {
            removed.waits_for = folder.under_way.into_iter().collect();
            return Ok(removed);
        }
        for id in &folder.died {
            self.target.remove(&layout::started(id)).await?;
        }
        let garbage = garbage
            .into_iter()
            .filter(|(path, _)| layout::digest(path).is_none_or(|file| !newer.contains(&file)));
        let gone = garbage.map(|(path, listed)| async move {
            self.target.remove(&path).await?;
            Ok::<u64, TargetError>(listed.size)
        });
        let gone: Vec<u64> = futures::stream::iter(gone)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        removed.files = gone.len() as u64;
        removed.bytes = gone.into_iter().sum();
        Ok(removed)
    }

    /// The files that backups name, but for those of `without`, whose manifests need not be sound.
    async fn named_besides(
        &self,
        without: &BTreeSet<BackupId>,
    ) -> Result<BTreeSet<Digest>, CatalogError> {
        let mut named = BTreeSet::new();
        for id in self.folder().await?.backups.difference(without) {
            match self.get(id).await {
                Ok(manifest) => named.extend(manifest.files().map(|(_, file)| file.sha256)),
                Err(CatalogError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(named)
    }

    async fn folder(&self) -> Result<Folder, TargetError> {
        let mut folder = Folder::default();
        let now = SystemTime::now();
        for (path, listed) in self.target.list(layout::BACKUPS).await? {
            match layout::part(&path) {
                Some(Part::Manifest(id)) => folder.backups.insert(id),
                Some(Part::Started(id)) => {
                    let age = now.duration_since(listed.modified).unwrap_or_default();
                    if age > LONGEST {
                        folder.died.insert(id)
                    } else {
                        folder.under_way.insert(id)
                    }
                }
                // Somebody else's.
                None => false,
            };
        }
        Ok(folder)
    }
}
