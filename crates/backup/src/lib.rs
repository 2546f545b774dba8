//! Backups of the state tier, kept in a directory or in object storage.
//!
//! The crate owns what lies there and its meaning; it knows neither the nodes nor RocksDB. It never changes a file that
//! a backup names, and a backup without a manifest does not exist.
//!
//! ```text
//!  backups/<id>/manifest.json    which files make up each shard; written last
//!  backups/<id>/started          only while the backup is made
//!  files/<sha256>                the files of all backups, each once
//! ```
//!
//! Table files of RocksDB never change, so the files of a backup that an earlier one has are not copied again: every
//! backup is whole, and costs what changed since.
//!
//! [`create()`] makes a backup from a [`Source`], [`Catalog`] lists and removes, [`verify()`] reads everything again,
//! [`fetch_shard`] brings the files of a shard back.
//!
//! ```
//! use backup::{Access, Catalog, Target};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let target = Target::open("s3://backups/drover", Access::Existing)?;
//! for entry in Catalog::new(&target).list().await? {
//!     println!("{}", entry.id);
//! }
//! # Ok(())
//! # }
//! ```

mod catalog;
mod create;
mod fetch;
mod layout;
mod manifest;
mod name;
mod target;
mod verify;

pub use catalog::{Catalog, CatalogError, Entry, Removed};
pub use create::{CreateError, Prepared, Progress, Recovery, Source, create};
pub use fetch::{FetchError, fetch_shard};
pub use manifest::{Cluster, FORMAT, File, Manifest, ManifestError, Position, Shard};
pub use name::{BackupId, Digest, FileName, NameError, Wanted};
pub use target::{Access, Target, TargetError};
pub use verify::{Fault, Problem, Verified, verify};
