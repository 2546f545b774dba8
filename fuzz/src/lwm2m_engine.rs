//! The server engine with devices that say anything, a state tier that may fail, and operations.

use std::time::Duration;

use coap::reliable::Capabilities;
use coap::{Code, Message, Type, number};
use device_state::{Command, DeviceName, Namespace};
use lwm2m::{NotificationAttributes, Observed, RegistrationId};

use crate::coap_messages::{answer, notification, path, payload, pick, request};
use crate::engine_rig::{EngineRig, NAMES, name, observes};
use crate::operation::operation;
use crate::script::{Script, put_chunk};

/// Query parameters of Register and Update; the name comes besides.
const QUERIES: [&[&str]; 8] = [
    &["lwm2m=1.1", "lt=300", "b=U"],
    &["lwm2m=1.2", "lt=86400", "b=U", "Q"],
    &["lwm2m=1.0", "lt=60", "b=UQ"],
    &["lwm2m=1.2", "lt=0", "b=T"],
    &["lt=4294967295"],
    &["lwm2m=1.2", "pid=1"],
    &["lwm2m=2.0"],
    &[],
];

/// Every operation ends once, every commit is asked for once, and what the engine does and holds stays within bounds.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut rig = EngineRig::new();
    while !script.is_over() {
        step(&mut rig, &mut script);
    }
    rig.conclude();
}

/// A step: its kind in the low four bits, then two bits for whom it is about.
fn step(rig: &mut EngineRig, script: &mut Script<'_>) {
    let step = script.byte();
    let peer = step >> 4 & 3;
    match step & 15 {
        0 => rig.hear_bytes(peer, script.chunk()),
        1 => uplink(rig, peer, script),
        2 => {
            if let Some((to, asked)) = chosen(rig, script) {
                let answer = answer(script, &asked);
                rig.hear(to, answer);
            }
        }
        3 => notify(rig, script),
        4 | 5 => {
            let choice = script.byte();
            let at = usize::from(choice >> 4) % rig.commits.len().max(1);
            rig.end_commit(at, choice);
        }
        6 | 7 => {
            if let Some(registration) = registration(rig, script.byte()) {
                let operation = operation(script);
                rig.operate(&registration, operation);
            }
        }
        8 => {
            if let Some(due) = rig.engine.poll_timeout() {
                rig.pass(due);
            }
        }
        9 => {
            let passed = Duration::from_millis(u64::from(script.number()) * 8);
            rig.pass(rig.now + passed);
        }
        10 => rig.forget(peer),
        11 => {
            let which = usize::from(script.byte());
            let tag = rig.running.iter().nth(which).copied();
            if let Some(tag) = tag {
                rig.cancel(tag);
            }
        }
        12 => hold(rig, script),
        13 => rig.take_on(),
        14 => {
            let kind = match script.byte() & 1 {
                0 => Type::Acknowledgement,
                _ => Type::Reset,
            };
            let id = rig.last_ids[usize::from(peer)];
            rig.hear(peer, Message::new(kind, Code::EMPTY, id));
        }
        _ => {
            let capabilities = Capabilities {
                max_message_size: usize::from(script.number()),
                bert: step & 64 != 0,
            };
            rig.open(peer, capabilities);
        }
    }
}

/// One of the requests that the engine has sent, the last one for 0.
fn chosen(rig: &EngineRig, script: &mut Script<'_>) -> Option<(u8, Message)> {
    let which = usize::from(script.byte());
    rig.asked.iter().rev().nth(which).cloned()
}

fn registration(rig: &EngineRig, which: u8) -> Option<RegistrationId> {
    let mut newest_first = rig.registrations.iter().rev();
    newest_first.nth(usize::from(which)).cloned()
}

/// Register, Update, De-register or Send, by the low bits of a byte; the others are for the name or the registration.
fn uplink(rig: &mut EngineRig, peer: u8, script: &mut Script<'_>) {
    let choice = script.byte();
    let own = registration(rig, choice >> 2 & 7);
    let own = own.map_or_else(|| "0000".to_owned(), |id| id.as_str().to_owned());
    let (method, path) = match choice & 3 {
        0 => (Code::POST, vec!["rd".to_owned()]),
        1 => (Code::POST, vec!["rd".to_owned(), own]),
        2 => (Code::DELETE, vec!["rd".to_owned(), own]),
        _ => (Code::POST, vec!["dp".to_owned()]),
    };
    let mut message = request(script, method, &path);
    if choice & 3 < 2 {
        let query = pick(&QUERIES, script.byte());
        for parameter in query.unwrap_or_default() {
            message
                .options
                .push(number::URI_QUERY, parameter.as_bytes());
        }
    }
    if choice & 3 == 0
        && let Some(name) = pick(&NAMES, choice >> 2)
    {
        let parameter = format!("ep={name}");
        message
            .options
            .push(number::URI_QUERY, parameter.as_bytes());
    }
    message.payload = payload(script, lwm2m::Path::Root);
    rig.hear(peer, message);
}

fn notify(rig: &mut EngineRig, script: &mut Script<'_>) {
    let which = usize::from(script.byte());
    let mut observing = rig.asked.iter().rev().filter(|(_, asked)| observes(asked));
    if let Some((to, asked)) = observing.nth(which).cloned() {
        let notification = notification(script, &asked);
        rig.hear(to, notification);
    }
}

/// The state tier wants a path of an endpoint to be observed.
fn hold(rig: &mut EngineRig, script: &mut Script<'_>) {
    let endpoint = pick(&NAMES, script.byte()).unwrap_or(NAMES[0]);
    let lease_until = rig.clock().wall.saturating_add(Duration::from_hours(1));
    rig.apply(Command::HoldObservation {
        endpoint: DeviceName::new(&Namespace::default(), &name(endpoint)),
        observed: Observed::Path(path(script)),
        parameters: NotificationAttributes::default(),
        holder: 1,
        lease_until,
    });
}

/// Steps of a seed. The bytes are those that [`step`] reads.
struct Seed(Vec<u8>);

impl Seed {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn then(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A confirmable Register of a name with a query and a list of links, all by their places in the tables; the commit
    /// succeeds.
    fn register(self, peer: u8, named: u8, query: u8, links: u8) -> Self {
        let id = self.0.len() as u8;
        let uplink = [1 | peer << 4, named << 2, 0, 1, id, id, query, 2, links];
        self.then(&uplink).then(&[4, 0])
    }

    fn operate(self, operation: &[u8]) -> Self {
        self.then(&[6, 0]).then(operation)
    }

    /// The last request is answered with a code and values of one path.
    fn answer(self, shape: u8, code: u8, more: &[u8]) -> Self {
        self.then(&[2, 0, shape, code]).then(more)
    }
}

/// A payload of one number, which follows, in this format, for a path that is a resource.
fn number_in(label: u8, format: u8) -> [u8; 5] {
    [label, 4, format, 1, 0]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let read = [0, 0, u8::MAX];
    let mut raw = vec![0];
    put_chunk(&mut raw, &[0x40, 1, 0, 1, 0xb2, b'r', b'd']);
    let registered = |peer: u8, query: u8| Seed::new().register(peer, peer, query, 0);
    let seeds = [
        Seed::new().then(&raw),
        // Read: answered in text, in TLV labelled as SenML JSON, with a refusal.
        registered(0, 0)
            .operate(&read)
            .answer(0, 0, &number_in(0, 0))
            .then(&[0, 7])
            .operate(&read)
            .answer(0, 0, &number_in(3, 2))
            .then(&[0, 7])
            .operate(&read)
            .answer(0, 9, &[u8::MAX, 0]),
        // Observed, notified, and cancelled.
        registered(0, 1)
            .operate(&[4, 0, 9])
            .answer(4, 0, &[0, 1])
            .then(&number_in(0, 0))
            .then(&[0, 5, 3, 0, 0, 0, 0, 2, 0, 2])
            .then(&number_in(0, 0))
            .then(&[0, 6, 4, 0])
            .operate(&[7, 0])
            .then(&[8, 8]),
        // On a stream, an Observe-Composite that the device does not know.
        registered(2, 1)
            .operate(&[5, 2, 0, 4, 9])
            .answer(0, 10, &[u8::MAX, 0])
            .answer(4, 0, &[0, 1])
            .then(&number_in(0, 0))
            .then(&[0, 5]),
        // Write block-wise, execute, create, composite.
        registered(0, 0)
            .operate(&[1, 12, 0, 1, 4, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])
            .answer(0, 1, &[u8::MAX, 0])
            .operate(&[2, 13, 0])
            .answer(2, 1, &[0, 9, u8::MAX, 0])
            .operate(&[11, 6, 1, 1, 1, 0, 0, 4])
            .answer(16, 2, &[5, u8::MAX, 0])
            .operate(&[15])
            .answer(0, 0, &[1, 4, 1, 1, 3, 0, 9, 0, 0, 1]),
        {
            let mut package = vec![1, 12, 0, 1, 4];
            put_chunk(&mut package, &[7; 200]);
            registered(0, 0)
                .operate(&package)
                .answer(0, 4, &[u8::MAX, 0])
                .answer(0, 4, &[u8::MAX, 0])
                .answer(0, 1, &[u8::MAX, 0])
        },
        // Held observations, an Update from elsewhere, a look-up.
        Seed::new()
            .then(&[12, 2, 0, 12, 2, 4])
            .register(0, 2, 0, 0)
            .then(&[1 | 2 << 4, 1, 0, 2, 0, 9, 0, 0, 4, 0, 10])
            .then(&[1, 1, 0, 3, 0, 9, 0, 0, 4, 0, 13]),
        // Early operations, an end of the session, a failed commit.
        Seed::new()
            .then(&[1, 0, 0, 1, 1, 1, 0, 2, 0])
            .operate(&read)
            .then(&[10, 4, 0, 9, 255, 255, 8, 8])
            .register(1, 0, 0, 0),
        // Send and De-register.
        registered(0, 0)
            .then(&[1, 3, 2, 7, 7, 7, 1, 4, 1, 1, 3, 0, 9, 0, 0, 1, 4, 0])
            .then(&[1, 2, 0, 9, 9, 9, 0, 4, 0]),
    ];
    seeds.into_iter().map(|seed| seed.0).collect()
}
