//! A node as a process of its own, and the signals that it gets. The process is this test binary
//! again, told by its environment to be the node.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use node_runtime::{Readiness, Signals, Stage, Tasks, run};

/// Which node the process is; unset in the process that runs the tests.
const NODE: &str = "NODE_RUNTIME_TEST_NODE";

#[test]
fn a_signal_drains_the_node_and_the_exit_is_a_success() {
    let mut node = Node::start("obeys");
    node.wait_for("serving");
    node.terminate();
    node.wait_for("draining");
    assert_eq!(node.exit_code(), 0);
}

#[test]
fn a_second_signal_ends_a_node_that_hangs() {
    let mut node = Node::start("hangs");
    node.wait_for("serving");
    node.terminate();
    node.wait_for("draining");
    node.terminate();
    assert_eq!(node.exit_code(), 130);
}

#[test]
fn a_service_that_ends_on_its_own_makes_the_exit_a_failure() {
    let mut node = Node::start("fails");
    assert_eq!(node.exit_code(), 1);
}

#[test]
#[expect(
    clippy::exit,
    clippy::print_stdout,
    reason = "the node's exit code and its lines are what the other tests look at"
)]
fn node() {
    let Ok(kind) = std::env::var(NODE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let code = runtime.block_on(async {
        let signals = Signals::install().unwrap();
        let tasks = Tasks::new();
        tasks.spawn_service("service", Stage::Intake, |drain| async move {
            println!("serving");
            if kind == "fails" {
                return;
            }
            drain.started().await;
            println!("draining");
            if kind == "hangs" {
                std::future::pending::<()>().await;
            }
        });
        run(&tasks, &Readiness::new(), signals, Duration::from_mins(10)).await
    });
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

struct Node {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Node {
    fn start(kind: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "node", "--nocapture"])
            .env(NODE, kind)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "the node ended before {word}"
            );
        }
    }

    fn terminate(&self) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn exit_code(&mut self) -> i32 {
        self.process.wait().unwrap().code().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails when the node has ended, which is as good.
        let _ = self.process.kill();
    }
}
