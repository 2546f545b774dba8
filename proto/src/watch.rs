//! The message of a watch by hand: what goes to many watchers is encoded once.

use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::drover::v1::Event;

/// `drover.v1.WatchEventsResponse`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchEventsResponse {
    /// Give it to `WatchEvents` to go on after this event. A message without an event is a checkpoint.
    pub resume_token: String,
    pub event: Option<Event>,
    /// Of a checkpoint: every device that was there has come.
    pub initial_complete: bool,
    /// An encoded [`Event`] that is sent where `event` is `None`; empty: none. What was received is in `event`.
    pub encoded_event: Bytes,
}

/// The numbers in `drover.proto`. Never change.
const RESUME_TOKEN: u32 = 1;
const EVENT: u32 = 2;
const INITIAL_COMPLETE: u32 = 3;

impl Message for WatchEventsResponse {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if !self.resume_token.is_empty() {
            encoding::string::encode(RESUME_TOKEN, &self.resume_token, buf);
        }
        if let Some(event) = &self.event {
            encoding::message::encode(EVENT, event, buf);
        } else if !self.encoded_event.is_empty() {
            // On the wire a message is bytes of its length.
            encoding::bytes::encode(EVENT, &self.encoded_event, buf);
        }
        if self.initial_complete {
            encoding::bool::encode(INITIAL_COMPLETE, &self.initial_complete, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            RESUME_TOKEN => encoding::string::merge(wire_type, &mut self.resume_token, buf, ctx),
            EVENT => {
                let event = self.event.get_or_insert_default();
                encoding::message::merge(wire_type, event, buf, ctx)
            }
            INITIAL_COMPLETE => {
                encoding::bool::merge(wire_type, &mut self.initial_complete, buf, ctx)
            }
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let token = match self.resume_token.as_str() {
            "" => 0,
            _ => encoding::string::encoded_len(RESUME_TOKEN, &self.resume_token),
        };
        let event = match &self.event {
            Some(event) => encoding::message::encoded_len(EVENT, event),
            None if self.encoded_event.is_empty() => 0,
            None => encoding::bytes::encoded_len(EVENT, &self.encoded_event),
        };
        let complete = if self.initial_complete {
            encoding::bool::encoded_len(INITIAL_COMPLETE, &self.initial_complete)
        } else {
            0
        };
        token + event + complete
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drover::v1::event::{Deregistered, Kind};

    fn event() -> Event {
        Event {
            endpoint: "dev".to_owned(),
            time: None,
            kind: Some(Kind::Expired(Deregistered {
                registration_id: "0001".to_owned(),
            })),
        }
    }

    #[test]
    fn an_event_encoded_before_is_the_same_on_the_wire() {
        let whole = WatchEventsResponse {
            resume_token: "token".to_owned(),
            event: Some(event()),
            initial_complete: true,
            encoded_event: Bytes::new(),
        };
        let shared = WatchEventsResponse {
            event: None,
            encoded_event: event().encode_to_vec().into(),
            ..whole.clone()
        };
        let bytes = whole.encode_to_vec();
        assert_eq!(shared.encode_to_vec(), bytes);
        assert_eq!(
            hex::encode(&bytes),
            "0a05746f6b656e120d0a0364657632060a04303030311801"
        );
        assert_eq!(WatchEventsResponse::decode(&bytes[..]), Ok(whole));
    }

    #[test]
    fn a_checkpoint_is_its_token_and_unknown_fields_are_passed_over() {
        let checkpoint = WatchEventsResponse {
            resume_token: "t".to_owned(),
            ..Default::default()
        };
        let mut bytes = checkpoint.encode_to_vec();
        assert_eq!(bytes.len(), checkpoint.encoded_len());
        assert_eq!(hex::encode(&bytes), "0a0174");
        encoding::string::encode(9, &"later".to_owned(), &mut bytes);
        assert_eq!(WatchEventsResponse::decode(&bytes[..]), Ok(checkpoint));
    }
}
