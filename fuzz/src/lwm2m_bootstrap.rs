//! The bootstrap engine with devices that say anything and plans of every kind.

use std::time::Duration;

use coap::{Code, Message, Type, number};
use lwm2m::Path;
use lwm2m_server::bootstrap::{
    AccessControl, AccountSecurity, BootstrapPlan, BootstrapWrite, CertificateUse, KeyMaterial,
    MatchingType, OscoreAccount, PrepareError, ServerAccount, ServerCertificate,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::bootstrap_rig::BootstrapRig;
use crate::coap_messages::{LINKS, answer, entries, path, pick, request};
use crate::engine_rig::NAMES;
use crate::script::{Script, put_chunk};

/// Query parameters besides the name.
const QUERIES: [&[&str]; 6] = [
    &[],
    &["pct=112"],
    &["pct=11542"],
    &["pct=11544"],
    &["pct=60"],
    &["pct=110", "pct=110"],
];

/// Every bootstrap ends once, a key goes only to its device and after the answer, and all stays within bounds.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut rig = BootstrapRig::new();
    while !script.is_over() {
        step(&mut rig, &mut script);
    }
    rig.conclude();
}

/// A step: its kind in the low four bits, then two bits for whom it is about.
fn step(rig: &mut BootstrapRig, script: &mut Script<'_>) {
    let step = script.byte();
    let peer = step >> 4 & 3;
    match step & 15 {
        0 => rig.hear_bytes(peer, script.chunk()),
        1 => ask(rig, peer, script),
        2..=5 => {
            let which = usize::from(script.byte());
            let asked = rig.asked.iter().rev().nth(which).cloned();
            if let Some((to, asked)) = asked {
                let answer = answer(script, &asked);
                rig.hear(to, answer);
            }
        }
        6 | 7 => rig.prepare(|key| plan(script, key)),
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
        11 => rig.open(peer),
        12 => {
            let kind = match script.byte() & 1 {
                0 => Type::Acknowledgement,
                _ => Type::Reset,
            };
            let id = rig.last_ids[usize::from(peer)];
            rig.hear(peer, Message::new(kind, Code::EMPTY, id));
        }
        // The last request is answered as a device does that has everything.
        _ => {
            if let Some((to, asked)) = rig.asked.back().cloned() {
                rig.hear(to, obedient(&asked));
            }
        }
    }
}

/// Bootstrap-Request or Bootstrap-Pack-Request.
fn ask(rig: &mut BootstrapRig, peer: u8, script: &mut Script<'_>) {
    let choice = script.byte();
    let (method, path) = match choice & 1 {
        0 => (Code::POST, "bs"),
        _ => (Code::GET, "bspack"),
    };
    let mut message = request(script, method, &[path.to_owned()]);
    let name = pick(&NAMES, choice >> 1 & 7);
    let name = name.map(|name| format!("ep={name}"));
    let others = pick(&QUERIES, choice >> 4).unwrap_or_default();
    for parameter in name
        .iter()
        .map(String::as_str)
        .chain(others.iter().copied())
    {
        message
            .options
            .push(number::URI_QUERY, parameter.as_bytes());
    }
    rig.hear(peer, message);
}

fn obedient(asked: &Message) -> Message {
    let code = match asked.code {
        Code::GET => Code::CONTENT_2_05,
        Code::DELETE => Code::DELETED_2_02,
        _ => Code::CHANGED_2_04,
    };
    let mut answer = Message::new(Type::Acknowledgement, code, asked.id);
    answer.token = asked.token;
    if let Some(block) = asked.options.first(number::BLOCK1) {
        answer.options.push(number::BLOCK1, block);
        if block.last().is_some_and(|last| last & 8 != 0) {
            answer.code = Code::CONTINUE_2_31;
        }
    }
    if asked.code == Code::GET {
        answer.payload = LINKS[3].as_bytes().to_vec();
    }
    answer
}

fn security(kind: u8, key: &[u8; 16]) -> AccountSecurity {
    let secret = KeyMaterial::new(key.to_vec());
    match kind & 3 {
        0 => AccountSecurity::NoSec,
        1 => AccountSecurity::Psk {
            identity: b"device".to_vec(),
            key: secret,
        },
        2 => AccountSecurity::RawPublicKey {
            public_key: vec![1; 91],
            private_key: secret,
            server_public_key: vec![2; 91],
        },
        _ => AccountSecurity::Certificate {
            certificate: vec![3; 300],
            private_key: secret,
            server: ServerCertificate {
                data: vec![4; 32],
                matching_type: Some(MatchingType::Sha256),
                certificate_use: Some(CertificateUse::DomainIssuedCertificate),
                sni: Some("server.example".to_owned()),
            },
        },
    }
}

/// Accounts, by a byte each; then what is to be otherwise than they have it.
fn plan(script: &mut Script<'_>, key: &[u8; 16]) -> Result<BootstrapPlan, PrepareError> {
    let choice = script.byte();
    let accounts: Vec<_> = (0..choice & 3)
        .map(|number| account(script.byte(), number.into(), key))
        .collect();
    let access = AccessControl {
        instance: 0,
        object: 3,
        object_instance: 0,
        rights: vec![(1, 7), (2, 1)],
        owner: 1,
    };
    let access: &[_] = if choice & 4 == 0 { &[] } else { &[access] };
    let mut plan = BootstrapPlan::new(&accounts, access, &mut ChaCha8Rng::seed_from_u64(1));
    match choice >> 3 {
        0 => {}
        1 => plan.reads = vec![Path::Object(1), Path::ObjectInstance(2, 0)],
        2 => plan.discover = false,
        3 => plan.packs = false,
        4 => plan.deletes.push(path(script)),
        5 => plan.reads.push(path(script)),
        6 => {
            let path = path(script);
            let values = entries(script, path);
            plan.writes.push(BootstrapWrite { path, values });
        }
        7 => return Err(PrepareError::UnknownEndpoint),
        8 => return Err(PrepareError::NotAllowed),
        9 => return Err(PrepareError::Unavailable),
        _ => plan.deletes = vec![Path::Root],
    }
    Ok(plan)
}

/// Its security in two bits, OSCORE in one, its instances in two each.
fn account(kind: u8, number: u16, key: &[u8; 16]) -> ServerAccount {
    let mut account = ServerAccount::new("coaps://a.example", number + 1, security(kind, key));
    account.security_instance = u16::from(kind >> 3 & 3);
    account.server_instance = number + u16::from(kind >> 5 & 3);
    account.oscore = (kind & 4 != 0).then(|| OscoreAccount {
        instance: number,
        master_secret: KeyMaterial::new(key.to_vec()),
        master_salt: Some(KeyMaterial::new(vec![5; 8])),
        sender_id: b"dev".to_vec(),
        recipient_id: b"srv".to_vec(),
        id_context: Some(vec![6; 4]),
        aead_algorithm: Some(10),
        hmac_algorithm: Some(-10),
    });
    account
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut raw = vec![0];
    put_chunk(&mut raw, &[0x40, 2, 0, 1, 0xb2, b'b', b's']);
    // Peer, choice, shape, id and token of a request; the accounts of its plan.
    let begin = |peer: u8, choice: u8, plan: &[u8]| {
        [&[1 | peer << 4, choice, 0, 0, 1, 9, 6], plan].concat()
    };
    let obey = [15; 24];
    let seed = |begin: Vec<u8>, then: &[u8]| [begin, then.to_vec()].concat();
    vec![
        seed(raw, &[6, 0]),
        seed(begin(0, 0, &[1, 1]), &obey),
        seed(begin(2, 2, &[2, 2, 7]), &obey),
        seed(begin(1, 0x10, &[1 | 1 << 3, 15]), &obey),
        seed(begin(0, 1, &[1, 1]), &obey),
        seed(begin(2, 1, &[1 | 3 << 3, 5]), &begin(2, 0, &[1, 5])),
        // Discover refused, a write refused for its format, Finish refused twice.
        seed(
            begin(0, 0, &[1 | 4, 9]),
            &[
                2, 0, 0, 10, 255, 0, 15, 15, 15, 2, 0, 0, 15, 255, 0, 15, 15, 15, 2, 0, 0, 11, 255,
                0, 15, 15, 15, 15, 15, 15, 2, 0, 0, 11, 255, 0,
            ],
        ),
        // No plan in time, a plan that is refused, and another device in between.
        seed(begin(0, 0, &[7 << 3]), &begin(1, 0, &[6 << 3, 3, 0])),
        seed(vec![1, 0, 0, 0, 1, 9, 9, 255, 255], &begin(0, 0, &[1, 1])),
        seed(begin(0, 0, &[1, 1]), &[15, 15, 10, 9, 255, 255, 8]),
        // The answer travels in a message of its own, and is acknowledged.
        [&[1, 0, 0, 0, 1, 9, 9, 1, 0][..], &[6, 1, 1, 12, 0], &obey].concat(),
    ]
}
