use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use crate::{Readiness, Shutdown, Signals, Tasks};

/// What a shell reports for a process that a second Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Keeps a node running until a signal asks it to stop or one of its services ends on its own, then
/// turns readiness off and drains `tasks` within `grace`.
///
/// A second signal ends the process at once, without the rest of the drain. Gives success only
/// after a signal and a drain in which every task ended in time.
pub async fn run(
    tasks: &Tasks,
    readiness: &Readiness,
    mut signals: Signals,
    grace: Duration,
) -> ExitCode {
    let asked = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, grace_seconds = grace.as_secs(), "stopping");
            true
        }
        failure = tasks.failed() => {
            tracing::error!(task = failure.task, cause = %failure.cause, "a service ended; stopping");
            false
        }
    };
    readiness.condition("running").fail("the node is stopping");
    let interrupt = async {
        signals.next().await;
    };
    match tasks.shut_down(grace, interrupt).await {
        Shutdown::Clean if asked => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Shutdown::Clean => ExitCode::FAILURE,
        Shutdown::Overdue { aborted } => {
            tracing::error!(?aborted, "tasks did not end in the grace period");
            ExitCode::FAILURE
        }
        Shutdown::Interrupted { running } => {
            tracing::warn!(?running, "second signal: exiting without a drain");
            exit_now()
        }
    }
}

/// Ends a program: tells an error as one line of causes, for the person who started it.
///
/// Returned from `main`, the error would come with its debug form and a backtrace.
pub fn end<E: Display>(program: &str, result: Result<ExitCode, E>) -> ExitCode {
    result.unwrap_or_else(|error| {
        // Nobody is left to tell if standard error is closed.
        let _ = writeln!(io::stderr(), "{program}: {error:#}");
        ExitCode::FAILURE
    })
}

#[expect(
    clippy::exit,
    reason = "returning would wait for blocking tasks, and the second signal means not to wait"
)]
fn exit_now() -> ! {
    std::process::exit(EXIT_INTERRUPTED)
}
