//! A server and a device, each a CoAP endpoint on top of the layer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coap::reliable::Capabilities;
use coap::{Code, Endpoint, Event, Message, Request, Response};
use oscore::{
    Algorithm, Carried, Carrier, Client, ClientOutput, Config, ContextId, ContextState,
    Disposition, Output, Secrets, Server,
};

pub(crate) const SERVER: Secrets<'static> = Secrets {
    algorithm: Algorithm::AesCcm16_64_128,
    master_secret: b"sixteen byte key",
    master_salt: b"salt",
    id_context: None,
    sender_id: b"srv",
    recipient_id: b"dev",
};

pub(crate) const DEVICE: Secrets<'static> = Secrets {
    sender_id: b"dev",
    recipient_id: b"srv",
    ..SERVER
};

/// Where the device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Address(SocketAddr),
    /// Of DTLS.
    Session(u8),
    Stream(u8),
}

impl Place {
    pub(crate) fn address(text: &str) -> Self {
        Self::Address(text.parse().unwrap())
    }
}

impl Carrier for Place {
    fn continues_at(self, other: Self) -> bool {
        matches!((self, other), (Self::Address(_), Self::Address(_)))
    }
}

/// What the network does with the next messages of one direction.
#[derive(Default)]
pub(crate) struct Path {
    pub(crate) lose: usize,
    pub(crate) copies: usize,
    /// Everything that was sent, encoded like a datagram also on a stream.
    pub(crate) sent: Vec<Vec<u8>>,
}

impl Path {
    /// The messages that arrive.
    fn carry(&mut self, message: Carried) -> Vec<Carried> {
        self.sent.push(encoded(&message));
        if self.lose > 0 {
            self.lose -= 1;
            return Vec::new();
        }
        vec![message; 1 + self.copies]
    }
}

pub(crate) fn encoded(message: &Carried) -> Vec<u8> {
    match message {
        Carried::Datagram(datagram) => datagram.clone(),
        Carried::Message(message) => message.to_datagram(),
    }
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) place: Place,
    pub(crate) context: ContextId,
    pub(crate) server: Server<Place>,
    pub(crate) engine: Endpoint<ContextId>,
    pub(crate) server_events: Vec<Event<ContextId>>,
    pub(crate) client: Client,
    pub(crate) device: Endpoint<()>,
    pub(crate) device_events: Vec<Event<()>>,
    pub(crate) up: Path,
    pub(crate) down: Path,
}

impl Pair {
    /// Credentials that were never used, so that no challenge is in the way.
    pub(crate) fn new() -> Self {
        let state = ContextState::never_used(&SERVER).unwrap();
        let device = ContextState::never_used(&DEVICE).unwrap();
        Self::from(state, 1, device, 1)
    }

    pub(crate) fn from(
        state: ContextState,
        generation: u16,
        device: ContextState,
        starts: u16,
    ) -> Self {
        let mut server = Server::new(Config::default(), [1; 32]);
        let context = server.import(state, generation).unwrap();
        Self {
            now: Instant::now(),
            place: Place::address("192.0.2.1:5683"),
            context,
            server,
            engine: Endpoint::new(coap::Config::default(), 1),
            server_events: Vec::new(),
            client: Client::new(Config::default(), device, starts, [2; 32]).unwrap(),
            device: Endpoint::new(coap::Config::default(), 2),
            device_events: Vec::new(),
            up: Path::default(),
            down: Path::default(),
        }
    }

    /// Moves messages until nothing is under way. Requests of the device are answered 2.05 with
    /// their path, those of the server by what `device_answers` makes of them.
    pub(crate) fn settle_with(&mut self, device_answers: impl Fn(&Request) -> Response) {
        loop {
            let mut idle = true;
            while let Some(output) = self.device.poll_output() {
                idle = false;
                match output {
                    coap::Output::Transmit { datagram, .. } => {
                        self.client.send(self.now, &datagram).unwrap();
                    }
                    coap::Output::Send { message, .. } => {
                        self.client.send_message(self.now, &message).unwrap();
                    }
                    coap::Output::Event(event) => {
                        if let Event::Request {
                            exchange, request, ..
                        } = &event
                        {
                            let response = device_answers(request);
                            self.device.respond(self.now, *exchange, response);
                        }
                        self.device_events.push(event);
                    }
                }
            }
            while let Some(output) = self.client.poll_output() {
                idle = false;
                match output {
                    ClientOutput::Inner(Carried::Datagram(datagram)) => {
                        self.device.handle_datagram(self.now, (), &datagram);
                    }
                    ClientOutput::Inner(Carried::Message(message)) => {
                        self.device.handle_message(self.now, (), message);
                    }
                    ClientOutput::Transmit(message) => {
                        for message in self.up.carry(message) {
                            self.deliver_up(&encoded(&message));
                        }
                    }
                }
            }
            while let Some(output) = self.engine.poll_output() {
                idle = false;
                match output {
                    coap::Output::Transmit { peer, datagram } => {
                        self.server.send(self.now, peer, &datagram).unwrap();
                    }
                    coap::Output::Send { peer, message } => {
                        self.server.send_message(self.now, peer, &message).unwrap();
                    }
                    coap::Output::Event(event) => {
                        if let Event::Request {
                            exchange, request, ..
                        } = &event
                        {
                            let mut response = Response::new(Code::CONTENT_2_05);
                            response.payload = request.path.join("/").into_bytes();
                            self.engine.respond(self.now, *exchange, response);
                        }
                        self.server_events.push(event);
                    }
                }
            }
            while let Some(output) = self.server.poll_output() {
                idle = false;
                match output {
                    Output::Inner { context, message } => self.handle_inner(context, message),
                    Output::Transmit { peer, message } => {
                        let arrived = self.down.carry(message);
                        for message in arrived.iter().filter(|_| peer == self.place) {
                            self.client.handle(self.now, message);
                        }
                    }
                    Output::Renamed { from, to } => {
                        assert_eq!(from, self.context);
                        self.engine.forget_peer(from);
                        self.context = to;
                    }
                    Output::UnknownContext { .. } => panic!("{output:?}"),
                }
            }
            if idle {
                return;
            }
        }
    }

    pub(crate) fn settle(&mut self) {
        self.settle_with(|_| Response::new(Code::CHANGED_2_04));
    }

    fn handle_inner(&mut self, context: ContextId, message: Carried) {
        match message {
            Carried::Datagram(datagram) => {
                self.engine.handle_datagram(self.now, context, &datagram);
            }
            Carried::Message(message) => {
                let capabilities = Capabilities::default();
                let opened = self.engine.open_stream(self.now, context, capabilities);
                opened.unwrap();
                self.engine.handle_message(self.now, context, message);
            }
        }
    }

    /// Whether it was this layer's.
    pub(crate) fn deliver_from(&mut self, place: Place, message: &[u8]) -> Disposition {
        match place {
            Place::Address(_) | Place::Session(_) => {
                self.server.handle_datagram(self.now, place, message)
            }
            Place::Stream(_) => {
                let message: Message = coap::decode(message).unwrap();
                self.server.handle_message(self.now, place, &message)
            }
        }
    }

    pub(crate) fn deliver_up(&mut self, message: &[u8]) {
        let disposition = self.deliver_from(self.place, message);
        assert_eq!(disposition, Disposition::Taken);
    }

    /// The device makes a new session or stream, or has another address. It does not say so.
    pub(crate) fn move_to(&mut self, place: Place) {
        if !self.place.continues_at(place) {
            self.device.forget_peer(());
            self.client.forget_exchanges();
        }
        self.place = place;
        if let Place::Stream(_) = place {
            let capabilities = Capabilities::default();
            let opened = self.device.open_stream(self.now, (), capabilities);
            opened.unwrap();
        }
    }

    /// Lets time pass in steps of the timers.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = [self.device.poll_timeout(), self.engine.poll_timeout()];
            let Some(due) = due.into_iter().flatten().min().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.device.handle_timeout(self.now);
            self.engine.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// A request of the device, and the payloads of all its answers.
    pub(crate) fn device_gets(&mut self, path: &str) -> Vec<Vec<u8>> {
        let request = Request::new(Code::GET, [path]);
        self.device.send_request(self.now, (), request).unwrap();
        self.settle();
        self.pass(Duration::from_secs(100));
        self.device_events
            .drain(..)
            .filter_map(|event| match event {
                Event::Response { response, .. } => Some(response.payload),
                _ => None,
            })
            .collect()
    }

    /// A request of the server, and the codes of all its answers.
    pub(crate) fn server_puts(&mut self, path: &str) -> Vec<Code> {
        let request = Request::new(Code::PUT, [path]);
        let context = self.context;
        self.engine
            .send_request(self.now, context, request)
            .unwrap();
        self.settle();
        self.pass(Duration::from_secs(100));
        self.server_events
            .drain(..)
            .filter_map(|event| match event {
                Event::Response { response, .. } => Some(response.code),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn requests_at_server(&self) -> usize {
        let is_request = |event: &&Event<_>| matches!(event, Event::Request { .. });
        self.server_events.iter().filter(is_request).count()
    }

    pub(crate) fn requests_at_device(&self) -> usize {
        let is_request = |event: &&Event<_>| matches!(event, Event::Request { .. });
        self.device_events.iter().filter(is_request).count()
    }
}
