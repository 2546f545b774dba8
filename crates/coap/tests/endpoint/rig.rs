//! One endpoint under test; the test plays its peers by hand-made messages.

use std::time::{Duration, Instant};

use coap::{
    Block, BlockSize, Code, Config, Endpoint, Event, ExchangeId, Message, MessageId, Output,
    Request, Response, Token, Type, decode, number,
};

pub(crate) const PEER: u8 = 1;

pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) endpoint: Endpoint<u8>,
    sent: Vec<Message>,
    events: Vec<Event<u8>>,
    /// How often the endpoint said that a message was sent again, and that one came again.
    pub(crate) again: (usize, usize),
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let endpoint = Endpoint::new(config, 1);
        Self {
            now: Instant::now(),
            endpoint,
            sent: Vec::new(),
            events: Vec::new(),
            again: (0, 0),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => self.sent.push(decode(&datagram).unwrap()),
                Output::Send { message, .. } => self.sent.push(message),
                Output::Event(Event::SentAgain { peer: PEER }) => self.again.0 += 1,
                Output::Event(Event::HeardAgain { peer: PEER }) => self.again.1 += 1,
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// What was sent since the last call.
    pub(crate) fn sent(&mut self) -> Vec<Message> {
        self.drain();
        std::mem::take(&mut self.sent)
    }

    /// The one message sent since the last call.
    pub(crate) fn one_sent(&mut self) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// What happened since the last call.
    pub(crate) fn events(&mut self) -> Vec<Event<u8>> {
        self.drain();
        std::mem::take(&mut self.events)
    }

    pub(crate) fn one_event(&mut self) -> Event<u8> {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    pub(crate) fn receive(&mut self, message: &Message) {
        self.receive_bytes(&message.to_datagram());
    }

    pub(crate) fn receive_bytes(&mut self, datagram: &[u8]) {
        self.endpoint.handle_datagram(self.now, PEER, datagram);
    }

    /// Lets time pass, handling every timeout in between when it is due.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
        }
        self.now = end;
    }

    pub(crate) fn send(&mut self, request: Request) -> ExchangeId {
        self.endpoint.send_request(self.now, PEER, request).unwrap()
    }

    pub(crate) fn respond(&mut self, exchange: ExchangeId, response: Response) {
        self.endpoint.respond(self.now, exchange, response);
    }

    /// The exchange and request of the one event, which is a request.
    pub(crate) fn one_request(&mut self) -> (ExchangeId, Request) {
        match self.one_event() {
            Event::Request {
                exchange, request, ..
            } => (exchange, request),
            other => panic!("{other:?}"),
        }
    }

    /// The response of the one event.
    pub(crate) fn one_response(&mut self) -> Response {
        match self.one_event() {
            Event::Response { response, .. } => response,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn con(code: Code, id: u16) -> Message {
    let mut message = Message::new(Type::Confirmable, code, MessageId(id));
    message.token = Token::new(&[0xaa, 1]).unwrap();
    message
}

pub(crate) fn get(id: u16, path: &str) -> Message {
    let mut message = con(Code::GET, id);
    message.options.push(number::URI_PATH, path.as_bytes());
    message
}

/// A response in the acknowledgement of `request`.
pub(crate) fn ack(request: &Message, code: Code) -> Message {
    let mut message = Message::new(Type::Acknowledgement, code, request.id);
    message.token = request.token;
    message
}

pub(crate) fn empty(kind: Type, request: &Message) -> Message {
    Message::new(kind, Code::EMPTY, request.id)
}

pub(crate) fn with_block(
    mut message: Message,
    number: u16,
    (at, more, size): (u32, u32, u32),
) -> Message {
    let exponent = size.ilog2() - 4;
    message
        .options
        .push_uint(number, at << 4 | more << 3 | exponent);
    message
}

pub(crate) fn block_of(message: &Message, number: u16) -> Option<(u32, bool, usize)> {
    let block = Block::from_value(message.options.first(number)?)?;
    Some((block.number, block.more, block.size.bytes()))
}

pub(crate) fn uint_of(message: &Message, number: u16) -> Option<u32> {
    let value = message.options.first(number)?;
    Some(
        value
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
    )
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

pub(crate) fn small_blocks(size: BlockSize) -> Config {
    Config {
        block_size: size,
        ..Config::default()
    }
}

pub(crate) fn content(payload: &[u8]) -> Response {
    Response {
        payload: payload.to_vec(),
        ..Response::new(Code::CONTENT_2_05)
    }
}
