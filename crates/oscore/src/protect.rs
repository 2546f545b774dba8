//! Protecting and unprotecting single messages (RFC 8613 §8).
//!
//! 1. `protect_request` (§8.1) at the client remembers the request's number in a [`SentRequest`].
//! 2. `unprotect_request` (§8.2) at the server remembers it in a [`ReceivedRequest`].
//! 3. `protect_response` (§8.3) uses the request's nonce once, then numbers of its own.
//! 4. `unprotect_response` (§8.4) checks that notifications come in order (§8.4.2).

use coap::{Code, Message, Options, number};

use crate::algorithm::{self, KEY, Nonce};
use crate::cbor;
use crate::class;
use crate::context::{Material, Recipient, SecurityContext};
use crate::error::{ProtectError, UnprotectError};
use crate::identifier::Identifier;
use crate::option::{OSCORE, OscoreOption};
use crate::partial_iv::PartialIv;
use replay::Freshness;

/// Limit of CCM with a nonce of 13 bytes, less than a header and options of room.
const MAX_PLAINTEXT: usize = 65_000;

/// What binds responses to a request that we sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    partial_iv: PartialIv,
    /// RFC 8613 §7.4.1: the highest number of a notification.
    newest: Option<PartialIv>,
    /// Notifications accepted; what the layer above orders by.
    notifications: u32,
}

impl SentRequest {
    pub(crate) const fn new(partial_iv: PartialIv) -> Self {
        Self {
            partial_iv,
            newest: None,
            notifications: 0,
        }
    }

    /// The request's number.
    pub const fn partial_iv(&self) -> PartialIv {
        self.partial_iv
    }
}

/// Whether the request's nonce may still protect a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestNonce {
    Unused,
    /// It protected a response, or the request may be a replay whose first delivery had one.
    Spent,
}

/// What binds our responses to a request that we received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    partial_iv: PartialIv,
    outer_code: Code,
    nonce: RequestNonce,
}

impl ReceivedRequest {
    /// The request's number.
    pub const fn partial_iv(&self) -> PartialIv {
        self.partial_iv
    }

    /// Never use the request's nonce: it may have been used before.
    pub(crate) fn spend_nonce(&mut self) {
        self.nonce = RequestNonce::Spent;
    }
}

impl SecurityContext {
    /// RFC 8613 §8.1. Type, message id and token stay.
    pub fn protect_request(
        &mut self,
        request: &Message,
    ) -> Result<(Message, SentRequest), ProtectError> {
        // Nothing may fail behind the number that is taken here, and nothing may take it twice.
        check_request(request)?;
        let partial_iv = self
            .sequence
            .next()
            .ok_or(ProtectError::SequenceExhausted)?;
        let outer = self.material.seal_request(request, partial_iv)?;
        Ok((outer, SentRequest::new(partial_iv)))
    }

    /// RFC 8613 §8.2.
    pub fn unprotect_request(
        &mut self,
        outer: &Message,
    ) -> Result<(Message, ReceivedRequest), UnprotectError> {
        let Recipient::Synchronised(mut window) = self.recipient else {
            return Err(UnprotectError::NotSynchronised);
        };
        let option = self.material.request_option(outer)?;
        if window.check(option.number()) == Freshness::Replayed {
            return Err(UnprotectError::Replayed);
        }
        let (inner, binding) = self.material.open_request(outer)?;
        // RFC 8613 §7.4: the window moves only for an authenticated message.
        window.accept(binding.partial_iv.number());
        self.recipient = Recipient::Synchronised(window);
        Ok((inner, binding))
    }

    /// RFC 8613 §8.3. A notification, and every response to a request after its first, takes a
    /// number of its own.
    pub fn protect_response(
        &mut self,
        response: &Message,
        request: &mut ReceivedRequest,
    ) -> Result<Message, ProtectError> {
        if !response.code.is_response() {
            return Err(ProtectError::WrongKind);
        }
        let split = class::split(&response.options)?;
        check_length(response)?;
        let notification = response.options.first(number::OBSERVE).is_some();
        let material = &self.material;
        let (own, nonce) = if notification || request.nonce == RequestNonce::Spent {
            let number = self
                .sequence
                .next()
                .ok_or(ProtectError::SequenceExhausted)?;
            (Some(number), material.nonce(material.sender_id, number))
        } else {
            request.nonce = RequestNonce::Spent;
            let nonce = material.nonce(material.recipient_id, request.partial_iv);
            (None, nonce)
        };
        // RFC 8613 §4.1.3.5.2: the inner Observe of a response is empty.
        let mut inner = split.inner;
        if notification {
            inner = class::without(&inner, number::OBSERVE);
            inner.push(number::OBSERVE, &[]);
        }
        let option = OscoreOption {
            partial_iv: own,
            ..OscoreOption::default()
        };
        // RFC 8613 §4.2: 2.04 to POST, 2.05 to FETCH.
        let code = if request.outer_code == Code::FETCH {
            Code::CONTENT_2_05
        } else {
            Code::CHANGED_2_04
        };
        let additional = material.additional_data(material.recipient_id, request.partial_iv);
        let payload = material.encrypt(nonce, &additional, response, inner);
        Ok(envelope(response, code, split.outer, &option, payload))
    }

    /// RFC 8613 §8.4. The Observe option of what comes out counts the notifications of this
    /// request, whatever the peer or a proxy wrote into it.
    pub fn unprotect_response(
        &self,
        outer: &Message,
        request: &mut SentRequest,
    ) -> Result<Message, UnprotectError> {
        let option = read_option(outer)?;
        let material = &self.material;
        if option.kid.is_some_and(|kid| kid != material.recipient_id)
            || option.kid_context.is_some() && option.kid_context != material.id_context
        {
            return Err(UnprotectError::OtherContext);
        }
        let nonce = match option.partial_iv {
            Some(number) => material.nonce(material.recipient_id, number),
            None => material.nonce(material.sender_id, request.partial_iv),
        };
        let additional = material.additional_data(material.sender_id, request.partial_iv);
        let inner = material.decrypt(nonce, &additional, outer)?;
        if !inner.code.is_response() {
            return Err(UnprotectError::MalformedPlaintext);
        }
        let mut options = class::join(&inner.options, &outer.options)?;
        let observed = |options: &Options| options.first(number::OBSERVE).is_some();
        // RFC 8613 §8.4.2: without the outer one it is a response like any other.
        if observed(&inner.options) && observed(&outer.options) {
            request.advance(option.partial_iv)?;
            let count = request.notifications & 0x00ff_ffff;
            options.push_uint(number::OBSERVE, count);
        }
        Ok(assemble(outer, inner, options))
    }
}

impl SentRequest {
    /// RFC 8613 §7.4.1: a notification's number must be above all before it; only the first may
    /// come without.
    fn advance(&mut self, number: Option<PartialIv>) -> Result<(), UnprotectError> {
        let is_newer = match (number, self.newest) {
            (Some(number), Some(newest)) => number > newest,
            (Some(_), None) => true,
            (None, _) => self.notifications == 0,
        };
        if !is_newer {
            return Err(UnprotectError::Stale);
        }
        self.newest = number.or(self.newest);
        self.notifications = self.notifications.wrapping_add(1);
        Ok(())
    }
}

impl Material {
    /// The protected request with this number. Calling it again with another request and the same
    /// number would repeat a nonce: it is for retransmissions only.
    pub(crate) fn seal_request(
        &self,
        request: &Message,
        partial_iv: PartialIv,
    ) -> Result<Message, ProtectError> {
        check_request(request)?;
        let split = class::split(&request.options)?;
        // RFC 8613 §4.2: FETCH if there is an Observe option, so that a proxy forwards it.
        let code = if request.options.first(number::OBSERVE).is_some() {
            Code::FETCH
        } else {
            Code::POST
        };
        let option = OscoreOption {
            partial_iv: Some(partial_iv),
            kid_context: self.id_context.clone(),
            kid: Some(self.sender_id),
        };
        let nonce = self.nonce(self.sender_id, partial_iv);
        let additional = self.additional_data(self.sender_id, partial_iv);
        let payload = self.encrypt(nonce, &additional, request, split.inner);
        Ok(envelope(request, code, split.outer, &option, payload))
    }

    /// The number of a request of this context.
    pub(crate) fn request_option(&self, outer: &Message) -> Result<PartialIv, UnprotectError> {
        let option = read_option(outer)?;
        let (Some(kid), Some(number)) = (option.kid, option.partial_iv) else {
            return Err(UnprotectError::MalformedOption);
        };
        if kid != self.recipient_id || option.kid_context != self.id_context {
            return Err(UnprotectError::OtherContext);
        }
        Ok(number)
    }

    /// Decrypts a request, without a look at the replay window.
    pub(crate) fn open_request(
        &self,
        outer: &Message,
    ) -> Result<(Message, ReceivedRequest), UnprotectError> {
        let partial_iv = self.request_option(outer)?;
        let nonce = self.nonce(self.recipient_id, partial_iv);
        let additional = self.additional_data(self.recipient_id, partial_iv);
        let inner = self.decrypt(nonce, &additional, outer)?;
        if !inner.code.is_request() {
            return Err(UnprotectError::MalformedPlaintext);
        }
        let mut options = class::join(&inner.options, &outer.options)?;
        // RFC 8613 §4.1.3.5.1: a proxy that took the outer one off will forward no notification.
        if outer.options.first(number::OBSERVE).is_some()
            && let Some(value) = inner.options.first(number::OBSERVE)
        {
            options.push(number::OBSERVE, value);
        }
        let binding = ReceivedRequest {
            partial_iv,
            outer_code: outer.code,
            nonce: RequestNonce::Unused,
        };
        Ok((assemble(outer, inner, options), binding))
    }

    fn additional_data(&self, kid: Identifier, number: PartialIv) -> Vec<u8> {
        let algorithm = self.algorithm.code();
        number.with_encoded(|number| cbor::additional_data(algorithm, kid.as_bytes(), number))
    }

    /// RFC 8613 §5.3: the plaintext is the code, the Class E options and the payload.
    fn encrypt(
        &self,
        nonce: Nonce,
        additional: &[u8],
        message: &Message,
        options: Options,
    ) -> Vec<u8> {
        // A message without token has its code in the second of four header bytes; the plaintext
        // is the same bytes with the code in the fourth.
        let inner = Message {
            options,
            payload: message.payload.clone(),
            ..Message::new(message.kind, message.code, message.id)
        };
        let mut bytes = inner.to_datagram();
        let plaintext = HEADER - 1;
        if let Some(code) = bytes.get_mut(plaintext) {
            *code = message.code.as_byte();
        }
        let key: &[u8; KEY] = &self.keys.sender;
        algorithm::seal(
            self.algorithm,
            key,
            nonce,
            additional,
            &mut bytes,
            plaintext,
        );
        bytes.drain(..plaintext);
        bytes
    }

    fn decrypt(
        &self,
        nonce: Nonce,
        additional: &[u8],
        outer: &Message,
    ) -> Result<Message, UnprotectError> {
        let plaintext = HEADER - 1;
        let mut bytes = vec![0; plaintext];
        bytes.extend_from_slice(&outer.payload);
        let key: &[u8; KEY] = &self.keys.recipient;
        algorithm::open(
            self.algorithm,
            key,
            nonce,
            additional,
            &mut bytes,
            plaintext,
        )
        .ok_or(UnprotectError::DecryptionFailed)?;
        let Some(header) = bytes.first_chunk_mut::<HEADER>() else {
            return Err(UnprotectError::MalformedPlaintext);
        };
        // Version 1, no token, the code that was encrypted, no message id.
        *header = [0x40, header[plaintext], 0, 0];
        coap::decode(&bytes).map_err(|_| UnprotectError::MalformedPlaintext)
    }
}

/// Of a CoAP message.
const HEADER: usize = 4;

fn check_request(request: &Message) -> Result<(), ProtectError> {
    if !request.code.is_request() {
        return Err(ProtectError::WrongKind);
    }
    class::split(&request.options)?;
    check_length(request)
}

fn check_length(message: &Message) -> Result<(), ProtectError> {
    let options = message.options.iter().map(|(_, value)| value.len() + 5);
    if message.payload.len() + options.sum::<usize>() > MAX_PLAINTEXT {
        return Err(ProtectError::TooLong);
    }
    Ok(())
}

fn read_option(outer: &Message) -> Result<OscoreOption, UnprotectError> {
    let mut values = outer.options.iter().filter(|(number, _)| *number == OSCORE);
    let (_, value) = values.next().ok_or(UnprotectError::NotProtected)?;
    if values.next().is_some() {
        return Err(UnprotectError::MalformedOption);
    }
    // RFC 8613 §2: a message with the option and without payload is malformed.
    if outer.payload.is_empty() {
        return Err(UnprotectError::NotProtected);
    }
    OscoreOption::decode(value).map_err(|_| UnprotectError::MalformedOption)
}

fn envelope(
    message: &Message,
    code: Code,
    mut options: Options,
    option: &OscoreOption,
    payload: Vec<u8>,
) -> Message {
    options.push(OSCORE, &option.encode());
    Message {
        token: message.token,
        options,
        payload,
        ..Message::new(message.kind, code, message.id)
    }
}

fn assemble(outer: &Message, inner: Message, options: Options) -> Message {
    Message {
        token: outer.token,
        options,
        payload: inner.payload,
        ..Message::new(outer.kind, inner.code, outer.id)
    }
}

#[cfg(test)]
mod tests;
