//! Nothing acknowledged is lost: every 2.01 that a device got stands in a ledger and is compared afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coap::{Code, MessageId};
use tests::{Drover, Options, until_some};

use crate::device::{Raw, encode, is_answer, register_query};

/// Registrations under way at a time; one peer may have 16 requests open at an ingress node.
const WINDOW: usize = 12;
/// Registrations before the leader dies, and after.
const BEFORE: usize = 1500;
const AFTER: usize = 1500;
/// How long an unanswered Register waits until it is sent again.
const REPEAT: Duration = Duration::from_secs(2);

/// Registers devices from one socket and writes down who was told of success.
pub(crate) struct Registrar {
    raw: Raw,
    next: usize,
    /// Devices that were answered 5.03 and come back.
    refused: Vec<String>,
    waiting: BTreeMap<u16, (String, Instant)>,
    ledger: BTreeSet<String>,
}

impl Registrar {
    pub(crate) fn new(server: &str) -> Self {
        Self {
            raw: Raw::connect(server),
            next: 0,
            refused: Vec::new(),
            waiting: BTreeMap::new(),
            ledger: BTreeSet::new(),
        }
    }

    /// Goes on until `total` devices are in the ledger.
    pub(crate) fn register_until(&mut self, total: usize, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.ledger.len() < total {
            assert!(
                Instant::now() < deadline,
                "{} of {total} registered in {limit:?}",
                self.ledger.len()
            );
            while self.waiting.len() < WINDOW {
                self.begin();
            }
            self.hear();
            self.repeat();
        }
    }

    fn begin(&mut self) {
        let endpoint = self.refused.pop().unwrap_or_else(|| {
            self.next += 1;
            format!("ledger-{:05}", self.next)
        });
        let query = register_query(&endpoint);
        let query: Vec<&str> = query.iter().map(String::as_str).collect();
        let id = self.raw.send(Code::POST, &["rd"], &query, b"</1/0>,</3/0>");
        self.waiting.insert(id.0, (endpoint, Instant::now()));
    }

    /// Waits until every device that was told of success is listed. A node lists what it has applied, which may be a
    /// little behind what was acknowledged; what is lost never comes.
    pub(crate) fn wait_until_all_are_listed(&self, drover: &Drover) {
        until_some("all that was acknowledged", Duration::from_secs(30), || {
            let known: BTreeSet<String> = drover.devices().into_iter().collect();
            let missing: Vec<_> = self.ledger.difference(&known).cloned().collect();
            if missing.is_empty() {
                Ok(())
            } else {
                Err(missing)
            }
        });
    }

    fn hear(&mut self) {
        let Some(message) = self.raw.receive(Duration::from_millis(20)) else {
            return;
        };
        let Some(id) = self
            .waiting
            .keys()
            .copied()
            .find(|id| is_answer(&message, MessageId(*id)))
        else {
            return;
        };
        self.raw.acknowledge(&message);
        let (endpoint, _) = self.waiting.remove(&id).unwrap();
        match message.code {
            Code::CREATED_2_01 => {
                self.ledger.insert(endpoint);
            }
            // While there is no leader a device is asked to come back later; this one comes back at once.
            Code::SERVICE_UNAVAILABLE_5_03 => self.refused.push(endpoint),
            other => panic!("{endpoint} was answered {other}"),
        }
    }

    fn repeat(&mut self) {
        for (id, (endpoint, sent)) in &mut self.waiting {
            if sent.elapsed() >= REPEAT {
                let query = register_query(endpoint);
                let query: Vec<&str> = query.iter().map(String::as_str).collect();
                self.raw.send_bytes(&encode(
                    MessageId(*id),
                    Code::POST,
                    &["rd"],
                    &query,
                    b"</1/0>,</3/0>",
                ));
                *sent = Instant::now();
            }
        }
    }
}

#[test]
fn killed_leader_loses_no_acknowledged_registration() {
    let drover = Drover::start(&Options {
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let mut registrar = Registrar::new(&drover.endpoint("/ingress/0/coap"));
    registrar.register_until(BEFORE, Duration::from_secs(60));
    drover.kill_state_node(drover.leading_state_node());
    registrar.register_until(BEFORE + AFTER, Duration::from_secs(120));

    registrar.wait_until_all_are_listed(&drover);
}
