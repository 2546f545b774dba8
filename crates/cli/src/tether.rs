//! Runs a program that ends with the process that started it.
//!
//! `drover dev` starts its nodes through `drover tether`, which asks the kernel for a signal at the parent's death and
//! then becomes the program: the process id stays, and a `drover dev` that was killed leaves nothing behind.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

use crate::failure::Failure;

/// What `drover tether` is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Process id of the parent that is waited on.
    parent: u32,
    /// Program to become.
    program: PathBuf,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the program; returns only if that fails.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    tie(options.parent).map_err(Failure::Other)?;
    let program = options.program.display().to_string();
    let error = std::process::Command::new(&options.program)
        .args(options.arguments)
        .exec();
    Err(Failure::Other(
        anyhow::Error::new(error).context(format!("cannot start {program}")),
    ))
}

#[cfg(target_os = "linux")]
fn tie(parent: u32) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot watch the parent process")?;
    // The parent may have died before the signal was asked for.
    let current = rustix::process::getppid().map(Pid::as_raw_pid);
    anyhow::ensure!(
        current.and_then(|pid| u32::try_from(pid).ok()) == Some(parent),
        "the parent process has ended"
    );
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn tie(_parent: u32) -> anyhow::Result<()> {
    // Only Linux has such a signal; elsewhere a killed parent leaves its children running.
    Ok(())
}
