//! A device without a Connection ID, which no other node can find, comes back by its session id.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Type, number};
use dtls::{
    CidOffer, Client, ClientConfig, ClientOutput, ClientResumption, HandshakeFailure,
    HandshakeKind, Psk,
};
use rustix::process::Signal;
use tests::{Drover, Options, free_address, kill, metric};

use crate::device::{encode, is_answer};
use crate::fleet::{SOON, ask};

const NAME: &str = "returner";
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const NEW_KEY: &str = "0f0e0d0c0b0a09080706050403020100";
/// How long a request waits before it is repeated (RFC 7252 §4.8).
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn a_device_without_connection_id_resumes_at_another_node() {
    let drover = Drover::start(&Options::default());
    drover.add_psk(NAME, NAME, KEY);
    let (coaps, admin) = (
        drover.endpoint("/ingress/0/coaps"),
        drover.endpoint("/ingress/0/admin"),
    );
    let mut first = Device::new(&coaps, None);
    assert_eq!(first.connect(), Ok(HandshakeKind::Full));
    let registration = first.register();
    let resumption = first.client.resumption().cloned();
    assert!(resumption.is_some());

    // Its address has changed.
    let mut second = Device::new(&coaps, resumption.clone());
    assert_eq!(second.connect(), Ok(HandshakeKind::Abbreviated));
    second.update(&registration);
    assert_eq!(resumptions(&admin), (2, 1));

    kill(drover.pid("/ingress/0/pid"), Signal::KILL).unwrap();
    let admin = free_address();
    let _successor = drover.start_ingress(&coaps, &admin, &[], "successor");
    let mut third = Device::new(&coaps, resumption.clone());
    assert_eq!(third.connect(), Ok(HandshakeKind::Abbreviated));
    third.update(&registration);
    assert_eq!(resumptions(&admin), (1, 1));

    // A credential that is gone, or whose key is another one, resumes nothing.
    ask(&drover, &["credentials", "remove", "--psk-identity", NAME]);
    let refused = Device::new(&coaps, resumption.clone()).connect();
    assert!(refused.is_err(), "{refused:?}");
    drover.add_psk(NAME, NAME, NEW_KEY);
    let refused = Device::new(&coaps, resumption).connect();
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(resumptions(&admin), (1, 1));
}

/// Handshakes that led to a session, and those of them that resumed one.
fn resumptions(admin: &str) -> (u64, u64) {
    let count = |name| metric(admin, name) as u64;
    (
        count("drover_ingress_handshakes_total"),
        count("drover_ingress_resumptions_total"),
    )
}

/// A device that asks for a session by its id.
struct Device {
    socket: UdpSocket,
    client: Client,
    next_id: u16,
}

impl Device {
    fn new(server: &str, resumption: Option<ClientResumption>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        let wait = Some(Duration::from_millis(20));
        socket.set_read_timeout(wait).unwrap();
        let key = Psk::new(&hex::decode(KEY).unwrap()).unwrap();
        let config = ClientConfig {
            cid: CidOffer::None,
            ..ClientConfig::new(NAME.as_bytes().to_vec(), key)
        };
        Self {
            socket,
            client: Client::new(config.with_resumption(resumption), rand::random()),
            next_id: 1,
        }
    }

    fn connect(&mut self) -> Result<HandshakeKind, HandshakeFailure> {
        self.client.start(Instant::now());
        match self.next(Instant::now() + SOON) {
            Some(ClientOutput::Connected { how, .. }) => Ok(how),
            Some(ClientOutput::Failed(reason)) => Err(reason),
            other => panic!("no handshake within {SOON:?}: {other:?}"),
        }
    }

    /// What happens next, if it does before the deadline.
    fn next(&mut self, deadline: Instant) -> Option<ClientOutput> {
        let mut buffer = [0; 2048];
        while Instant::now() < deadline {
            while let Some(output) = self.client.poll_output() {
                match output {
                    ClientOutput::Transmit(datagram) => {
                        // A server that is gone is noticed by its silence.
                        let _refused = self.socket.send(&datagram);
                    }
                    other => return Some(other),
                }
            }
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.client
                    .handle_datagram(Instant::now(), &mut buffer[..length]);
            }
            self.client.handle_timeout(Instant::now());
        }
        None
    }

    /// The answer to a request, which is repeated until then.
    fn request(&mut self, path: &[&str], query: &[&str], payload: &[u8]) -> Message {
        let id = MessageId(self.next_id);
        self.next_id += 1;
        let request = encode(id, Code::POST, path, query, payload);
        let until = Instant::now() + SOON;
        while Instant::now() < until {
            self.client.send(&request).unwrap();
            let deadline = Instant::now() + ACK_TIMEOUT;
            while let Some(output) = self.next(deadline) {
                let ClientOutput::Plaintext(data) = output else {
                    panic!("{path:?}: {output:?}");
                };
                let message = coap::decode(&data).unwrap();
                if message.kind == Type::Confirmable {
                    let empty = Message::new(Type::Acknowledgement, Code::EMPTY, message.id);
                    self.client.send(&empty.to_datagram()).unwrap();
                }
                if is_answer(&message, id) {
                    return message;
                }
            }
        }
        panic!("{path:?}: no answer within {SOON:?}");
    }

    /// The registration's path.
    fn register(&mut self) -> Vec<String> {
        let name = format!("ep={NAME}");
        let query = [&name[..], "lt=300", "lwm2m=1.1", "b=U"];
        let answer = self.request(&["rd"], &query, b"</1/0>,</3/0>");
        assert_eq!(answer.code, Code::CREATED_2_01);
        let location = answer
            .options
            .iter()
            .filter(|(option, _)| *option == number::LOCATION_PATH);
        location
            .map(|(_, segment)| String::from_utf8(segment.to_vec()).unwrap())
            .collect()
    }

    /// The registration goes on in this session.
    fn update(&mut self, registration: &[String]) {
        let path: Vec<&str> = registration.iter().map(String::as_str).collect();
        let answer = self.request(&path, &[], b"");
        assert_eq!(answer.code, Code::CHANGED_2_04);
    }
}
