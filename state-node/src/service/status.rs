//! From what went wrong to a gRPC status: the one place that decides codes, reasons and retry delays.
//!
//! Every status carries an `ErrorInfo` with the domain `drover.dev` and a reason that programs can rely on; field
//! errors carry a `BadRequest`, and what can be tried again a `RetryInfo`.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use device_state::{Digest, Namespace, OperationOutcome, Rejection};
use proto::convert::ConvertError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::refusal::Refusal;
use crate::attachments::DeliveryError;
use crate::backups::HoldError;
use crate::delivery::OperateError;
use crate::raft::group::BackupError;
use crate::raft::proposals::ProposeError;
use crate::tenants::{Exceeded, TooFast};

/// The domain of every reason.
pub const DOMAIN: &str = "drover.dev";

const NO_LEADER: &str = "NO_LEADER";
const QUOTA_EXCEEDED: &str = "QUOTA_EXCEEDED";
/// When to come back to a shard without a leader: an election takes one to two seconds.
const LEADER_PAUSE: Duration = Duration::from_millis(500);
/// When to come back to a device that sleeps; nobody knows better.
const ASLEEP_PAUSE: Duration = Duration::from_secs(60);

fn with_reason(code: Code, reason: &str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

fn retry(code: Code, reason: &str, message: impl Into<String>, after: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    details.set_retry_info(Some(after));
    Status::with_error_details(code, message, details)
}

/// A request whose `field` is wrong.
pub fn field(field: &str, reason: &impl Display) -> Status {
    let mut details = ErrorDetails::with_bad_request_violation(field, reason.to_string());
    details.set_error_info("INVALID_FIELD", DOMAIN, HashMap::new());
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {reason}"), details)
}

/// A request without a field that it needs.
pub fn missing(name: &str) -> Status {
    field(name, &"is missing")
}

/// A request that does not convert.
pub fn convert(error: &ConvertError) -> Status {
    field(&error.field, &error.reason)
}

/// The shard has no leader at this moment.
pub fn no_leader() -> Status {
    retry(
        Code::Unavailable,
        NO_LEADER,
        "the device's shard has no leader at this moment",
        LEADER_PAUSE,
    )
}

/// Whether a status says that another node, or a later moment, might answer.
pub fn is_no_leader(status: &Status) -> bool {
    let reason = || {
        status
            .get_details_error_info()
            .is_some_and(|info| info.reason == NO_LEADER)
    };
    // A leader that could not be reached has given no details.
    let unavailable =
        status.code() == Code::Unavailable && (status.details().is_empty() || reason());
    unavailable || proto::broken_connection(status).is_some()
}

/// Whether a status says that an observation cannot be held as it is wanted, now or later: not that the cluster is busy.
pub fn is_hold_refused(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    matches!(
        reason.as_deref(),
        Some("OBSERVED_OTHERWISE" | "TOO_MANY_OBSERVATIONS")
    )
}

/// A call that is not let through. What exactly is wrong with a token is told: a caller with a token that has expired must
/// know that it needs another one.
pub fn access(refusal: &Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::NoCredentials | Refusal::Token(_) | Refusal::Certificate(_) => {
            with_reason(Code::Unauthenticated, refusal.reason(), message)
        }
        Refusal::Forbidden { who, permission } => {
            let facts = [
                ("who", who.as_str()),
                ("verb", permission.verb.as_str()),
                ("resource", permission.resource),
            ];
            let facts = facts.map(|(name, fact)| (name.to_owned(), fact.to_owned()));
            let details =
                ErrorDetails::with_error_info(refusal.reason(), DOMAIN, HashMap::from(facts));
            Status::with_error_details(Code::PermissionDenied, message, details)
        }
        Refusal::Namespace(_) => with_reason(Code::InvalidArgument, refusal.reason(), message),
        Refusal::NoRule(_) => with_reason(Code::PermissionDenied, refusal.reason(), message),
        Refusal::Undecided(_) => {
            let after = Duration::from_secs(1);
            retry(Code::Unavailable, refusal.reason(), message, after)
        }
    }
}

/// The namespace has as much as it may have.
pub fn quota(exceeded: Exceeded, namespace: &Namespace) -> Status {
    let Exceeded { quota, limit } = exceeded;
    let what = quota.name();
    let subject = format!("namespace:{namespace}");
    let description = format!("{what} is {limit}");
    let mut details = ErrorDetails::with_quota_failure_violation(subject, &description);
    let facts = [("namespace", namespace.as_str()), ("quota", what)];
    let facts = facts.map(|(name, fact)| (name.to_owned(), fact.to_owned()));
    details.set_error_info(QUOTA_EXCEEDED, DOMAIN, HashMap::from(facts));
    let message = format!("the namespace {namespace} has as much as it may have: {description}");
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// The namespace makes more calls than it may.
pub fn too_fast(TooFast(after): TooFast) -> Status {
    let message = "the namespace makes more calls than it may";
    retry(Code::ResourceExhausted, "RATE_LIMITED", message, after)
}

/// A change that cannot be put on record, where it has to be.
pub fn audit_unavailable() -> Status {
    retry(
        Code::Unavailable,
        "AUDIT_UNAVAILABLE",
        "the change was not made: it cannot be put on record at this moment",
        Duration::from_secs(5),
    )
}

/// What is not known.
pub fn not_found(what: &str) -> Status {
    with_reason(Code::NotFound, "NOT_FOUND", format!("{what} is not known"))
}

/// The resume token is of another cluster, or what it points at is gone.
pub fn resume_token_expired() -> Status {
    with_reason(
        Code::OutOfRange,
        "RESUME_TOKEN_EXPIRED",
        "events after the resume token are gone: list the devices and watch from now on",
    )
}

/// The watcher did not take its events; it can go on after those that it took.
pub fn slow_consumer(resume_token: &str) -> Status {
    let metadata = [("resume_token".to_owned(), resume_token.to_owned())];
    let details = ErrorDetails::with_error_info("SLOW_CONSUMER", DOMAIN, metadata);
    Status::with_error_details(
        Code::ResourceExhausted,
        "the events were not taken: go on with the resume token, and take them sooner",
        details,
    )
}

/// This node serves as many watchers as it may.
pub fn too_many_watchers() -> Status {
    retry(
        Code::ResourceExhausted,
        "TOO_MANY_WATCHERS",
        "this node serves as many watchers as it may: go to another one",
        Duration::from_secs(10),
    )
}

/// What this node knows may be old: it hears of no leader.
pub fn out_of_touch() -> Status {
    retry(
        Code::Unavailable,
        "NODE_OUT_OF_TOUCH",
        "this node has heard of no leader for a while: go on at another one",
        Duration::from_millis(500),
    )
}

/// This node has not applied yet what the resume token has seen.
pub fn node_behind() -> Status {
    retry(
        Code::Unavailable,
        "NODE_BEHIND",
        "this node is behind the resume token: go on at another one",
        Duration::from_secs(1),
    )
}

/// This node stops.
pub fn stopping() -> Status {
    retry(
        Code::Unavailable,
        "NODE_STOPS",
        "this node stops: go on at another one",
        Duration::from_millis(100),
    )
}

/// Why state nodes cannot be added, removed or unstuck as things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The node belongs to another cluster.
    OtherCluster,
    /// The node is configured for another number of shards.
    OtherShards,
    /// The node does not understand what the rows need.
    OlderRelease,
    /// The node is a voter, and would become a learner.
    AlreadyVoter,
    /// A shard would be without a voter.
    LastVoter,
    /// Too few of the voters that would stay answer.
    QuorumAtRisk,
    /// A majority answers: nothing is to be given up.
    NotStuck,
    /// A shard has no survivor that could keep it.
    NoKeeper,
    /// The keeper of a shard has less of its log than was seen.
    LogTooShort,
}

impl Obstacle {
    const fn reason(self) -> &'static str {
        match self {
            Self::OtherCluster => "OTHER_CLUSTER",
            Self::OtherShards => "OTHER_SHARDS",
            Self::OlderRelease => "OLDER_RELEASE",
            Self::AlreadyVoter => "ALREADY_VOTER",
            Self::LastVoter => "LAST_VOTER",
            Self::QuorumAtRisk => "QUORUM_AT_RISK",
            Self::NotStuck => "NOT_STUCK",
            Self::NoKeeper => "NO_KEEPER",
            Self::LogTooShort => "LOG_TOO_SHORT",
        }
    }
}

/// What was asked of the cluster's nodes cannot be done as things stand.
pub fn membership(obstacle: Obstacle, message: impl Into<String>) -> Status {
    with_reason(Code::FailedPrecondition, obstacle.reason(), message)
}

/// No state node answers at an address.
pub fn no_state_node(address: &str) -> Status {
    retry(
        Code::Unavailable,
        "NO_STATE_NODE",
        format!("no state node answers at {address}"),
        Duration::from_secs(2),
    )
}

/// Other packages are on their way to this node.
pub fn too_many_uploads() -> Status {
    retry(
        Code::ResourceExhausted,
        "TOO_MANY_UPLOADS",
        "other packages are on their way to this node",
        Duration::from_secs(5),
    )
}

/// A package that devices may still be sent for.
pub fn artefact_of_campaign(campaign: &str) -> Status {
    artefact_in_use(format!(
        "the campaign {campaign} offers it to devices: abort it, or wait for its end"
    ))
}

/// A package that devices get which come into a profile.
pub fn artefact_of_profile(profile: &str) -> Status {
    artefact_in_use(format!(
        "the profile {profile} has it as the value of a resource: give that another one"
    ))
}

fn artefact_in_use(why: String) -> Status {
    with_reason(Code::FailedPrecondition, "ARTEFACT_IN_USE", why)
}

/// Not every state node knows of what is asked for.
pub fn not_upgraded() -> Status {
    retry(
        Code::Unavailable,
        "NOT_UPGRADED",
        "not all state nodes have been upgraded to a release that knows of this",
        Duration::from_secs(10),
    )
}

/// A package that somebody removed while it was being stored.
pub fn artefact_removed() -> Status {
    retry(
        Code::Aborted,
        "ARTEFACT_REMOVED",
        "somebody removed the package while it was being stored",
        Duration::from_secs(1),
    )
}

/// A campaign is to offer a package that is not stored.
pub fn no_artefact(digest: Digest) -> Status {
    with_reason(
        Code::FailedPrecondition,
        "UNKNOWN_ARTEFACT",
        format!("there is no package {digest}: store it first"),
    )
}

/// A stored secret that cannot be sealed or opened.
pub fn seal(error: &crate::seal::SealError) -> Status {
    with_reason(Code::Internal, "SEAL", error.to_string())
}

/// The checkpoint of a backup is not held any more.
pub fn checkpoint_gone() -> Status {
    with_reason(
        Code::NotFound,
        "CHECKPOINT_GONE",
        "the checkpoint is gone: prepare another one",
    )
}

/// There is no room for more files.
pub fn disk_nearly_full() -> Status {
    propose(&ProposeError::DiskNearlyFull)
}

/// Why no checkpoint was made for a backup.
pub fn backup(error: &BackupError) -> Status {
    match error {
        BackupError::NotLeader(_) => no_leader(),
        BackupError::Store(_) | BackupError::Ended(_) => Status::internal(chain(error)),
    }
}

/// Why a checkpoint is not held, or a file of it cannot be read.
pub fn hold(error: &HoldError) -> Status {
    match error {
        HoldError::TooMany => retry(
            Code::ResourceExhausted,
            "TOO_MANY_BACKUPS",
            error.to_string(),
            Duration::from_secs(10),
        ),
        HoldError::Gone => checkpoint_gone(),
        HoldError::NoFile => field("name", error),
        HoldError::Read(_) => Status::internal(chain(error)),
    }
}

/// An error and what it came from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Why a command was not committed.
pub fn propose(error: &ProposeError) -> Status {
    match error {
        ProposeError::NotLeader(_) | ProposeError::Unavailable => no_leader(),
        ProposeError::Overloaded => retry(
            Code::ResourceExhausted,
            "OVERLOADED",
            error.to_string(),
            Duration::from_millis(200),
        ),
        ProposeError::DiskNearlyFull => retry(
            Code::ResourceExhausted,
            "DISK_NEARLY_FULL",
            error.to_string(),
            Duration::from_secs(60),
        ),
        ProposeError::TooLarge => {
            with_reason(Code::InvalidArgument, "TOO_LARGE", error.to_string())
        }
    }
}

/// Why a committed command changed nothing.
pub fn rejection(rejection: Rejection) -> Status {
    let (code, reason) = match rejection {
        Rejection::UnknownRegistration => (Code::NotFound, "UNKNOWN_REGISTRATION"),
        Rejection::UnknownDevice => (Code::NotFound, "UNKNOWN_DEVICE"),
        Rejection::UnknownOperation => (Code::FailedPrecondition, "UNKNOWN_OPERATION"),
        Rejection::UnknownSession => (Code::NotFound, "UNKNOWN_SESSION"),
        Rejection::UnknownCredential => (Code::NotFound, "UNKNOWN_CREDENTIAL"),
        Rejection::CidTaken => (Code::AlreadyExists, "CID_TAKEN"),
        Rejection::UnknownResumption => (Code::NotFound, "UNKNOWN_RESUMPTION"),
        Rejection::ResumptionTaken => (Code::AlreadyExists, "RESUMPTION_TAKEN"),
        Rejection::ResumptionTooLong => (Code::InvalidArgument, "RESUMPTION_TOO_LONG"),
        Rejection::GenerationMoved => (Code::Aborted, "GENERATION_MOVED"),
        Rejection::StaleGeneration => (Code::Aborted, "STALE_GENERATION"),
        Rejection::QueueFull => {
            return retry(
                Code::ResourceExhausted,
                "QUEUE_FULL",
                rejection.to_string(),
                Duration::from_secs(10),
            );
        }
        Rejection::TooManyObservations => (Code::ResourceExhausted, "TOO_MANY_OBSERVATIONS"),
        Rejection::ObservedOtherwise => (Code::FailedPrecondition, "OBSERVED_OTHERWISE"),
        Rejection::UnknownProfile => (Code::NotFound, "UNKNOWN_PROFILE"),
        Rejection::TooManyProfiles => (Code::ResourceExhausted, "TOO_MANY_PROFILES"),
        Rejection::UnknownDeviceProfile => (Code::NotFound, "UNKNOWN_DEVICE_PROFILE"),
        Rejection::TooManyDeviceProfiles => (Code::ResourceExhausted, "TOO_MANY_DEVICE_PROFILES"),
        Rejection::UnknownArtefact => (Code::NotFound, "UNKNOWN_ARTEFACT"),
        Rejection::TooManyArtefacts => (Code::ResourceExhausted, "TOO_MANY_ARTEFACTS"),
        Rejection::WrongChunk => (Code::Internal, "WRONG_CHUNK"),
        Rejection::UnknownGroup => (Code::NotFound, "UNKNOWN_GROUP"),
        Rejection::UnknownEnrollmentPolicy => (Code::NotFound, "UNKNOWN_ENROLLMENT_POLICY"),
        Rejection::TooManyEnrollmentPolicies => {
            (Code::ResourceExhausted, "TOO_MANY_ENROLLMENT_POLICIES")
        }
        Rejection::EnrollmentDenied => (Code::PermissionDenied, "ENROLLMENT_DENIED"),
        Rejection::EnrollmentFull => (Code::ResourceExhausted, "ENROLLMENT_FULL"),
        Rejection::EnrollmentTooFast => (Code::Unavailable, "ENROLLMENT_TOO_FAST"),
        Rejection::TooManyGroups => (Code::ResourceExhausted, "TOO_MANY_GROUPS"),
        Rejection::UnknownCampaign => (Code::NotFound, "UNKNOWN_CAMPAIGN"),
        Rejection::CampaignExists => (Code::AlreadyExists, "CAMPAIGN_EXISTS"),
        Rejection::CampaignRuns => (Code::FailedPrecondition, "CAMPAIGN_RUNS"),
        Rejection::CampaignEnded => (Code::FailedPrecondition, "CAMPAIGN_ENDED"),
        Rejection::CampaignStopped => (Code::FailedPrecondition, "CAMPAIGN_STOPPED"),
        Rejection::TooManyCampaigns => (Code::ResourceExhausted, "TOO_MANY_CAMPAIGNS"),
        Rejection::UnknownWave => (Code::InvalidArgument, "UNKNOWN_WAVE"),
        Rejection::CourseMoved => (Code::Aborted, "COURSE_MOVED"),
        Rejection::UnknownModel => (Code::NotFound, "UNKNOWN_MODEL"),
        Rejection::TooManyModels => (Code::ResourceExhausted, "TOO_MANY_MODELS"),
        Rejection::TooManyStateNodes => (Code::ResourceExhausted, "TOO_MANY_STATE_NODES"),
        Rejection::UnknownStateNode => (Code::NotFound, "UNKNOWN_STATE_NODE"),
        Rejection::StateNodeLeaves => (Code::FailedPrecondition, "STATE_NODE_LEAVES"),
        Rejection::EtagMismatch => (Code::Aborted, "ETAG_MISMATCH"),
        Rejection::RequestIdReused => (Code::InvalidArgument, "REQUEST_ID_REUSED"),
        Rejection::StillRegistered => (Code::FailedPrecondition, "STILL_REGISTERED"),
        Rejection::TooManyLabels => (Code::InvalidArgument, "TOO_MANY_LABELS"),
        Rejection::AnnotationsTooLong => (Code::InvalidArgument, "ANNOTATIONS_TOO_LONG"),
        Rejection::TooManyDesired => (Code::ResourceExhausted, "TOO_MANY_DESIRED"),
        Rejection::SecurityRequired => (Code::FailedPrecondition, "SECURITY_REQUIRED"),
        Rejection::TooManyCredentials => (Code::ResourceExhausted, "TOO_MANY_CREDENTIALS"),
        Rejection::CredentialTaken => (Code::AlreadyExists, "CREDENTIAL_TAKEN"),
        Rejection::QuotaExceeded => (Code::ResourceExhausted, QUOTA_EXCEEDED),
        Rejection::TooManyMembers => (Code::ResourceExhausted, "TOO_MANY_MEMBERS"),
    };
    with_reason(code, reason, rejection.to_string())
}

/// Why a device did not answer.
pub fn delivery(error: &DeliveryError) -> Status {
    let message = error.to_string();
    match error {
        DeliveryError::NotRegistered => {
            with_reason(Code::FailedPrecondition, "DEVICE_NOT_REGISTERED", message)
        }
        DeliveryError::Quarantined => {
            with_reason(Code::FailedPrecondition, "DEVICE_QUARANTINED", message)
        }
        DeliveryError::NoIngress => retry(
            Code::Unavailable,
            "DEVICE_MOVING",
            message,
            Duration::from_secs(2),
        ),
        DeliveryError::Asleep => retry(Code::Unavailable, "DEVICE_ASLEEP", message, ASLEEP_PAUSE),
        DeliveryError::Timeout => with_reason(Code::DeadlineExceeded, "DEVICE_TIMEOUT", message),
        DeliveryError::Busy { retry_after } => retry(
            Code::ResourceExhausted,
            "DEVICE_BUSY",
            message,
            *retry_after,
        ),
        DeliveryError::BadAnswer(_) => with_reason(Code::DataLoss, "DEVICE_BAD_ANSWER", message),
        DeliveryError::Invalid(_) => {
            with_reason(Code::InvalidArgument, "INVALID_OPERATION", message)
        }
    }
}

/// Why an operation has no answer.
pub fn operate(error: &OperateError) -> Status {
    match error {
        OperateError::NotLeader(_) => no_leader(),
        OperateError::Delivery(error) => delivery(error),
        OperateError::Propose(error) => propose(error),
        OperateError::Rejected(rejected) => rejection(*rejected),
        OperateError::StillRunning { .. } => with_reason(
            Code::DeadlineExceeded,
            "OPERATION_PENDING",
            error.to_string(),
        ),
    }
}

/// What the device's error code means for somebody who asked for a value.
///
/// `None` if the outcome is a success.
pub fn device_outcome(outcome: &OperationOutcome) -> Option<Status> {
    match outcome {
        OperationOutcome::Delivered { .. } | OperationOutcome::Answered { .. } => None,
        OperationOutcome::Rejected { code, diagnostic } => Some(coap(*code, diagnostic)),
        OperationOutcome::Expired => Some(with_reason(
            Code::DeadlineExceeded,
            "OPERATION_EXPIRED",
            "the device did not take it in time",
        )),
        OperationOutcome::Cancelled => Some(with_reason(
            Code::Cancelled,
            "OPERATION_CANCELLED",
            "it was cancelled",
        )),
        OperationOutcome::Superseded => Some(with_reason(
            Code::Aborted,
            "OPERATION_SUPERSEDED",
            "a newer desired value replaced it",
        )),
    }
}

/// A CoAP error code of a device. The reason is the code itself: `COAP_4_04`.
// RFC 7252 §12.1.2; LwM2M-Transport 1.2 §6.4 for what LwM2M means by them.
pub fn coap(code: u8, diagnostic: &str) -> Status {
    let (class, detail) = (code >> 5, code & 0x1f);
    let grpc = match (class, detail) {
        (4, 0 | 2 | 6 | 15) => Code::InvalidArgument,
        (4, 1 | 3) => Code::PermissionDenied,
        (4, 4) => Code::NotFound,
        (4, 5 | 12) => Code::FailedPrecondition,
        (4, 8 | 13) => Code::OutOfRange,
        (4, 9) => Code::Aborted,
        (4, 29) => Code::ResourceExhausted,
        (5, 1) => Code::Unimplemented,
        (5, 3) => Code::Unavailable,
        (5, 4) => Code::DeadlineExceeded,
        _ => Code::Unknown,
    };
    let reason = format!("COAP_{class}_{detail:02}");
    let message = match diagnostic {
        "" => format!("the device answered {class}.{detail:02}"),
        text => format!("the device answered {class}.{detail:02}: {text}"),
    };
    with_reason(grpc, &reason, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn reason(status: &Status) -> String {
        status
            .get_details_error_info()
            .map(|info| info.reason)
            .unwrap_or_default()
    }

    #[test]
    fn a_busy_cluster_does_not_end_an_observation() {
        assert!(is_hold_refused(&rejection(Rejection::TooManyObservations)));
        assert!(is_hold_refused(&rejection(Rejection::ObservedOtherwise)));
        assert!(!is_hold_refused(&rejection(Rejection::QueueFull)));
        assert!(!is_hold_refused(&no_leader()));
    }

    #[test]
    fn a_device_error_names_its_coap_code() {
        let status = coap(0x84, "no such resource");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "COAP_4_04")
        );
        assert_eq!(
            status.message(),
            "the device answered 4.04: no such resource"
        );
        assert_eq!(coap(0x85, "").code(), Code::FailedPrecondition);
    }

    #[test]
    fn a_sleeping_device_says_when_to_come_back() {
        let status = delivery(&DeliveryError::Asleep);
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unavailable, "DEVICE_ASLEEP")
        );
        assert_eq!(
            status
                .get_details_retry_info()
                .and_then(|info| info.retry_delay),
            Some(ASLEEP_PAUSE)
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        let status = field("path", &"is not a path");
        let violations = status
            .get_details_bad_request()
            .map(|bad| bad.field_violations)
            .unwrap_or_default();
        assert_eq!(
            violations
                .iter()
                .map(|v| v.field.as_str())
                .collect::<Vec<_>>(),
            ["path"]
        );
    }

    #[test]
    fn a_missing_leader_is_told_from_a_sleeping_device() {
        assert!(is_no_leader(&no_leader()));
        assert!(!is_no_leader(&delivery(&DeliveryError::Asleep)));
    }

    /// The reasons that this file gives, but those of CoAP codes.
    fn reasons() -> BTreeSet<&'static str> {
        let code = include_str!("status.rs").split("#[cfg(test)]").next();
        let quoted = code.unwrap_or_default().split('"').skip(1).step_by(2);
        let is_reason = |text: &&str| {
            text.len() > 3
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        quoted.filter(is_reason).collect()
    }

    #[test]
    fn every_reason_is_in_the_documentation() {
        let page = include_str!("../../../docs/api.md");
        let (_, table) = page
            .split_once("## Errors")
            .expect("the page has that part");
        let cell = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
        let documented: BTreeSet<&str> = table.lines().filter_map(cell).collect();
        assert_eq!(documented, reasons());
    }
}
