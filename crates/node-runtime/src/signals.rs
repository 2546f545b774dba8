use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask a node to stop: SIGTERM, which Kubernetes sends, and SIGINT, which Ctrl-C
/// sends.
///
/// From [`Signals::install`] on they no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over. Must be called inside a tokio runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Has the process stop as if it had been sent SIGTERM.
    pub fn stop_self() {
        use rustix::process::{Signal, getpid, kill_process};
        if let Err(error) = kill_process(getpid(), Signal::TERM) {
            tracing::error!(%error, "the process cannot signal itself");
        }
    }

    /// Waits for the next signal and gives its name. Cancelling the wait loses none.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
