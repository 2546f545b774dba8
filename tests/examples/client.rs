//! An example program, driven as its reader would drive it.

use std::path::PathBuf;
use std::process::{Command, Output};

use tests::{Drover, Program, until_some};

use crate::{RUNS, SOON, Told, lines, number};

const DEVICE: &str = "example-000003";

/// One of the examples.
pub(crate) struct Client {
    name: &'static str,
    program: Vec<PathBuf>,
    environment: Vec<(&'static str, PathBuf)>,
}

/// Where `make examples` puts what it builds.
fn cache() -> PathBuf {
    let cache = std::env::var_os("DROVER_CACHE").map(PathBuf::from);
    let cache =
        cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/drover")));
    cache.expect("HOME or DROVER_CACHE is set").join("examples")
}

impl Client {
    pub(crate) fn python() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        Self {
            name: "python",
            program: vec![
                cache().join("venv/bin/python"),
                root.join("examples/python/fleet.py"),
            ],
            environment: vec![("PYTHONPATH", cache().join("python"))],
        }
    }

    pub(crate) fn go() -> Self {
        Self {
            name: "go",
            program: vec![cache().join("bin/fleet")],
            environment: Vec::new(),
        }
    }

    fn command(&self, drover: &Drover, flags: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["--api", &drover.apis()]);
        // Flags of Go's program stand before the command, those of Python's after it.
        match self.name {
            "go" => command.args(flags).args(arguments),
            _ => command.args(arguments).args(flags),
        };
        command
    }

    fn run(&self, drover: &Drover, flags: &[&str], arguments: &[&str]) -> Vec<String> {
        let output = self.command(drover, flags, arguments).output().unwrap();
        let Output {
            status,
            stdout,
            stderr,
        } = output;
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{} {arguments:?}: {stderr}", self.name);
        String::from_utf8(stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Every device once, though a page holds few.
    pub(crate) fn lists(&self, drover: &Drover, devices: usize) {
        let listed = self.run(drover, &["--page-size", "3"], &["list"]);
        let mut names: Vec<_> = listed
            .iter()
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        names.sort_unstable();
        let all: Vec<String> = (0..devices)
            .map(|number| format!("example-{number:06}"))
            .collect();
        assert_eq!(names, all, "{}", self.name);
    }

    pub(crate) fn reads(&self, drover: &Drover) {
        let read = self.run(drover, &[], &["read", DEVICE, "/3/0/0"]);
        assert_eq!(read, ["/3/0/0 Drover"], "{}", self.name);
    }

    /// Both answers are of one operation, and the device is asked once.
    pub(crate) fn executes_once(&self, drover: &Drover) {
        let before = executes(drover);
        let answers = self.run(drover, &[], &["execute", DEVICE, "/3303/0/5605"]);
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert_eq!(answers[0], answers[1], "{}", self.name);
        assert!(answers[0].ends_with("STATE_DELIVERED"), "{answers:?}");
        assert_eq!(executes(drover), before + 1, "{}", self.name);
    }

    /// A watcher that goes on where the one before it was killed.
    pub(crate) fn watch(&self, drover: &Drover, run: usize) -> Program {
        let file = drover.scratch().join(format!("{}.token", self.name));
        let flags = ["--token-file", file.to_str().unwrap()];
        let mut command = self.command(drover, &flags, &["watch"]);
        Program::start(&mut command, &self.log(drover, run)).unwrap()
    }

    fn log(&self, drover: &Drover, run: usize) -> PathBuf {
        drover.scratch().join(format!("{}-{run}", self.name))
    }

    /// Waits until the watch has a token to go on with.
    pub(crate) fn has_begun(&self, drover: &Drover) {
        let file = drover.scratch().join(format!("{}.token", self.name));
        let log = self.log(drover, 0);
        until_some("a token", SOON, || {
            let output = || std::fs::read_to_string(&log).unwrap_or_default();
            file.exists().then_some(()).ok_or_else(output)
        });
    }

    /// Waits until all runs, one after the other, have told of everything in the ledger in its order.
    pub(crate) fn has_told(&self, drover: &Drover, ledger: &Told) {
        for (endpoint, due) in ledger {
            until_some(&format!("all values of {endpoint}"), SOON, || {
                let runs = (0..RUNS).flat_map(|run| self.values(drover, run, endpoint));
                let told: Vec<String> = runs.collect();
                let mut rest = told.iter();
                let missing = due.iter().find(|due| !rest.any(|told| told == *due));
                let what = |missing| format!("{}: {missing} of {due:?} not in {told:?}", self.name);
                missing.map_or(Ok(()), |missing| Err(what(missing)))
            });
        }
    }

    fn values(&self, drover: &Drover, run: usize, endpoint: &str) -> Vec<String> {
        let events = lines(&self.log(drover, run));
        let own = events
            .iter()
            .filter(|event| event["endpoint"] == endpoint && event["event"] == "values_reported");
        let values = own.flat_map(|event| event["values"].as_array().cloned().unwrap_or_default());
        values.map(|value| number(&value[1])).collect()
    }
}

/// Executes that the device was sent and that ended well.
fn executes(drover: &Drover) -> usize {
    let listed = drover.json(&["operations", "list", DEVICE]);
    let operations = listed["operations"].as_array().unwrap();
    let executed = operations
        .iter()
        .filter(|operation| operation["name"] == "execute");
    executed
        .filter(|operation| operation["state"] == "Delivered")
        .count()
}
