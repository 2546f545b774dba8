//! A device that answers as the test says, and does nothing of its own; with an engine and a state machine in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coap::{Code, Event, Reliability, Request, Response};
use device_state::{
    Command, Context, DeviceName, Digest, Envelope, MemoryTables, Namespace, NodeId,
    OperationOutcome, Outcome, Registration, Revision, ShardId, Timestamp, Transport, apply, query,
};
use lwm2m::{
    ChildPrefix, ContentFormat, EndpointName, NotificationAttributes, Observed, Operation, Path,
    RegistrationId, Value,
};
use lwm2m_server::{
    CommitError, CommitId, Config, Engine, Now, OperationFailure, OperationReply, OperationTag,
    Origin, Output, Principal,
};

const DEVICE: u8 = 1;
const SERVER: u8 = 2;
const EPOCH: u64 = 1_700_000_000_000;

/// What the device says to a request; `None` lets it acknowledge and say no more.
type Script = Box<dyn FnMut(&Request) -> Option<Response>>;

pub(crate) struct Scripted {
    pub(crate) now: Instant,
    began: Instant,
    engine: Engine<u8>,
    device: coap::Endpoint<u8>,
    script: Script,
    principal: Arc<Principal>,
    /// What the device was asked.
    pub(crate) asked: Vec<Request>,
    /// What the device got for its own requests.
    answers: VecDeque<Response>,
    done: Vec<(OperationTag, Result<OperationReply, OperationFailure>)>,
    next_tag: u64,
    /// The sequence of the last notification.
    notified: u32,
    tables: MemoryTables,
    revision: u64,
    /// Whether commits wait for [`Scripted::commit`].
    pub(crate) holds_commits: bool,
    held: VecDeque<(CommitId, Command)>,
    /// Whether nothing reaches the device.
    pub(crate) lose_everything: bool,
    /// What the state tier says of packages.
    pub(crate) packages: Result<HashMap<Digest, Bytes>, CommitError>,
}

pub(crate) fn endpoint() -> EndpointName {
    EndpointName::new("scripted").unwrap()
}

/// The device in the state tier.
pub(crate) fn name() -> DeviceName {
    DeviceName::new(&Namespace::default(), &endpoint())
}

pub(crate) fn content(format: ContentFormat, payload: &[u8]) -> Response {
    Response {
        content_format: Some(format.0),
        payload: payload.to_vec(),
        ..Response::new(Code::CONTENT_2_05)
    }
}

pub(crate) fn text(payload: &str) -> Response {
    content(ContentFormat::TEXT, payload.as_bytes())
}

/// The values that an operation brought.
pub(crate) fn values(result: Result<OperationReply, OperationFailure>) -> Vec<(Path, Value)> {
    match result.unwrap().outcome {
        OperationOutcome::Delivered { values, .. } => values,
        other => panic!("{other:?}"),
    }
}

/// The code by which the device refused an operation.
pub(crate) fn refused(result: Result<OperationReply, OperationFailure>) -> Code {
    match result.unwrap().outcome {
        OperationOutcome::Rejected { code, .. } => Code::from_byte(code),
        other => panic!("{other:?}"),
    }
}

impl Scripted {
    /// A registered device of a release, with its list of objects.
    pub(crate) fn registered(
        release: &str,
        links: &str,
        script: impl FnMut(&Request) -> Option<Response> + 'static,
    ) -> Self {
        let mut scripted = Self::of(Principal::anyone(), script);
        scripted.register(release, links);
        scripted
    }

    /// A device that proved who it is, and is not registered.
    pub(crate) fn of(
        principal: Principal,
        script: impl FnMut(&Request) -> Option<Response> + 'static,
    ) -> Self {
        let now = Instant::now();
        Self {
            now,
            began: now,
            engine: Engine::new(Config::new(NodeId(1), 1), [7; 32]),
            device: coap::Endpoint::new(coap::Config::default(), 3),
            script: Box::new(script),
            principal: Arc::new(principal),
            asked: Vec::new(),
            answers: VecDeque::new(),
            done: Vec::new(),
            next_tag: 0,
            notified: 1,
            tables: MemoryTables::new(),
            revision: 0,
            holds_commits: false,
            held: VecDeque::new(),
            lose_everything: false,
            packages: Ok(HashMap::new()),
        }
    }

    pub(crate) fn register(&mut self, release: &str, links: &str) {
        let query = [
            format!("ep={}", endpoint()),
            format!("lwm2m={release}"),
            "lt=86400".to_owned(),
        ];
        let registered = self.uplink(Request {
            query: query.to_vec(),
            content_format: Some(ContentFormat::LINK.0),
            payload: links.as_bytes().to_vec(),
            ..Request::new(Code::POST, ["rd"])
        });
        assert_eq!(registered.code, Code::CREATED_2_01);
    }

    /// From now on the device answers like this.
    pub(crate) fn answer_by(&mut self, script: impl FnMut(&Request) -> Option<Response> + 'static) {
        self.script = Box::new(script);
        self.asked.clear();
    }

    /// A request of the device, and its answer.
    pub(crate) fn uplink(&mut self, request: Request) -> Response {
        self.begin_uplink(request);
        self.answers.pop_front().expect("an answer")
    }

    /// A request of the device that is not answered yet, as [`Scripted::answer`] tells.
    pub(crate) fn begin_uplink(&mut self, request: Request) {
        self.device.send_request(self.now, SERVER, request).unwrap();
        self.settle();
    }

    /// What the device got for its own request.
    pub(crate) fn answer(&mut self) -> Option<Response> {
        self.answers.pop_front()
    }

    /// Ends what [`Scripted::holds_commits`] holds.
    pub(crate) fn commit(&mut self, result: Result<(), CommitError>) {
        for (id, command) in std::mem::take(&mut self.held) {
            let now = self.clock();
            let result = result.map(|()| self.apply(command));
            self.engine.handle_committed(now, id, result);
        }
        self.settle();
    }

    /// What the state tier knows of the device.
    pub(crate) fn registration(&self) -> Registration {
        query::registration(&self.tables, &name()).expect("it is registered")
    }

    /// The last value that was reported of a path, with its time in milliseconds.
    pub(crate) fn last_value(&self, path: Path) -> Option<(Value, u64)> {
        let last = query::last_value(&self.tables, &name(), path)?;
        Some((last.value, last.at.0))
    }

    /// The last value that was reported of a path of a device behind it.
    pub(crate) fn child_value(&self, child: &ChildPrefix, path: Path) -> Option<Value> {
        let last = query::child_value(&self.tables, &name(), child, path)?;
        Some(last.value.value)
    }

    /// From now on somebody wants this observed.
    pub(crate) fn hold(&mut self, observed: Observed) {
        self.hold_with(observed, NotificationAttributes::default());
    }

    /// The same, with parameters.
    pub(crate) fn hold_with(&mut self, observed: Observed, parameters: NotificationAttributes) {
        let outcome = self.apply(Command::HoldObservation {
            endpoint: name(),
            observed,
            parameters,
            holder: 1,
            lease_until: Timestamp::NEVER,
        });
        assert_eq!(outcome, Outcome::Done);
    }

    /// The device updates its registration; with `links`, it lists its objects anew.
    pub(crate) fn update(&mut self, links: Option<&str>) {
        let id = self.registration().id;
        let updated = self.uplink(Request {
            content_format: links.map(|_| ContentFormat::LINK.0),
            payload: links.unwrap_or_default().as_bytes().to_vec(),
            ..Request::new(Code::POST, ["rd", id.as_str()])
        });
        assert_eq!(updated.code, Code::CHANGED_2_04);
    }

    /// The wall clock in milliseconds.
    pub(crate) fn wall(&self) -> u64 {
        self.clock().wall.0
    }

    /// Begins an operation on the device.
    pub(crate) fn begin(&mut self, operation: Operation) -> OperationTag {
        let (now, tag) = (self.clock(), self.next_tag());
        let registration: RegistrationId = self.registration().id;
        self.engine
            .handle_operation(now, tag, &registration, operation);
        self.settle();
        tag
    }

    fn next_tag(&mut self) -> OperationTag {
        self.next_tag += 1;
        OperationTag(self.next_tag)
    }

    /// Has the server do something with the device, however long that takes.
    pub(crate) fn operate(
        &mut self,
        operation: Operation,
    ) -> Result<OperationReply, OperationFailure> {
        let tag = self.begin(operation);
        self.outcome(tag)
    }

    /// The same with a device behind it.
    pub(crate) fn operate_on(
        &mut self,
        child: &ChildPrefix,
        operation: Operation,
    ) -> Result<OperationReply, OperationFailure> {
        self.operate(operation.behind(child.clone()))
    }

    /// The device notifies whoever observes it.
    pub(crate) fn notify(&mut self, response: Response) {
        let token = self.asked.iter().rev().find_map(|asked| {
            let observes = asked.observe == Some(0);
            observes.then_some(asked.token).flatten()
        });
        let token = token.expect("somebody observes");
        self.notified += 1;
        self.device
            .notify(
                self.now,
                SERVER,
                token,
                Response {
                    observe: Some(self.notified),
                    ..response
                },
                Reliability::Confirmable,
            )
            .unwrap();
        self.settle();
    }

    /// How many devices the engine holds.
    pub(crate) fn device_count(&self) -> usize {
        self.engine.device_count()
    }

    /// How an operation ends, however long that takes.
    pub(crate) fn outcome(
        &mut self,
        tag: OperationTag,
    ) -> Result<OperationReply, OperationFailure> {
        loop {
            if let Some(index) = self.done.iter().position(|(done, _)| *done == tag) {
                return self.done.swap_remove(index).1;
            }
            let next = self.next().expect("an outcome is to come");
            self.step(next);
        }
    }

    /// The caller of an operation no longer waits.
    pub(crate) fn cancel(&mut self, tag: OperationTag) {
        let now = self.clock();
        self.engine.cancel_operation(now, tag);
        self.settle();
    }

    /// The session of the device ends, as where it is idle for long.
    pub(crate) fn end_session(&mut self) {
        let now = self.clock();
        self.engine.forget_peer(now, DEVICE);
        self.settle();
    }

    pub(crate) fn drive(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.step(next);
        }
        self.now = end;
    }

    fn clock(&self) -> Now {
        let elapsed = (self.now - self.began).as_millis() as u64;
        Now {
            instant: self.now,
            wall: Timestamp(EPOCH + elapsed),
        }
    }

    fn next(&self) -> Option<Instant> {
        let timeouts = [self.engine.poll_timeout(), self.device.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }

    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.device.handle_timeout(self.now);
        let now = self.clock();
        self.engine.handle_timeout(now);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            if let Some(output) = self.device.poll_output() {
                self.device_output(output);
            } else if let Some(output) = self.engine.poll_output() {
                self.engine_output(output);
            } else {
                return;
            }
        }
    }

    fn device_output(&mut self, output: coap::Output<u8>) {
        match output {
            coap::Output::Transmit { datagram, .. } => {
                let now = self.clock();
                let origin = self.origin();
                self.engine.handle_datagram(now, DEVICE, &origin, &datagram);
            }
            coap::Output::Event(Event::Request {
                exchange, request, ..
            }) => {
                let response = (self.script)(&request);
                self.asked.push(request);
                if let Some(response) = response {
                    self.device.respond(self.now, exchange, response);
                }
            }
            coap::Output::Event(Event::Response { response, .. }) => {
                self.answers.push_back(response);
            }
            _ => {}
        }
    }

    fn engine_output(&mut self, output: Output<u8>) {
        match output {
            Output::Transmit { .. } if self.lose_everything => {}
            Output::Transmit { datagram, .. } => {
                self.device.handle_datagram(self.now, SERVER, &datagram);
            }
            Output::Commit { id, command, .. } if self.holds_commits => {
                self.held.push_back((id, command));
            }
            Output::Commit { id, command, .. } => {
                let now = self.clock();
                let outcome = self.apply(command);
                self.engine.handle_committed(now, id, Ok(outcome));
            }
            Output::Address { tag, .. } => {
                let now = self.clock();
                let base = "coap://192.0.2.9:5683".to_owned();
                self.engine.take_address(now, tag, Ok(base));
            }
            Output::Package { request, digest } => {
                let now = self.clock();
                let packages = self.packages.as_ref();
                let found = packages.map(|known| known.get(&digest));
                let found = found.map_err(|error| *error);
                self.engine.take_package(now, request, &digest, found);
            }
            Output::OperationDone { tag, result } => self.done.push((tag, result)),
            Output::LookUp {
                registration,
                peer,
                observations,
                ..
            } => {
                let known = query::registration_by_id(&self.tables, &registration).unwrap();
                let now = self.clock();
                self.engine.take_on(now, peer, &known, &observations);
            }
            Output::Send { .. } | Output::Awake { .. } | Output::Refused { .. } => {}
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            address: "192.0.2.1:40000".parse().unwrap(),
            transport: Transport::Udp,
            principal: self.principal.clone(),
            session: None,
        }
    }

    fn apply(&mut self, command: Command) -> Outcome {
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
}
