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

/// Reads what [`format_id`] wrote; leading zeroes may be missing.
pub fn parse_id(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// What an identity file says.
pub fn read(path: &Path) -> Result<(NodeId, Identity), IdentityError> {
    let text = fs::read_to_string(path).map_err(|source| IdentityError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let identity: Identity =
        serde_json::from_str(&text).map_err(|source| IdentityError::Malformed {
            path: path.to_owned(),
            source,
        })?;
    match parse_id(&identity.node_id) {
        Some(node) => Ok((NodeId(node), identity)),
        None => Err(IdentityError::NodeId {
            path: path.to_owned(),
            id: identity.node_id,
        }),
    }
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
            return Self::create(path, fresh, None, shards);
        }
        let (node, identity) = read(&path)?;
        if identity.shards != shards {
            return Err(IdentityError::Shards {
                stored: identity.shards,
                configured: shards,
            });
        }
        Ok(Self {
            path,
            node,
            identity,
        })
    }

    /// Gives the node whose identity was the file `former` the id `fresh` in `dir`. It stays of its cluster, and so never
    /// makes another one, but it is none of its members until they take it in.
    pub fn renew(former: &Path, dir: &Path, fresh: NodeId) -> Result<Self, IdentityError> {
        let (_, former) = read(former)?;
        Self::create(dir.join(FILE), fresh, former.cluster_id, former.shards)
    }

    /// Writes the identity of a node that is alone in its cluster.
    pub fn found(
        dir: &Path,
        shards: u16,
        node: NodeId,
        cluster_id: String,
    ) -> Result<Self, IdentityError> {
        Self::create(dir.join(FILE), node, Some(cluster_id), shards)
    }

    fn create(
        path: PathBuf,
        node: NodeId,
        cluster_id: Option<String>,
        shards: u16,
    ) -> Result<Self, IdentityError> {
        let identity = Identity {
            node_id: format_id(node.0),
            cluster_id,
            shards,
            founders: None,
        };
        let file = Self {
            path,
            node,
            identity,
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
    fn a_renewed_identity_is_another_node_of_the_same_cluster() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut first = IdentityFile::open(dir.path(), 8, NodeId(7)).expect("a fresh identity");
        first
            .update(|identity| {
                identity.cluster_id = Some("c".to_owned());
                identity.founders = Some(Vec::new());
            })
            .expect("written");
        let former = dir.path().join("former");
        fs::rename(dir.path().join(FILE), &former).expect("moved");
        IdentityFile::renew(&former, dir.path(), NodeId(9)).expect("renewed");
        let renewed = IdentityFile::open(dir.path(), 8, NodeId(1)).expect("stored");
        assert_eq!(renewed.node(), NodeId(9));
        assert_eq!(renewed.identity().cluster_id.as_deref(), Some("c"));
        assert_eq!(renewed.identity().founders, None);
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
