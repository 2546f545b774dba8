//! A simulated device with a server that says anything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use coap::reliable::Capabilities;
use coap::{Code, Message, MessageId, Reliability, Type, number};
use lwm2m::{ContentFormat, EndpointName, LwM2mVersion, Path, Value};
use lwm2m_client::{Config, Device, Event, Fault, Output, Profile, ProfileId};

use crate::coap_messages::{answer, path, payload, pick, request};
use crate::dtls_rig::start;
use crate::script::{Script, put_chunk};

const RELEASES: [LwM2mVersion; 3] = [LwM2mVersion::V1_1, LwM2mVersion::V1_2, LwM2mVersion::V1_0];

const FAULTS: [Fault; 7] = [
    Fault::SwallowsComposite,
    Fault::NeverAnswers(Path::Object(3)),
    Fault::AnswersAfter(Duration::from_millis(1500)),
    Fault::MislabelsFormat(ContentFormat::TLV),
    Fault::IgnoresAccept,
    Fault::OmitsObserve,
    Fault::IgnoresReset,
];

const QUERIES: [&[&str]; 8] = [
    &[],
    &["pmin=1", "pmax=60"],
    &["gt=20", "lt=10", "st=1"],
    &["depth=3"],
    &["pmin", "pmax"],
    &["con=1", "edge=1"],
    &["hqmax=2", "epmin=1"],
    &["depth=9"],
];

/// More than one input leads to: an answer, what became of it, and a notification of each observation.
const MAX_OUTPUTS: usize = 160;
const MAX_OBSERVATIONS: usize = 32;
const MAX_ASKED: usize = 8;

struct Rig {
    now: Instant,
    device: Device,
    on_stream: bool,
    /// Requests of the device.
    asked: VecDeque<Message>,
    last_id: MessageId,
    booted: bool,
}

impl Rig {
    /// A device of a release, with some fault, by one byte.
    fn new(choice: u8) -> Self {
        let version = RELEASES[usize::from(choice % 3)];
        let faults = Vec::from_iter(pick(&FAULTS, choice / 3 & 15));
        let profile_id = (choice & 32 != 0).then(|| ProfileId {
            id: "6:1".to_owned(),
            besides: vec![3],
        });
        let on_stream = choice & 64 != 0;
        let binding = match (on_stream, choice & 128 != 0) {
            (true, _) => "T",
            (false, true) => "UQ",
            (false, false) => "U",
        };
        let endpoint = EndpointName::new("device").expect("a name");
        let config = Config {
            version,
            profile: Profile::full("device"),
            faults,
            profile_id,
            binding: binding.parse().expect("a binding"),
            notifications: Reliability::Confirmable,
            ..Config::new(endpoint)
        };
        let mut rig = Self {
            now: start(),
            device: Device::new(config, 1),
            on_stream,
            asked: VecDeque::new(),
            last_id: MessageId(0),
            booted: true,
        };
        rig.start();
        rig.registered();
        rig
    }

    fn start(&mut self) {
        self.booted = false;
        if self.on_stream {
            let capabilities = Capabilities::default();
            self.device.start_on_stream(self.now, capabilities);
        } else {
            self.device.start(self.now);
        }
        self.settle();
    }

    /// The Register is answered as a server does that takes it.
    fn registered(&mut self) {
        if let Some(asked) = self.asked.back().cloned() {
            let mut answer = Message::new(Type::Acknowledgement, Code::CREATED_2_01, asked.id);
            answer.token = asked.token;
            answer.options.push(number::LOCATION_PATH, b"rd");
            answer.options.push(number::LOCATION_PATH, b"a1");
            self.hear(answer);
        }
    }

    fn hear(&mut self, mut message: Message) {
        if self.on_stream {
            // As a frame is read: it has no type.
            message.kind = Type::NonConfirmable;
            self.device.handle_message(self.now, message);
        } else {
            let datagram = message.to_datagram();
            self.device.handle_datagram(self.now, &datagram);
        }
        self.settle();
    }

    fn hear_bytes(&mut self, bytes: &[u8]) {
        if !self.on_stream {
            self.device.handle_datagram(self.now, bytes);
            self.settle();
        } else if let Ok(Some((message, _))) = coap::reliable::decode(bytes, 4096) {
            self.hear(message);
        }
    }

    fn pass(&mut self, until: Instant) {
        self.now = self.now.max(until);
        // It goes down, comes up and falls asleep one after the other.
        for _ in 0..8 {
            self.device.handle_timeout(self.now);
            self.settle();
            if self.device.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
        }
        panic!("due again and again");
    }

    fn settle(&mut self) {
        let mut count = 0;
        while let Some(output) = self.device.poll_output() {
            count += 1;
            match output {
                Output::Transmit(datagram) => {
                    assert!(!self.on_stream, "a datagram on a stream");
                    self.sent(coap::decode(&datagram).expect("a message of its own"));
                }
                Output::Send(message) => {
                    assert!(self.on_stream, "there is no stream");
                    self.sent(message);
                }
                Output::Event(Event::Booted) => self.booted = true,
                _ => {}
            }
        }
        assert!(count <= MAX_OUTPUTS, "{count} outputs");
        assert!(self.device.observation_count() <= MAX_OBSERVATIONS);
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

/// What a server says leads to few outputs, and at no moment is something due without end.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut rig = Rig::new(script.byte());
    while !script.is_over() {
        step(&mut rig, &mut script);
    }
    for _ in 0..20 {
        if let Some(due) = rig.device.poll_timeout() {
            rig.pass(due);
        }
    }
}

/// A step: its kind in the low four bits; of a request, its method in the others.
fn step(rig: &mut Rig, script: &mut Script<'_>) {
    let step = script.byte();
    match step & 15 {
        0 => rig.hear_bytes(script.chunk()),
        1..=6 => ask(rig, Code::from_byte(1 + (step >> 4) % 8), script),
        7 => {
            let which = usize::from(script.byte());
            if let Some(asked) = rig.asked.iter().rev().nth(which).cloned() {
                let answer = answer(script, &asked);
                rig.hear(answer);
            }
        }
        8 => {
            if let Some(due) = rig.device.poll_timeout() {
                rig.pass(due);
            }
        }
        9 => {
            let passed = Duration::from_millis(u64::from(script.number()) * 8);
            rig.pass(rig.now + passed);
        }
        10 => {
            let kind = match script.byte() & 1 {
                0 => Type::Acknowledgement,
                _ => Type::Reset,
            };
            rig.hear(Message::new(kind, Code::EMPTY, rig.last_id));
        }
        11 => {
            let value = Value::Float(f64::from(script.number()));
            let path = Path::Resource(3303, 0, 5700);
            let _no_such_resource = rig.device.set_value(rig.now, path, value);
            rig.settle();
        }
        12 => {
            let _not_sent = rig.device.send(rig.now, &[path(script)]);
            rig.settle();
        }
        13 => rig.registered(),
        14 if rig.booted => {
            rig.start();
            rig.registered();
        }
        _ => rig
            .device
            .set_wall_clock(rig.now, i64::from(script.number())),
    }
}

/// A request for a path: its query by a byte, then what every request has, then the payload.
fn ask(rig: &mut Rig, method: Code, script: &mut Script<'_>) {
    let path = path(script);
    let query = pick(&QUERIES, script.byte());
    let segments: Vec<String> = path.segments().map(|id| id.to_string()).collect();
    let mut message = request(script, method, &segments);
    for parameter in query.unwrap_or_default() {
        message
            .options
            .push(number::URI_QUERY, parameter.as_bytes());
    }
    message.payload = payload(script, path);
    rig.hear(message);
}

pub fn seeds() -> Vec<Vec<u8>> {
    // Step 1, with the method above it.
    const GET: u8 = 0x01;
    const POST: u8 = 0x11;
    const PUT: u8 = 0x21;
    const DELETE: u8 = 0x31;
    const FETCH: u8 = 0x41;
    const IPATCH: u8 = 0x61;
    // Method, path, query, shape, id, token; then formats and the payload.
    let ask = |method: u8, path: u8, query: u8, shape: u8, id: u8, rest: &[u8]| {
        [&[method, path, query, shape, 1, id, id], rest].concat()
    };
    let read = ask(GET, 1, 0, 4, 1, &[3, 0]);
    let observe = ask(GET, 4, 1, 8, 2, &[0, 0]);
    let attributes = ask(PUT, 4, 2, 0, 3, &[0]);
    let write = ask(
        PUT,
        11,
        0,
        2,
        4,
        &[0, 1, 0, 6, b'+', b'0', b'1', b':', b'0', b'0'],
    );
    let lifetime = ask(POST, 8, 0, 2, 5, &[3, 4, 3, 1, 1, 0, 1, 44]);
    let reboot = ask(POST, 13, 0, 0, 6, &[0]);
    let create = ask(POST, 6, 0, 2, 7, &[3, 4, 3, 0]);
    let delete = ask(DELETE, 5, 0, 0, 8, &[0]);
    let composite = ask(
        FETCH,
        3,
        0,
        2 | 4 | 8,
        9,
        &[1, 1, 0, 4, 1, 1, 3, 0, 9, 0, 0, 0],
    );
    let patch = ask(IPATCH, 3, 0, 2, 10, &[1, 4, 1, 1, 3, 0, 14, 3, 0, 1, b'x']);
    let discover = ask(GET, 2, 3, 4, 11, &[8, 0]);
    let mut package = ask(PUT, 12, 0, 2, 12, &[7, 1]);
    put_chunk(&mut package, b"sim-firmware 2.0.0\nrest");
    let mut raw = vec![0];
    put_chunk(&mut raw, &[0x40, 1, 0, 1, 0xb1, b'3', 1, b'0']);
    let with = |choice: u8, steps: &[&[u8]]| [&[choice][..], &steps.concat()].concat();
    vec![
        with(0, &[&raw, &read, &write, &lifetime, &discover]),
        with(
            1,
            &[
                &observe,
                &attributes,
                &[11, 0, 9, 9, 1, 0, 10, 0, 11, 0, 30, 10, 1],
            ],
        ),
        with(2, &[&create, &delete, &read, &[8, 8]]),
        with(1, &[&composite, &patch, &[11, 0, 9, 8, 8]]),
        with(64, &[&observe, &read, &[11, 0, 9], &composite]),
        with(0, &[&reboot, &[8, 8, 8, 14], &read]),
        with(128, &[&observe, &[9, 255, 255, 8, 8], &read]),
        with(0, &[&package, &[8, 8], &ask(POST, 12, 0, 0, 13, &[0])]),
        with(0, &[&[12, 0, 7, 0, 0, 1, 255, 0, 8, 7, 0, 0, 9, 255, 0]]),
        with(33, &[&[7, 0, 0, 6, 255, 0], &[13], &read]),
    ]
}
