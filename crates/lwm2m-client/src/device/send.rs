//! Send (LwM2M Core 1.2 §6.4.5).

use std::time::Instant;

use coap::{Code, Request};
use lwm2m::{ContentFormat, LwM2mVersion, Path, Value, encode};

use super::Towards;
use crate::objects::server::MUTE_SEND;
use crate::output::SendError;

/// Sends under way at once.
const MAX_SENDS: usize = 8;

impl Towards<'_> {
    /// Reports what lies at and below some paths without being asked, in SenML CBOR.
    pub fn send(&mut self, now: Instant, paths: &[Path]) -> Result<(), SendError> {
        if self.body.tree.release() == LwM2mVersion::V1_0 {
            return Err(SendError::NotInRelease);
        }
        if !self.is_registered() {
            return Err(SendError::NotRegistered);
        }
        if self.body.tree.value(self.link.at(MUTE_SEND)) == Some(&Value::Boolean(true)) {
            return Err(SendError::Muted);
        }
        if self.link.sends.len() >= MAX_SENDS {
            return Err(SendError::Busy);
        }
        self.refresh_clock(now);
        let mut entries = Vec::new();
        for path in paths {
            let read = self.readable(*path);
            entries.extend(read.map_err(|_| SendError::NothingThere(*path))?);
        }
        let request = Request {
            content_format: Some(ContentFormat::SENML_CBOR.0),
            payload: encode(ContentFormat::SENML_CBOR, Path::Root, &entries)?,
            ..Request::new(Code::POST, ["dp"])
        };
        let exchange = self
            .link
            .coap
            .send_request(now, self.link.session, request)
            .map_err(|_| SendError::Busy)?;
        self.link.sends.push(exchange);
        self.drain_coap(now);
        Ok(())
    }
}
