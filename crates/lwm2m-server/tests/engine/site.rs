//! An engine with a state tier in memory, and devices that are no more than their messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Token, Type, number};
use device_state::{
    Command, Context, DeviceName, Envelope, MemoryTables, NodeId, OperationOutcome, Outcome,
    Registration, Revision, SecurityIdentity, ShardId, Timestamp, Transport, apply, query,
};
use lwm2m::{EndpointName, Operation, RegistrationId};
use lwm2m_server::{
    CommitError, CommitId, Config, Engine, Now, OperationFailure, OperationTag, Origin, Output,
    Principal,
};

/// The objects of a device here.
pub(crate) const LIST: &str = "</1/0>,</3/0>,</3303/0>";

/// What the state tier does with commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commits {
    Succeed,
    /// They wait for [`Site::commit`].
    Wait,
    Fail,
}

type Done = (OperationTag, Result<OperationOutcome, OperationFailure>);

pub(crate) struct Site {
    pub(crate) now: Instant,
    began: Instant,
    pub(crate) engine: Engine<u8>,
    pub(crate) tables: MemoryTables,
    revision: u64,
    pub(crate) commits: Commits,
    waiting: Vec<(CommitId, Command)>,
    /// How many commits were asked for.
    pub(crate) asked: usize,
    /// Who said that they listen.
    pub(crate) awake: Vec<EndpointName>,
    /// Who was refused, and why.
    pub(crate) refused: Vec<(EndpointName, String)>,
    pub(crate) done: Vec<Done>,
    next_message: u16,
    next_tag: u64,
}

pub(crate) fn endpoint(name: &str) -> EndpointName {
    EndpointName::new(name).unwrap()
}

/// Somebody without security at one of the addresses.
pub(crate) fn anyone(peer: u8) -> Origin {
    Origin {
        address: ([192, 0, 2, peer], 5683).into(),
        transport: Transport::Udp,
        principal: Arc::new(Principal::anyone()),
        session: None,
    }
}

/// Somebody with a certificate for `name`.
pub(crate) fn certified(peer: u8, name: &str) -> Origin {
    Origin {
        transport: Transport::Dtls,
        principal: Arc::new(Principal {
            identity: SecurityIdentity::CertificateNames(vec![name.to_owned()]),
            endpoints: vec![endpoint(name)],
        }),
        ..anyone(peer)
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(Config::new(NodeId(1), 1))
    }

    pub(crate) fn with(config: Config) -> Self {
        let now = Instant::now();
        Self {
            now,
            began: now,
            engine: Engine::new(config, [7; 32]),
            tables: MemoryTables::new(),
            revision: 0,
            commits: Commits::Succeed,
            waiting: Vec::new(),
            asked: 0,
            awake: Vec::new(),
            refused: Vec::new(),
            done: Vec::new(),
            next_message: 0,
            next_tag: 0,
        }
    }

    pub(crate) fn clock(&self) -> Now {
        Now {
            instant: self.now,
            wall: Timestamp((self.now - self.began).as_millis() as u64 + 1_700_000_000_000),
        }
    }

    /// A confirmable request that a device has not sent before.
    pub(crate) fn request(&mut self, method: Code, path: &[&str], query: &[&str]) -> Message {
        self.next_message += 1;
        let mut message = Message::new(Type::Confirmable, method, MessageId(self.next_message));
        message.token = Token::new(&self.next_message.to_be_bytes()).unwrap();
        for segment in path {
            message.options.push(number::URI_PATH, segment.as_bytes());
        }
        for parameter in query {
            let parameter = parameter.as_bytes();
            message.options.push(number::URI_QUERY, parameter);
        }
        message
    }

    /// A Register with the parameters of a string and with a list.
    pub(crate) fn register(&mut self, query: &str, list: &str) -> Message {
        let query: Vec<&str> = query.split('&').collect();
        let mut message = self.request(Code::POST, &["rd"], &query);
        message.payload = list.as_bytes().to_vec();
        message
    }

    pub(crate) fn update(&mut self, id: &RegistrationId, query: &str, list: &str) -> Message {
        let query: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
        let mut message = self.request(Code::POST, &["rd", id.as_str()], &query);
        message.payload = list.as_bytes().to_vec();
        message
    }

    /// The engine hears the message; what it sends to anybody at once.
    pub(crate) fn tell(&mut self, origin: &Origin, message: &Message) -> Vec<(u8, Message)> {
        let now = self.clock();
        let datagram = message.to_datagram();
        self.engine
            .handle_datagram(now, peer_of(origin), origin, &datagram);
        self.settle()
    }

    /// The answer to a request.
    pub(crate) fn ask(&mut self, origin: &Origin, message: &Message) -> Message {
        let sent = self.tell(origin, message);
        let answers = |(_, answer): &(u8, Message)| {
            answer.code.is_response() && answer.token == message.token
        };
        let answer = sent.iter().find(|sent| answers(sent));
        answer.unwrap_or_else(|| panic!("{sent:?}")).1.clone()
    }

    /// A device that has registered under LwM2M 1.1, with more parameters.
    pub(crate) fn registered(&mut self, origin: &Origin, name: &str, more: &str) -> RegistrationId {
        let query = format!("ep={name}&lt=600&lwm2m=1.1&{more}");
        let register = self.register(query.trim_end_matches('&'), LIST);
        let answer = self.ask(origin, &register);
        assert_eq!(answer.code, Code::CREATED_2_01, "{answer:?}");
        self.registration(name).unwrap().id
    }

    /// What the state tier knows of a device.
    pub(crate) fn registration(&self, name: &str) -> Option<Registration> {
        query::registration(&self.tables, &DeviceName::parse(name).unwrap())
    }

    /// Has the engine do something; what it sends at once.
    pub(crate) fn operate(
        &mut self,
        id: &RegistrationId,
        operation: Operation,
    ) -> Vec<(u8, Message)> {
        let (now, tag) = (self.clock(), OperationTag(self.next_tag));
        self.next_tag += 1;
        self.engine.handle_operation(now, tag, id, operation);
        self.settle()
    }

    /// Reports the commits that wait; what the engine then sends.
    pub(crate) fn commit(&mut self) -> Vec<(u8, Message)> {
        let mut sent = Vec::new();
        for (id, command) in std::mem::take(&mut self.waiting) {
            let outcome = self.apply(command);
            let now = self.clock();
            self.engine.handle_committed(now, id, Ok(outcome));
            sent.extend(self.settle());
        }
        sent
    }

    /// What is to be committed first.
    pub(crate) fn waiting_command(&self) -> Option<&Command> {
        self.waiting.first().map(|(_, command)| command)
    }

    /// Lets time pass; what the engine sends meanwhile.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<(u8, Message)> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let now = self.clock();
            self.engine.handle_timeout(now);
            sent.extend(self.settle());
        }
        self.now = end;
        sent
    }

    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        self.revision += 1;
        let context = Context {
            shard: ShardId(0),
            revision: Revision(self.revision),
            first_index: 0,
        };
        let envelope = Envelope {
            request_id: None,
            leader_time: self.clock().wall,
            command,
        };
        apply(&mut self.tables, &context, &envelope).outcome
    }

    fn settle(&mut self) -> Vec<(u8, Message)> {
        let mut sent = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    sent.push((peer, coap::decode(&datagram).unwrap()));
                }
                Output::Send { message, .. } => panic!("no stream for {message:?}"),
                Output::Commit { id, command, .. } => self.committing(id, command),
                Output::OperationDone { tag, result } => {
                    self.done.push((tag, result.map(|reply| reply.outcome)));
                }
                Output::Awake { endpoint } => self.awake.push(endpoint),
                Output::Refused {
                    endpoint, reason, ..
                } => self.refused.push((endpoint, reason)),
                Output::Package { digest, .. } => panic!("who wants {digest}?"),
                Output::Address { tag, .. } => panic!("no package in {tag:?}"),
                Output::LookUp { registration, .. } => panic!("{registration} is here"),
            }
        }
        sent
    }

    fn committing(&mut self, id: CommitId, command: Command) {
        self.asked += 1;
        let result = match self.commits {
            Commits::Succeed => Ok(self.apply(command)),
            Commits::Fail => Err(CommitError::Unavailable),
            Commits::Wait => return self.waiting.push((id, command)),
        };
        let now = self.clock();
        self.engine.handle_committed(now, id, result);
    }
}

fn peer_of(origin: &Origin) -> u8 {
    match origin.address.ip() {
        std::net::IpAddr::V4(address) => address.octets()[3],
        std::net::IpAddr::V6(_) => unreachable!("devices here have addresses of version 4"),
    }
}

/// What a device answers a request with, piggybacked.
pub(crate) fn answer(request: &Message, code: Code, payload: &str) -> Message {
    let mut answer = Message::new(Type::Acknowledgement, code, request.id);
    answer.token = request.token;
    if !payload.is_empty() {
        answer.options.push_uint(number::CONTENT_FORMAT, 0);
        answer.payload = payload.as_bytes().to_vec();
    }
    answer
}

/// The only request among what was sent to a peer.
pub(crate) fn asked_of(peer: u8, sent: &[(u8, Message)]) -> Message {
    let mut requests = sent
        .iter()
        .filter(|(to, message)| *to == peer && message.code.is_request());
    let request = requests.next().unwrap_or_else(|| panic!("{sent:?}"));
    assert!(requests.next().is_none(), "{sent:?}");
    request.1.clone()
}
