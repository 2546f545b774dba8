//! Handshake messages that a script makes, in records with good headers.

use crate::script::{Script, put_chunk};

const HANDSHAKE: u8 = 22;

/// How many kinds of steps there are, for scripts that have more.
pub(crate) const STEPS: u8 = 5;

/// Numbers what one side of a handshake sends without protection.
pub(crate) struct Messages {
    record: u64,
    message: u16,
}

impl Messages {
    /// `message` is the number of the next message.
    pub(crate) fn starting_at(message: u16) -> Self {
        Self {
            record: u64::from(message),
            message,
        }
    }

    fn record(&mut self, kind: u8, epoch: u8, payload: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 0xFE, 0xFD, 0, epoch];
        record.extend(&self.record.to_be_bytes()[2..]);
        put_chunk(&mut record, payload);
        self.record += 1;
        record
    }

    /// A whole message with the next number.
    pub(crate) fn message(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let length = &(body.len() as u32).to_be_bytes()[1..];
        let number = self.message.to_be_bytes();
        self.message = self.message.wrapping_add(1);
        let message = [&[kind], length, &number, &[0; 3], length, body].concat();
        self.record(HANDSHAKE, 0, &message)
    }

    /// The datagram that a step of a script asks for.
    pub(crate) fn step(&mut self, step: u8, script: &mut Script<'_>) -> Vec<u8> {
        match step % STEPS {
            0 => {
                let kind = script.byte();
                self.message(kind, script.chunk())
            }
            1 => {
                // A fragment of any message.
                let (kind, ahead) = (script.byte(), script.byte());
                let (length, offset) = (script.number(), script.number());
                let body = script.chunk();
                let number = self.message.wrapping_add(u16::from(ahead % 8));
                let mut fragment = vec![kind, 0];
                fragment.extend(length.to_be_bytes());
                fragment.extend(number.to_be_bytes());
                fragment.push(0);
                fragment.extend(offset.to_be_bytes());
                fragment.push(0);
                put_chunk(&mut fragment, body);
                self.record(HANDSHAKE, 0, &fragment)
            }
            2 => self.record(20, 0, &[1]),
            3 => {
                let (kind, epoch) = (script.byte(), script.byte());
                self.record(kind, epoch, script.chunk())
            }
            _ => script.chunk().to_vec(),
        }
    }
}

/// The steps that send the messages of datagrams of a handshake again, as a script.
pub(crate) fn as_steps(datagrams: &[Vec<u8>], out: &mut Vec<u8>) {
    for datagram in datagrams {
        let mut rest = datagram.as_slice();
        while let Some((header, after)) = rest.split_at_checked(13) {
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let Some((payload, after)) = after.split_at_checked(length) else {
                return;
            };
            rest = after;
            match (header[0], header[4], payload) {
                (HANDSHAKE, 0, [kind, _, _, _, _, _, _, _, _, _, _, _, body @ ..]) => {
                    out.extend([0, *kind]);
                    put_chunk(out, body);
                }
                (20, _, _) => out.push(2),
                (kind, epoch, _) => {
                    out.extend([3, kind, epoch]);
                    put_chunk(out, payload);
                }
            }
        }
    }
}
