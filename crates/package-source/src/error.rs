//! Why there is no package.

use std::time::Duration;

use device_state::Digest;
use http::StatusCode;

use crate::arrival::Measured;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a package was not fetched. The message says what happened, where, and what helps, and has the last of the causes
/// below it. Neither it nor they have a secret in them.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no connection: the name is not known, nobody listens, or the certificate is not trusted.
    #[error(
        "cannot reach {place} ({}): see whether the address is right and the network lets it through",
        last(source)
    )]
    Unreachable {
        /// Who was asked.
        place: String,
        /// What the network said.
        #[source]
        source: Cause,
    },
    /// There is a connection, and nothing comes over it.
    #[error("{place} sent nothing for {limit:?}: try again, or give another source")]
    Silent {
        /// Who was asked.
        place: String,
        /// How long anybody may be silent.
        limit: Duration,
    },
    /// Bytes come, but not fast enough to ever be done.
    #[error("{place} has not sent all within {limit:?}: try again, or give a faster source")]
    TooSlow {
        /// Who was asked.
        place: String,
        /// How long all of it may take.
        limit: Duration,
    },
    /// The connection ended before the package did.
    #[error(
        "{place} broke off before all of it was there ({}): try again",
        last(source)
    )]
    Interrupted {
        /// Who was asked.
        place: String,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// 401 or 403.
    #[error(
        "{place} does not give this out ({status}): give credentials that may read it, or see whether they expired"
    )]
    Denied {
        /// Who was asked.
        place: String,
        /// The answer.
        status: StatusCode,
    },
    /// 404 or 410.
    #[error("there is nothing at {place} ({status}): see whether the address is right")]
    Missing {
        /// What was asked for.
        place: String,
        /// The answer.
        status: StatusCode,
    },
    /// Any other answer that is no package.
    #[error("{place} answered {status} and not with a package: see what its log says")]
    Status {
        /// Who was asked.
        place: String,
        /// The answer.
        status: StatusCode,
    },
    /// The server points to where nobody goes.
    #[error("{place} redirects, and {fault}: give the address where the package lies itself")]
    Redirect {
        /// Who redirects.
        place: String,
        /// What is wrong with it.
        fault: RedirectFault,
    },
    /// The registry or the artefact in it is not as it has to be.
    #[error("{place}: {fault}")]
    Registry {
        /// Which artefact, or where its registry says to log in.
        place: String,
        /// What is wrong with it.
        fault: RegistryFault,
    },
    /// The storage cannot be used as it is configured.
    #[error(
        "cannot use {place} ({}): see whether bucket, key, region and endpoint are right",
        last(source)
    )]
    Bucket {
        /// Which object.
        place: String,
        /// What the storage library said.
        #[source]
        source: Cause,
    },
    /// The storage does not give the object, and says neither that it is not there nor that it is denied.
    #[error(
        "{place} was not given out by its storage ({}): see whether region and endpoint are right and the storage is \
         well",
        last(source)
    )]
    Storage {
        /// Which object.
        place: String,
        /// What the storage said.
        #[source]
        source: Cause,
    },
    /// Signatures of cosign lie in registries only.
    #[error(
        "{place} is in no registry, and cosign signs artefacts of registries: give oci://…, or a raw signature"
    )]
    NoRegistry {
        /// The source.
        place: String,
    },
    /// The package is larger than any may be.
    #[error(
        "{place} has more than the {limit} bytes that a package may have: give a smaller one, or raise the limit"
    )]
    TooLarge {
        /// Which package.
        place: String,
        /// How many bytes it may have.
        limit: u64,
    },
    /// The package is not of the declared size.
    #[error(
        "{place} has {actual} and not the {expected} that were declared: see which of both is out of date"
    )]
    SizeMismatch {
        /// Which package.
        place: String,
        /// The declared size.
        expected: u64,
        /// How large it is.
        actual: Measured,
    },
    /// The package does not have the declared digest.
    #[error(
        "{place} is {actual} and not {expected}: it was changed, or the digest is that of another package"
    )]
    DigestMismatch {
        /// Which package.
        place: String,
        /// The declared digest.
        expected: Digest,
        /// Its own digest.
        actual: Digest,
    },
}

/// The cause of all causes. Libraries say there what happened, and above it what they were doing.
fn last(cause: &Cause) -> String {
    /// Messages end up in conditions.
    const CHARACTERS: usize = 200;
    let mut cause: &(dyn std::error::Error + 'static) = cause.as_ref();
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string().chars().take(CHARACTERS).collect()
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// What it says is no URL.
    #[error("where to is no URL")]
    NotAUrl,
    /// It leads away from HTTP.
    #[error("where to is neither https nor http")]
    Scheme,
    /// From https to http: anybody on the way could exchange the package.
    #[error("leads from https to http")]
    Insecure,
    /// It was not the first.
    #[error("so do all on the way, more than {limit} of them")]
    TooMany {
        /// How many are followed.
        limit: usize,
    },
}

/// What is wrong in a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFault {
    /// The registry sends credentials somewhere they cannot go to.
    #[error("the registry wants a log-in at an address that is not https: have it configured")]
    Realm,
    /// The log-in service answers something else.
    #[error("the log-in service of the registry gave no token: see what its log says")]
    Token,
    /// The manifest is no JSON, or not of this form.
    #[error("its manifest is none of an artefact: see what was pushed there")]
    Manifest,
    /// The manifest is a list of manifests.
    #[error("it is an index of several artefacts: give the digest of the one with the package")]
    Index,
    /// Nothing to fetch.
    #[error("it has no layer, so no package: push the package as its one layer")]
    NoLayer,
    /// Several things to fetch.
    #[error(
        "it has {count} layers, and none is known to be the package: declare the package's digest, or push it alone"
    )]
    Layers {
        /// How many.
        count: usize,
    },
    /// Several things to fetch, none of them the package.
    #[error(
        "none of its {count} layers is {digest}: see whether the digest is that of the package"
    )]
    NoSuchLayer {
        /// How many there are.
        count: usize,
        /// Which is wanted.
        digest: Digest,
    },
    /// A layer that cannot be checked.
    #[error("the digest of its layer is no SHA-256: push it with one")]
    LayerDigest,
    /// Somebody fills the place of the signatures.
    #[error("it has more than {limit} signatures: remove those that are not needed")]
    Signatures {
        /// How many are looked at.
        limit: usize,
    },
}

/// What a failure means to whoever declared the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchProblem {
    /// The package could not be got: nobody answers, or not with it.
    Unreachable,
    /// It is larger or smaller than it may be.
    Size,
    /// It is another one.
    Digest,
}

impl FetchError {
    /// What it means to whoever declared the package.
    pub fn problem(&self) -> FetchProblem {
        match self {
            Self::TooLarge { .. } | Self::SizeMismatch { .. } => FetchProblem::Size,
            Self::DigestMismatch { .. } => FetchProblem::Digest,
            _ => FetchProblem::Unreachable,
        }
    }

    /// Whether the same may succeed a little later, with nobody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::TooSlow { .. }
            | Self::Interrupted { .. }
            | Self::Storage { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
            _ => false,
        }
    }

    /// An answer that is not 200.
    pub(crate) fn of_status(place: String, status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Denied { place, status },
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Missing { place, status },
            _ => Self::Status { place, status },
        }
    }

    /// What is wrong with something in a registry.
    pub(crate) fn registry(place: impl ToString, fault: RegistryFault) -> Self {
        Self::Registry {
            place: place.to_string(),
            fault,
        }
    }
}
