//! The one map from what went wrong to a CoAP code (LwM2M Core 1.2 §6.2, Transport 1.2 §6.4).

use coap::{Code, Response};
use device_state::Rejection;
use lwm2m::{RegisterError, UpdateError};

use crate::bootstrap::PrepareError;

/// Why an uplink is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Register(RegisterError),
    #[error("{0}")]
    Update(UpdateError),
    #[error("the endpoint name is not the one of the credential")]
    WrongEndpoint,
    #[error("ep: missing, and the session names no endpoint")]
    NoEndpoint,
    #[error("the objects are not known: register with the whole list")]
    UnknownObjects,
    #[error("no such resource")]
    NotFound,
    #[error("method not allowed here")]
    MethodNotAllowed,
    #[error("content format not supported")]
    UnsupportedFormat,
    #[error("content format cannot be produced")]
    NotAcceptable,
    #[error("{0}")]
    BadPayload(String),
}

impl Refusal {
    fn code(&self) -> Code {
        match self {
            // LwM2M Core 1.2 §6.2.1: 4.12 lets the client step down to an older version.
            Self::Register(RegisterError::UnsupportedVersion) => Code::PRECONDITION_FAILED_4_12,
            Self::Register(_)
            | Self::Update(_)
            | Self::NoEndpoint
            | Self::UnknownObjects
            | Self::BadPayload(_) => Code::BAD_REQUEST_4_00,
            Self::WrongEndpoint => Code::FORBIDDEN_4_03,
            Self::NotFound => Code::NOT_FOUND_4_04,
            Self::MethodNotAllowed => Code::METHOD_NOT_ALLOWED_4_05,
            Self::UnsupportedFormat => Code::UNSUPPORTED_CONTENT_FORMAT_4_15,
            Self::NotAcceptable => Code::NOT_ACCEPTABLE_4_06,
        }
    }

    /// The answer, with the reason as diagnostic payload (RFC 7252 §5.5.2).
    pub(crate) fn response(&self) -> Response {
        Response {
            payload: self.to_string().into_bytes(),
            ..Response::new(self.code())
        }
    }
}

/// How long a device waits that registers faster than its enrollment policy allows.
const TOO_FAST_SECONDS: u32 = 10;

/// The answer to an uplink whose command changed nothing.
pub(crate) fn rejected(rejection: Rejection) -> Response {
    let code = match rejection {
        // RFC 7252 §5.9.3.4: it tries again after that.
        Rejection::EnrollmentTooFast => return overloaded(TOO_FAST_SECONDS),
        Rejection::UnknownRegistration | Rejection::UnknownDevice => Code::NOT_FOUND_4_04,
        // LwM2M Transport 1.2 §6.4.3: the server does not let this client register. A namespace that has as many devices as
        // it may have is no overload, which 5.03 would say: waiting alone does not help.
        Rejection::SecurityRequired
        | Rejection::UnknownCredential
        | Rejection::QuotaExceeded
        | Rejection::EnrollmentDenied
        | Rejection::EnrollmentFull => Code::FORBIDDEN_4_03,
        Rejection::UnknownOperation
        | Rejection::TooManyCredentials
        | Rejection::CredentialTaken
        | Rejection::UnknownSession
        | Rejection::CidTaken
        | Rejection::GenerationMoved
        | Rejection::StaleGeneration
        | Rejection::QueueFull
        | Rejection::TooManyObservations
        | Rejection::ObservedOtherwise
        | Rejection::UnknownProfile
        | Rejection::UnknownCampaign
        | Rejection::CampaignExists
        | Rejection::CampaignRuns
        | Rejection::CampaignEnded
        | Rejection::CampaignStopped
        | Rejection::TooManyCampaigns
        | Rejection::UnknownWave
        | Rejection::UnknownDeviceProfile
        | Rejection::TooManyDeviceProfiles
        | Rejection::UnknownGroup
        | Rejection::TooManyGroups
        | Rejection::UnknownEnrollmentPolicy
        | Rejection::TooManyEnrollmentPolicies
        | Rejection::UnknownArtefact
        | Rejection::TooManyArtefacts
        | Rejection::WrongChunk
        | Rejection::CourseMoved
        | Rejection::TooManyProfiles
        | Rejection::UnknownModel
        | Rejection::TooManyModels
        | Rejection::TooManyStateNodes
        | Rejection::UnknownStateNode
        | Rejection::StateNodeLeaves
        | Rejection::EtagMismatch
        | Rejection::RequestIdReused
        | Rejection::StillRegistered
        | Rejection::TooManyLabels
        | Rejection::AnnotationsTooLong
        | Rejection::TooManyDesired
        | Rejection::TooManyMembers
        | Rejection::UnknownResumption
        | Rejection::ResumptionTaken
        | Rejection::ResumptionTooLong => Code::INTERNAL_SERVER_ERROR_5_00,
    };
    Response {
        payload: rejection.to_string().into_bytes(),
        ..Response::new(code)
    }
}

/// The answer to a bootstrap request for which there is no plan (LwM2M Transport 1.2 §6.4).
pub(crate) fn unprepared(error: PrepareError) -> Response {
    let code = match error {
        PrepareError::UnknownEndpoint => Code::BAD_REQUEST_4_00,
        PrepareError::NotAllowed => Code::FORBIDDEN_4_03,
        PrepareError::Unavailable => Code::SERVICE_UNAVAILABLE_5_03,
    };
    Response {
        payload: error.to_string().into_bytes(),
        ..Response::new(code)
    }
}

/// The answer when the state tier or this node cannot take more: 5.03, never 4.xx, so that no device gives up.
pub(crate) fn overloaded(max_age: u32) -> Response {
    Response {
        max_age: Some(max_age),
        ..Response::new(Code::SERVICE_UNAVAILABLE_5_03)
    }
}
