//! How a caller wants a change: once, only if nothing has changed meanwhile, or only tried. AIP-154, AIP-155, AIP-163.

use device_state::guard::Effectiveness;
use device_state::{Command, Etag, Guard, Namespace, RequestId};
use prost::Message;
use sha2::{Digest, Sha256};

use super::request::Delivery;
use crate::convert::{ConvertError, Reason};
use crate::drover::v1 as public;
use crate::storage::v1 as storage;

/// The terms of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Of the caller's own id and what it is used for.
    caller: Option<[u8; 32]>,
    pub guard: Guard,
}

impl Terms {
    /// The id of a part of the change: the same part of the same request has the same.
    pub fn request_id(&self, part: &str) -> Option<RequestId> {
        let hash = Sha256::new()
            .chain_update(self.caller?)
            .chain_update(part)
            .finalize();
        Some(RequestId {
            client: number(&hash, 0),
            sequence: number(&hash, 8),
        })
    }

    /// A number that is the same whenever the request is.
    pub fn number(&self, part: &str) -> Option<u64> {
        self.request_id(part).map(|id| id.client)
    }

    /// The command on these terms.
    pub fn applied_to(&self, command: Command) -> Command {
        if self.guard == Guard::default() {
            return command;
        }
        Command::Guarded {
            guard: self.guard,
            command: Box::new(command),
        }
    }

    /// The same without what the content has to be, for a part of the change that has another.
    #[must_use]
    pub fn whatever_is_there(&self) -> Self {
        Self {
            caller: self.caller,
            guard: Guard {
                etag: None,
                ..self.guard
            },
        }
    }

    /// Whether nothing is to change.
    pub fn is_rehearsal(&self) -> bool {
        self.guard.effect == Effectiveness::Rehearsed
    }
}

fn number(hash: &[u8], at: usize) -> u64 {
    hash.get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

/// An etag as it was given to the caller; `None` for an empty text.
fn etag(text: &str) -> Result<Option<Etag>, ConvertError> {
    if text.is_empty() {
        return Ok(None);
    }
    // RFC 9110 §8.8.3 puts etags in quotes, and some carry them about.
    let mut bytes = [0; Etag::BYTES];
    hex::decode_to_slice(text.trim_matches('"'), &mut bytes)
        .map_err(|_| ConvertError::new("etag", Reason::Etag))?;
    Ok(Some(Etag(bytes)))
}

/// 128 bits of a strong hash keep the ids of different callers apart; what the id is used for goes in, so that one may
/// name one request to each of many devices.
fn caller(scope: &str, id: &str) -> Result<Option<[u8; 32]>, ConvertError> {
    let length = id.len();
    if length > Delivery::MAX_REQUEST_ID_BYTES {
        return Err(ConvertError::new("request_id", Reason::Length(length)));
    }
    let hash = || {
        Sha256::new()
            .chain_update((scope.len() as u64).to_be_bytes())
            .chain_update(scope)
            .chain_update((length as u64).to_be_bytes())
            .chain_update(id)
            .finalize()
            .into()
    };
    Ok((length > 0).then(hash))
}

/// What tells a request from others: a digest of its method and its content, without the id itself.
fn fingerprint(method: &str, request: &impl Message) -> u64 {
    let hash = Sha256::new()
        .chain_update(method)
        .chain_update([0])
        .chain_update(request.encode_to_vec())
        .finalize();
    number(&hash, 0)
}

/// The command that enqueues an operation, guarded against another one with the same id. How an operation is delivered may
/// differ from one try to the next: what is asked of the device may not.
pub fn enqueue_once(command: Command, effect: Effectiveness) -> Command {
    let Command::Enqueue { operation, .. } = &command else {
        return command;
    };
    let wire = storage::Operation::from(operation.clone());
    let guard = Guard {
        etag: None,
        effect,
        fingerprint: Some(fingerprint("operation", &wire)),
    };
    Command::Guarded {
        guard,
        command: Box::new(command),
    }
}

/// A request that changes something.
pub trait Change {
    /// On which terms a caller in the namespace wants it. The id of a request is good in its namespace.
    fn terms(&self, namespace: &Namespace) -> Result<Terms, ConvertError>;
}

/// For each request: what its id is used for, the etag that it names, and what of it must not go into a digest.
macro_rules! changes {
    ($($request:ident { scope: $scope:expr, etag: $etag:expr, without: $without:expr })*) => {$(
        impl Change for public::$request {
            fn terms(&self, namespace: &Namespace) -> Result<Terms, ConvertError> {
                let scope: fn(&Self) -> String = $scope;
                let named: fn(&Self) -> &str = $etag;
                let without: fn(&mut Self) = $without;
                let caller = caller(&namespace.qualify(&scope(self)), &self.request_id)?;
                let effect = if self.validate_only {
                    Effectiveness::Rehearsed
                } else {
                    Effectiveness::Real
                };
                let mut bare = self.clone();
                bare.request_id.clear();
                without(&mut bare);
                let fingerprint = caller.is_some().then(|| fingerprint(stringify!($request), &bare));
                let etag = etag(named(self))?;
                Ok(Terms { caller, guard: Guard { etag, effect, fingerprint } })
            }
        }
    )*};
}

fn credential_scope(id: Option<&public::CredentialId>) -> String {
    id.map(|id| hex::encode(id.encode_to_vec()))
        .unwrap_or_default()
}

changes! {
    UpdateDeviceRequest {
        scope: |request| request.device.as_ref().map(|device| device.endpoint.clone()).unwrap_or_default(),
        etag: |request| request.device.as_ref().map_or("", |device| &device.etag),
        without: |_| {}
    }
    DeleteDeviceRequest { scope: |request| request.endpoint.clone(), etag: |request| &request.etag, without: |_| {} }
    SetDesiredRequest { scope: |request| request.endpoint.clone(), etag: |request| &request.etag, without: |_| {} }
    PutObservationRequest { scope: |request| request.endpoint.clone(), etag: |_| "", without: |_| {} }
    DeleteObservationRequest { scope: |request| request.endpoint.clone(), etag: |_| "", without: |_| {} }
    // A digest of a short secret would tell it.
    PutCredentialRequest {
        scope: |request| request.endpoint.clone(),
        etag: |request| &request.etag,
        without: |request| request.credential = None
    }
    DeleteCredentialRequest {
        scope: |request| credential_scope(request.id.as_ref()),
        etag: |request| &request.etag,
        without: |_| {}
    }
    PutBootstrapProfileRequest {
        scope: |_| String::new(),
        etag: |request| request.profile.as_ref().map_or("", |profile| &profile.etag),
        without: |_| {}
    }
    DeleteBootstrapProfileRequest { scope: |_| String::new(), etag: |request| &request.etag, without: |_| {} }
    CreateCampaignRequest { scope: |_| String::new(), etag: |_| "", without: |_| {} }
    PauseCampaignRequest { scope: |request| request.name.clone(), etag: |_| "", without: |_| {} }
    ApproveCampaignRequest { scope: |request| request.name.clone(), etag: |_| "", without: |_| {} }
    AbortCampaignRequest { scope: |request| request.name.clone(), etag: |_| "", without: |_| {} }
    DeleteCampaignRequest { scope: |request| request.name.clone(), etag: |_| "", without: |_| {} }
    PutEnrollmentPolicyRequest {
        scope: |_| String::new(),
        etag: |request| request.policy.as_ref().map_or("", |policy| &policy.etag),
        without: |_| {}
    }
    DeleteEnrollmentPolicyRequest { scope: |_| String::new(), etag: |request| &request.etag, without: |_| {} }
    PutDeviceGroupRequest {
        scope: |_| String::new(),
        etag: |request| request.group.as_ref().map_or("", |group| &group.etag),
        without: |_| {}
    }
    DeleteDeviceGroupRequest { scope: |_| String::new(), etag: |request| &request.etag, without: |_| {} }
    PutDeviceProfileRequest {
        scope: |_| String::new(),
        etag: |request| request.profile.as_ref().map_or("", |profile| &profile.etag),
        without: |_| {}
    }
    DeleteDeviceProfileRequest { scope: |_| String::new(), etag: |request| &request.etag, without: |_| {} }
    DeleteArtefactRequest { scope: |request| request.digest.clone(), etag: |_| "", without: |_| {} }
    PutObjectModelsRequest { scope: |_| String::new(), etag: |_| "", without: |_| {} }
    DeleteObjectModelRequest { scope: |_| String::new(), etag: |_| "", without: |_| {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str) -> public::DeleteDeviceRequest {
        public::DeleteDeviceRequest {
            endpoint: "meter-7".to_owned(),
            request_id: id.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn one_id_stands_for_one_request_of_one_device() {
        let terms = request("a").terms(&Namespace::default()).expect("sound");
        assert_eq!(
            terms,
            request("a").terms(&Namespace::default()).expect("sound")
        );
        assert_ne!(
            terms.request_id(""),
            request("b")
                .terms(&Namespace::default())
                .expect("sound")
                .request_id("")
        );
        assert_ne!(terms.request_id(""), terms.request_id("2"));
        let forced = public::DeleteDeviceRequest {
            force: true,
            ..request("a")
        };
        let forced = forced.terms(&Namespace::default()).expect("sound");
        assert_eq!(forced.request_id(""), terms.request_id(""));
        assert_ne!(forced.guard.fingerprint, terms.guard.fingerprint);
        assert_eq!(
            request("").terms(&Namespace::default()).expect("sound"),
            Terms::default()
        );
    }

    #[test]
    fn an_etag_is_taken_with_quotes_and_without() {
        let with = |etag: &str| public::DeleteDeviceRequest {
            etag: etag.to_owned(),
            ..request("")
        };
        let tag = "00112233445566778899aabb";
        let plain = with(tag).terms(&Namespace::default()).expect("sound");
        assert_eq!(
            plain,
            with(&format!("\"{tag}\""))
                .terms(&Namespace::default())
                .expect("sound")
        );
        assert_eq!(
            plain.guard.etag.map(|etag| etag.to_string()).as_deref(),
            Some(tag)
        );
        assert!(with("W/1").terms(&Namespace::default()).is_err());
    }
}
