//! Nothing that devices send, or do not send, breaks the engine, and every bootstrap ends exactly once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Token, Type, number};
use device_state::Timestamp;
use lwm2m_client::bootstrap::{BootstrapClient, BootstrapOutput as ClientOutput};
use lwm2m_server::Now;
use lwm2m_server::bootstrap::{
    BootstrapConfig, BootstrapEngine, BootstrapId, BootstrapPlan, PrepareError,
};
use proptest::prelude::*;

use super::pair::{Output, client_config, engine, origin};
use super::plans::{every_account, plan, psk};

/// What happens to the engine.
#[derive(Clone, Debug)]
enum Happening {
    Bytes(u8, Vec<u8>),
    Request(u8, Message),
    /// A device answers the oldest request that it has not answered.
    Answer(u8, Code, Option<u16>, Vec<u8>),
    Prepared(Result<bool, PrepareError>),
    Forget(u8),
    Pass(u16),
}

fn message() -> impl Strategy<Value = Message> {
    let path = prop::sample::select(vec!["bs", "bspack", "rd", "", "0"]);
    let query = prop::collection::vec("(ep|pct|x)(=(device-1|112|9|a))?", 0..3);
    let accept = prop::option::of(prop::sample::select(vec![0_u32, 110, 112, 11_542, 11_544]));
    let head = (any::<u16>(), 0_u8..8, any::<bool>());
    let payload = prop::collection::vec(any::<u8>(), 0..16);
    (head, path, query, accept, payload).prop_map(|(head, path, query, accept, payload)| {
        let (id, method, confirmable) = head;
        let kind = if confirmable {
            Type::Confirmable
        } else {
            Type::NonConfirmable
        };
        // Most are Bootstrap-Requests.
        let method = Code::from_byte(if method > 4 { 2 } else { method });
        let mut message = Message::new(kind, method, MessageId(id));
        message.token = Token::new(&id.to_be_bytes()).unwrap();
        message.options.push(number::URI_PATH, path.as_bytes());
        for argument in &query {
            message.options.push(number::URI_QUERY, argument.as_bytes());
        }
        if let Some(accept) = accept {
            message.options.push_uint(number::ACCEPT, accept);
        }
        message.payload = payload;
        message
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let code = prop_oneof![
        6 => prop::sample::select(vec![
            Code::CHANGED_2_04,
            Code::DELETED_2_02,
            Code::CONTENT_2_05,
            Code::NOT_ACCEPTABLE_4_06,
            Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
            Code::NOT_FOUND_4_04,
        ]),
        1 => (64_u8..).prop_map(Code::from_byte),
    ];
    let links = prop_oneof![
        Just(b"lwm2m=\"1.1\",</0/0>,</0/1>;ssid=1".to_vec()),
        Just(b"</>;lwm2m=1.2,</0/1/>,</21/0>,</4>".to_vec()),
        prop::collection::vec(any::<u8>(), 0..32),
    ];
    let format = prop::option::of(prop::sample::select(vec![0_u16, 40, 112, 11_542]));
    let prepared = prop_oneof![
        4 => any::<bool>().prop_map(Ok),
        1 => prop::sample::select(vec![
            PrepareError::UnknownEndpoint,
            PrepareError::NotAllowed,
            PrepareError::Unavailable,
        ]).prop_map(Err),
    ];
    prop_oneof![
        1 => (0_u8..3, prop::collection::vec(any::<u8>(), 0..24)).prop_map(|(peer, bytes)| Happening::Bytes(peer, bytes)),
        4 => (0_u8..3, message()).prop_map(|(peer, message)| Happening::Request(peer, message)),
        8 => (0_u8..3, code, format, links).prop_map(|(peer, code, format, payload)| Happening::Answer(peer, code, format, payload)),
        5 => prepared.prop_map(Happening::Prepared),
        1 => (0_u8..3).prop_map(Happening::Forget),
        2 => (0_u16..300).prop_map(Happening::Pass),
    ]
}

struct World {
    began: Instant,
    now: Instant,
    engine: BootstrapEngine<u8>,
    preparing: Vec<BootstrapId>,
    /// Requests of the engine that are not answered.
    asked: Vec<(u8, Message)>,
    /// How often each bootstrap has ended.
    ends: BTreeMap<BootstrapId, u32>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            now,
            engine: engine(BootstrapConfig {
                max_bootstraps: 2,
                ..BootstrapConfig::default()
            }),
            preparing: Vec::new(),
            asked: Vec::new(),
            ends: BTreeMap::new(),
        }
    }

    fn clock(&self) -> Now {
        Now {
            instant: self.now,
            wall: Timestamp((self.now - self.began).as_millis() as u64),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Bytes(peer, bytes) => self.hear(peer, &bytes),
            Happening::Request(peer, message) => self.hear(peer, &message.to_datagram()),
            Happening::Answer(peer, code, format, payload) => {
                let Some(index) = self.asked.iter().position(|(to, _)| *to == peer) else {
                    return;
                };
                let (_, request) = self.asked.remove(index);
                let mut answer = Message::new(Type::Acknowledgement, code, request.id);
                answer.token = request.token;
                if let Some(format) = format {
                    answer
                        .options
                        .push_uint(number::CONTENT_FORMAT, format.into());
                }
                answer.payload = payload;
                self.hear(peer, &answer.to_datagram());
            }
            Happening::Prepared(result) => self.prepare(result),
            Happening::Forget(peer) => self.engine.forget_peer(self.clock(), peer),
            Happening::Pass(seconds) => self.pass(Duration::from_secs(seconds.into())),
        }
        self.settle();
    }

    fn hear(&mut self, peer: u8, datagram: &[u8]) {
        let identity = [b'a' + peer / 2];
        self.engine
            .handle_datagram(self.clock(), peer, &origin(&identity), datagram);
    }

    fn prepare(&mut self, result: Result<bool, PrepareError>) {
        if self.preparing.is_empty() {
            return;
        }
        let id = self.preparing.remove(0);
        let result = result.map(|packs| BootstrapPlan {
            packs,
            ..plan(&every_account())
        });
        self.engine.handle_prepared(self.clock(), id, result);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.clock());
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    let message = coap::decode(&datagram).unwrap();
                    if message.code.is_request() && message.kind == Type::Confirmable {
                        self.asked.push((peer, message));
                    }
                }
                Output::Prepare { id, .. } => {
                    assert_eq!(self.ends.insert(id, 0), None);
                    self.preparing.push(id);
                }
                Output::Ended { id, .. } => *self.ends.get_mut(&id).unwrap() += 1,
                _ => {}
            }
        }
        let open = self.ends.values().filter(|ends| **ends == 0).count();
        assert_eq!(open, self.engine.bootstrap_count());
        assert!(open <= 2);
    }
}

proptest! {
    #[test]
    fn every_bootstrap_ends_exactly_once(happenings in prop::collection::vec(happening(), 1..120)) {
        let mut world = World::new();
        for happening in happenings {
            world.happen(happening);
        }
        world.pass(Duration::from_secs(300));
        prop_assert!(world.ends.values().all(|ends| *ends == 1), "{:?}", world.ends);
        prop_assert_eq!(world.engine.bootstrap_count(), 0);
    }

    #[test]
    fn a_device_survives_any_bootstrap_server(messages in prop::collection::vec((message(), any::<bool>()), 1..40)) {
        let now = Instant::now();
        let mut client = BootstrapClient::new(client_config(), 1);
        client.start(now);
        let mut sent = 0;
        for (mut message, is_finish) in messages {
            if is_finish {
                message.code = Code::POST;
            }
            client.handle_datagram(now, &message.to_datagram());
            client.handle_datagram(now, &message.payload);
            while let Some(output) = client.poll_output() {
                sent += usize::from(matches!(output, ClientOutput::Transmit(_)));
            }
        }
        // One request of its own, and no more than two answers to a datagram and its payload.
        prop_assert!(sent <= 1 + 40 * 2);
        prop_assert_eq!(client.accounts(), None);
        prop_assert!(plan(&[psk()]).validate().is_ok());
    }
}
