//! Generates `src/gen` from the `.proto` files and fails when what is committed differs. With `DROVER_CODEGEN=1` it
//! rewrites the committed files instead. No protoc is needed: `protox` compiles the files.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;

const FILES: [&str; 13] = [
    "storage/v1/campaign.proto",
    "storage/v1/storage.proto",
    "rpc/v1/raft.proto",
    "rpc/v1/state.proto",
    "drover/v1/drover.proto",
    "drover/v1/cluster.proto",
    "drover/v1/artefact.proto",
    "drover/v1/backup.proto",
    "drover/v1/campaign.proto",
    "drover/v1/enrollment.proto",
    "drover/v1/group.proto",
    "drover/v1/profile.proto",
    "drover/v1/watch.proto",
];

/// Fields that carry whole log entries or file contents: shared, not copied, when they are decoded.
const BYTES_FIELDS: [&str; 7] = [
    ".drover.rpc.v1.RaftRequest",
    ".drover.rpc.v1.RaftResponse",
    ".drover.rpc.v1.SnapshotChunk",
    ".drover.rpc.v1.SnapshotInstalled",
    ".drover.rpc.v1.ReadArtefactResponse",
    ".drover.v1.PutArtefactRequest",
    ".drover.v1.ReadBackupFileResponse",
];

/// Messages with keys in clear, which have a `Debug` of their own.
const SECRETS: [&str; 2] = [
    ".drover.rpc.v1.ClearCredential",
    ".drover.rpc.v1.PrepareBootstrapResponse.Account",
];

/// The message of a watch, which may hold an event that was encoded once for many watchers.
const SHARED: (&str, &str) = (
    ".drover.v1.WatchEventsResponse",
    "crate::watch::WatchEventsResponse",
);

#[test]
fn the_committed_code_is_what_the_proto_files_generate() {
    let committed = crate_root().join("src/gen");
    let scratch = tempfile::tempdir().unwrap();
    generate(scratch.path());
    let fresh = contents(scratch.path());
    if std::env::var_os("DROVER_CODEGEN").is_some() {
        replace(&committed, &fresh);
    }
    let stored = contents(&committed);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&stored),
        names(&fresh),
        "files of src/gen; run `cargo xtask codegen`"
    );
    for (name, content) in &fresh {
        assert!(
            stored.get(name) == Some(content),
            "src/gen/{name} is out of date; run `cargo xtask codegen`"
        );
    }
}

fn generate(out: &Path) {
    let descriptors = protox::compile(FILES, [crate_root()]).unwrap();
    fs::write(out.join("drover.bin"), public_descriptors(&descriptors)).unwrap();
    let mut config = tonic_prost_build::Config::new();
    config.bytes(BYTES_FIELDS);
    // Maps in the order of their keys, wherever they are shown.
    config.btree_map([".drover.v1"]);
    config.skip_debug(SECRETS);
    config.extern_path(SHARED.0, SHARED.1);
    tonic_prost_build::configure()
        .build_transport(true)
        .out_dir(out)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors, config)
        .unwrap();
}

/// The public API alone, for gRPC reflection: internal calls are not advertised. Comments stay out, they are half of it.
fn public_descriptors(all: &prost_types::FileDescriptorSet) -> Vec<u8> {
    let public = |name: &str| name.starts_with("drover/") || name.starts_with("google/");
    let file = all
        .file
        .iter()
        .filter(|file| public(file.name()))
        .cloned()
        .map(|mut file| {
            file.source_code_info = None;
            file
        });
    prost_types::FileDescriptorSet {
        file: file.collect(),
    }
    .encode_to_vec()
}

fn replace(committed: &Path, fresh: &BTreeMap<String, Vec<u8>>) {
    let _absent = fs::remove_dir_all(committed);
    fs::create_dir_all(committed).unwrap();
    for (name, content) in fresh {
        fs::write(committed.join(name), content).unwrap();
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: fs::DirEntry| {
        (
            entry.file_name().into_string().unwrap(),
            fs::read(entry.path()).unwrap(),
        )
    };
    fs::read_dir(folder)
        .unwrap()
        .map(|found| entry(found.unwrap()))
        .collect()
}

/// Cargo starts a test in the folder of its package.
fn crate_root() -> PathBuf {
    PathBuf::from(".")
}
