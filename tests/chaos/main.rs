//! The proof that nothing is lost: callers write and read and devices report while nodes are killed, paused, cut off,
//! filled up and lied to about the time. Whatever was acknowledged has to be there afterwards.
//!
//! `CHAOS_SECONDS` says for how long (120), `CHAOS_SEED` which faults in which order. The seed repeats the faults, not how
//! processes and callers run between them. `CHAOS_LOGS` names a folder for what the nodes say.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod calls;
mod commands;
mod credentials;
mod devices;
mod fault;
mod lab;
mod registers;
mod replicas;
mod tally;
mod watcher;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use calls::Calls;
use commands::Asked;
use credentials::Kept;
use devices::{Devices, Executed};
use lab::Lab;
use registers::History;
use watcher::Watcher;

/// Set where the test runs in namespaces of its own.
const INSIDE: &str = "DROVER_TEST_OWN_NETWORK";

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    // Networks, folders and processes of its own: nothing of it is left, however it ends.
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "nothing_that_was_acknowledged_is_lost",
        ])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// A number from the environment.
fn setting(name: &str, default: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).map_or_else(|_| default(), |text| text.parse().unwrap())
}

/// For whoever looks at a run.
#[expect(
    clippy::print_stdout,
    reason = "the seed repeats the run, and the ledger is its result"
)]
fn tell(what: &str) {
    println!("{what}");
}

fn inside() {
    let seed = setting("CHAOS_SEED", rand::random);
    let length = Duration::from_secs(setting("CHAOS_SECONDS", || 120));
    tell(&format!(
        "CHAOS_SEED={seed} CHAOS_SECONDS={}",
        length.as_secs()
    ));
    let mut lab = Lab::start(seed);
    let runtime = Runtime::new().unwrap();
    let calls = Calls::new(&runtime, &Lab::apis(), seed);
    let watcher = Watcher::start(&runtime, calls.clone());
    let devices = Devices::start(&runtime, &lab, &calls);

    let work = Work::start(&runtime, &calls);
    let faults = fault::strike(&mut lab, ChaCha8Rng::seed_from_u64(seed), length, &work);
    lab.heal();
    let records = work.stop(&runtime);

    let last = runtime.block_on(registers::last_reads(&calls, &records.history));
    registers::check(&records.history, last);
    watcher.saw_all(&records.history, &records.asked);
    runtime.block_on(credentials::check(&calls, &records.kept));
    let live = devices.check(&watcher, &records.executed);
    drop(devices);
    runtime.block_on(replicas::are_equal(&calls, &watcher.beginning()));
    lab.all_run();
    let ledger = calls.tally.ledger(&records.history);
    tell(&format!(
        "CHAOS_SEED={seed} seconds {}\n{ledger}{live}{faults}lost: 0",
        length.as_secs()
    ));
}

/// Callers that work until they are told to stop.
struct Work {
    stop: Arc<AtomicBool>,
    histories: JoinSet<History>,
    commands: JoinSet<Vec<Asked>>,
    credentials: JoinSet<Vec<Kept>>,
    executes: JoinSet<Vec<Executed>>,
}

/// What callers were told.
struct Records {
    history: History,
    asked: Vec<Asked>,
    kept: Vec<Kept>,
    executed: Vec<Executed>,
}

impl Work {
    fn start(runtime: &Runtime, calls: &Calls) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut histories, mut commands) = (JoinSet::new(), JoinSet::new());
        let (mut credentials, mut executes) = (JoinSet::new(), JoinSet::new());
        for register in registers::all() {
            for caller in 0..registers::CALLERS {
                let work = register.clone().work(caller, calls.clone(), stop.clone());
                histories.spawn_on(work, runtime.handle());
            }
        }
        for caller in 0..commands::CALLERS {
            let work = commands::work(caller, calls.clone(), stop.clone());
            commands.spawn_on(work, runtime.handle());
        }
        for caller in 0..credentials::CALLERS {
            let work = credentials::work(caller, calls.clone(), stop.clone());
            credentials.spawn_on(work, runtime.handle());
        }
        for caller in 0..devices::CALLERS {
            let work = devices::work(caller, calls.clone(), stop.clone());
            executes.spawn_on(work, runtime.handle());
        }
        Self {
            stop,
            histories,
            commands,
            credentials,
            executes,
        }
    }

    /// Waits, unless a caller failed: none ends before it is told to.
    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        let all = registers::COUNT * registers::CALLERS
            + commands::CALLERS
            + credentials::CALLERS
            + devices::CALLERS;
        while Instant::now() < end {
            let running = self.histories.len()
                + self.commands.len()
                + self.credentials.len()
                + self.executes.len();
            assert_eq!(running, all);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn stop(self, runtime: &Runtime) -> Records {
        self.stop.store(true, Ordering::SeqCst);
        runtime.block_on(async {
            Records {
                history: self
                    .histories
                    .join_all()
                    .await
                    .into_iter()
                    .flatten()
                    .collect(),
                asked: self.commands.join_all().await.concat(),
                kept: self.credentials.join_all().await.concat(),
                executed: self.executes.join_all().await.concat(),
            }
        })
    }
}
