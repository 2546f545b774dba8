//! Who this node is: the file `IDENTITY` on its volume.
//!
//! The id is random and belongs to the volume, never to a pod's ordinal: a node that lost its volume and kept its id
//! would be believed to hold a log that it no longer has.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use device_state::NodeId;
use serde::{Deserialize, Serialize};

use crate::raft::Member;
use crate::restore::RESTORING;

/// The name of the file.
pub const FILE: &str = "IDENTITY";

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Sixteen hex digits.
    node_id: String,
    /// Set once the node belongs to a cluster.
    pub cluster_id: Option<String>,
    /// Fixed when the cluster is made: every row's place depends on it.
    pub shards: u16,
    /// On the node that made the cluster: the first members, written before the first group was initialised, so that a
    /// crash in between is completed with the same ones.
    pub founders: Option<Vec<Founder>>,
}

/// One of the first members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Sixteen hex digits.
    pub node_id: String,
    pub member: Member,
}

/// Why the identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is malformed", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} has the malformed node id {id}", path.display())]
    NodeId { path: PathBuf, id: String },
    #[error(
        "this volume was made for {stored} shards, the configuration says {configured}; it cannot be changed"
    )]
    Shards { stored: u16, configured: u16 },
    #[error("a restore into {} did not come to its end: run it again", dir.display())]
    Unfinished { dir: PathBuf },
}

/// The identity and where it is stored.
#[derive(Debug)]
pub struct IdentityFile {
    path: PathBuf,
    node: NodeId,
    identity: Identity,
}

/// An id as it is written in files and headers.
pub fn format_id(id: u64) -> String {
    format!("{id:016x}")
}

impl IdentityFile {
    /// Reads the identity in `dir`, or makes a new one with the id `fresh`.
    pub fn open(dir: &Path, shards: u16, fresh: NodeId) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        let failed = |action| {
            let path = path.clone();
            move |source| IdentityError::Io {
                action,
                path,
                source,
            }
        };
        fs::create_dir_all(dir).map_err(failed("create the folder of"))?;
        if !path.exists() {
            if dir.join(RESTORING).exists() {
                return Err(IdentityError::Unfinished {
                    dir: dir.to_owned(),
                });
            }
            let identity = Identity {
                node_id: format_id(fresh.0),
                cluster_id: None,
                shards,
                founders: None,
            };
            let file = Self {
                path,
                node: fresh,
                identity,
            };
            file.write()?;
            return Ok(file);
        }
        let text = fs::read_to_string(&path).map_err(failed("read"))?;
        let identity: Identity =
            serde_json::from_str(&text).map_err(|source| IdentityError::Malformed {
                path: path.clone(),
                source,
            })?;
        let Ok(node) = u64::from_str_radix(&identity.node_id, 16) else {
            return Err(IdentityError::NodeId {
                path,
                id: identity.node_id,
            });
        };
        if identity.shards != shards {
            return Err(IdentityError::Shards {
                stored: identity.shards,
                configured: shards,
            });
        }
        Ok(Self {
            path,
            node: NodeId(node),
            identity,
        })
    }

    /// Writes the identity of a node that is alone in its cluster.
    pub fn create(
        dir: &Path,
        shards: u16,
        node: NodeId,
        cluster_id: String,
    ) -> Result<Self, IdentityError> {
        let file = Self {
            path: dir.join(FILE),
            node,
            identity: Identity {
                node_id: format_id(node.0),
                cluster_id: Some(cluster_id),
                shards,
                founders: None,
            },
        };
        file.write()?;
        Ok(file)
    }

    /// The id of this node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// What is stored.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Changes what is stored, durably.
    pub fn update(&mut self, change: impl FnOnce(&mut Identity)) -> Result<(), IdentityError> {
        change(&mut self.identity);
        self.write()
    }

    fn write(&self) -> Result<(), IdentityError> {
        let failed = |source| IdentityError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        };
        let text = serde_json::to_string_pretty(&self.identity).map_err(|source| {
            IdentityError::Malformed {
                path: self.path.clone(),
                source,
            }
        })?;
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary).map_err(failed)?;
        writeln!(file, "{text}")
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        fs::rename(&temporary, &self.path).map_err(failed)?;
        let dir = self.path.parent().unwrap_or_else(|| Path::new("."));
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_a_restart() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut first = IdentityFile::open(dir.path(), 8, NodeId(7)).expect("a fresh identity");
        first
            .update(|identity| identity.cluster_id = Some("c".to_owned()))
            .expect("written");
        let second = IdentityFile::open(dir.path(), 8, NodeId(9)).expect("the stored identity");
        assert_eq!(second.node(), NodeId(7));
        assert_eq!(second.identity(), first.identity());
    }

    #[test]
    fn the_number_of_shards_cannot_change() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        IdentityFile::open(dir.path(), 8, NodeId(7)).expect("a fresh identity");
        let changed = IdentityFile::open(dir.path(), 4, NodeId(7));
        assert!(matches!(
            changed,
            Err(IdentityError::Shards {
                stored: 8,
                configured: 4
            })
        ));
    }
}
