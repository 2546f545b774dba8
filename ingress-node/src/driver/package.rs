//! Packages that devices get from this node, and what they are told where these are.

use std::time::Duration;

use bytes::Bytes;
use device_state::{Digest, Transport};
use lwm2m_server::{CommitError, OperationFailure, OperationTag, PackageRequest};

use super::carrier::Carrier;
use super::state_tier::Resolved;
use super::{Driver, Peer, now};
use crate::packages::{FetchError, Reached, package_base};

/// Until a device is offered a package again that could not be told where it is.
const UNKNOWN_ADDRESS_PAUSE: Duration = Duration::from_secs(60);

/// A package that was fetched.
pub(super) struct Fetched {
    request: PackageRequest,
    digest: Digest,
    /// `None` if there is no such package.
    package: Result<Option<Bytes>, CommitError>,
}

impl Driver {
    pub(super) fn fetch_package(&mut self, request: PackageRequest, digest: Digest) {
        let packages = self.packages.clone();
        self.calls.push(Box::pin(async move {
            let package = match packages.get(digest).await {
                Ok(package) => Ok(Some(package)),
                Err(error) => match &*error {
                    FetchError::Unknown => Ok(None),
                    FetchError::Busy => Err(CommitError::Overloaded),
                    FetchError::StateTier(_) | FetchError::Interrupted => {
                        tracing::debug!(%digest, %error, "a package cannot be fetched");
                        Err(CommitError::Unavailable)
                    }
                    FetchError::Damaged(_) => {
                        tracing::error!(%digest, %error, "a package is not given out");
                        Err(CommitError::Unavailable)
                    }
                },
            };
            Resolved::Package(Fetched {
                request,
                digest,
                package,
            })
        }));
    }

    pub(super) fn package_fetched(&mut self, fetched: &Fetched) {
        if let Some(engine) = self.application.management() {
            let package = fetched.package.as_ref().map(Option::as_ref);
            let package = package.map_err(|error| *error);
            engine.take_package(now(), fetched.request, &fetched.digest, package);
        }
    }

    /// Says what the URIs of this node begin with for a device.
    pub(super) fn tell_address(&mut self, tag: OperationTag, peer: Peer) {
        let base = self.address_for(peer);
        if let Some(engine) = self.application.management() {
            engine.take_address(now(), tag, base);
        }
    }

    fn address_for(&self, peer: Peer) -> Result<String, OperationFailure> {
        let reached = self.reached(peer).ok_or(OperationFailure::NotHere)?;
        let base = package_base(&self.package_uris, reached);
        base.ok_or_else(|| {
            let Reached { scheme, .. } = reached;
            tracing::warn!("nothing says where devices find packages: set package_uris.{scheme}");
            // The device may say something to this node directly, and then it is known.
            OperationFailure::Busy {
                retry_after: UNKNOWN_ADDRESS_PAUSE,
            }
        })
    }

    /// What a peer reaches this node by; `None` if it is gone.
    fn reached(&self, peer: Peer) -> Option<Reached> {
        let carrier = match peer {
            Peer::Dtls(session) => Carrier::Dtls(session),
            Peer::Udp(address) => Carrier::Udp(address),
            Peer::Stream(id) => Carrier::Stream(id),
            Peer::Oscore(context) => self.contexts.layer.peer(context)?,
        };
        Some(match carrier {
            Carrier::Udp(address) => Reached {
                scheme: "coap",
                at: self
                    .coap
                    .as_ref()
                    .and_then(|socket| socket.reached_by(address)),
            },
            Carrier::Dtls(session) => Reached {
                scheme: "coaps",
                at: self.coaps.reached_by(self.dtls.peer(session)?),
            },
            Carrier::Stream(id) => {
                let secured = self.streams.origin(id)?.transport == Transport::Tls;
                Reached {
                    scheme: if secured { "coaps+tcp" } else { "coap+tcp" },
                    at: self.streams.local_address(id),
                }
            }
        })
    }
}
