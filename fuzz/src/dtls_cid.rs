//! What routes a datagram before anything has vouched for it.

use dtls::{ConnectionId, Found};

use crate::dtls_rig::{Rig, address, client, client_config, next};

/// A Connection ID is read where it is and nowhere else, and looking for it changes nothing.
pub fn run(data: &[u8]) {
    let mut rig = Rig::new([0; 32]);
    let mut own = client(client_config(0, 1), [0; 32]);
    rig.connect(&mut own, address(0));
    let read = ConnectionId::of_datagram(data);
    if let Some(cid) = read {
        assert_eq!(data[0], 25);
        assert_eq!(data[11..19], *cid.as_bytes());
        assert_eq!(ConnectionId::from_bytes(cid.as_bytes()), Some(cid));
        assert_eq!(cid.partition(), u16::from_be_bytes([data[12], data[13]]));
    }
    let before = *rig.server.counters();
    match rig.server.find(address(1), data) {
        Found::Session(cid) => {
            assert_eq!(read, Some(cid));
            assert!(cid.partition() < 16);
            assert_eq!(rig.server.session_of(cid), None);
        }
        Found::Nothing => assert_ne!(data.first(), Some(&25)),
        Found::Here => assert_eq!(data.first(), Some(&25)),
    }
    assert_eq!(*rig.server.counters(), before);
    assert_eq!(rig.server.session_count(), 1);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut rig = Rig::new([0; 32]);
    let mut own = client(client_config(0, 1), [0; 32]);
    let mut hello = client(client_config(0, 1), [0; 32]);
    hello.start(rig.now);
    rig.connect(&mut own, address(0));
    let sent = own.send(b"x").is_ok();
    assert!(sent);
    let known = next(&mut own);
    let mut unknown = known.clone();
    unknown[18] ^= 1;
    vec![next(&mut hello), known, unknown]
}
