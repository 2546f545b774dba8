//! A client whose server says whatever it likes.

use dtls::ClientOutput;

use crate::dtls_messages::{Messages, STEPS, as_steps};
use crate::dtls_rig::{Rig, address, client, client_config, next, start};
use crate::script::{Script, secret};

/// It never believes to be connected to a server without the key, and is silent once it has given up.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    let mut client = client(client_config(choice, choice >> 4), secret(data));
    let (mut now, mut messages) = (start(), Messages::starting_at(0));
    let mut ended = false;
    client.start(now);
    while !script.is_over() {
        while let Some(output) = client.poll_output() {
            assert!(!ended);
            match output {
                ClientOutput::Transmit(datagram) => assert!(datagram.len() <= 1200),
                ClientOutput::Failed(_) => ended = true,
                other => panic!("{other:?}"),
            }
        }
        assert!(!client.is_connected());
        match script.byte() % (STEPS + 1) {
            kind if kind < STEPS => {
                let mut datagram = messages.step(kind, &mut script);
                client.handle_datagram(now, &mut datagram);
            }
            _ => {
                if let Some(due) = client.poll_timeout() {
                    now = now.max(due);
                    client.handle_timeout(now);
                }
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    (0..9).map(|choice| seed(choice / 3, choice % 3)).collect()
}

/// What a real server says to such a client.
fn seed(kind: u8, cid: u8) -> Vec<u8> {
    let (mut rig, from) = (Rig::new([0; 32]), address(0));
    let mut client = client(client_config(kind, cid), [0; 32]);
    let mut out = vec![kind | cid << 4];
    client.start(rig.now);
    for _ in 0..3 {
        while let Some(datagram) = Some(next(&mut client)).filter(|it| !it.is_empty()) {
            rig.receive(from, &datagram);
        }
        let flight: Vec<_> = std::mem::take(&mut rig.sent);
        let flight: Vec<_> = flight.into_iter().map(|(_, datagram)| datagram).collect();
        as_steps(&flight, &mut out);
        for mut datagram in flight {
            client.handle_datagram(rig.now, &mut datagram);
        }
    }
    out
}
