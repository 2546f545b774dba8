//! A watch misses nothing that a device was told of: every acknowledged value stands in a ledger, and the watcher, the node
//! that it is at and the leaders are killed one after the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Token, Type, number};
use serde_json::Value;
use tests::{Drover, Options, Program, metric, until, until_some};

use crate::device::{Raw, is_answer, register_query};
use crate::fleet::SOON;

const DEVICES: usize = 6;
/// Values that must be acknowledged after each blow before the next one.
const BETWEEN: usize = 60;
/// RFC 7252 §4.8: ACK_TIMEOUT
const REPEAT: Duration = Duration::from_secs(2);
/// SenML JSON (RFC 8428 §12.3)
const SENML_JSON: u32 = 110;

#[test]
fn a_watch_misses_nothing_whoever_is_killed() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let server = drover.endpoint("/ingress/0/coap");
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (server, stop, acknowledged) = (&server[..], &stop, &acknowledged);
    let mut first_watch = watch(&drover, 0);
    first_watch.wait_for_output("InitialComplete", SOON);
    let (ledger, _running) = std::thread::scope(|scope| {
        let _stop = StopAtTheEnd(stop);
        let senders: Vec<_> = (0..DEVICES)
            .map(|device| scope.spawn(move || send_values(server, device, stop, acknowledged)))
            .collect();
        let more = || {
            let before = acknowledged.load(Ordering::SeqCst);
            until("more values", SOON * 2, || {
                acknowledged.load(Ordering::SeqCst) >= before + BETWEEN
            });
        };
        more();
        drop(first_watch);
        let second_watch = watch(&drover, 1);
        more();
        // The node that the watcher is at, and then the one that leads without it.
        let first = serving(&drover);
        drover.kill_state_node(first);
        more();
        let second = drover.leading_state_node();
        let first = drover.restart_state_node(first, "state-first-again");
        drover.kill_state_node(second);
        more();
        let second = drover.restart_state_node(second, "state-second-again");
        more();
        stop.store(true, Ordering::SeqCst);
        let ledger: Vec<(String, i64)> = senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .collect();
        (ledger, [first, second, second_watch])
    });
    for (endpoint, last) in &ledger {
        until_some("the last acknowledged value", SOON, || {
            let seen = seen(&drover, endpoint);
            let newest = seen.last().and_then(|run| run.last()).copied();
            newest.filter(|newest| newest >= last).ok_or(newest)
        });
        check(&seen(&drover, endpoint), *last, endpoint);
    }
}

/// Lets the devices end where the test fails, too.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A watcher that goes on where the one before it was killed.
fn watch(drover: &Drover, run: usize) -> Program {
    let file = drover.scratch().join("seen.token");
    let file = file.to_str().unwrap();
    let mut command = drover.command(&["watch", "--initial", "--resume-file", file, "-o", "json"]);
    Program::start(&mut command, &log(drover, run)).unwrap()
}

fn log(drover: &Drover, run: usize) -> std::path::PathBuf {
    drover.scratch().join(format!("watch-{run}"))
}

/// The state node that the watcher is at.
fn serving(drover: &Drover) -> usize {
    until_some("a node with a watcher", SOON, || {
        let watched = |node: &usize| {
            let admin = drover.endpoint(&format!("/state/{node}/admin"));
            metric(&admin, "drover_state_watchers") >= 1.0
        };
        (0..3).find(watched).ok_or("none")
    })
}

/// Sends one value after the other, each until it is acknowledged; the name of the device and the last of them.
fn send_values(
    server: &str,
    device: usize,
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
) -> (String, i64) {
    let endpoint = format!("sender-{device}");
    let mut raw = Raw::connect(server);
    let query = register_query(&endpoint);
    let query: Vec<&str> = query.iter().map(String::as_str).collect();
    let registered = until_some("a registration", SOON, || {
        let answer = raw.request(Code::POST, &["rd"], &query, b"</1/0>,</3/0>");
        answer
            .filter(|code| *code == Code::CREATED_2_01)
            .ok_or(answer)
    });
    assert_eq!(registered, Code::CREATED_2_01);
    let (mut number, mut id) = (0, 0x4000_u16);
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        until_some("an acknowledged value", SOON * 2, || {
            id = id.wrapping_add(1);
            // While there is no leader a device is asked to come back later; this one comes back at once.
            match sent(&raw, MessageId(id), number) {
                Some(Code::CHANGED_2_04) => Ok(()),
                other => Err(other),
            }
        });
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    (endpoint, number)
}

/// Sends a value, repeats it as a device does, and returns the answer's code.
fn sent(raw: &Raw, id: MessageId, number: i64) -> Option<Code> {
    let mut message = Message::new(Type::Confirmable, Code::POST, id);
    message.token = Token::new(&id.0.to_be_bytes()).unwrap();
    message.options.push(number::URI_PATH, b"dp");
    message
        .options
        .push_uint(number::CONTENT_FORMAT, SENML_JSON);
    message.payload = format!(r#"[{{"n":"/3/0/9","v":{number}}}]"#).into_bytes();
    let bytes = message.to_datagram();
    for _ in 0..4 {
        raw.send_bytes(&bytes);
        let deadline = Instant::now() + REPEAT;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Some(answer) = raw.receive(left) else {
                break;
            };
            if is_answer(&answer, id) {
                raw.acknowledge(&answer);
                return Some(answer.code);
            }
        }
    }
    None
}

/// The values of a device as each watcher told them.
fn seen(drover: &Drover, endpoint: &str) -> Vec<Vec<i64>> {
    [0, 1]
        .map(|run| values(&log(drover, run), endpoint))
        .to_vec()
}

fn values(log: &Path, endpoint: &str) -> Vec<i64> {
    let text = std::fs::read_to_string(log).unwrap();
    // The last line of one that was killed may be cut.
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own =
        events.filter(|event| event["endpoint"] == endpoint && event["event"] == "ValuesReported");
    own.map(|event| event["values"][0]["value"].as_i64().unwrap())
        .collect()
}

/// A value that was sent again may have been committed twice, and the last line of the first watcher may come again.
fn check(runs: &[Vec<i64>], last: i64, endpoint: &str) {
    for run in runs {
        assert!(run.is_sorted(), "{endpoint}: {run:?}");
    }
    let counted = runs
        .iter()
        .flatten()
        .fold(BTreeMap::new(), |mut all, number| {
            *all.entry(*number).or_insert(0) += 1;
            all
        });
    let missing: Vec<i64> = (1..=last)
        .filter(|number| !counted.contains_key(number))
        .collect();
    assert!(missing.is_empty(), "{endpoint} of {last}: {missing:?}");
    let (ended, begun) = (runs[0].last(), runs[1].first());
    assert!(
        begun <= ended.map(|ended| ended + 1).as_ref(),
        "{ended:?} {begun:?}"
    );
}
