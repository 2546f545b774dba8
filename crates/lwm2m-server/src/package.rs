//! Packages that devices fetch from this server (LwM2M Core 1.2 §E.6, Package URI), in blocks (RFC 7959).
//!
//! The URI names the package by its digest, so what it leads to never changes: a device that goes on at another node, or
//! after a long sleep, gets the bytes that it began with.

use bytes::Bytes;
use coap::{Code, ETag, ExchangeId, PeerKey, Response};
use device_state::Digest;
use lwm2m::ContentFormat;

use crate::engine::Engine;
use crate::output::{CommitError, Now, OperationFailure, OperationTag, Output, PackageRequest};
use crate::response::Refusal;

/// Stands before the hex digits of a digest in the path of a package.
pub(crate) const PACKAGES: &str = "fw";

/// The longest beginning of the URI of a package on this server.
// LwM2M Core 1.2 §E.6: a Package URI has at most 255 bytes.
pub const MAX_BASE: usize = 255 - "/".len() - PACKAGES.len() - "/".len() - 2 * Digest::BYTES;

impl<P: PeerKey> Engine<P> {
    pub(crate) fn package(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        digest: &str,
    ) -> Result<(), Refusal> {
        let digest = Digest::from_hex(digest).map_err(|_| Refusal::NotFound)?;
        if self.fetching.len() >= self.config.max_pending_commits {
            self.refuse_for_overload(now, exchange);
            return Ok(());
        }
        let request = PackageRequest(exchange);
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
        let Some((registration, mut waiting)) = self.unaddressed.remove(&tag) else {
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
        let PackageRequest(exchange) = request;
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
}
