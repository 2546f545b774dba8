//! Packages of the cluster on their way to devices (LwM2M Core 1.2 §E.6), in blocks (RFC 7959). A device fetches one from
//! this server by the Package URI, or has it written to its Package resource.
//!
//! The URI names the package by its digest, so what it leads to never changes: a device that goes on at another node, or
//! after a long sleep, gets the bytes that it began with.

use bytes::Bytes;
use coap::{Code, ETag, ExchangeId, PeerKey, Response};
use device_state::Digest;
use lwm2m::{ContentFormat, Operation, RegistrationId, Value};

use crate::downlink::Waiting;
use crate::engine::Engine;
use crate::output::{
    CommitError, Delivery, Now, OperationFailure, OperationTag, Output, PackageRequest,
};
use crate::response::Refusal;

/// Stands before the hex digits of a digest in the path of a package.
pub(crate) const PACKAGES: &str = "fw";

/// The longest beginning of the URI of a package on this server.
// LwM2M Core 1.2 §E.6: a Package URI has at most 255 bytes.
pub const MAX_BASE: usize = 255 - "/".len() - PACKAGES.len() - "/".len() - 2 * Digest::BYTES;

impl<P: PeerKey> Engine<P> {
    /// A device asks for a package.
    pub(crate) fn package(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        digest: &str,
    ) -> Result<(), Refusal> {
        let digest = Digest::from_hex(digest).map_err(|_| Refusal::NotFound)?;
        if self
            .want_package(Delivery::Fetch(exchange), digest)
            .is_err()
        {
            self.refuse_for_overload(now, exchange);
        }
        Ok(())
    }

    /// An operation brings a package to a device.
    pub(crate) fn push_package(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        waiting: Waiting,
        digest: Digest,
    ) -> Result<(), OperationFailure> {
        self.check_listening(now, registration)?;
        let tag = waiting.tag;
        self.want_package(Delivery::Push(tag), digest)?;
        self.unresolved.insert(tag, (registration.clone(), waiting));
        Ok(())
    }

    fn want_package(&mut self, delivery: Delivery, digest: Digest) -> Result<(), OperationFailure> {
        if self.fetching.len() >= self.config.max_pending_commits {
            return Err(OperationFailure::Busy {
                retry_after: self.config.retry_after,
            });
        }
        let request = PackageRequest(delivery);
        self.fetching.insert(request);
        self.outputs.push_back(Output::Package { request, digest });
        Ok(())
    }

    /// What [`Output::Address`] asked for: what URIs of this server begin with for the device, up to the host and port. The
    /// operation goes on with what its packages are called there.
    pub fn take_address(
        &mut self,
        now: Now,
        tag: OperationTag,
        base: Result<String, OperationFailure>,
    ) {
        let Some((registration, mut waiting)) = self.unresolved.remove(&tag) else {
            return;
        };
        let base = match base {
            Ok(base) => base,
            Err(failure) => return self.operation_done(tag, Err(failure)),
        };
        for text in waiting.operation.texts_mut() {
            if let Some(digest) = Digest::of_package_uri(text) {
                *text = format!("{base}/{PACKAGES}/{}", digest.to_hex());
            }
        }
        self.handle_waiting(now, &registration, waiting);
    }

    /// What [`Output::Package`] asked for; `None` if there is no such package. A request that is gone is ignored.
    pub fn take_package(
        &mut self,
        now: Now,
        request: PackageRequest,
        digest: &Digest,
        package: Result<Option<&Bytes>, CommitError>,
    ) {
        if !self.fetching.remove(&request) {
            return;
        }
        let PackageRequest(delivery) = request;
        match delivery {
            Delivery::Fetch(exchange) => self.give_package(now, exchange, digest, package),
            Delivery::Push(tag) => self.bring_package(now, tag, digest, package),
        }
    }

    fn give_package(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        digest: &Digest,
        package: Result<Option<&Bytes>, CommitError>,
    ) {
        match package {
            Ok(Some(package)) => {
                let response = Response {
                    content_format: Some(ContentFormat::OPAQUE.0),
                    etag: ETag::new(&digest.0[..8]),
                    ..Response::new(Code::CONTENT_2_05)
                };
                self.coap
                    .respond_shared(now.instant, exchange, response, package);
                self.drain_coap(now, None);
            }
            Ok(None) => {
                self.counters.refused += 1;
                self.respond(now, exchange, Refusal::NotFound.response());
            }
            Err(CommitError::Unavailable | CommitError::Overloaded) => {
                self.refuse_for_overload(now, exchange);
            }
        }
    }

    fn bring_package(
        &mut self,
        now: Now,
        tag: OperationTag,
        digest: &Digest,
        package: Result<Option<&Bytes>, CommitError>,
    ) {
        let Some((registration, mut waiting)) = self.unresolved.remove(&tag) else {
            return;
        };
        let package = match package {
            Ok(Some(package)) => package.clone(),
            Ok(None) => {
                let missing = format!("the cluster has no package {digest}");
                return self.operation_done(tag, Err(OperationFailure::Invalid(missing)));
            }
            Err(CommitError::Unavailable | CommitError::Overloaded) => {
                let retry_after = self.config.retry_after;
                return self.operation_done(tag, Err(OperationFailure::Busy { retry_after }));
            }
        };
        // It is not copied for each device that it is brought to: the operation itself is without it.
        if let Operation::Write { values, .. } = &mut waiting.operation {
            for entry in values {
                entry.value = Value::Opaque(Vec::new());
            }
        }
        waiting.package = Some(package);
        self.handle_waiting(now, &registration, waiting);
    }
}
