//! A package with everything that it has to be.

use bytes::Bytes;

use crate::arrival::Expected;
use crate::credentials::Credentials;
use crate::error::FetchError;
use crate::fetcher::Fetcher;
use crate::signature::{PublicKey, SignatureError, verify_cosign, verify_raw};
use crate::source::Source;

/// A package that is to be fetched, and what it has to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub source: Source,
    pub credentials: Credentials,
    pub expected: Expected,
    /// Who has to have signed it; `None`: nobody.
    pub signature: Option<Signature>,
}

/// Who has to have signed a package, and how.
#[derive(Clone, Debug)]
pub struct Signature {
    pub key: PublicKey,
    pub by: SignedBy,
}

/// How a package is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// By this signature, over all of its bytes.
    Value([u8; 64]),
    /// By cosign, in the registry next to the artefact.
    Cosign,
}

/// Why a package is not given out.
#[derive(Debug, thiserror::Error)]
pub enum WantedError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Fetcher {
    /// The package, if it is all that it has to be. Nothing of an unsigned artefact is fetched but its signatures.
    pub async fn fetch_wanted(&self, wanted: &Wanted) -> Result<Bytes, WantedError> {
        let Wanted {
            source,
            credentials,
            expected,
            signature,
        } = wanted;
        let Some(Signature { key, by }) = signature else {
            return Ok(self.fetch(source, credentials, expected).await?);
        };
        match by {
            SignedBy::Value(value) => {
                let package = self.fetch(source, credentials, expected).await?;
                verify_raw(key, value, &package)?;
                Ok(package)
            }
            SignedBy::Cosign => {
                let Source::Registry { manifest, .. } = source else {
                    let place = source.to_string();
                    return Err(FetchError::NoRegistry { place }.into());
                };
                let found = self.cosign_signatures(source, credentials).await?;
                verify_cosign(key, &found, manifest)?;
                // The manifest names the package by its digest.
                Ok(self.fetch(source, credentials, expected).await?)
            }
        }
    }
}

#[cfg(test)]
mod tests;
