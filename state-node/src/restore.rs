//! Making the data folder of a new cluster from a backup.
//!
//! 1. Everything is written into `restoring/` of the data folder. A restore that does not come to its end leaves that
//!    folder, no node starts beside it, and the next restore begins anew.
//! 2. Each shard's files are fetched and checked, and its rows are changed as a new cluster needs them
//!    ([`device_state::Restoration`]).
//! 3. The rows and the log move to their places, and the identity is written: a new node of a new cluster, which it is
//!    alone in. Others join it as they join any cluster.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup::{
    Access, BackupId, Catalog, CatalogError, FetchError, Manifest, Target, TargetError, Wanted,
    fetch_shard,
};
use device_state::{NodeId, Restoration, Restored, ShardId, Timestamp, query};
use node_runtime::{clock, random};
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError};
use crate::fail_stop::FailStop;
use crate::identity::{self, IdentityError, IdentityFile};
use crate::node::advertised;
use crate::raft::Member;
use crate::raft::restart::{Restart, begin_log};
use crate::seal::{KeyError, Seal, SealError};
use crate::store::database::SharedOptions;
use crate::store::{ShardStore, StoreError, first_database};

/// What is written here is not yet the data of a node.
pub const RESTORING: &str = "restoring";
/// Tells where the data came from.
const RESTORED: &str = "RESTORED";
/// What makes up a data folder besides the identity.
const PARTS: [&str; 2] = ["log", "shards"];
/// Rows that are changed before they are written to the disk.
const ROWS: usize = 4_096;

/// Where the data of a node came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub backup: BackupId,
    /// The cluster that it is a backup of.
    pub cluster: String,
    pub restored_at_ms: u64,
}

/// What a restore did.
#[derive(Debug)]
pub enum Done {
    /// The data folder was made.
    Restored {
        manifest: Box<Manifest>,
        cluster: String,
        node: NodeId,
        restored: Restored,
    },
    /// It was made by an earlier restore of the backup that is wanted.
    Already { origin: Origin },
}

impl std::fmt::Display for Done {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Restored {
                manifest,
                cluster,
                node,
                restored,
            } => {
                writeln!(
                    formatter,
                    "restored backup {} of cluster {}: {} shards, {} bytes",
                    manifest.id,
                    manifest.cluster.id,
                    manifest.shards.len(),
                    manifest.bytes()
                )?;
                writeln!(
                    formatter,
                    "dropped {} sessions, moved {} OSCORE contexts on, cancelled {} operations",
                    restored.sessions, restored.contexts, restored.cancelled
                )?;
                writeln!(
                    formatter,
                    "node {node} is alone in the new cluster {cluster}"
                )
            }
            Self::Already { origin } => writeln!(
                formatter,
                "nothing to do: this folder was restored from backup {} of cluster {}",
                origin.backup, origin.cluster
            ),
        }
    }
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the configuration is not valid")]
    Config(#[from] ConfigError),
    #[error("{address} has no fixed port: the restored cluster knows its node by it; set {key}")]
    Address {
        address: SocketAddr,
        key: &'static str,
    },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{} is not empty; a restore needs a folder of its own", path.display())]
    NotEmpty { path: PathBuf },
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the backup has {theirs} shards, the configuration says {ours}: set shards = {theirs}")]
    Shards { theirs: usize, ours: u16 },
    #[error("the backup takes {needed} bytes, and the volume has {free}")]
    Room { needed: u64, free: u64 },
    #[error("shard {shard} cannot be fetched")]
    Fetch {
        shard: ShardId,
        #[source]
        source: FetchError,
    },
    #[error("the rows of shard {shard} cannot be opened")]
    Store {
        shard: ShardId,
        #[source]
        source: StoreError,
    },
    #[error("the rows of shard {shard} cannot be changed")]
    Rows {
        shard: ShardId,
        #[source]
        source: io::Error,
    },
    #[error("shard {shard} does not stand where the manifest says")]
    OtherPosition { shard: ShardId },
    #[error(
        "the cluster key does not open the secrets in the backup: it needs the key of the cluster that was backed up"
    )]
    OtherKey(#[source] SealError),
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the identity cannot be written")]
    Identity(#[from] IdentityError),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::Io {
        action,
        path,
        source,
    }
}

/// Makes the data folder that `config` names from a backup at the place `from`.
pub async fn restore(config: &Config, from: &str, wanted: &Wanted) -> Result<Done, RestoreError> {
    config.validate()?;
    let work = Work::new(config)?;
    if let Some(origin) = prepare_folder(&config.data_dir, wanted)? {
        return Ok(Done::Already { origin });
    }
    let target = Target::open(from, Access::Existing)?;
    let manifest = Catalog::new(&target).find(wanted).await?;
    if manifest.shards.len() != usize::from(config.shards) {
        return Err(RestoreError::Shards {
            theirs: manifest.shards.len(),
            ours: config.shards,
        });
    }
    let free = free_bytes(&config.data_dir)?;
    let needed = manifest.bytes().saturating_add(config.disk_reserve_bytes);
    if free < needed {
        return Err(RestoreError::Room { needed, free });
    }
    let restored = work.shards(&target, &manifest).await?;
    work.finish(&manifest)?;
    Ok(Done::Restored {
        manifest: Box::new(manifest),
        cluster: work.member.cluster,
        node: work.node,
        restored,
    })
}

/// Makes the folder ready, or tells what it was restored from before.
fn prepare_folder(dir: &Path, wanted: &Wanted) -> Result<Option<Origin>, RestoreError> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let not_empty = || RestoreError::NotEmpty {
        path: dir.to_owned(),
    };
    if dir.join(identity::FILE).exists() {
        let origin = fs::read(dir.join(RESTORED)).ok();
        let origin: Option<Origin> = origin.and_then(|text| serde_json::from_slice(&text).ok());
        let same = |origin: &Origin| match wanted {
            Wanted::Latest => true,
            Wanted::One(id) => origin.backup == *id,
        };
        return match origin.filter(same) {
            Some(origin) => Ok(Some(origin)),
            None => Err(not_empty()),
        };
    }
    if dir.join(RESTORING).exists() {
        // An earlier restore did not come to its end.
        for part in PARTS.iter().chain([&RESTORING]) {
            let path = dir.join(part);
            if path.exists() {
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
    }
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        let name = entry.map_err(failed("list", dir))?.file_name();
        // What a new file system comes with, and what tells of a restore that did not come to its end.
        if name != "lost+found" && name != RESTORED {
            return Err(not_empty());
        }
    }
    let restoring = dir.join(RESTORING);
    fs::create_dir(&restoring).map_err(failed("create", &restoring))?;
    Ok(None)
}

fn free_bytes(dir: &Path) -> Result<u64, RestoreError> {
    let stat = rustix::fs::statvfs(dir).map_err(|errno| failed("look at", dir)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// `host:port` for others, as the node itself would tell it.
fn address(
    configured: &str,
    listen: SocketAddr,
    key: &'static str,
) -> Result<String, RestoreError> {
    if configured.is_empty() && listen.port() == 0 {
        let address = listen;
        return Err(RestoreError::Address { address, key });
    }
    Ok(advertised(configured, listen))
}

/// A restore under way.
struct Work {
    dir: PathBuf,
    shards: u16,
    options: SharedOptions,
    seal: Arc<Seal>,
    node: NodeId,
    member: Member,
}

impl Work {
    fn new(config: &Config) -> Result<Self, RestoreError> {
        Ok(Self {
            dir: config.data_dir.clone(),
            shards: config.shards,
            options: SharedOptions::new(
                config.block_cache_bytes,
                config.write_buffer_bytes,
                config.shards,
            ),
            seal: Arc::new(Seal::from_files(
                &config.cluster_key_file,
                &config.retired_key_files,
            )?),
            node: NodeId(random::random_u64()),
            member: Member {
                internal: address(
                    &config.internal_advertise,
                    config.internal_listen,
                    "internal_advertise",
                )?,
                api: address(&config.api_advertise, config.api_listen, "api_advertise")?,
                cluster: format!("{:016x}", random::random_u64()),
            },
        })
    }

    fn restoring(&self, part: &str) -> PathBuf {
        self.dir.join(RESTORING).join(part)
    }

    async fn shards(&self, target: &Target, manifest: &Manifest) -> Result<Restored, RestoreError> {
        let mut total = Restored::default();
        let mut restarts = Vec::with_capacity(manifest.shards.len());
        for described in &manifest.shards {
            let shard = ShardId(described.shard);
            let dir = self.restoring("shards").join(shard.to_string());
            let database = first_database(&dir);
            fs::create_dir_all(&database).map_err(failed("create", &database))?;
            let fetched = fetch_shard(target, described, &database).await;
            fetched.map_err(|source| RestoreError::Fetch { shard, source })?;
            let rows = Rows {
                shard,
                dir,
                described: (described.revision.term, described.revision.index),
                options: self.options.clone(),
                seal: self.seal.clone(),
                node: self.node,
                member: self.member.clone(),
            };
            let changed = tokio::task::spawn_blocking(move || rows.change()).await;
            let changed = changed.map_err(|error| RestoreError::Rows {
                shard,
                source: io::Error::other(error),
            })?;
            let (restart, restored) = changed?;
            tracing::info!(%shard, bytes = described.bytes(), ?restored, "a shard is restored");
            restarts.push(restart);
            total.sessions += restored.sessions;
            total.resumptions += restored.resumptions;
            total.contexts += restored.contexts;
            total.cancelled += restored.cancelled;
        }
        let log = self.restoring("log");
        begin_log(&log, self.node, &restarts)
            .await
            .map_err(failed("write", &log))?;
        Ok(total)
    }

    /// From here on a node can start.
    fn finish(&self, manifest: &Manifest) -> Result<(), RestoreError> {
        for part in PARTS {
            let from = self.restoring(part);
            fs::rename(&from, self.dir.join(part)).map_err(failed("move", &from))?;
        }
        let origin = Origin {
            backup: manifest.id.clone(),
            cluster: manifest.cluster.id.clone(),
            restored_at_ms: clock::now_ms(),
        };
        let path = self.dir.join(RESTORED);
        let write = || {
            let mut file = File::create(&path)?;
            serde_json::to_writer_pretty(&mut file, &origin)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(failed("write", &path))?;
        IdentityFile::found(
            &self.dir,
            self.shards,
            self.node,
            self.member.cluster.clone(),
        )?;
        let restoring = self.dir.join(RESTORING);
        fs::remove_dir_all(&restoring).map_err(failed("remove", &restoring))
    }
}

/// The rows of a shard that are about to be changed.
struct Rows {
    shard: ShardId,
    dir: PathBuf,
    /// Term and index that they have to stand at.
    described: (u64, u64),
    options: SharedOptions,
    seal: Arc<Seal>,
    node: NodeId,
    member: Member,
}

impl Rows {
    /// Blocks.
    fn change(self) -> Result<(Restart, Restored), RestoreError> {
        let shard = self.shard;
        let opened = ShardStore::open(
            shard,
            &self.dir,
            self.options.clone(),
            FailStop::exit(&self.dir),
        );
        let stored = |source| RestoreError::Store { shard, source };
        let store = opened.map_err(stored)?;
        self.check_key(&store)?;
        let applied = store.applied().map_err(stored)?.unwrap_or_default();
        let failed = |source| RestoreError::Rows { shard, source };
        let now = Timestamp(clock::now_ms());
        let restart =
            Restart::after(&applied, self.node, self.member.clone(), now).map_err(failed)?;
        if restart.follows() != self.described {
            return Err(RestoreError::OtherPosition { shard });
        }
        let position = restart.encode().map_err(failed)?;
        let mut restoration = Restoration::new(shard, restart.revision(), restart.time());
        while !restoration.is_done() {
            let mut changes = store.write();
            restoration.step(&mut changes, ROWS);
            store.commit(changes, &position).map_err(stored)?;
        }
        store.flush().map_err(stored)?;
        Ok((restart, restoration.restored()))
    }

    /// With another key, devices would be refused one by one, later.
    fn check_key(&self, store: &ShardStore) -> Result<(), RestoreError> {
        let credentials = store.read(|tables| query::any_credentials(tables, ROWS));
        let sealed = credentials
            .iter()
            .find(|credential| !credential.sealed_secret.is_empty());
        let Some(credential) = sealed else {
            return Ok(());
        };
        self.seal
            .open_secret(credential)
            .map(drop)
            .map_err(RestoreError::OtherKey)
    }
}

#[cfg(test)]
mod tests;
