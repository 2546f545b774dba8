//! What the log is written to: the segments of a folder, or in tests a disk that can be struck at any moment.
//!
//! Nothing here is durable until it is synced: bytes by [`Segment::sync`], which segments there are by
//! [`Disk::sync_names`].

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The segments of a log.
pub(crate) trait Disk: Debug + Send + Sync {
    /// The numbers of the segments that there are, lowest first.
    fn numbers(&self) -> io::Result<Vec<u32>>;
    /// Makes an empty segment; refuses if it is there.
    fn create(&self, number: u32) -> io::Result<Arc<dyn Segment>>;
    /// Opens a segment that is there.
    fn open(&self, number: u32) -> io::Result<Arc<dyn Segment>>;
    fn remove(&self, number: u32) -> io::Result<()>;
    /// Makes durable which segments were made and removed.
    fn sync_names(&self) -> io::Result<()>;
    /// Where a segment lies, for people.
    fn path(&self, number: u32) -> PathBuf;
}

/// One segment of a log.
pub(crate) trait Segment: Debug + Send + Sync {
    fn size(&self) -> io::Result<u64>;
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything appended and cut durable.
    fn sync(&self) -> io::Result<()>;
    /// Drops everything from `size` on.
    fn cut(&self, size: u64) -> io::Result<()>;
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// All bytes.
    fn read(&self) -> io::Result<Vec<u8>> {
        let size = usize::try_from(self.size()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// The segments are files of a folder.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Uses `dir`, which is created if need be.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }
}

impl Disk for Folder {
    fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".log"));
            numbers.extend(stem.and_then(|stem| stem.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn create(&self, number: u32) -> io::Result<Arc<dyn Segment>> {
        let mut options = OpenOptions::new();
        let file = options.create_new(true).read(true).append(true);
        Ok(Arc::new(file.open(self.path(number))?))
    }

    fn open(&self, number: u32) -> io::Result<Arc<dyn Segment>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true);
        Ok(Arc::new(file.open(self.path(number))?))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        fs::remove_file(self.path(number))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn path(&self, number: u32) -> PathBuf {
        self.0.join(format!("{number:010}.log"))
    }
}

impl Segment for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // Includes the size, without which the bytes could not be read back.
        self.sync_data()
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}
