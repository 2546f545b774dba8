//! What devices and strangers send wrong is answered or dropped, and serving goes on.

use std::time::Duration;

use coap::Code;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::{Drover, Options};

use crate::device::{Raw, register_query};

/// Random datagrams sent to each port.
const NOISE: usize = 20_000;

fn query_of(endpoint: &str) -> Vec<String> {
    register_query(endpoint).to_vec()
}

fn register(raw: &mut Raw, query: &[String]) -> Option<Code> {
    let query: Vec<&str> = query.iter().map(String::as_str).collect();
    raw.request(Code::POST, &["rd"], &query, b"</1/0>,</3/0>")
}

#[test]
fn malformed_registrations_are_refused_with_the_code_of_the_specification() {
    let options = Options {
        state_nodes: 1,
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    };
    let drover = Drover::start(&options);
    let mut raw = Raw::connect(&drover.endpoint("/ingress/0/coap"));

    let without = |name: &str| -> Vec<String> {
        query_of("bad")
            .into_iter()
            .filter(|parameter| !parameter.starts_with(name))
            .collect()
    };
    assert_eq!(
        register(&mut raw, &without("ep=")),
        Some(Code::BAD_REQUEST_4_00)
    );
    assert_eq!(
        register(&mut raw, &without("lt=")),
        Some(Code::BAD_REQUEST_4_00)
    );
    assert_eq!(
        register(&mut raw, &without("lwm2m=")),
        Some(Code::BAD_REQUEST_4_00)
    );
    let mut unsupported = without("lwm2m=");
    unsupported.push("lwm2m=9.9".to_owned());
    assert_eq!(
        register(&mut raw, &unsupported),
        Some(Code::PRECONDITION_FAILED_4_12)
    );

    assert_eq!(
        raw.request(Code::POST, &["rd", "0000000000000000beef"], &[], &[]),
        Some(Code::NOT_FOUND_4_04)
    );
    assert_eq!(
        raw.request(Code::DELETE, &["rd", "x"], &[], &[]),
        Some(Code::NOT_FOUND_4_04)
    );
    assert_eq!(
        raw.request(Code::GET, &["rd"], &[], &[]),
        Some(Code::METHOD_NOT_ALLOWED_4_05)
    );
    assert_eq!(
        raw.request(Code::GET, &["nothing"], &[], &[]),
        Some(Code::NOT_FOUND_4_04)
    );
    assert_eq!(drover.devices(), Vec::<String>::new());

    assert_eq!(
        register(&mut raw, &query_of("good")),
        Some(Code::CREATED_2_01)
    );
    drover.wait_for_device("good", Duration::from_secs(10));
}

#[test]
fn noise_on_every_port_disturbs_nobody() {
    let options = Options {
        state_nodes: 1,
        devices: 1,
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    };
    let drover = Drover::start(&options);
    let mut random = ChaCha8Rng::seed_from_u64(0x5eed);
    for port in ["coap", "coaps"] {
        let raw = Raw::connect(&drover.endpoint(&format!("/ingress/0/{port}")));
        let mut bytes = [0; 1400];
        for _ in 0..NOISE {
            let length = random.random_range(0..bytes.len());
            random.fill(&mut bytes[..length]);
            raw.send_bytes(&bytes[..length]);
        }
    }
    let mut raw = Raw::connect(&drover.endpoint("/ingress/0/coap"));
    assert_eq!(
        register(&mut raw, &query_of("after-noise")),
        Some(Code::CREATED_2_01)
    );
    let device = drover
        .devices()
        .into_iter()
        .find(|endpoint| endpoint != "after-noise")
        .unwrap();
    let answer = drover.run(&["read", &device, "/3/0/0"]);
    assert_eq!(answer.code, 0, "{answer:?}");
}
