//! OSCORE: the option, a server with a context, and a device whose server is anyone.

use std::net::SocketAddr;

use coap::{Code, Endpoint, Event, Message, MessageId, Type};
use oscore::{
    Algorithm, Carried, Client, ClientOutput, Config, ContextState, Disposition, OscoreOption,
    Output, Secrets, Server,
};

use crate::dtls_rig::{address, start};
use crate::script::{Script, put_chunk, secret};

/// Of the server and of the device.
fn secrets(master_secret: &[u8]) -> [Secrets<'_>; 2] {
    let server = Secrets {
        algorithm: Algorithm::AesCcm16_64_128,
        master_secret,
        master_salt: b"salt",
        id_context: None,
        sender_id: b"srv",
        recipient_id: b"dev",
    };
    let device = Secrets {
        sender_id: b"dev",
        recipient_id: b"srv",
        ..server
    };
    [server, device]
}

struct Pair {
    server: Server<SocketAddr>,
    client: Client,
    /// Above the server: copies are its business.
    engine: Endpoint<()>,
    /// What the device has protected, and the server, in order.
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
    /// Requests that reached the top.
    served: usize,
    handed_down: usize,
}

impl Pair {
    fn new(master_secret: &[u8]) -> Self {
        let [server_state, device_state] = secrets(master_secret)
            .map(|secrets| ContextState::never_used(&secrets).expect("secrets of good lengths"));
        let mut server = Server::new(Config::default(), [1; 32]);
        server.import(server_state, 1).expect("the first context");
        let client = Client::new(Config::default(), device_state, 1, [2; 32]);
        Self {
            server,
            client: client.expect("a context"),
            engine: Endpoint::new(coap::Config::default(), 1),
            up: Vec::new(),
            down: Vec::new(),
            served: 0,
            handed_down: 0,
        }
    }

    /// Bytes that the server transmits for an input.
    fn settle(&mut self) -> usize {
        let mut transmitted = 0;
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { message, .. } => {
                    let datagram = datagram(message);
                    transmitted += datagram.len();
                    self.down.push(datagram);
                }
                Output::Inner { message, .. } => {
                    let datagram = datagram(message);
                    assert!(coap::decode(&datagram).is_ok(), "a message of its own");
                    self.engine.handle_datagram(start(), (), &datagram);
                }
                Output::Renamed { .. } => panic!("addresses go on where they were"),
                Output::UnknownContext { peer, request, .. } => {
                    self.server.refuse_unknown(start(), peer, &request);
                }
            }
        }
        while let Some(output) = self.engine.poll_output() {
            let is_request = matches!(output, coap::Output::Event(Event::Request { .. }));
            self.served += usize::from(is_request);
        }
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Transmit(message) => self.up.push(datagram(message)),
                ClientOutput::Inner(message) => {
                    let message = coap::decode(&datagram(message)).expect("a message of its own");
                    self.handed_down += usize::from(message.code.is_request());
                }
            }
        }
        transmitted
    }

    fn to_server(&mut self, from: SocketAddr, datagram: &[u8]) {
        let disposition = self.server.handle_datagram(start(), from, datagram);
        let transmitted = self.settle();
        if disposition == Disposition::Plain {
            assert_eq!(transmitted, 0);
        }
        // An error with Echo has at most a header, 8 bytes of token, and the option.
        assert!(transmitted <= datagram.len() + 64);
    }
}

/// What came as a datagram goes as one.
fn datagram(message: Carried) -> Vec<u8> {
    match message {
        Carried::Datagram(datagram) => datagram,
        Carried::Message(message) => panic!("{message:?} on no stream"),
    }
}

/// A request is served at most once for each that the device protected, whatever becomes of it on the way; the context
/// stays.
pub fn run(data: &[u8]) {
    if let Ok(option) = OscoreOption::decode(data) {
        assert_eq!(option.encode(), data);
    }
    let mut script = Script::new(data);
    let mut pair = Pair::new(&secret(data));
    let context = pair.server.len();
    while !script.is_over() {
        let step = script.byte();
        let from = address(step >> 6);
        match step % 6 {
            0 => pair.to_server(from, script.chunk()),
            1 => {
                let datagram = script.chunk();
                pair.client.handle_datagram(start(), datagram);
                pair.settle();
            }
            2 => {
                let _not_protected = pair.client.send(start(), script.chunk());
                pair.settle();
            }
            3 => {
                let which = usize::from(script.byte());
                if let Some(mut datagram) = pair.up.get(which).cloned() {
                    script.damage(&mut datagram);
                    pair.to_server(from, &datagram);
                }
            }
            4 => {
                let which = usize::from(script.byte());
                if let Some(mut datagram) = pair.down.get(which).cloned() {
                    script.damage(&mut datagram);
                    pair.client.handle_datagram(start(), &datagram);
                    pair.settle();
                }
            }
            _ => {
                let message = protected(script.chunk());
                pair.to_server(from, &message);
            }
        }
        assert_eq!(pair.server.len(), context);
        assert!(pair.served <= pair.up.len());
        assert_eq!(pair.handed_down, 0, "the server has asked nothing");
    }
}

/// A request with this OSCORE option.
fn protected(option: &[u8]) -> Vec<u8> {
    let mut message = Message::new(Type::Confirmable, Code::POST, MessageId(1));
    message.options.push(oscore::OSCORE, option);
    message.payload = vec![0; 20];
    message.to_datagram()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let get = Message::new(Type::Confirmable, Code::GET, MessageId(7)).to_datagram();
    let step = |step: u8, chunk: &[u8]| {
        let mut out = vec![step];
        put_chunk(&mut out, chunk);
        out
    };
    vec![
        [step(2, &get), vec![3, 0, 0, 3, 0, 0, 3, 0, 1, 0, 9, 1]].concat(),
        [step(2, &get), vec![3, 0, 0, 4, 0, 0]].concat(),
        step(5, b"\x09\x05dev"),
        step(5, b"\x19\x05\x02ctdev"),
        step(0, &protected(b"\x09\x05dev")),
        step(1, &protected(b"\x01\x05")),
        b"\x09\x05\x25".to_vec(),
    ]
}
