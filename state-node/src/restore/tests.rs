#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::convert::Infallible;

use backup::{Cluster, Digest, File as Listed, FileName, Position, Prepared, Recovery, Source};
use bytes::Bytes;
use device_state::{
    Credential, CredentialId, CredentialName, DeviceName, Namespace, Row, Secret, Tables,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use tempfile::TempDir;

use super::*;
use crate::raft::log_store::LogStore;

const KEY: &str = "42";
const OTHER_KEY: &str = "43";

/// A cluster of one shard, as far as a backup is concerned.
struct OneShard {
    _dir: TempDir,
    store: ShardStore,
}

impl OneShard {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SharedOptions::new(1 << 20, 1 << 20, 1);
        let store =
            ShardStore::open(ShardId(0), dir.path(), options, FailStop::exit(dir.path())).unwrap();
        let id = CredentialId::PskIdentity(b"meter-7".to_vec());
        let name = CredentialName::new(&Namespace::default(), id.clone());
        let seal = Seal::new(&[0x42; 32]);
        let secret = Secret::PreSharedKey(vec![7; 16]);
        let mut rows = store.write();
        rows.put(Row::Credential(Credential {
            sealed_secret: seal.seal_secret(&name, &secret).unwrap(),
            id,
            endpoint: DeviceName::parse("meter-7").unwrap(),
            created_at: Timestamp(1),
            serial: 1,
        }));
        let stands = Restart::after(&[], NodeId(1), Member::default(), Timestamp(5)).unwrap();
        store.commit(rows, &stands.encode().unwrap()).unwrap();
        Self { _dir: dir, store }
    }
}

impl Source for OneShard {
    type Error = Infallible;

    async fn prepare(&self, _shard: u16) -> Result<Prepared, Infallible> {
        let checkpoint = self.store.make_checkpoint().unwrap();
        let files = fs::read_dir(checkpoint.path()).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            Listed {
                name: FileName::try_from(name).unwrap(),
                size: content.len() as u64,
                sha256: Digest::of(&content),
            }
        });
        Ok(Prepared {
            files: files.collect(),
            checkpoint: checkpoint.path().to_str().unwrap().to_owned(),
            cluster: Cluster {
                id: "c0ffee".to_owned(),
                name: "test".to_owned(),
            },
            shards: 1,
            software: "0.1.0".to_owned(),
            node: "1".to_owned(),
            // As the first entry of a group that never had one.
            revision: Position { term: 1, index: 1 },
            leader_time_ms: 5,
        })
    }

    async fn read(
        &self,
        checkpoint: &str,
        name: &FileName,
        _offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Infallible>>, Infallible> {
        let content = fs::read(Path::new(checkpoint).join(name.as_str())).unwrap();
        Ok(futures::stream::iter([Ok(Bytes::from(content))]).boxed())
    }

    async fn release(&self, _checkpoint: &str) {}

    fn recovery(_error: &Infallible) -> Recovery {
        Recovery::GiveUp
    }
}

/// A place with one backup, and a node that is to be made of it.
struct Stage {
    dir: TempDir,
    config: Config,
    manifest: Manifest,
}

impl Stage {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("backups");
        let target = Target::open(from.to_str().unwrap(), Access::Create).unwrap();
        let manifest = backup::create(&OneShard::new(), &target, 1, &|_| {})
            .await
            .unwrap();
        let key = dir.path().join("key");
        fs::write(&key, KEY.repeat(32)).unwrap();
        let config = Config {
            data_dir: dir.path().join("data"),
            cluster_key_file: key,
            shards: 1,
            disk_reserve_bytes: 0,
            api_listen: ([127, 0, 0, 1], 7443).into(),
            internal_listen: ([127, 0, 0, 1], 7444).into(),
            ..Config::default()
        };
        Self {
            dir,
            config,
            manifest,
        }
    }

    async fn restore(&self, wanted: &Wanted) -> Result<Done, RestoreError> {
        let from = self.dir.path().join("backups");
        restore(&self.config, from.to_str().unwrap(), wanted).await
    }
}

#[tokio::test]
async fn a_restored_folder_is_that_of_a_new_node_in_a_new_cluster() {
    let stage = Stage::new().await;
    let done = stage.restore(&Wanted::Latest).await.unwrap();
    let Done::Restored { node, cluster, .. } = done else {
        panic!("{done:?}")
    };
    let dir = &stage.config.data_dir;
    let identity = IdentityFile::open(dir, 1, NodeId(9)).unwrap();
    assert_eq!(identity.node(), node);
    assert_eq!(identity.identity().cluster_id.as_deref(), Some(&*cluster));
    assert_ne!(cluster, "c0ffee");
    assert!(!dir.join(RESTORING).exists());
    // The log goes on where the rows stand: one entry after those of the backup.
    let mut log = LogStore::open(&dir.join("log"), 1, FailStop::exit(dir))
        .unwrap()
        .group(0);
    let state = crate::raft::restart::log_end(&mut log).await.unwrap();
    assert_eq!(state, Some((1, 2)));
}

#[tokio::test]
async fn a_second_restore_of_the_same_backup_changes_nothing() {
    let stage = Stage::new().await;
    stage.restore(&Wanted::Latest).await.unwrap();
    let before = fs::read(stage.config.data_dir.join(identity::FILE)).unwrap();
    let id = Wanted::One(stage.manifest.id.clone());
    for wanted in [Wanted::Latest, id] {
        let again = stage.restore(&wanted).await.unwrap();
        assert!(matches!(again, Done::Already { .. }), "{again:?}");
    }
    let after = fs::read(stage.config.data_dir.join(identity::FILE)).unwrap();
    assert_eq!(before, after);
    let other = Wanted::One("20261130T174512Z-5f3a9c1e".parse().unwrap());
    let refused = stage.restore(&other).await;
    assert!(
        matches!(refused, Err(RestoreError::NotEmpty { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_folder_with_anything_in_it_is_left_alone() {
    let stage = Stage::new().await;
    let file = stage.config.data_dir.join("precious");
    fs::create_dir_all(&stage.config.data_dir).unwrap();
    fs::write(&file, "data").unwrap();
    let refused = stage.restore(&Wanted::Latest).await;
    assert!(
        matches!(refused, Err(RestoreError::NotEmpty { .. })),
        "{refused:?}"
    );
    assert!(file.exists());
}

#[tokio::test]
async fn what_did_not_come_to_its_end_is_begun_anew_and_no_node_starts_on_it() {
    let stage = Stage::new().await;
    let dir = &stage.config.data_dir;
    // Stopped between the two moves at the end.
    fs::create_dir_all(dir.join("log")).unwrap();
    fs::create_dir_all(dir.join(RESTORING).join("shards")).unwrap();
    let refused = IdentityFile::open(dir, 1, NodeId(9));
    assert!(
        matches!(refused, Err(IdentityError::Unfinished { .. })),
        "{refused:?}"
    );
    stage.restore(&Wanted::Latest).await.unwrap();
    IdentityFile::open(dir, 1, NodeId(9)).unwrap();
}

#[tokio::test]
async fn the_key_of_another_cluster_is_found_out_before_a_node_starts() {
    let stage = Stage::new().await;
    fs::write(&stage.config.cluster_key_file, OTHER_KEY.repeat(32)).unwrap();
    let refused = stage.restore(&Wanted::Latest).await;
    assert!(
        matches!(refused, Err(RestoreError::OtherKey(_))),
        "{refused:?}"
    );
    assert!(!stage.config.data_dir.join(identity::FILE).exists());
    fs::write(&stage.config.cluster_key_file, KEY.repeat(32)).unwrap();
    stage.restore(&Wanted::Latest).await.unwrap();
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_refused_and_costs_nothing() {
    let mut stage = Stage::new().await;
    stage.config.shards = 2;
    let refused = stage.restore(&Wanted::Latest).await;
    assert!(
        matches!(refused, Err(RestoreError::Shards { theirs: 1, ours: 2 })),
        "{refused:?}"
    );
    stage.config.shards = 1;
    stage.config.api_listen.set_port(0);
    let refused = stage.restore(&Wanted::Latest).await;
    assert!(
        matches!(refused, Err(RestoreError::Address { .. })),
        "{refused:?}"
    );
    stage.config.api_advertise = "state-0:7443".to_owned();
    stage.config.disk_reserve_bytes = u64::MAX;
    let refused = stage.restore(&Wanted::Latest).await;
    assert!(
        matches!(refused, Err(RestoreError::Room { .. })),
        "{refused:?}"
    );
    stage.config.disk_reserve_bytes = 0;
    stage.restore(&Wanted::Latest).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_named_and_nothing_is_restored() {
    let stage = Stage::new().await;
    let file = &stage.manifest.shards[0].files[0];
    let path = stage
        .dir
        .path()
        .join("backups/files")
        .join(file.sha256.to_string());
    fs::write(&path, "damage").unwrap();
    let refused = stage.restore(&Wanted::Latest).await;
    let text = format!("{:#}", anyhow::Error::new(refused.unwrap_err()));
    assert!(text.contains(&file.sha256.to_string()), "{text}");
    assert!(!stage.config.data_dir.join(identity::FILE).exists());
}
