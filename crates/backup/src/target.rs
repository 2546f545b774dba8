//! Where backups lie. Everything that knows `object_store` is here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use url::Url;

/// Larger objects are written in parts of this size: S3 takes 10,000 parts, so 80 GB.
const PART: usize = 8 << 20;
/// Parts of an object that are under way at a time.
const PARTS_AT_ONCE: usize = 4;

/// Whether the place has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A folder that is not there is an error: it was misspelt.
    Existing,
    /// A folder that is not there is made.
    Create,
}

/// Why the place of backups cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{url:?} is no place for backups: give file:///folder or s3://bucket/prefix")]
    Url { url: String },
    #[error("cannot use the folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot use {url}")]
    Store {
        url: String,
        #[source]
        source: object_store::Error,
    },
    #[error("cannot {action} {object}")]
    Object {
        action: &'static str,
        object: String,
        #[source]
        source: object_store::Error,
    },
    #[error("{object} has more than {limit} bytes")]
    TooLarge { object: String, limit: u64 },
}

impl TargetError {
    fn object(action: &'static str, object: &str) -> impl FnOnce(object_store::Error) -> Self {
        let object = object.to_owned();
        move |source| Self::Object {
            action,
            object,
            source,
        }
    }

    /// Whether an object is not there that should be.
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Object {
                source: object_store::Error::NotFound { .. },
                ..
            }
        )
    }
}

/// The place where backups lie.
#[derive(Clone)]
pub struct Target {
    store: Arc<dyn ObjectStore>,
    url: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Target({})", self.url)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

/// An object in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

impl Target {
    /// Opens `file:///folder`, a folder by its path, or `s3://bucket/prefix`. What S3 needs besides is in the environment,
    /// as for other programs: `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …
    pub fn open(url: &str, access: Access) -> Result<Self, TargetError> {
        let unusable = || TargetError::Url {
            url: url.to_owned(),
        };
        if url.starts_with('/') || url.starts_with("./") || url.starts_with("../") {
            return Self::folder(Path::new(url), url, access);
        }
        let parsed = Url::parse(url).map_err(|_| unusable())?;
        match parsed.scheme() {
            "file" => {
                let path = parsed.to_file_path().map_err(|()| unusable())?;
                Self::folder(&path, url, access)
            }
            "s3" if parsed.host_str().is_some() => Self::s3(&parsed),
            _ => Err(unusable()),
        }
    }

    fn folder(path: &Path, url: &str, access: Access) -> Result<Self, TargetError> {
        let failed = |source| TargetError::Folder {
            path: path.to_owned(),
            source,
        };
        match access {
            Access::Create => std::fs::create_dir_all(path).map_err(failed)?,
            Access::Existing => std::fs::metadata(path).map(drop).map_err(failed)?,
        }
        let store =
            LocalFileSystem::new_with_prefix(path).map_err(|source| TargetError::Store {
                url: url.to_owned(),
                source,
            })?;
        // A backup that a power failure may take back is none.
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            url: url.to_owned(),
        })
    }

    fn s3(url: &Url) -> Result<Self, TargetError> {
        let bucket = url.host_str().unwrap_or_default();
        let built = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
        let store = built.map_err(|source| TargetError::Store {
            url: url.to_string(),
            source,
        })?;
        let prefix = url.path().trim_matches('/');
        Ok(Self {
            store: Arc::new(PrefixStore::new(store, Location::from(prefix))),
            url: url.to_string(),
        })
    }

    /// A small object; `None` if it is not there.
    pub(crate) async fn read(&self, path: &str, limit: u64) -> Result<Option<Bytes>, TargetError> {
        let mut stream = match self.stream(path).await {
            Ok(stream) => stream,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = BytesMut::new();
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                let object = path.to_owned();
                return Err(TargetError::TooLarge { object, limit });
            }
        }
        Ok(Some(bytes.freeze()))
    }

    /// The bytes of an object.
    pub(crate) async fn stream(
        &self,
        path: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, TargetError>>, TargetError> {
        let found = self.store.get(&Location::from(path)).await;
        let found = found.map_err(TargetError::object("read", path))?;
        let path = path.to_owned();
        Ok(found
            .into_stream()
            .map_err(move |source| TargetError::object("read", &path)(source))
            .boxed())
    }

    /// Writes a small object, wholly or not at all.
    pub(crate) async fn write(&self, path: &str, bytes: Bytes) -> Result<(), TargetError> {
        self.store
            .put(&Location::from(path), bytes.into())
            .await
            .map(drop)
            .map_err(TargetError::object("write", path))
    }

    /// Begins an object that is there when it is finished.
    pub(crate) fn begin(&self, path: &str) -> Upload {
        let location = Location::from(path);
        let writer = BufWriter::with_capacity(self.store.clone(), location, PART)
            .with_max_concurrency(PARTS_AT_ONCE);
        Upload {
            writer,
            path: path.to_owned(),
        }
    }

    /// All objects below a folder, by path.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<(String, Listed)>, TargetError> {
        let listed = self.store.list(Some(&Location::from(folder)));
        listed
            .map_ok(|meta| {
                let listed = Listed {
                    size: meta.size,
                    modified: meta.last_modified.into(),
                };
                (meta.location.to_string(), listed)
            })
            .try_collect()
            .await
            .map_err(TargetError::object("list", folder))
    }

    /// Removes an object; one that is gone is removed.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), TargetError> {
        match self.store.delete(&Location::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(TargetError::object("remove", path)(source)),
        }
    }
}

/// An object that is being written.
pub(crate) struct Upload {
    writer: BufWriter,
    path: String,
}

impl Upload {
    pub(crate) async fn put(&mut self, bytes: Bytes) -> Result<(), TargetError> {
        self.writer
            .put(bytes)
            .await
            .map_err(TargetError::object("write", &self.path))
    }

    /// Makes the object be there.
    pub(crate) async fn finish(mut self) -> Result<(), TargetError> {
        let written = self.writer.shutdown().await;
        written.map_err(|error| {
            let source = object_store::Error::Generic {
                store: "upload",
                source: Box::new(error),
            };
            TargetError::object("write", &self.path)(source)
        })
    }

    /// Leaves nothing behind.
    pub(crate) async fn abandon(mut self) -> Result<(), TargetError> {
        self.writer
            .abort()
            .await
            .map_err(TargetError::object("give up", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        let opened = |url: &str| Target::open(url, Access::Existing);
        for url in [
            "",
            "backups",
            "ftp://host/x",
            "s3:///prefix",
            "file://host/x",
            "http://h/x",
        ] {
            assert!(matches!(opened(url), Err(TargetError::Url { .. })), "{url}");
        }
        assert!(matches!(
            opened("file:///there/is/no/such/folder"),
            Err(TargetError::Folder { .. })
        ));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let new = folder.path().join("new");
        let url = Url::from_file_path(&new)
            .expect("an absolute path")
            .to_string();
        assert!(opened(&url).is_err());
        assert!(Target::open(&url, Access::Create).is_ok());
        assert!(opened(&url).is_ok());
    }
}
