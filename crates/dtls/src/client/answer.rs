//! The client's second flight (RFC 6347 §4.2.4, flight 5).

use crate::client::config::{ClientConfig, ClientCredentials};
use crate::client::server_flight::ServerFlight;
use crate::error::HandshakeFailure;
use crate::flight::Part;
use crate::handshake::client_key_exchange::ClientKeyExchange;
use crate::handshake::{certificate, certificate_verify, finished};
use crate::key_agreement::{EphemeralKey, SharedSecret};
use crate::key_schedule::{MasterSecret, Premaster};
use crate::prf::Transcript;
use crate::protection::Role;
use crate::random::Random;

/// The flight and the secret that it leads to.
pub(super) struct Answer {
    pub(super) parts: Vec<Part>,
    pub(super) master: MasterSecret,
}

/// Our half of the agreement.
struct Agreed {
    point: Vec<u8>,
    secret: SharedSecret,
}

/// Numbers messages from `next_seq` and adds them to the transcript.
pub(super) fn answer(
    config: &ClientConfig,
    random: &mut Random,
    server: &ServerFlight,
    mut next_seq: u16,
    transcript: &mut Transcript,
) -> Result<Answer, HandshakeFailure> {
    let mut parts = Vec::new();
    let mut push = |transcript: &mut Transcript, encode: &dyn Fn(u16) -> Vec<u8>| {
        let message = encode(next_seq);
        transcript.add(&message);
        next_seq += 1;
        parts.push(message);
    };
    let own = match &config.credentials {
        ClientCredentials::Key { credential, .. } if server.certificate_requested => {
            Some(credential)
        }
        _ => None,
    };
    if let Some(own) = own {
        push(transcript, &|seq| certificate::encode(seq, own.presented()));
    }
    let choice = &server.choice;
    let agreed = agree(random, server)?;
    let exchange = ClientKeyExchange {
        identity: match &config.credentials {
            ClientCredentials::Psk { identity, .. } => identity,
            ClientCredentials::Key { .. } => &[],
        },
        point: agreed.as_ref().map_or(&[], |agreed| &agreed.point),
    };
    let kind = choice.suite.key_exchange();
    push(transcript, &|seq| exchange.encode(kind, seq));
    let premaster = match (&config.credentials, agreed) {
        (ClientCredentials::Psk { key, .. }, agreed) => {
            Premaster::from_psk(key, agreed.map(|agreed| agreed.secret).as_ref())
        }
        (ClientCredentials::Key { .. }, Some(agreed)) => Premaster::from_agreement(agreed.secret),
        (ClientCredentials::Key { .. }, None) => return Err(HandshakeFailure::UnexpectedMessage),
    };
    let master = MasterSecret::derive(
        &premaster,
        choice.master_secret,
        &choice.randoms,
        transcript,
    );
    if let Some(own) = own {
        let signature = own
            .key()
            .sign(&transcript.hash())
            .ok_or(HandshakeFailure::Cryptography)?;
        push(transcript, &|seq| {
            certificate_verify::encode(seq, &signature)
        });
    }
    let verify_data = master.verify_data(Role::Client, transcript);
    push(transcript, &|seq| finished::encode(seq, &verify_data));
    let last = parts.pop();
    let mut parts: Vec<_> = parts.into_iter().map(Part::Plain).collect();
    parts.push(Part::ChangeCipherSpec);
    parts.extend(last.map(Part::Sealed));
    Ok(Answer { parts, master })
}

/// `None` when the suite has no ephemeral keys.
fn agree(random: &mut Random, server: &ServerFlight) -> Result<Option<Agreed>, HandshakeFailure> {
    if !server.choice.suite.key_exchange().is_ephemeral() {
        return Ok(None);
    }
    let public = server
        .public
        .as_ref()
        .ok_or(HandshakeFailure::UnexpectedMessage)?;
    let key = EphemeralKey::generate(public.group, random);
    let secret = key
        .agree(&public.point)
        .ok_or(HandshakeFailure::IllegalParameter)?;
    Ok(Some(Agreed {
        point: key.public().point.clone(),
        secret,
    }))
}
