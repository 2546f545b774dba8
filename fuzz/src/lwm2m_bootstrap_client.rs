//! A device that asks for its accounts, with a bootstrap server that says anything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Type};
use lwm2m::{ContentFormat, EndpointName, LwM2mVersion, Path, Value};
use lwm2m_client::bootstrap::{
    BootstrapClient, BootstrapConfig, BootstrapEvent, BootstrapOutput, DiscoverForm, Misbehaviour,
    PackUse,
};

use crate::coap_messages::{answer, path, payload, request};
use crate::dtls_rig::start;
use crate::script::{Script, put_chunk};

const FORMS: [DiscoverForm; 4] = [
    DiscoverForm::Old,
    DiscoverForm::New,
    DiscoverForm::Slashes,
    DiscoverForm::Refused,
];

const PACKS: [PackUse; 4] = [
    PackUse::Never,
    PackUse::First(ContentFormat::SENML_CBOR),
    PackUse::First(ContentFormat::SENML_JSON),
    PackUse::First(ContentFormat::LWM2M_CBOR),
];

/// What one input leads to: an answer and an event, or an end and a new beginning.
const MAX_OUTPUTS: usize = 16;
const MAX_ASKED: usize = 8;

struct Rig {
    now: Instant,
    client: BootstrapClient,
    asked: VecDeque<Message>,
    last_id: MessageId,
}

impl Rig {
    /// A device by one byte.
    fn new(choice: u8) -> Self {
        let endpoint = EndpointName::new("device").expect("a name");
        let misbehaviour = match choice >> 5 {
            1 => Misbehaviour::Inconsistent { times: 1 },
            2 => Misbehaviour::RefusesWrite(Path::Object(1)),
            3 => Misbehaviour::Silent { after: 3 },
            _ => Misbehaviour::None,
        };
        let config = BootstrapConfig {
            version: if choice & 16 == 0 {
                LwM2mVersion::V1_2
            } else {
                LwM2mVersion::V1_0
            },
            pack: PACKS[usize::from(choice & 3)],
            discover: FORMS[usize::from(choice >> 2 & 3)],
            preferred_format: Some(ContentFormat::SENML_CBOR),
            misbehaviour,
            ..BootstrapConfig::new(endpoint, "coap://bs.example")
        };
        let mut rig = Self {
            now: start(),
            client: BootstrapClient::new(config, 1),
            asked: VecDeque::new(),
            last_id: MessageId(0),
        };
        rig.start();
        rig
    }

    fn start(&mut self) {
        self.client.start(self.now);
        self.settle();
    }

    fn hear(&mut self, datagram: &[u8]) {
        self.client.handle_datagram(self.now, datagram);
        self.settle();
    }

    fn pass(&mut self, until: Instant) {
        self.now = self.now.max(until);
        self.client.handle_timeout(self.now);
        let due = self.client.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now), "due again at once");
        self.settle();
    }

    fn settle(&mut self) {
        let mut count = 0;
        while let Some(output) = self.client.poll_output() {
            count += 1;
            match output {
                BootstrapOutput::Transmit(datagram) => {
                    self.sent(coap::decode(&datagram).expect("a message of its own"));
                }
                BootstrapOutput::Send(_) => panic!("there is no stream"),
                BootstrapOutput::Event(BootstrapEvent::Finished { accounts }) => {
                    assert!(!accounts.is_empty(), "an account at least");
                    assert_eq!(self.client.accounts(), Some(accounts));
                }
                BootstrapOutput::Event(_) => {}
            }
        }
        assert!(count <= MAX_OUTPUTS, "{count} outputs");
    }

    fn sent(&mut self, message: Message) {
        self.last_id = message.id;
        if message.code.is_request() && !self.asked.contains(&message) {
            if self.asked.len() >= MAX_ASKED {
                self.asked.pop_front();
            }
            self.asked.push_back(message);
        }
    }
}

/// Whatever the server writes, a device that is done has accounts that make sense.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut rig = Rig::new(script.byte());
    while !script.is_over() {
        step(&mut rig, &mut script);
    }
    for _ in 0..20 {
        if let Some(due) = rig.client.poll_timeout() {
            rig.pass(due);
        }
    }
}

/// A step: its kind in the low four bits; of a request, its method in the others.
fn step(rig: &mut Rig, script: &mut Script<'_>) {
    let step = script.byte();
    match step & 15 {
        0 => rig.hear(script.chunk()),
        1..=5 => {
            let path = path(script);
            let segments: Vec<String> = path.segments().map(|id| id.to_string()).collect();
            let method = Code::from_byte(1 + (step >> 4) % 8);
            let mut message = request(script, method, &segments);
            message.payload = payload(script, path);
            rig.hear(&message.to_datagram());
        }
        6 => {
            let message = request(script, Code::POST, &["bs".to_owned()]);
            rig.hear(&message.to_datagram());
        }
        7 | 8 => {
            let which = usize::from(script.byte());
            if let Some(asked) = rig.asked.iter().rev().nth(which).cloned() {
                let answer = answer(script, &asked);
                rig.hear(&answer.to_datagram());
            }
        }
        9 => {
            if let Some(due) = rig.client.poll_timeout() {
                rig.pass(due);
            }
        }
        10 => {
            let passed = Duration::from_millis(u64::from(script.number()) * 8);
            rig.pass(rig.now + passed);
        }
        11 => rig.start(),
        12 => {
            let message = Message::new(Type::Acknowledgement, Code::EMPTY, rig.last_id);
            rig.hear(&message.to_datagram());
        }
        // An account without security: its Security and its Server instance.
        13 => account(rig, script.byte()),
        _ => {
            let message = Message::new(Type::Reset, Code::EMPTY, rig.last_id);
            rig.hear(&message.to_datagram());
        }
    }
}

/// Writes the two instances of an account; of the number, some bits are the instances and one leaves something out.
fn account(rig: &mut Rig, number: u8) {
    let (security, server) = (u16::from(number & 3), u16::from(number >> 2 & 3));
    let short = i64::from(number >> 4 & 7);
    let instance = [
        (0, Value::String("coap://m.example".to_owned())),
        (1, Value::Boolean(false)),
        (2, Value::Integer(3)),
        (10, Value::Integer(short)),
    ];
    let own = [
        (0, Value::Integer(short)),
        (1, Value::Integer(300)),
        (7, Value::String("U".to_owned())),
    ];
    let less = usize::from(number >> 7);
    for (id, (path, values)) in [
        (Path::ObjectInstance(0, security), &instance[less..]),
        (Path::ObjectInstance(1, server), &own[..]),
    ]
    .into_iter()
    .enumerate()
    {
        let entries: Vec<lwm2m::Entry> = values
            .iter()
            .filter_map(|(id, value)| Some(lwm2m::Entry::new(path.child(*id)?, value.clone())))
            .collect();
        let id = 0x7000 + u16::from(number) * 2 + id as u16;
        let mut message = Message::new(Type::Confirmable, Code::PUT, MessageId(id));
        for segment in path.segments() {
            let segment = segment.to_string();
            message
                .options
                .push(coap::number::URI_PATH, segment.as_bytes());
        }
        message.options.push_uint(
            coap::number::CONTENT_FORMAT,
            u32::from(ContentFormat::TLV.0),
        );
        message.payload =
            lwm2m::encode(ContentFormat::TLV, path, &entries).expect("values of an instance");
        rig.hear(&message.to_datagram());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    // 2.04 to the last request, and Finish.
    let accepted = [7, 0, 0, 1, 255, 0];
    let finish = [6, 0, 2, 2, 2];
    let discover = [1, 3, 4, 1, 0, 1, 8, 0];
    let delete = [1 | 3 << 4, 15, 0, 1, 1, 1, 0];
    let read = [1, 9, 0, 1, 2, 1, 0];
    let mut raw = vec![0];
    put_chunk(&mut raw, &[0x40, 2, 0, 1, 0xb2, b'b', b's']);
    let seed = |choice: u8, steps: &[&[u8]]| [&[choice][..], &steps.concat()].concat();
    let mut seeds = vec![
        seed(0, &[&accepted, &raw]),
        seed(0, &[&accepted, &discover, &delete, &[13, 0x11], &finish]),
        seed(
            4,
            &[&accepted, &discover, &[13, 0x15], &read, &finish, &finish],
        ),
        seed(0x28, &[&accepted, &[13, 0x11], &finish, &[6, 0, 2, 3, 3]]),
        seed(0, &[&accepted, &finish, &[9, 9, 9, 11]]),
        seed(
            0,
            &[&[7, 0, 0, 15, 255, 0], &accepted, &[13, 0x91], &finish],
        ),
        seed(0, &[&[7, 0, 0, 18, 255, 0, 9, 11]]),
    ];
    for (choice, format) in [(1, 1), (2, 2), (3, 4)] {
        // 2.05 with a pack of some values.
        let pack = [
            7, 0, 0, 0, format, 4, format, 2, 0, 1, 1, 2, 0, 1, 0, 0, 0, 0, 1,
        ];
        seeds.push(seed(choice, &[&pack, &accepted, &[13, 0x11], &finish]));
    }
    seeds
}
