use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command;

/// The packages of this workspace, and which package depends on which.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) members: BTreeMap<Id, Member>,
    /// Every package of the graph, ours and others'.
    pub(crate) packages: BTreeMap<Id, Package>,
}

/// Cargo's identifier of a package; two versions of one package have two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Id(pub(crate) String);

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Relative to the workspace, with `/`.
    pub(crate) folder: String,
    /// `None` if the manifest names none, or one that does not exist.
    pub(crate) layer: Option<Layer>,
}

#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// What it is linked with: neither build nor development dependencies.
    pub(crate) normal: BTreeSet<Id>,
    pub(crate) all: BTreeSet<Id>,
}

/// What a package is; `[package.metadata.drover] layer` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layer {
    Vocabulary,
    Engine,
    Contract,
    Io,
    Binary,
    Tool,
}

impl Layer {
    /// Pure packages know no runtime, no clock, no socket and no disk.
    pub(crate) fn is_pure(self) -> bool {
        matches!(self, Self::Vocabulary | Self::Engine)
    }
}

/// The part of `cargo metadata` that is needed here.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_members: BTreeSet<Id>,
    workspace_root: PathBuf,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: Id,
    name: String,
    manifest_path: PathBuf,
    metadata: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: Id,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: Id,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `null` for a normal dependency.
    kind: Option<String>,
}

impl Workspace {
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let mut metadata = command::cargo(root, ["metadata", "--format-version", "1"]);
        let json = command::output(&mut metadata)?;
        let metadata: Metadata =
            serde_json::from_str(&json).context("cargo metadata has an unknown form")?;
        Ok(Self::from_metadata(metadata))
    }

    pub(crate) fn from_metadata(metadata: Metadata) -> Self {
        let mut members = BTreeMap::new();
        let mut packages = BTreeMap::new();
        for package in metadata.packages {
            if metadata.workspace_members.contains(&package.id) {
                let member = Member::new(&package, &metadata.workspace_root);
                members.insert(package.id.clone(), member);
            }
            let entry = Package {
                name: package.name,
                ..Package::default()
            };
            packages.insert(package.id, entry);
        }
        for node in metadata.resolve.nodes {
            let Some(package) = packages.get_mut(&node.id) else {
                continue;
            };
            for dependency in node.deps {
                if dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()) {
                    package.normal.insert(dependency.pkg.clone());
                }
                package.all.insert(dependency.pkg);
            }
        }
        Self {
            root: metadata.workspace_root,
            members,
            packages,
        }
    }
}

impl Member {
    fn new(package: &MetadataPackage, root: &Path) -> Self {
        let folder = package.manifest_path.parent().unwrap_or(root);
        let layer = package
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.pointer("/drover/layer"))
            .and_then(|layer| Layer::deserialize(layer).ok());
        Self {
            name: package.name.clone(),
            folder: relative(root, folder),
            layer,
        }
    }
}

/// `path` below `root`, with `/` on every system.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}
