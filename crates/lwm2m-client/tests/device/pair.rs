//! A device and a server that is nothing but CoAP, over an emulated network.

use std::time::{Duration, Instant};

use coap::{Code, Endpoint, Event as CoapEvent, ExchangeId, Failure, Request, Response, Token};
use lwm2m::{
    ContentFormat, EndpointName, Entry, LwM2mVersion, Patch, Path, Registry, Value, decode,
    encode_patch, encode_paths,
};
use lwm2m_client::{Config, Device, Event, Output, Pull};
use netsim::{Conditions, Network, Probability};

const DEVICE: u8 = 1;
const SERVER: u8 = 2;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) device: Device,
    server: Endpoint<u8>,
    network: Network<u8>,
    /// What the device reported, oldest first.
    pub(crate) events: Vec<Event>,
    /// The firmware packages that the device wanted.
    pub(crate) pulls: Vec<Pull>,
    /// What the device asked for.
    pub(crate) requests: Vec<Request>,
    pub(crate) notifications: Vec<(Token, Response)>,
    pub(crate) concluded: Vec<(ExchangeId, Result<Response, Failure>)>,
    /// How the server answers.
    pub(crate) answer: fn(&Request) -> Response,
}

/// A server that is content with everything.
pub(crate) fn accept(request: &Request) -> Response {
    match (request.method, request.path.len()) {
        (Code::POST, 1) if request.path == ["rd"] => Response {
            location_path: vec!["rd".to_owned(), "a1".to_owned()],
            ..Response::new(Code::CREATED_2_01)
        },
        (Code::DELETE, _) => Response::new(Code::DELETED_2_02),
        _ => Response::new(Code::CHANGED_2_04),
    }
}

pub(crate) fn config() -> Config {
    Config::new(EndpointName::new("device-1").unwrap())
}

pub(crate) fn with_version(version: LwM2mVersion) -> Config {
    Config {
        version,
        ..config()
    }
}

impl Pair {
    /// A device that was started, and nothing sent has arrived yet.
    pub(crate) fn new(config: Config) -> Self {
        let conditions = Conditions {
            delay: Duration::from_millis(20),
            ..Conditions::perfect()
        };
        let mut pair = Self {
            now: Instant::now(),
            device: Device::new(config, 11),
            server: Endpoint::new(coap::Config::default(), 12),
            network: Network::new(13, conditions),
            events: Vec::new(),
            pulls: Vec::new(),
            requests: Vec::new(),
            notifications: Vec::new(),
            concluded: Vec::new(),
            answer: accept,
        };
        pair.device.start(pair.now);
        pair.settle();
        pair
    }

    /// A device whose registration is done.
    pub(crate) fn registered(config: Config) -> Self {
        let mut pair = Self::new(config);
        pair.wait_for(|event| matches!(event, Event::Registered { .. }));
        pair.events.clear();
        pair.requests.clear();
        pair
    }

    pub(crate) fn lose(&mut self, percent: u16) {
        self.network.set_conditions(Conditions {
            loss: Probability::percent(percent),
            delay: Duration::from_millis(20),
            ..Conditions::perfect()
        });
    }

    pub(crate) fn cut(&mut self) {
        self.network.set_conditions(Conditions::cut());
    }

    /// Lets time pass.
    pub(crate) fn drive(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.step(next);
        }
        self.now = end;
    }

    /// Lets time pass until the device reports something.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut looked_at = 0;
        loop {
            let found = self.events.get(looked_at..).unwrap();
            if let Some(event) = found.iter().find(|event| wanted(event)) {
                return event.clone();
            }
            looked_at = self.events.len();
            let next = self.next();
            self.step(next.unwrap_or_else(|| panic!("nothing more after {:?}", self.events)));
        }
    }

    pub(crate) fn wait_for_notifications(&mut self, count: usize) {
        while self.notifications.len() < count {
            let next = self.next().expect("something is to come");
            self.step(next);
        }
    }

    /// Sends a request to the device and waits for the answer.
    pub(crate) fn ask(&mut self, request: Request) -> Response {
        let exchange = self.send(request);
        self.conclude(exchange)
    }

    fn conclude(&mut self, exchange: ExchangeId) -> Response {
        self.settle();
        loop {
            let done = self.concluded.iter().position(|(id, _)| *id == exchange);
            if let Some(index) = done {
                return self.concluded.swap_remove(index).1.unwrap();
            }
            let next = self.next().expect("an answer is to come");
            self.step(next);
        }
    }

    /// Sends a request to the device and waits for nothing.
    pub(crate) fn send(&mut self, request: Request) -> ExchangeId {
        let exchange = self.server.send_request(self.now, DEVICE, request).unwrap();
        self.settle();
        exchange
    }

    pub(crate) fn observe(&mut self, path: &str, query: &[&str]) -> Response {
        self.ask(Request {
            observe: Some(0),
            query: query.iter().map(|&part| part.to_owned()).collect(),
            ..get(path)
        })
    }

    /// Cancels an observation by a request with its token.
    pub(crate) fn cancel(&mut self, token: Token) -> Response {
        let exchange = self
            .server
            .cancel_observation(self.now, DEVICE, token)
            .unwrap();
        self.conclude(exchange)
    }

    /// The one observation that the server has.
    pub(crate) fn token(&self) -> Token {
        self.server.observations(DEVICE)[0]
    }

    /// Makes the server forget its observations, so that it rejects notifications.
    pub(crate) fn forget_observations(&mut self) {
        for token in self.server.observations(DEVICE) {
            self.server.forget_observation(DEVICE, token);
        }
    }

    fn next(&self) -> Option<Instant> {
        let timeouts = [
            self.network.next_event(),
            self.device.poll_timeout(),
            self.server.poll_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        while let Some(delivery) = self.network.poll(self.now) {
            match delivery.to {
                DEVICE => self.device.handle_datagram(self.now, &delivery.datagram),
                _ => self
                    .server
                    .handle_datagram(self.now, DEVICE, &delivery.datagram),
            }
            self.settle();
        }
        if self.device.poll_timeout().is_some_and(|at| at <= self.now) {
            self.device.handle_timeout(self.now);
        }
        if self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now);
        }
        self.settle();
    }

    /// Carries all outputs.
    pub(crate) fn settle(&mut self) {
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(datagram) => {
                    self.network.send(self.now, DEVICE, SERVER, datagram);
                }
                Output::Send(message) => panic!("no stream for {message:?}"),
                Output::Pull(pull) => self.pulls.push(pull),
                Output::Event(event) => {
                    if event == Event::Booted {
                        self.device.start(self.now);
                    }
                    self.events.push(event);
                }
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                coap::Output::Transmit { datagram, .. } => {
                    self.network.send(self.now, SERVER, DEVICE, datagram);
                }
                coap::Output::Send { .. } => {}
                coap::Output::Event(event) => self.server_event(event),
            }
        }
    }

    fn server_event(&mut self, event: CoapEvent<u8>) {
        match event {
            CoapEvent::Request {
                exchange, request, ..
            } => {
                let response = (self.answer)(&request);
                self.requests.push(request);
                self.server.respond(self.now, exchange, response);
            }
            CoapEvent::Response {
                exchange, response, ..
            } => {
                self.concluded.push((exchange, Ok(response)));
            }
            CoapEvent::Failed {
                exchange, reason, ..
            } => {
                self.concluded.push((exchange, Err(reason)));
            }
            CoapEvent::Notification {
                token,
                response,
                receipt,
                ..
            } => {
                self.notifications.push((token, response));
                if let Some(receipt) = receipt {
                    self.server.acknowledge(receipt);
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn get(path: &str) -> Request {
    request(Code::GET, path)
}

/// A read that asks for a format.
pub(crate) fn accepting(path: &str, format: ContentFormat) -> Request {
    Request {
        accept: Some(format.0),
        ..get(path)
    }
}

/// A Discover with query parameters.
pub(crate) fn discover(path: &str, query: &[&str]) -> Request {
    Request {
        query: query.iter().map(|&part| part.to_owned()).collect(),
        ..accepting(path, ContentFormat::LINK)
    }
}

/// A Write-Attributes.
pub(crate) fn write_attributes(path: &str, query: &[&str]) -> Request {
    Request {
        query: query.iter().map(|&part| part.to_owned()).collect(),
        ..request(Code::PUT, path)
    }
}

/// A Read-Composite.
pub(crate) fn fetch(format: ContentFormat, paths: &[&str]) -> Request {
    let paths: Vec<Path> = paths.iter().map(|path| path.parse().unwrap()).collect();
    Request {
        content_format: Some(format.0),
        payload: encode_paths(format, &paths).unwrap(),
        ..request(Code::FETCH, "/")
    }
}

/// A Write-Composite.
pub(crate) fn patch(format: ContentFormat, patches: &[Patch]) -> Request {
    Request {
        content_format: Some(format.0),
        payload: encode_patch(format, patches).unwrap(),
        ..request(Code::IPATCH, "/")
    }
}

/// The change of one value.
pub(crate) fn put(path: &str, value: Value) -> Patch {
    Patch::Set(Entry::new(path.parse().unwrap(), value))
}

/// What a structured answer for the root says.
pub(crate) fn values(response: &Response) -> Vec<(String, Value)> {
    let format = ContentFormat(response.content_format.unwrap());
    let entries = decode(format, Path::Root, &response.payload, Registry::oma()).unwrap();
    let shown = |entry: Entry| (entry.path.to_string(), entry.value);
    entries.into_iter().map(shown).collect()
}

pub(crate) fn request(method: Code, path: &str) -> Request {
    Request::new(
        method,
        path.split('/').filter(|segment| !segment.is_empty()),
    )
}

/// A request with a text payload.
pub(crate) fn text(method: Code, path: &str, payload: &str) -> Request {
    Request {
        content_format: Some(0),
        payload: payload.as_bytes().to_vec(),
        ..request(method, path)
    }
}

/// What a text answer says.
pub(crate) fn words(response: &Response) -> String {
    String::from_utf8(response.payload.clone()).unwrap()
}
