//! Bearer tokens of OIDC issuers: JWTs (RFC 7519) whose signature and times are verified by `jsonwebtoken`, which only this
//! file and `keys.rs` know.

use access::{Claims, Identity, Mapping};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use node_runtime::files::Reloading;
use serde::Deserialize;

use super::config::Issuer;
use super::keys::{Fetched, KeySet, Keys, KeysError};
use super::refusal::{Refusal, TokenRefusal};

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 60;
/// A longer token is none.
const MAX_LENGTH: usize = 16 * 1024;

/// Issuers whose tokens are believed.
#[derive(Debug, Default)]
pub(super) struct Issuers(Vec<Trusted>);

#[derive(Debug)]
struct Trusted {
    issuer: String,
    audiences: Vec<String>,
    mapping: Mapping,
    keys: Keys,
}

#[derive(Deserialize)]
struct Unverified {
    iss: Option<String>,
}

impl Issuers {
    pub(super) fn new(configured: &[Issuer], reloading: &Reloading) -> Result<Self, KeysError> {
        let trusted = configured.iter().map(|issuer| {
            let keys = match (&issuer.jwks_url, &issuer.jwks_file) {
                (Some(url), _) => {
                    let fetched = Fetched::new(url, issuer.authorities_file.as_deref())?;
                    Keys::Url(Box::new(fetched))
                }
                (None, file) => {
                    let file = file.clone().unwrap_or_default();
                    let read = {
                        let file = file.clone();
                        move || KeySet::read(&file)
                    };
                    Keys::File(reloading.watch("token-keys", vec![file], read)?)
                }
            };
            Ok(Trusted {
                issuer: issuer.issuer.clone(),
                audiences: issuer.audiences.clone(),
                mapping: issuer.claims.clone(),
                keys,
            })
        });
        trusted.collect::<Result<_, _>>().map(Self)
    }

    /// Whose token it is; `None` if it is of none of these issuers, and may be good elsewhere.
    pub(super) async fn identity(&self, token: &str) -> Option<Result<Identity, Refusal>> {
        if token.len() > MAX_LENGTH {
            return Some(Err(Refusal::Token(TokenRefusal::Form)));
        }
        // Nothing is believed yet: this only says whose keys to try.
        let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Unverified>(token).ok()?;
        let issuer = claims.iss?;
        let trusted = self.0.iter().find(|trusted| trusted.issuer == issuer)?;
        Some(trusted.identity(token).await)
    }
}

impl Trusted {
    async fn identity(&self, token: &str) -> Result<Identity, Refusal> {
        let refused = Refusal::Token;
        let header = decode_header(token).map_err(|_| refused(TokenRefusal::Form))?;
        let is_known = [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA].contains(&header.alg);
        if !is_known {
            return Err(refused(TokenRefusal::Algorithm));
        }
        let id = header.kid.as_deref();
        let keys = self.keys.with(header.alg, id).await;
        let keys = keys.map_err(Refusal::Undecided)?;
        let validation = self.validation(header.alg);
        let mut reason = TokenRefusal::Key;
        for key in keys.candidates(header.alg, id) {
            match decode::<Claims>(token, key, &validation) {
                Ok(token) => {
                    let identity = token.claims.identity(&self.mapping);
                    return identity.map_err(|error| refused(error.into()));
                }
                Err(error) => reason = refusal(error.kind()),
            }
            // Another key does not help a token whose signature is right.
            if reason != TokenRefusal::Signature {
                break;
            }
        }
        Err(refused(reason))
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_audience(&self.audiences);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }
}

fn refusal(kind: &ErrorKind) -> TokenRefusal {
    match kind {
        ErrorKind::ExpiredSignature => TokenRefusal::Expired,
        ErrorKind::ImmatureSignature => TokenRefusal::NotYet,
        ErrorKind::InvalidAudience => TokenRefusal::Audience,
        ErrorKind::InvalidIssuer => TokenRefusal::Issuer,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
            TokenRefusal::Incomplete
        }
        ErrorKind::InvalidToken
        | ErrorKind::Base64(_)
        | ErrorKind::Json(_)
        | ErrorKind::Utf8(_) => TokenRefusal::Form,
        _ => TokenRefusal::Signature,
    }
}

#[cfg(test)]
mod tests;
