//! What can be seen from outside of how records to devices are numbered.

use std::collections::HashMap;
use std::net::SocketAddr;

/// Offset of the explicit part of the nonce, epoch and sequence number (RFC 9146 §4).
const NUMBER: std::ops::Range<usize> = 3..11;
/// The Connection ID of a client that wants 8 bytes; new with each handshake, as the keys are.
const CID: std::ops::Range<usize> = 11..19;
/// Of a record with a Connection ID (RFC 9146 §4).
const TLS12_CID: u8 = 25;
/// A sequence number has 48 bits; the upper 16 are the owner's generation.
const GENERATION_SHIFT: u32 = 32;

/// What has keys of its own: a device, and a Connection ID that it chose.
type Session = (SocketAddr, Vec<u8>);

/// The records that devices were sent, by session.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    records: HashMap<(Session, u64), Vec<u8>>,
    newest: HashMap<Session, u64>,
    /// Different records with one number: their key stream is the same.
    pub(crate) repeated: u64,
    /// Records of an owner that another one had followed already.
    pub(crate) outdated: u64,
}

impl Nonces {
    /// Looks at the first record of a datagram that `device` is sent.
    pub(crate) fn note(&mut self, device: SocketAddr, datagram: &[u8]) {
        if datagram.first() != Some(&TLS12_CID) {
            return;
        }
        let Some(number) = datagram.get(NUMBER).and_then(|bytes| bytes.try_into().ok()) else {
            return;
        };
        let number = u64::from_be_bytes(number);
        let session = (device, datagram.get(CID).unwrap_or_default().to_vec());
        let key = (session.clone(), number);
        let before = self.records.insert(key, datagram.to_vec());
        self.repeated += u64::from(before.is_some_and(|before| before != datagram));
        let generation = number >> GENERATION_SHIFT;
        let newest = self.newest.entry(session).or_default();
        self.outdated += u64::from(generation < *newest);
        *newest = generation.max(*newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cid: u8, number: u64, content: u8) -> Vec<u8> {
        let mut record = vec![TLS12_CID, 0xfe, 0xfd];
        record.extend(number.to_be_bytes());
        record.extend([cid; 8]);
        record.push(content);
        record
    }

    #[test]
    fn a_repeated_number_is_noticed_and_a_repeated_record_is_none() {
        let device = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut nonces = Nonces::default();
        for (number, content) in [(7, 1), (7, 1), (1 << 32, 1), (8, 2)] {
            nonces.note(device, &record(1, number, content));
        }
        // Another handshake, other keys.
        nonces.note(device, &record(2, 8, 9));
        assert_eq!((nonces.repeated, nonces.outdated), (0, 1));
        nonces.note(device, &record(1, 8, 3));
        assert_eq!(nonces.repeated, 1);
    }
}
