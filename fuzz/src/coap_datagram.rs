//! CoAP datagrams: the codec, and an endpoint that serves several peers.

use std::time::{Duration, Instant};

use coap::{
    BlockSize, Code, Config, Endpoint, Event, ExchangeId, Message, MessageId, Output, Request,
    Response, Type, decode, number,
};

use crate::dtls_rig::start;
use crate::script::{Script, put_chunk};

/// Small, so that the bounds are met.
fn config() -> Config {
    Config {
        max_body: 4096,
        block_size: BlockSize::B64,
        max_peers: 3,
        max_exchanges: 4,
        max_exchanges_per_peer: 2,
        max_requests: 4,
        max_requests_per_peer: 2,
        max_remembered: 16,
        max_remembered_bytes: 4096,
        max_body_bytes: 8192,
        max_transfers_per_peer: 2,
        max_observations_per_peer: 2,
        ..Config::default()
    }
}

struct Rig {
    now: Instant,
    endpoint: Endpoint<u8>,
    asked: Vec<ExchangeId>,
    transmitted: usize,
}

impl Rig {
    fn settle(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => {
                    assert!(decode(&datagram).is_ok(), "{datagram:?}");
                    self.transmitted += 1;
                }
                Output::Event(Event::Request { exchange, .. }) => self.asked.push(exchange),
                Output::Event(Event::Notification {
                    receipt: Some(receipt),
                    ..
                }) => self.endpoint.acknowledge(receipt),
                Output::Event(_) => {}
                Output::Send { .. } => panic!("no peer is on a stream"),
            }
        }
    }
}

/// A message that can be read is written back as one that reads the same; an endpoint keeps to its bounds and answers a
/// datagram by few.
pub fn run(data: &[u8]) {
    if let Ok(message) = decode(data) {
        assert_eq!(decode(&message.to_datagram()), Ok(message));
    }
    let mut script = Script::new(data);
    let mut rig = Rig {
        now: start(),
        endpoint: Endpoint::new(config(), 1),
        asked: Vec::new(),
        transmitted: 0,
    };
    while !script.is_over() {
        step(&mut rig, &mut script);
        rig.settle();
        let (bounds, endpoint) = (config(), &rig.endpoint);
        assert!(endpoint.peer_count() <= bounds.max_peers);
        assert!(endpoint.remembered_count() <= bounds.max_remembered);
        assert!(endpoint.exchange_count() <= bounds.max_exchanges + bounds.max_requests);
        assert!(endpoint.body_bytes() <= bounds.max_body_bytes);
    }
}

fn step(rig: &mut Rig, script: &mut Script<'_>) {
    let step = script.byte();
    let peer = step >> 5;
    match step % 8 {
        0..4 => {
            let before = rig.transmitted;
            rig.endpoint.handle_datagram(rig.now, peer, script.chunk());
            rig.settle();
            assert!(rig.transmitted - before <= 4, "for one datagram");
        }
        4 => {
            let path = String::from_utf8_lossy(script.chunk()).into_owned();
            let mut request = Request::new(Code::from_byte(1 + script.byte() % 7), [path]);
            request.payload = vec![b'x'; usize::from(script.number() % 600)];
            request.observe = (step & 8 != 0).then_some(0);
            let _refused = rig.endpoint.send_request(rig.now, peer, request);
        }
        5 => {
            if let Some(exchange) = rig.asked.pop() {
                let mut response = Response::new(Code::from_byte(0x40 | script.byte() & 0x7F));
                response.payload = vec![b'x'; usize::from(script.number() % 600)];
                rig.endpoint.respond(rig.now, exchange, response);
            }
        }
        6 => {
            rig.now += Duration::from_millis(u64::from(script.number()) * 8);
            rig.endpoint.handle_timeout(rig.now);
        }
        _ => rig.endpoint.forget_peer(peer),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let message = |code: Code, id: u16, option: Option<(u16, u32)>| {
        let mut message = Message::new(Type::Confirmable, code, MessageId(id));
        if let Some((number, value)) = option {
            message.options.push_uint(number, value);
        }
        message.payload = vec![b'y'; 64];
        message.to_datagram()
    };
    let take = |datagram: &[u8]| {
        let mut out = vec![0];
        put_chunk(&mut out, datagram);
        out
    };
    let upload: Vec<u8> = (0..3u16)
        .flat_map(|at| {
            // RFC 7959 §2.2: the number, whether more follow, and 64 bytes.
            let block = u32::from(at) << 4 | u32::from(at < 2) << 3 | 2;
            take(&message(Code::PUT, at, Some((number::BLOCK1, block))))
        })
        .collect();
    let get = message(Code::GET, 9, None);
    let observe = message(Code::GET, 10, Some((number::OBSERVE, 0)));
    vec![
        [take(&get), take(&get), vec![5, 5, 2, 0], take(&get)].concat(),
        [upload, vec![5, 4, 0, 0]].concat(),
        [take(&observe), vec![5, 5, 0, 9, 6, 1, 0]].concat(),
        vec![12, 0, 1, b'3', 0, 1, 0, 6, 2, 0, 7],
        get,
    ]
}
