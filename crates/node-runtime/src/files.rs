//! Content of files that is replaced while the node runs: whoever uses it asks for what holds now.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use tokio::time::MissedTickBehavior;

use crate::{Drain, Stage, Tasks};

/// Reads files once, and again whenever they change.
#[derive(Clone, Debug)]
pub struct Reloading {
    tasks: Tasks,
    every: Duration,
    counts: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    reloads: Counter,
    failures: Counter,
}

/// What some files say now. Clones say the same.
pub struct Watched<T>(Arc<RwLock<Arc<T>>>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are among what is watched.
        f.write_str("Watched")
    }
}

impl<T> Watched<T> {
    /// What never changes.
    pub fn fixed(content: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(content))))
    }

    /// What holds now.
    pub fn current(&self) -> Arc<T> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn replace(&self, content: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(content);
    }
}

impl Reloading {
    /// Looks at files `every` so often, in tasks of `tasks`.
    pub fn new(tasks: &Tasks, every: Duration) -> Self {
        Self {
            tasks: tasks.clone(),
            every: every.max(Duration::from_millis(10)),
            counts: Counts::default(),
        }
    }

    /// Counts what was read again, and what could not be.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "file_reloads",
            "Times that certificates, keys or policies were read again because their files had changed",
            self.counts.reloads.clone(),
        );
        registry.register(
            "file_reload_failures",
            "Times that changed certificates, keys or policies could not be used and those before stayed",
            self.counts.failures.clone(),
        );
    }

    /// Reads now, and again whenever the content of one of `paths` has changed. What cannot be used later is reported,
    /// and what was there before stays.
    pub fn watch<T, E, R>(
        &self,
        name: &'static str,
        paths: Vec<PathBuf>,
        read: R,
    ) -> Result<Watched<T>, E>
    where
        T: Send + Sync + 'static,
        E: Error + Send + Sync + 'static,
        R: Fn() -> Result<T, E> + Send + 'static,
    {
        // Before the content: a change in between is then seen.
        let seen = digest(&paths);
        let watched = Watched::fixed(read()?);
        let watch = Watch {
            name,
            paths,
            read,
            seen,
            watched: watched.clone(),
            counts: self.counts.clone(),
        };
        let every = self.every;
        self.tasks
            .spawn_service(name, Stage::Flush, move |drain| watch.run(every, drain));
        Ok(watched)
    }
}

struct Watch<T, R> {
    name: &'static str,
    paths: Vec<PathBuf>,
    read: R,
    seen: [u8; 32],
    watched: Watched<T>,
    counts: Counts,
}

impl<T, E, R> Watch<T, R>
where
    E: Error,
    R: Fn() -> Result<T, E>,
{
    async fn run(mut self, every: Duration, drain: Drain) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look(),
                () = drain.started() => return,
            }
        }
    }

    fn look(&mut self) {
        let digest = digest(&self.paths);
        if digest == self.seen {
            return;
        }
        // Said once for each state that the files are in.
        self.seen = digest;
        match (self.read)() {
            Ok(content) => {
                self.watched.replace(content);
                self.counts.reloads.inc();
                tracing::info!(name = self.name, "changed files were read again");
            }
            Err(error) => {
                self.counts.failures.inc();
                tracing::error!(
                    name = self.name,
                    error = causes(&error),
                    "changed files cannot be used; what they said before stays"
                );
            }
        }
    }
}

/// An error and what led to it, in one line.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Changes with the content of the files.
fn digest<P: AsRef<Path>>(paths: &[P]) -> [u8; 32] {
    let digest = paths.iter().fold(Sha256::new(), |digest, path| {
        // A file that is missing now is told of when it is read.
        let content = std::fs::read(path).unwrap_or_default();
        digest.chain_update(Sha256::digest(content))
    });
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_used_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        std::fs::write(&file, "1").unwrap();
        let tasks = Tasks::new();
        let reloading = Reloading::new(&tasks, Duration::from_secs(1));
        let read = {
            let file = file.clone();
            move || std::fs::read_to_string(&file).unwrap().parse::<u32>()
        };
        let watched = reloading.watch("number", vec![file.clone()], read).unwrap();
        assert_eq!(*watched.current(), 1);
        let counts = || {
            (
                reloading.counts.reloads.get(),
                reloading.counts.failures.get(),
            )
        };
        for (content, expected) in [("many", (0, 1)), ("2", (1, 1)), ("", (1, 2))] {
            std::fs::write(&file, content).unwrap();
            while counts() != expected {
                tokio::time::advance(Duration::from_secs(1)).await;
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(*watched.current(), 2);
        assert!(
            reloading
                .watch("other", Vec::new(), || "x".parse::<u32>())
                .is_err()
        );
    }
}
