//! Firmware packages, fetched from where they lie.
//!
//! The crate owns how a package comes from a web server, a registry or a bucket, what it is asked for there, and whether
//! what arrives is what was declared. It never gives out a byte that was not checked, never keeps more of a package than
//! may be of it, and never shows a secret: neither in an error nor in what `{:?}` prints.
//!
//! ```text
//!  https://…  http://…               web.rs ──────┐
//!  oci://HOST/REPOSITORY@sha256:…    registry.rs ─┼─▶ arrival.rs: bounded while it arrives, ─▶ Bytes
//!  s3://BUCKET/KEY                   bucket.rs ───┘               then size and SHA-256
//! ```
//!
//! The entry type is [`Fetcher`]. Who signed a package is decided without I/O, by [`verify_raw`] and [`verify_cosign`].
//!
//! ```no_run
//! use package_source::{Credentials, Expected, Fetcher, PublicKey, Signature, SignedBy, Wanted};
//!
//! # async fn example(pem: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let manifest = "sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f";
//! let wanted = Wanted {
//!     source: format!("oci://registry.example/pump/firmware@{manifest}").parse()?,
//!     credentials: Credentials::default(),
//!     expected: Expected { size: None, digest: None, limit: 64 << 20 },
//!     signature: Some(Signature { key: PublicKey::from_pem(pem)?, by: SignedBy::Cosign }),
//! };
//! let package = Fetcher::new()?.fetch_wanted(&wanted).await?;
//! # Ok(())
//! # }
//! ```

mod arrival;
mod bucket;
mod credentials;
mod error;
mod fetcher;
mod limits;
mod progress;
mod registry;
#[cfg(test)]
mod scripted;
mod signature;
mod source;
mod wanted;
mod web;

pub use arrival::{Expected, Measured};
pub use credentials::{Credentials, CredentialsError};
pub use error::{FetchError, FetchProblem, RedirectFault, RegistryFault};
pub use fetcher::{Fetcher, FetcherError};
pub use progress::Progress;
pub use signature::{
    CosignSignature, KeyError, PublicKey, SignatureError, SignatureFault, raw_signature,
    verify_cosign, verify_raw,
};
pub use source::{Repository, Source, SourceError};
pub use wanted::{Signature, SignedBy, Wanted, WantedError};
