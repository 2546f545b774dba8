//! Whether the keys that a node was given open what it has stored. Found out before it serves anybody: a secret that
//! cannot be opened shows only when its device comes.
//!
//! The file `KEYS` in the data folder holds a known value sealed with each key that the node ever had. If one of those
//! keys is missing, and only then, the stored secrets are looked through: as long as one needs it, the node does not
//! start; afterwards the key is forgotten. A file rather than a row, because it is there before any row is, also on a
//! node that cannot reach the others, and says nothing about other nodes' keys.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use device_state::ShardId;
use serde::{Deserialize, Serialize};

use crate::seal::key::{ClearKey, KeyEncryption, KeyId};
use crate::seal::{Seal, SealError};
use crate::store::ShardStore;

/// The name of the file.
pub const FILE: &str = "KEYS";
/// The known value.
const CANARY: [u8; 32] = *b"drover: this opens with the key.";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    canaries: Vec<Canary>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Canary {
    /// Sixteen hex digits.
    key: String,
    /// Hex.
    sealed: String,
}

/// Why the keys do not do.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
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
    #[error("the value that was sealed with key {key} does not open with it")]
    Canary {
        key: KeyId,
        #[source]
        source: SealError,
    },
    #[error(
        "shard {shard} has secrets of devices that were sealed with {}: give the file with it as `cluster_key_file`, or in \
         `retired_key_files` if another one is to seal from now on", named(*key)
    )]
    Needed { shard: ShardId, key: Option<KeyId> },
}

fn named(key: Option<KeyId>) -> String {
    match key {
        Some(key) => format!("key {key}, which is none of this node's keys"),
        None => "none of this node's keys".to_owned(),
    }
}

/// What is known of the keys before the rows are.
#[derive(Debug)]
pub struct Check<'a> {
    seal: &'a Seal,
    path: PathBuf,
    scan: Scan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scan {
    NotNeeded,
    /// A key is missing, or nothing is known of earlier keys.
    Needed,
}

impl<'a> Check<'a> {
    /// Compares the keys with what the node in `data_dir` had before.
    pub fn begin(data_dir: &Path, seal: &'a Seal) -> Result<Self, CanaryError> {
        let path = data_dir.join(FILE);
        let mut scan = Scan::NotNeeded;
        match read(&path)? {
            None => scan = Scan::Needed,
            Some(stored) => {
                for canary in &stored.canaries {
                    if opens(seal, canary)?.is_break() {
                        tracing::warn!(
                            key = canary.key,
                            "a key that this node had is gone: looking whether a stored secret needs it"
                        );
                        scan = Scan::Needed;
                    }
                }
            }
        }
        Ok(Self { seal, path, scan })
    }

    /// Looks through the secrets of a shard, if that is needed.
    pub fn shard(&self, store: &ShardStore) -> Result<(), CanaryError> {
        if self.scan == Scan::NotNeeded {
            return Ok(());
        }
        let mut needed = None;
        store.visit_secrets(|row| match self.seal.can_open(row) {
            Ok(()) => ControlFlow::Continue(()),
            Err(key) => {
                needed = Some(key);
                ControlFlow::Break(())
            }
        });
        needed.map_or(Ok(()), |key| {
            Err(CanaryError::Needed {
                shard: store.shard(),
                key,
            })
        })
    }

    /// All shards are fine: from now on the node has these keys.
    pub fn finish(self) -> Result<(), CanaryError> {
        let known = ClearKey::new(CANARY);
        let mut stored = Stored::default();
        for key in self.seal.keys() {
            let sealed = key.wrap(&known).map_err(|source| CanaryError::Canary {
                key: key.id(),
                source,
            })?;
            stored.canaries.push(Canary {
                key: key.id().to_string(),
                sealed: hex::encode(sealed),
            });
        }
        write(&self.path, &stored)
    }
}

/// Breaks if the key is not there.
fn opens(seal: &Seal, canary: &Canary) -> Result<ControlFlow<()>, CanaryError> {
    let Some(key) = seal.keys().find(|key| key.id().to_string() == canary.key) else {
        return Ok(ControlFlow::Break(()));
    };
    let sealed = hex::decode(&canary.sealed).map_err(|_| SealError::Unsealed);
    let opened = sealed.and_then(|sealed| key.unwrap(&sealed));
    match opened {
        Ok(opened) if *opened == CANARY => Ok(ControlFlow::Continue(())),
        Ok(_) => Err(SealError::Unsealed),
        Err(error) => Err(error),
    }
    .map_err(|source| CanaryError::Canary {
        key: key.id(),
        source,
    })
}

fn read(path: &Path) -> Result<Option<Stored>, CanaryError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(CanaryError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| CanaryError::Malformed {
            path: path.to_owned(),
            source,
        })
}

fn write(path: &Path, stored: &Stored) -> Result<(), CanaryError> {
    let text = serde_json::to_string_pretty(stored).map_err(|source| CanaryError::Malformed {
        path: path.to_owned(),
        source,
    })?;
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temporary)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| CanaryError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use device_state::{
        Credential, CredentialId, CredentialName, DeviceName, Namespace, Row, Secret, Tables,
        Timestamp,
    };

    use super::*;
    use crate::fail_stop::FailStop;
    use crate::seal::key::FileKey;
    use crate::store::database::SharedOptions;

    fn keys(keys: &[u8]) -> Seal {
        let keys = keys.iter().map(|byte| FileKey::new(&[*byte; 32]));
        Seal::with(keys.collect(), 1 << 32)
    }

    fn start(dir: &Path, seal: &Seal) -> Result<ShardStore, CanaryError> {
        let hook = FailStop::hooked(|what| panic!("{what}"));
        let check = Check::begin(dir, seal)?;
        let options = SharedOptions::new(1 << 20, 1 << 20, 1);
        let store = ShardStore::open(ShardId(3), &dir.join("rows"), options, hook);
        let store = store.expect("opened");
        check.shard(&store)?;
        check.finish()?;
        Ok(store)
    }

    fn credential(store: &ShardStore, seal: &Seal, name: &str) {
        let id = CredentialId::PskIdentity(name.as_bytes().to_vec());
        let name_of = CredentialName::new(&Namespace::default(), id.clone());
        let secret = Secret::PreSharedKey(b"0123456789abcdef".to_vec());
        let sealed_secret = seal.seal_secret(&name_of, &secret).expect("sealed");
        let mut changes = store.write();
        changes.put(Row::Credential(Credential {
            id,
            endpoint: DeviceName::parse(name).expect("a valid name"),
            sealed_secret,
            created_at: Timestamp(1),
            serial: 1,
        }));
        store.commit(changes, b"position").expect("committed");
        store.flush().expect("flushed");
    }

    #[test]
    fn a_key_can_go_once_nothing_needs_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path();
        let old = keys(&[1]);
        let store = start(dir, &old).expect("a fresh node");
        credential(&store, &old, "meter");
        drop(store);
        // The wrong key, with and without what is known of earlier ones.
        for _ in 0..2 {
            let refused = start(dir, &keys(&[2])).expect_err("a secret needs the old key");
            let old = FileKey::new(&[1; 32]);
            let named = old.id().to_string();
            assert!(refused.to_string().contains(&named), "{refused}");
            assert!(refused.to_string().contains("shard 3"), "{refused}");
            if dir.join(FILE).exists() {
                fs::remove_file(dir.join(FILE)).expect("removed");
            }
        }
        let both = keys(&[2, 1]);
        let store = start(dir, &both).expect("old secrets open");
        credential(&store, &both, "meter");
        drop(store);
        start(dir, &keys(&[2])).expect("sealed anew");
        // It is forgotten: nobody looks for it again.
        let text = fs::read_to_string(dir.join(FILE)).expect("written");
        assert_eq!(text.matches("\"key\"").count(), 1, "{text}");
    }
}
