//! A client and a server with the fuzzer between them.

use std::time::Duration;

use dtls::{Client, ClientOutput};

use crate::dtls_rig::{Rig, address, client, client_config};
use crate::script::{Script, secret};

/// Longer than a client and a server hold on to a handshake that leads nowhere.
const PATIENCE: Duration = Duration::from_secs(200);

struct Network {
    rig: Rig,
    client: Client,
    /// Under way; true: to the server.
    flying: Vec<(bool, Vec<u8>)>,
    received: Vec<Vec<u8>>,
}

impl Network {
    fn collect(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Transmit(datagram) => self.flying.push((true, datagram)),
                ClientOutput::Plaintext(data) => self.received.push(data),
                _ => {}
            }
        }
        let sent = self.rig.sent.drain(..);
        self.flying
            .extend(sent.map(|(_, datagram)| (false, datagram)));
    }

    fn deliver(&mut self, to_server: bool, mut datagram: Vec<u8>) {
        if to_server {
            self.rig.receive(address(0), &datagram);
        } else {
            self.client.handle_datagram(self.rig.now, &mut datagram);
        }
        self.collect();
    }

    fn pass(&mut self) {
        let due = [self.client.poll_timeout(), self.rig.server.poll_timeout()];
        if let Some(due) = due.into_iter().flatten().min() {
            self.rig.now = self.rig.now.max(due);
            self.client.handle_timeout(self.rig.now);
            self.rig.server.handle_timeout(self.rig.now);
            self.rig.settle();
        }
        self.collect();
    }

    /// Delivers everything, in order and unchanged.
    fn deliver_all(&mut self) {
        self.collect();
        while !self.flying.is_empty() {
            let (to_server, datagram) = self.flying.remove(0);
            self.deliver(to_server, datagram);
        }
    }
}

/// Whatever happens to a handshake, the next one on a network that delivers leads to a session, and only what was sent is
/// received.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    let mut network = Network {
        rig: Rig::new(secret(data)),
        client: client(client_config(choice, choice >> 4), secret(data)),
        flying: Vec::new(),
        received: Vec::new(),
    };
    network.client.start(network.rig.now);
    network.collect();
    while !script.is_over() {
        let step = script.byte();
        match step % 6 {
            0 => network.pass(),
            1 => {
                let _not_connected = network.client.send(b"up");
                network.collect();
            }
            2 => {
                if let Some(session) = network.rig.connected.last() {
                    let _gone = network.rig.server.send(*session, b"down");
                    network.rig.settle();
                }
                network.collect();
            }
            kind => {
                let count = network.flying.len().max(1);
                let index = usize::from(step / 6) % count;
                // 3 delivers, 4 delivers a copy, 5 loses.
                let Some((to_server, mut datagram)) = network.flying.get(index).cloned() else {
                    continue;
                };
                if kind != 4 || network.flying.len() > 64 {
                    network.flying.remove(index);
                }
                if kind != 5 {
                    script.damage(&mut datagram);
                    network.deliver(to_server, datagram);
                }
            }
        }
        assert!(network.rig.server.handshake_count() <= 1);
    }
    network.flying.clear();
    let until = network.rig.now + PATIENCE;
    while !network.client.is_connected() && network.rig.now < until {
        if network.client.poll_timeout().is_none() {
            network.client.start(network.rig.now);
        }
        network.deliver_all();
        if !network.client.is_connected() {
            network.pass();
        }
    }
    assert!(network.client.is_connected(), "no session came about");
    assert!(network.rig.plaintext.iter().all(|data| data == b"up"));
    assert!(network.received.iter().all(|data| data == b"down"));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let clean = [3, 0].repeat(16);
    let seed = |choice: u8, steps: &[u8]| [&[choice], steps].concat();
    vec![
        seed(0, &clean),
        seed(1 | 1 << 4, &clean),
        seed(2 | 2 << 4, &clean),
        seed(0, &[&clean[..], &[1, 2, 3, 0, 3, 0]].concat()),
        seed(0x10, &[3, 0, 3, 0, 3, 0, 3, 1, 0, 40, 9, 0, 0, 3, 0]),
        seed(2, &[3, 0, 3, 0, 3, 0, 9, 0, 4, 0, 5, 0, 15, 0, 3, 0]),
    ]
}
