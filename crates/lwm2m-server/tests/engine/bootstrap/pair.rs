//! A device that is bootstrapped and the engine that does it, over an emulated network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::{Code, Message, Token};
use device_state::{CredentialId, SecurityIdentity, Timestamp, Transport};
use lwm2m::EndpointName;
use lwm2m_client::bootstrap::{
    BootstrapClient, BootstrapConfig as ClientConfig, BootstrapEvent, BootstrapFailure,
    BootstrapOutput as ClientOutput, StoredAccount,
};
use lwm2m_server::bootstrap::{
    BootstrapConfig, BootstrapEngine, BootstrapId, BootstrapOutcome, BootstrapOutput,
    BootstrapPlan, BootstrapStep, PrepareError, StepResult,
};
use lwm2m_server::{Now, Origin, Principal};
use netsim::{Conditions, Network};

use super::plans::{plan, psk};

pub(crate) const DEVICE: u8 = 1;
const SERVER: u8 = 2;
pub(crate) const DELAY: Duration = Duration::from_millis(20);

pub(crate) type Output = BootstrapOutput<u8>;
pub(crate) type Ended = (BootstrapOutcome, Vec<StepResult>);

pub(crate) struct Pair {
    pub(crate) now: Instant,
    began: Instant,
    pub(crate) client: BootstrapClient,
    pub(crate) engine: BootstrapEngine<u8>,
    pub(crate) network: Network<u8>,
    /// What the device reported.
    pub(crate) events: Vec<BootstrapEvent>,
    /// What the engine wanted, but for messages.
    pub(crate) outputs: Vec<Output>,
    /// Messages of the engine, and when it sent them.
    pub(crate) sent: Vec<(Instant, Message)>,
    /// What the caller of the engine answers, and how long that takes.
    pub(crate) prepared: Result<BootstrapPlan, PrepareError>,
    pub(crate) prepare_after: Option<Duration>,
    pub(crate) preparing: Vec<(Instant, BootstrapId)>,
    pub(crate) origin: Origin,
    /// The request of the engine that no answer has reached it for.
    outstanding: Option<Token>,
}

pub(crate) fn endpoint() -> EndpointName {
    EndpointName::new("device-1").unwrap()
}

pub(crate) fn client_config() -> ClientConfig {
    ClientConfig::new(endpoint(), "coaps://bs.example.com")
}

/// Somebody with a credential for `device-1`.
pub(crate) fn origin(identity: &[u8]) -> Origin {
    Origin {
        address: "192.0.2.1:40000".parse().unwrap(),
        transport: Transport::Dtls,
        principal: Arc::new(Principal {
            identity: SecurityIdentity::Credential(CredentialId::PskIdentity(identity.to_vec())),
            endpoints: vec![endpoint()],
        }),
        session: None,
    }
}

pub(crate) fn engine(config: BootstrapConfig) -> BootstrapEngine<u8> {
    BootstrapEngine::new(config, [7; 32])
}

impl Pair {
    pub(crate) fn new(config: ClientConfig) -> Self {
        let conditions = Conditions {
            delay: DELAY,
            ..Conditions::perfect()
        };
        Self::over(conditions, config, 3)
    }

    /// With a plan of one account.
    pub(crate) fn over(conditions: Conditions, config: ClientConfig, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            began: now,
            client: BootstrapClient::new(config, seed),
            engine: engine(BootstrapConfig::default()),
            network: Network::new(seed, conditions),
            events: Vec::new(),
            outputs: Vec::new(),
            sent: Vec::new(),
            prepared: Ok(plan(&[psk()])),
            prepare_after: Some(Duration::ZERO),
            preparing: Vec::new(),
            origin: origin(b"device-1"),
            outstanding: None,
        }
    }

    pub(crate) fn with_plan(config: ClientConfig, plan: BootstrapPlan) -> Self {
        let mut pair = Self::new(config);
        pair.prepared = Ok(plan);
        pair
    }

    pub(crate) fn clock(&self) -> Now {
        Now {
            instant: self.now,
            wall: Timestamp((self.now - self.began).as_millis() as u64),
        }
    }

    pub(crate) fn start(&mut self) {
        self.client.start(self.now);
        self.settle();
    }

    /// Starts the device, and waits for the end of the one bootstrap that follows.
    pub(crate) fn run(&mut self) -> Ended {
        self.start();
        self.ended()
    }

    /// Waits until a bootstrap has ended, and lets the device hear of that too.
    pub(crate) fn ended(&mut self) -> Ended {
        loop {
            let ended = self.endings();
            if let Some(last) = ended.last() {
                self.drive(Duration::from_secs(1));
                return last.clone();
            }
            let next = self.next().expect("an end is to come");
            self.step(next);
        }
    }

    pub(crate) fn endings(&self) -> Vec<Ended> {
        let outputs = self.outputs.iter();
        outputs
            .filter_map(|output| match output {
                Output::Ended { outcome, log, .. } => Some((outcome.clone(), log.clone())),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn prepares(&self) -> usize {
        let is_prepare = |output: &&Output| matches!(output, Output::Prepare { .. });
        self.outputs.iter().filter(is_prepare).count()
    }

    /// The accounts that the device has from the last bootstrap.
    pub(crate) fn accounts(&self) -> Vec<StoredAccount> {
        let events = self.events.iter().rev();
        let mut finished = events.filter_map(|event| match event {
            BootstrapEvent::Finished { accounts } => Some(accounts.clone()),
            _ => None,
        });
        finished
            .next()
            .unwrap_or_else(|| panic!("{:?}", self.events))
    }

    pub(crate) fn failure(&self) -> Option<(BootstrapFailure, Option<Duration>)> {
        self.events.iter().find_map(|event| match event {
            BootstrapEvent::Failed {
                reason,
                retry_after,
            } => Some((*reason, *retry_after)),
            _ => None,
        })
    }

    /// Codes of what the engine sent, without acknowledgements.
    pub(crate) fn codes(&self) -> Vec<Code> {
        let sent = self.sent.iter().map(|(_, message)| message.code);
        sent.filter(|code| !code.is_empty()).collect()
    }

    pub(crate) fn drive(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.step(next);
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let timeouts = [
            self.network.next_event(),
            self.client.poll_timeout(),
            self.engine.poll_timeout(),
            self.preparing.iter().map(|(at, _)| *at).min(),
        ];
        timeouts.into_iter().flatten().min()
    }

    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        while let Some(delivery) = self.network.poll(self.now) {
            if delivery.to == DEVICE {
                self.client.handle_datagram(self.now, &delivery.datagram);
            } else {
                self.hear(&delivery.datagram);
                let (now, origin) = (self.clock(), self.origin.clone());
                self.engine
                    .handle_datagram(now, DEVICE, &origin, &delivery.datagram);
            }
            self.settle();
        }
        self.prepare_due();
        self.client.handle_timeout(self.now);
        self.engine.handle_timeout(self.clock());
        self.settle();
    }

    fn prepare_due(&mut self) {
        while let Some(index) = self.preparing.iter().position(|(at, _)| *at <= self.now) {
            let (_, id) = self.preparing.swap_remove(index);
            let now = self.clock();
            self.engine.handle_prepared(now, id, self.prepared.clone());
            self.settle();
        }
    }

    pub(crate) fn settle(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Transmit(datagram) => {
                    self.network.send(self.now, DEVICE, SERVER, datagram);
                }
                ClientOutput::Send(message) => panic!("no stream for {message:?}"),
                ClientOutput::Event(event) => self.events.push(event),
            }
        }
        while let Some(output) = self.engine.poll_output() {
            if let Output::Transmit { datagram, .. } = output {
                let message = coap::decode(&datagram).unwrap();
                self.say(&message);
                self.sent.push((self.now, message));
                self.network.send(self.now, SERVER, DEVICE, datagram);
                continue;
            }
            if let Output::Prepare { id, .. } = &output
                && let Some(after) = self.prepare_after
            {
                self.preparing.push((self.now + after, *id));
            }
            if matches!(output, Output::Ended { .. }) {
                self.outstanding = None;
            }
            self.outputs.push(output);
        }
    }

    /// The engine sends something: never a request while another one is under way.
    fn say(&mut self, message: &Message) {
        if message.code.is_request() {
            let before = self.outstanding.replace(message.token);
            assert!(
                before.is_none_or(|before| before == message.token),
                "two requests at a time"
            );
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        let message = coap::decode(datagram).unwrap();
        if message.code.is_response() && self.outstanding == Some(message.token) {
            self.outstanding = None;
        }
    }

    /// Each bootstrap began once and ended once.
    pub(crate) fn check(&self) {
        assert_eq!(self.endings().len(), self.prepares());
        assert_eq!(self.engine.bootstrap_count(), 0);
    }
}

/// The steps of a log with the class and detail of their answers.
pub(crate) fn steps(log: &[StepResult]) -> Vec<String> {
    let name = |step: &BootstrapStep| match step {
        BootstrapStep::Discover => "discover".to_owned(),
        BootstrapStep::Delete { path } => format!("delete {path}"),
        BootstrapStep::Write { path, format } => format!("write {path} {format}"),
        BootstrapStep::Read { path } => format!("read {path}"),
        BootstrapStep::Finish => "finish".to_owned(),
    };
    log.iter()
        .map(|result| {
            let code = result.code;
            format!(
                "{} {}.{:02}",
                name(&result.step),
                code.class(),
                code.detail()
            )
        })
        .collect()
}
