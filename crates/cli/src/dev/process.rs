//! Child processes: started with a log of their own, watched, and stopped in order.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::{join_all, select_all};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::output::note;
use crate::table::printable;

/// State nodes hand over their leaderships first, which takes at most 20 s.
const GRACE: Duration = Duration::from_secs(25);
/// Lines of the log that are shown of a process that ended.
const LAST_LINES: usize = 10;
/// As many bytes of the log are read for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// What a process is, in the order in which they are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Simulator,
    Ingress,
    State,
}

const STOP_ORDER: [Role; 3] = [Role::Simulator, Role::Ingress, Role::State];

/// What to start.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// `state-0`
    pub(crate) name: String,
    pub(crate) role: Role,
    /// This program, which ties the other to its life.
    pub(crate) own: &'a Path,
    pub(crate) path: &'a Path,
    pub(crate) arguments: Vec<String>,
    /// Environment variables, unless they are set already.
    pub(crate) environment: &'a [(&'a str, &'a str)],
}

#[derive(Debug)]
struct Running {
    name: String,
    role: Role,
    log: PathBuf,
    child: Child,
}

/// A process that ended by itself or was ended by somebody else.
#[derive(Debug)]
pub(crate) struct End {
    name: String,
    status: String,
    log: PathBuf,
}

impl End {
    /// Which, how, and the last lines of its log.
    pub(crate) fn report(&self) -> String {
        let mut report = format!(
            "{} ended: {}; its log is {}",
            self.name,
            self.status,
            self.log.display()
        );
        for line in last_lines(&self.log) {
            report.push_str("\n  | ");
            report.push_str(&printable(&line));
        }
        report
    }
}

/// The children of `drover dev`; dropped, they are killed.
#[derive(Debug)]
pub(crate) struct Processes {
    logs: PathBuf,
    running: Vec<Running>,
}

impl Processes {
    pub(crate) const fn new(logs: PathBuf) -> Self {
        Self {
            logs,
            running: Vec::new(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts a program and gives its process id.
    pub(crate) fn start(&mut self, program: Program<'_>) -> anyhow::Result<u32> {
        let log = self.logs.join(format!("{}.log", program.name));
        let file =
            open_log(&log, &program).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program.own);
        command
            .arg("tether")
            .arg(std::process::id().to_string())
            .arg(program.path)
            .args(&program.arguments);
        for (key, value) in program.environment {
            if std::env::var_os(key).is_none() {
                command.env(key, value);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        // Ctrl-C is for the whole foreground group; these are stopped one role after the other instead.
        command.process_group(0).kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.name))?;
        let pid = child
            .id()
            .with_context(|| format!("{} ended at once", program.name))?;
        self.running.push(Running {
            name: program.name,
            role: program.role,
            log,
            child,
        });
        Ok(pid)
    }

    /// Waits until a process ends; forever without one.
    pub(crate) async fn next_end(&mut self) -> End {
        if self.running.is_empty() {
            return std::future::pending().await;
        }
        let waits = self
            .running
            .iter_mut()
            .map(|running| Box::pin(running.child.wait()));
        let (status, index, _) = select_all(waits).await;
        let ended = self.running.swap_remove(index);
        End {
            name: ended.name,
            status: status.map_or_else(|error| error.to_string(), |status| described(&status)),
            log: ended.log,
        }
    }

    /// Asks the processes to end, one role after the other, and kills those that do not.
    pub(crate) async fn stop(&mut self) {
        for role in STOP_ORDER {
            let ending = self
                .running
                .iter_mut()
                .filter(|running| running.role == role);
            join_all(ending.map(Running::stop)).await;
            self.running.retain(|running| running.role != role);
        }
    }

    /// Kills all processes and waits until they are gone.
    pub(crate) async fn kill(&mut self) {
        let killed = join_all(self.running.iter_mut().map(|running| running.child.kill())).await;
        drop(killed);
        self.running.clear();
    }
}

impl Running {
    async fn stop(&mut self) {
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended in this moment, which is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
        match timeout(GRACE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => note(&format!(
                "warning: {} stopped with {}",
                self.name,
                described(&status)
            )),
            Ok(Err(error)) => note(&format!(
                "warning: {} cannot be waited for: {error}",
                self.name
            )),
            Err(_) => {
                note(&format!(
                    "warning: {} did not stop within {}s and is killed",
                    self.name,
                    GRACE.as_secs()
                ));
                let _ = self.child.kill().await;
            }
        }
    }
}

fn described(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// A log begins with the command, so that the process can be started again by hand.
fn open_log(path: &Path, program: &Program<'_>) -> std::io::Result<File> {
    let mut file = File::options().create(true).append(true).open(path)?;
    writeln!(
        file,
        "# {} {}",
        program.path.display(),
        program.arguments.join(" ")
    )?;
    Ok(file)
}

/// The last lines of a log; none if it cannot be read.
pub(crate) fn last_lines(path: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .rev()
        .take(LAST_LINES)
        .rev()
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let text: String = (0..5000).map(|line| format!("line {line}\n")).collect();
        std::fs::write(&path, text).unwrap();
        let lines = last_lines(&path);
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines.last().unwrap(), "line 4999");
        assert!(last_lines(&dir.path().join("none")).is_empty());
    }
}
