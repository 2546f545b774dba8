//! Datagrams to a server that has sessions: forged, damaged and repeated ones.

use dtls::Client;

use crate::dtls_rig::{Rig, address, client, client_config, next};
use crate::script::{Script, put_chunk, secret};

/// Only what a client has sealed gets through, each record once; nothing else ends a session, moves it, starts anything
/// or is answered by more bytes than it has.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let secret = secret(data);
    let mut rig = Rig::new(secret);
    // One is found by its Connection ID, the other by its address.
    let mut clients: [Client; 2] = [
        client(client_config(0, 1), secret),
        client(client_config(0, 0), secret.map(|byte| !byte)),
    ];
    for (port, client) in clients.iter_mut().enumerate() {
        rig.connect(client, address(port as u8));
    }
    let mut sealed = 0;
    let mut recorded = Vec::new();
    while !script.is_over() {
        let step = script.byte();
        let from = address(step >> 4 & 3);
        let mut datagram = match step % 4 {
            0 => script.chunk().to_vec(),
            1 | 2 => {
                let client = &mut clients[usize::from(step % 4 == 2)];
                let text = script.chunk();
                if text.is_empty() || client.send(text).is_err() {
                    continue;
                }
                sealed += 1;
                recorded.push(next(client));
                recorded.last().cloned().unwrap_or_default()
            }
            _ => {
                let which = usize::from(script.byte());
                let Some(datagram) = recorded.get(which) else {
                    continue;
                };
                datagram.clone()
            }
        };
        script.damage(&mut datagram);
        let (in_before, out_before) = (datagram.len(), rig.bytes_out);
        rig.receive(from, &datagram);
        let answered = rig.bytes_out - out_before;
        assert!(answered <= in_before, "{answered} bytes for {in_before}");
        assert!(rig.plaintext.len() <= sealed);
        assert!(rig.moved <= sealed);
        assert_eq!(rig.server.handshake_count(), 0, "without a cookie");
        assert_eq!((rig.server.session_count(), rig.stored), (2, 2));
        assert!(rig.closed.is_empty());
        rig.sent.clear();
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut hello = client(client_config(2, 2), [0; 32]);
    hello.start(crate::dtls_rig::start());
    let hello = next(&mut hello);
    let step = |step: u8, chunk: &[u8], more: &[u8]| {
        let mut out = vec![step];
        put_chunk(&mut out, chunk);
        out.extend(more);
        out
    };
    vec![
        step(0, &hello, &[0]),
        [
            step(1, b"GET", &[0]),
            step(0x22, b"POST", &[0]),
            step(0x12, b"POST", &[0]),
            vec![0x33, 0, 0],
            vec![3, 0, 1, 0, 12, 1],
        ]
        .concat(),
        [step(1, b"x", &[16, 0, 2, 1, 1]), step(2, b"y", &[8, 0, 20])].concat(),
        step(
            0,
            &[21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 0],
            &[0],
        ),
    ]
}
