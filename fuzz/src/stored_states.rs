//! What one node stores and another goes on with: DTLS sessions, what they are resumed from, OSCORE contexts.

use std::net::SocketAddr;

use dtls::{ConnectionId, ResumptionExport, ResumptionId, SessionExport};
use oscore::{Algorithm, Carried, Config, ContextState, Secrets, Server};

use crate::dtls_rig::{Rig, address, client, client_config};
use crate::script::{Script, put_chunk};

/// The content type of RFC 9146 §4.
const TLS12_CID: u8 = 25;

/// A byte for what it is, the bytes of it as a chunk, then a message that claims to be of it. What can be read is written
/// as something that reads the same, and can be gone on with.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = script.byte();
    let stored = script.chunk();
    let message = script.rest();
    match kind % 4 {
        0 => session(stored, message),
        1 => {
            if let Ok(export) = ResumptionExport::decode(stored) {
                let written = export.encode();
                assert_eq!(*written, stored);
                assert_eq!(
                    ResumptionId::from_bytes(export.id.as_bytes()),
                    Some(export.id)
                );
            }
        }
        2 => context(stored, message),
        _ => {
            if let Some(cid) = ConnectionId::from_bytes(stored) {
                assert_eq!(cid.as_bytes(), stored);
            }
        }
    }
}

fn session(stored: &[u8], message: &[u8]) {
    let Ok(export) = SessionExport::decode(stored) else {
        return;
    };
    let written = export.encode();
    assert_eq!(SessionExport::decode(&written).as_ref(), Ok(&export));
    let message = first_record(message);
    let authentic = export.authenticates(message);
    let mut rig = Rig::new([0; 32]);
    let Some(generation) = export.generation.checked_add(1) else {
        return;
    };
    let session = rig.server.import(rig.now, export, generation);
    let session = session.expect("the first session");
    rig.receive(address(1), message);
    assert!(authentic || rig.plaintext.is_empty());
    if let Some(released) = rig.server.release(session) {
        assert_eq!(released.generation, generation);
        let written = released.encode();
        assert_eq!(SessionExport::decode(&written), Ok(released));
    }
}

/// Of a datagram of records with Connection IDs of ours. Records after a forged one may be authentic.
fn first_record(datagram: &[u8]) -> &[u8] {
    const HEADER: usize = 13 + ConnectionId::LENGTH;
    let length = match datagram {
        [TLS12_CID, ..] => datagram.get(HEADER - 2..HEADER),
        _ => None,
    };
    length.map_or(datagram, |length| {
        let end = HEADER + usize::from(u16::from_be_bytes([length[0], length[1]]));
        datagram.get(..end).unwrap_or(datagram)
    })
}

fn context(stored: &[u8], message: &[u8]) {
    let Ok(state) = ContextState::decode(stored) else {
        return;
    };
    assert_eq!(*state.encode(), stored);
    let state = state.with_window(message);
    let carried = Carried::Datagram(message.to_vec());
    let _whose = state.authenticates(&carried);
    let mut server: Server<SocketAddr> = Server::new(Config::default(), [1; 32]);
    if let Some(generation) = state.generation().checked_add(1)
        && server.import(state, generation).is_ok()
    {
        assert_eq!(server.len(), 1);
    }
}

fn sessions() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in 0..3 {
        let mut rig = Rig::new([0; 32]);
        let mut own = client(client_config(kind, 1), [0; 32]);
        rig.connect(&mut own, address(0));
        let sent = own.send(b"x").is_ok();
        assert!(sent);
        let record = crate::dtls_rig::next(&mut own);
        let session = *rig.connected.last().expect("a session");
        if let Some(export) = rig.server.export(session) {
            let mut seed = vec![0];
            put_chunk(&mut seed, &export.encode());
            let forged = [&record[..record.len() - 1], &[!record[record.len() - 1]]].concat();
            seeds.push([&seed[..], &forged, &record].concat());
            seeds.push([seed, record].concat());
        }
    }
    seeds
}

/// As the layout has it: what a client with a pre-shared key resumes by.
fn resumption() -> Vec<u8> {
    let mut stored = vec![1, 1, 0, 3];
    stored.extend([9; 29]);
    // TLS_PSK_WITH_AES_128_CCM_8, an extended master secret.
    stored.extend([0xc0, 0xa8, 1]);
    stored.extend([7; 48]);
    stored.extend([1, 1, b'a', 0, 2, b'i', b'd']);
    stored.extend([8; 16]);
    let mut seed = vec![1];
    put_chunk(&mut seed, &stored);
    seed
}

pub fn seeds() -> Vec<Vec<u8>> {
    let secrets = Secrets {
        algorithm: Algorithm::AesCcm16_64_128,
        master_secret: b"sixteen byte key",
        master_salt: b"salt",
        id_context: Some(b"net"),
        sender_id: b"srv",
        recipient_id: b"dev",
    };
    let state = ContextState::never_used(&secrets).expect("secrets of good lengths");
    let window = state.window().unwrap_or_default();
    let mut context = vec![2];
    put_chunk(&mut context, &state.encode());
    let mut seeds = sessions();
    seeds.extend([resumption(), [context, window].concat()]);
    seeds.push(vec![3, 0, 8, 1, 0, 3, 4, 5, 6, 7, 8]);
    seeds
}
