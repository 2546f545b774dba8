//! Puts lines where they are kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use node_runtime::{Drain, Stage, Tasks};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, oneshot};

/// Lines that may wait.
const QUEUE: usize = 4_096;
/// Lines that are written at once.
const BATCH: usize = 256;

/// Where lines go.
#[derive(Debug)]
pub(super) enum Target {
    Stdout,
    File { path: PathBuf, file: Option<File> },
}

impl Target {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        Ok(Self::File {
            path: path.to_owned(),
            file: Some(append_to(path)?),
        })
    }

    /// Writes whole lines. A file that was moved away, as log rotation does, is followed by a new one of its name.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Self::File { path, file } => {
                let open = match file.take().filter(|file| is_at(file, path)) {
                    Some(open) => open,
                    None => append_to(path)?,
                };
                file.insert(open).write_all(lines)
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// Whether the file is the one that the path names.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Nothing more can be written, or not as fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritten;

#[derive(Debug)]
struct Line {
    text: String,
    written: Option<oneshot::Sender<Result<(), Unwritten>>>,
}

/// Hands lines to the task that writes them.
#[derive(Clone, Debug)]
pub(super) struct Writer(mpsc::Sender<Line>);

impl Writer {
    pub(super) fn start(target: Target, failures: Counter, tasks: &Tasks) -> Self {
        let (sender, lines) = mpsc::channel(QUEUE);
        tasks.spawn_service("audit", Stage::Flush, |drain| {
            run(target, lines, failures, drain)
        });
        Self(sender)
    }

    /// Queues a line.
    pub(super) fn write(&self, text: String) -> Result<(), Unwritten> {
        let line = Line {
            text,
            written: None,
        };
        self.0.try_send(line).map_err(|_| Unwritten)
    }

    /// Waits until the line is written.
    pub(super) async fn write_now(&self, text: String) -> Result<(), Unwritten> {
        let (written, told) = oneshot::channel();
        let line = Line {
            text,
            written: Some(written),
        };
        self.0.send(line).await.map_err(|_| Unwritten)?;
        told.await.map_err(|_| Unwritten)?
    }
}

async fn run(mut target: Target, mut lines: mpsc::Receiver<Line>, failures: Counter, drain: Drain) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            // Calls under way have ended when this stage begins, so what is queued is all there is.
            biased;
            taken = lines.recv_many(&mut batch, BATCH) => if taken == 0 { return },
            () = drain.started() => return,
        }
        let (text, waiting) = take(&mut batch);
        let count = waiting.len() as u64;
        let write = tokio::task::spawn_blocking(move || {
            let written = target.write(text.as_bytes());
            (target, written)
        });
        let Ok((back, written)) = write.await else {
            return;
        };
        target = back;
        if let Err(error) = &written {
            failures.inc_by(count);
            tracing::error!(%error, records = count, "the audit log cannot be written");
        }
        for line in waiting.into_iter().flatten() {
            // A caller that went away needs no answer.
            let _gone = line.send(written.as_ref().map_err(|_| Unwritten).copied());
        }
    }
}

type Waiting = Vec<Option<oneshot::Sender<Result<(), Unwritten>>>>;

fn take(batch: &mut Vec<Line>) -> (String, Waiting) {
    let mut text = String::new();
    let waiting = batch.drain(..).map(|line| {
        text.push_str(&line.text);
        line.written
    });
    let waiting = waiting.collect();
    (text, waiting)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit"), folder.path().join("audit.1"));
        let tasks = Tasks::new();
        let failures = Counter::default();
        let writer = Writer::start(Target::open(&path).unwrap(), failures.clone(), &tasks);
        writer.write("one\n".to_owned()).unwrap();
        writer.write_now("two\n".to_owned()).await.unwrap();
        std::fs::rename(&path, &moved).unwrap();
        writer.write_now("three\n".to_owned()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        // What is queued is written before the end.
        writer.write("four\n".to_owned()).unwrap();
        tasks
            .shut_down(Duration::from_secs(10), std::future::pending())
            .await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\nfour\n");
        assert_eq!(failures.get(), 0);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_told() {
        let tasks = Tasks::new();
        let failures = Counter::default();
        let full = Target::open(Path::new("/dev/full")).unwrap();
        let writer = Writer::start(full, failures.clone(), &tasks);
        assert_eq!(writer.write_now("one\n".to_owned()).await, Err(Unwritten));
        assert_eq!(failures.get(), 1);
    }
}
