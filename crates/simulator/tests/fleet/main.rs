//! The program against servers on real sockets.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod server;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use coap::{Code, Request};
use serde_json::Value;
use server::{TestServer, Transport};

const KEY: &str = "00112233445566778899aabbccddeeff";

fn secured() -> Transport {
    Transport::Secured {
        key: hex::decode(KEY).unwrap(),
    }
}

fn simulator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drover-sim"));
    command.args(arguments).stdout(Stdio::piped());
    command
}

/// Runs to the end and returns the lines of JSON.
fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = simulator(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(lines: &[Value], event: &str) -> usize {
    lines.iter().filter(|line| line["event"] == event).count()
}

/// Longer than anything here takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program that is still running, and what it says.
struct Running {
    child: Child,
    lines: Receiver<Value>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = simulator(arguments).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("every line is JSON");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn wait_for(&mut self, event: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if line["event"] == event => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("{event}: {error} after {seen:?}"),
            }
        }
    }

    fn interrupt(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bench_registers_every_device() {
    let server = TestServer::start(Transport::Plain, None);
    let url = format!("coap://{}", server.address);
    let lines = lines(&[
        "bench",
        "register",
        "--server",
        &url,
        "--devices",
        "200",
        "--concurrency",
        "16",
        "--threads",
        "2",
    ]);
    assert_eq!(lines[0]["registered"], 200, "{lines:?}");
    assert_eq!(lines[0]["failed"], 0);
    assert!(lines[0]["registrations_per_second"].as_f64().unwrap() > 0.0);
    assert!(lines[0]["handshakes_per_second"].is_null());
}

#[test]
fn a_secured_bench_counts_its_handshakes() {
    let server = TestServer::start(secured(), None);
    let url = format!("coaps://{}", server.address);
    let lines = lines(&[
        "bench",
        "register",
        "--server",
        &url,
        "--devices",
        "50",
        "--psk-key",
        KEY,
        "--cid",
        "4",
    ]);
    assert_eq!(lines[0]["registered"], 50, "{lines:?}");
    assert!(lines[0]["handshakes_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_bench_fails_without_server() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("coap://{}", silent.local_addr().unwrap());
    let output = simulator(&[
        "bench",
        "register",
        "--server",
        &url,
        "--devices",
        "3",
        "--timeout",
        "200ms",
    ])
    .output()
    .unwrap();
    assert!(!output.status.success());
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["failed"], 3);
    assert!(line["p50_ms"].is_null());
}

#[test]
fn an_interrupted_fleet_deregisters() {
    let server = TestServer::start(Transport::Plain, None);
    let url = format!("coap://{}", server.address);
    let mut running = Running::start(&[
        "run",
        "--server",
        &url,
        "--devices",
        "20",
        "--rate",
        "0",
        "--deregister",
        "-o",
        "json",
    ]);
    for _ in 0..20 {
        running.wait_for("registered");
    }
    running.interrupt();
    for _ in 0..20 {
        running.wait_for("deregistered");
    }
    let summary = running.wait_for("summary");
    assert_eq!(summary["registrations"], 20);
    assert_eq!(summary["registered"], 0);
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn devices_report_what_the_server_does() {
    let reset = Request {
        payload: b"1".to_vec(),
        ..Request::new(Code::POST, ["3303", "0", "5605"])
    };
    let server = TestServer::start(secured(), Some(reset));
    let url = format!("coaps://{}", server.address);
    let mut running = Running::start(&[
        "run",
        "--server",
        &url,
        "--psk-key",
        KEY,
        "--lwm2m",
        "1.2",
        "-o",
        "json",
    ]);
    assert_eq!(running.wait_for("registered")["location"], "/rd/abc");
    let executed = running.wait_for("executed");
    assert_eq!(executed["endpoint"], "sim-000000");
    assert_eq!(executed["path"], "/3303/0/5605");
    assert_eq!(executed["arguments"], "1");
}

#[test]
fn a_rebooted_device_makes_a_new_session() {
    let server = TestServer::start(secured(), Some(Request::new(Code::POST, ["3", "0", "4"])));
    let url = format!("coaps://{}", server.address);
    let mut running = Running::start(&["run", "--server", &url, "--psk-key", KEY, "-o", "json"]);
    for event in [
        "connected",
        "registered",
        "executed",
        "reboot-started",
        "booted",
        "connected",
        "registered",
    ] {
        running.wait_for(event);
    }
}

#[test]
fn a_psk_file_names_the_devices() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "endpoint,identity,key\nlamp-a,id-a,{KEY}\nlamp-b,id-b,{KEY}"
    )
    .unwrap();
    let server = TestServer::start(secured(), None);
    let url = format!("coaps://{}", server.address);
    let path = file.path().to_str().unwrap();
    let mut running = Running::start(&["run", "--server", &url, "--psk-file", path, "-o", "json"]);
    let mut endpoints = [(); 2].map(|()| running.wait_for("registered")["endpoint"].to_string());
    endpoints.sort();
    assert_eq!(endpoints, ["\"lamp-a\"", "\"lamp-b\""]);
}

#[test]
fn a_fleet_ends_after_its_duration() {
    let server = TestServer::start(Transport::Plain, None);
    let url = format!("coap://{}", server.address);
    let lines = lines(&[
        "run",
        "--server",
        &url,
        "--devices",
        "5",
        "--rate",
        "0",
        "--duration",
        "300ms",
        "--temperature-interval",
        "10ms",
        "-o",
        "json",
    ]);
    assert_eq!(count(&lines, "registered"), 5);
    assert_eq!(lines.last().unwrap()["event"], "summary");
    assert!(
        Duration::from_millis(lines.last().unwrap()["elapsed_ms"].as_f64().unwrap() as u64)
            < Duration::from_secs(5)
    );
}
