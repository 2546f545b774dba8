use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// `cargo` with `arguments`, in `root`. It is the cargo that runs this program, so the toolchain is
/// the same.
pub(crate) fn cargo<I>(root: &Path, arguments: I) -> Command
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root);
    command
}

/// Runs a command to its end, its output shown as it comes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", told(command)))?;
    ensure!(status.success(), "{} failed: {status}", told(command));
    Ok(())
}

/// Runs a command to its end and gives what it printed to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", told(command)))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        told(command),
        output.status
    );
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no text", told(command)))
}

fn told(command: &Command) -> String {
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    format!("cargo {}", arguments.join(" "))
}
