//! A CoAP client over one UDP socket, made of messages only, so that a test decides every byte.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Token, Type, number};

/// A socket that sends requests to a server.
pub(crate) struct Raw {
    socket: UdpSocket,
    next_id: u16,
}

impl Raw {
    pub(crate) fn connect(server: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .connect(server.parse::<SocketAddr>().unwrap())
            .unwrap();
        Self { socket, next_id: 1 }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        // A refused datagram is the server's way to say that it is gone; the test notices by itself.
        let _refused = self.socket.send(bytes);
    }

    /// Sends a request and returns its message id.
    pub(crate) fn send(
        &mut self,
        code: Code,
        path: &[&str],
        query: &[&str],
        payload: &[u8],
    ) -> MessageId {
        let id = MessageId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.send_bytes(&encode(id, code, path, query, payload));
        id
    }

    /// The next message of the server within `limit`.
    pub(crate) fn receive(&self, limit: Duration) -> Option<Message> {
        let mut buffer = [0; 2048];
        self.socket
            .set_read_timeout(Some(limit.max(Duration::from_millis(1))))
            .unwrap();
        let length = self.socket.recv(&mut buffer).ok()?;
        coap::decode(&buffer[..length]).ok()
    }

    /// Sends a request, repeats it as a device does, and returns the answer's code.
    pub(crate) fn request(
        &mut self,
        code: Code,
        path: &[&str],
        query: &[&str],
        payload: &[u8],
    ) -> Option<Code> {
        let id = self.send(code, path, query, payload);
        let bytes = encode(id, code, path, query, payload);
        let mut wait = Duration::from_secs(2);
        for _ in 0..4 {
            let deadline = Instant::now() + wait;
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                match self.receive(left) {
                    Some(message) if message.kind == Type::Reset && message.id == id => {
                        return None;
                    }
                    Some(message) if is_answer(&message, id) => {
                        self.acknowledge(&message);
                        return Some(message.code);
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            self.send_bytes(&bytes);
            wait *= 2;
        }
        None
    }

    /// Acknowledges a separate response.
    pub(crate) fn acknowledge(&self, message: &Message) {
        if message.kind == Type::Confirmable {
            self.send_bytes(
                &Message::new(Type::Acknowledgement, Code::EMPTY, message.id).to_datagram(),
            );
        }
    }
}

/// Whether a message answers the request with this id; its token is the id.
pub(crate) fn is_answer(message: &Message, id: MessageId) -> bool {
    message.code.is_response() && message.token.as_bytes() == id.0.to_be_bytes()
}

/// A confirmable request whose token is its message id.
pub(crate) fn encode(
    id: MessageId,
    code: Code,
    path: &[&str],
    query: &[&str],
    payload: &[u8],
) -> Vec<u8> {
    let mut message = Message::new(Type::Confirmable, code, id);
    message.token = Token::new(&id.0.to_be_bytes()).unwrap();
    for segment in path {
        message.options.push(number::URI_PATH, segment.as_bytes());
    }
    message.options.push_uint(number::CONTENT_FORMAT, 40);
    for parameter in query {
        message
            .options
            .push(number::URI_QUERY, parameter.as_bytes());
    }
    message.payload = payload.to_vec();
    message.to_datagram()
}

/// The query of a Register.
pub(crate) fn register_query(endpoint: &str) -> [String; 4] {
    [
        format!("ep={endpoint}"),
        "lt=86400".to_owned(),
        "lwm2m=1.1".to_owned(),
        "b=U".to_owned(),
    ]
}
