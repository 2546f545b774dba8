//! The proof that nothing is lost: callers write and read and devices report while nodes are killed, paused, cut off,
//! filled up and lied to about the time. Whatever was acknowledged has to be there afterwards.
//!
//! `CHAOS_SECONDS` says for how long (120), `CHAOS_SEED` which faults in which order. The seed repeats the faults, not how
//! processes and callers run between them. `CHAOS_LOGS` names a folder for what the nodes say.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod devices;
mod fault;
mod lab;

use std::process::Command;
use std::time::{Duration, Instant};

use ledger::{Calls, Watcher, Work};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

use devices::Devices;
use lab::Lab;

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
    let calls = {
        let _inside = runtime.enter();
        Calls::new(&Lab::apis(), seed, |endpoint: Endpoint| {
            endpoint.connect_lazy()
        })
    };
    let watcher = runtime.block_on(Watcher::start(calls.clone()));
    let devices = Devices::start(&lab);

    let mut work = {
        let _inside = runtime.enter();
        Work::start(&calls, &devices::names())
    };
    let faults = fault::strike(&mut lab, ChaCha8Rng::seed_from_u64(seed), length, &mut work);
    lab.heal();
    let records = runtime.block_on(work.stop());

    runtime.block_on(records.check(&calls, &watcher));
    let live = devices.check(&watcher, &records.executed);
    drop(devices);
    runtime.block_on(ledger::are_equal(&calls, &watcher.beginning()));
    lab.all_run();
    let ledger = records.ledger(&calls);
    tell(&format!(
        "CHAOS_SEED={seed} seconds {}\n{ledger}{live}{faults}lost: 0",
        length.as_secs()
    ));
}

/// Waits, unless a caller failed.
fn wait(work: &mut Work, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        work.goes_on();
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
