use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When, in a shutdown, a task is told to stop. A stage is told once every task of the stage before
/// it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Takes new work: sockets, listeners, watches.
    Intake,
    /// Gives to other nodes what this one holds: sessions, leases, leaderships.
    HandOver,
    /// Makes durable what was accepted, and ends what the others needed until now.
    Flush,
    /// Tells about the node: the admin endpoint.
    Admin,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Intake, Self::HandOver, Self::Flush, Self::Admin];
}

/// Every task of a node. Clones share the same tasks.
///
/// A task is a *service*, which runs until its stage is drained and whose early end stops the node,
/// or a *job*, which may end at any time. Both have a name, and an owner if they were spawned
/// through [`Tasks::scoped`].
#[derive(Clone, Debug)]
pub struct Tasks {
    shared: Arc<Shared>,
    owner: Option<Arc<str>>,
}

#[derive(Debug)]
struct Shared {
    stages: [StageTasks; Stage::ALL.len()],
    next_id: AtomicU64,
    running: Mutex<BTreeMap<u64, Running>>,
    failure: Mutex<Option<Failure>>,
    failed: CancellationToken,
}

#[derive(Debug, Default)]
struct StageTasks {
    drain: CancellationToken,
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Running {
    name: String,
    stage: Stage,
    abort: Option<AbortHandle>,
}

/// Tells a task that its stage is being drained. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Drain(CancellationToken);

/// A service that ended although nobody had asked it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `owner/name`, or the name alone.
    pub task: String,
    /// How it ended.
    pub cause: Cause,
}

/// How a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its future returned.
    Returned,
    /// It panicked.
    Panicked,
}

/// How a shutdown went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Every task ended in time.
    Clean,
    /// These tasks did not and were aborted.
    Overdue {
        /// Their names.
        aborted: Vec<String>,
    },
    /// The shutdown was interrupted while these tasks still ran.
    Interrupted {
        /// Their names.
        running: Vec<String>,
    },
}

enum Policy {
    Service,
    Job,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// Without tasks.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                stages: Default::default(),
                next_id: AtomicU64::new(0),
                running: Mutex::default(),
                failure: Mutex::default(),
                failed: CancellationToken::new(),
            }),
            owner: None,
        }
    }

    /// The same tasks; what is spawned through the returned value is named `owner/name`.
    #[must_use]
    pub fn scoped(&self, owner: &str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            owner: Some(self.name(owner).into()),
        }
    }

    /// Spawns a task that runs as long as the node does. It should end soon after the [`Drain`] that
    /// it is given has started; if it ends earlier, [`Tasks::failed`] says so.
    pub fn spawn_service<F, Fut>(&self, name: &str, stage: Stage, task: F)
    where
        F: FnOnce(Drain) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.spawn(name, stage, Policy::Service, task);
    }

    /// Spawns a task that may end at any time, such as one for a connection. A panic in it is logged
    /// and ends this task only.
    pub fn spawn_job<F, Fut>(&self, name: &str, stage: Stage, task: F)
    where
        F: FnOnce(Drain) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.spawn(name, stage, Policy::Job, task);
    }

    /// What a task of `stage` is given, for code that is not a task of its own.
    pub fn drain(&self, stage: Stage) -> Drain {
        Drain(self.shared.stage(stage).drain.clone())
    }

    /// The names of the tasks that have not ended, oldest first.
    pub fn running(&self) -> Vec<String> {
        lock(&self.shared.running)
            .values()
            .map(|task| task.name.clone())
            .collect()
    }

    /// Waits until a service ends on its own. Gives the first one to everybody who asks.
    pub async fn failed(&self) -> Failure {
        self.shared.failed.cancelled().await;
        lock(&self.shared.failure)
            .clone()
            .expect("the failure is stored before it is told")
    }

    /// Drains the stages in order. Each may use half of what is left of `grace`, the last all of it,
    /// so that a stage that hangs does not keep the later ones from their work; tasks that are not
    /// done by then are aborted. Stops at once when `interrupt` is done.
    pub async fn shut_down(
        &self,
        grace: Duration,
        interrupt: impl Future<Output = ()>,
    ) -> Shutdown {
        tokio::select! {
            aborted = self.drain_all(grace) => {
                if aborted.is_empty() { Shutdown::Clean } else { Shutdown::Overdue { aborted } }
            }
            () = interrupt => Shutdown::Interrupted { running: self.running() },
        }
    }

    async fn drain_all(&self, grace: Duration) -> Vec<String> {
        let began = Instant::now();
        let mut aborted = Vec::new();
        for stage in Stage::ALL {
            let tasks = self.shared.stage(stage);
            tasks.drain.cancel();
            tasks.tracker.close();
            let left = grace.saturating_sub(began.elapsed());
            let budget = if stage == Stage::Admin {
                left
            } else {
                left / 2
            };
            if tokio::time::timeout(budget, tasks.tracker.wait())
                .await
                .is_err()
            {
                aborted.extend(self.shared.abort(stage));
            }
        }
        aborted
    }

    fn spawn<F, Fut>(&self, name: &str, stage: Stage, policy: Policy, task: F)
    where
        F: FnOnce(Drain) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let name = self.name(name);
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let drain = self.drain(stage);
        let end = End {
            shared: Arc::clone(&self.shared),
            id,
            drain: drain.clone(),
            policy,
            cause: None,
        };
        lock(&self.shared.running).insert(
            id,
            Running {
                name,
                stage,
                abort: None,
            },
        );
        let future = task(drain);
        let handle = self.shared.stage(stage).tracker.spawn(async move {
            future.await;
            end.returned();
        });
        // The task may have ended already, on another thread.
        if let Some(running) = lock(&self.shared.running).get_mut(&id) {
            running.abort = Some(handle.abort_handle());
        }
    }

    fn name(&self, name: &str) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}/{name}"),
            None => name.to_owned(),
        }
    }
}

impl Shared {
    fn stage(&self, stage: Stage) -> &StageTasks {
        &self.stages[stage as usize]
    }

    fn abort(&self, stage: Stage) -> Vec<String> {
        lock(&self.running)
            .values()
            .filter(|task| task.stage == stage)
            .map(|task| {
                if let Some(abort) = &task.abort {
                    abort.abort();
                }
                task.name.clone()
            })
            .collect()
    }
}

/// Notes the end of a task, however it comes: it lives inside the task's future.
struct End {
    shared: Arc<Shared>,
    id: u64,
    drain: Drain,
    policy: Policy,
    cause: Option<Cause>,
}

impl End {
    /// Takes the whole value, so that the future owns it and not only a copy of one field.
    fn returned(mut self) {
        self.cause = Some(Cause::Returned);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(task) = lock(&self.shared.running).remove(&self.id) else {
            return;
        };
        let cause = match self.cause {
            Some(cause) => cause,
            None if std::thread::panicking() => Cause::Panicked,
            // Aborted, or dropped with the runtime: both are somebody's wish.
            None => return,
        };
        if matches!(cause, Cause::Panicked) {
            tracing::error!(task = task.name, "a task panicked");
        }
        if matches!(self.policy, Policy::Service) && !self.drain.has_started() {
            lock(&self.shared.failure).get_or_insert(Failure {
                task: task.name,
                cause,
            });
            self.shared.failed.cancel();
        }
    }
}

impl Drain {
    /// Waits until the stage is being drained.
    pub async fn started(&self) {
        self.0.cancelled().await;
    }

    /// [`Drain::started`] as a `'static` future, for a server's graceful shutdown.
    pub async fn started_owned(self) {
        self.0.cancelled_owned().await;
    }

    /// Whether the stage is being drained, or has been.
    pub fn has_started(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Returned => "returned",
            Self::Panicked => "panicked",
        })
    }
}

/// No code that may panic runs under these locks, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
