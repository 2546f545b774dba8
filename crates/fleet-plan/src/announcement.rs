//! What people are told of an object when its conditions change, beside the conditions themselves.
//!
//! A status is written whenever a number in it moves. Told is what became another one: a status or a reason. What is on its
//! way is not told, as its end will be; nor what a new object is before anything happened to it; nor what only says that
//! another condition tells why.

use crd::{ConditionStatus, ConditionType, Observation, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::text::cut;

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Whether somebody should act.
    pub urgency: Urgency,
    /// What was done, as one verb.
    pub action: &'static str,
    /// Why it came to that, as one word.
    pub reason: &'static str,
    /// For people; at most [`Observation::MAX_MESSAGE_BYTES`].
    pub note: String,
}

/// Whether somebody should act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It is good to know.
    Information,
    /// A person should look at it.
    Warning,
}

/// What a reason says by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Something that goes on, or that another condition tells.
    OnItsWay,
    /// How an object begins.
    AtFirst,
    Information,
    Warning,
}

impl Announcement {
    pub(crate) fn new(
        urgency: Urgency,
        action: &'static str,
        reason: &'static str,
        note: &str,
    ) -> Self {
        Self {
            urgency,
            action,
            reason,
            note: cut(note, Observation::MAX_MESSAGE_BYTES).to_owned(),
        }
    }
}

/// What is to be told when the conditions of an object become others, in their order; each reason once, however many
/// conditions have it.
pub fn announcements(before: &[Condition], after: &[Condition]) -> Vec<Announcement> {
    let (stalled, is_true) = (
        ConditionType::Stalled.as_str(),
        ConditionStatus::True.as_str(),
    );
    let is_stalled = after
        .iter()
        .any(|one| one.type_ == stalled && one.status == is_true);
    let mut all: Vec<Announcement> = Vec::new();
    for now in after {
        let known = before.iter().find(|known| known.type_ == now.type_);
        let Some(announcement) = announcement(known, now, is_stalled) else {
            continue;
        };
        match all
            .iter_mut()
            .find(|told| told.reason == announcement.reason)
        {
            Some(told) => told.urgency = told.urgency.max(announcement.urgency),
            None => all.push(announcement),
        }
    }
    all
}

fn announcement(
    known: Option<&Condition>,
    now: &Condition,
    is_stalled: bool,
) -> Option<Announcement> {
    let is_same = |known: &Condition| known.status == now.status && known.reason == now.reason;
    if known.is_some_and(is_same) {
        return None;
    }
    let condition = ConditionType::from_word(&now.type_)?;
    let reason = Reason::from_word(&now.reason)?;
    let action = action(condition)?;
    let has = |status: ConditionStatus| now.status == status.as_str();
    let weight = weight(reason);
    let is_unheard =
        known.is_none() && (has(ConditionStatus::Unknown) || weight == Weight::AtFirst);
    let is_refused = condition == ConditionType::Accepted && has(ConditionStatus::False);
    let is_stuck = condition == ConditionType::Ready && is_stalled;
    let urgency = match weight {
        Weight::OnItsWay if !is_refused => return None,
        _ if is_unheard => return None,
        _ if is_refused || is_stuck => Urgency::Warning,
        Weight::Warning => Urgency::Warning,
        Weight::OnItsWay | Weight::AtFirst | Weight::Information => Urgency::Information,
    };
    Some(Announcement::new(
        urgency,
        action,
        reason.as_str(),
        &now.message,
    ))
}

/// The verb of a condition; `None` if `Ready` tells the same.
const fn action(condition: ConditionType) -> Option<&'static str> {
    Some(match condition {
        ConditionType::Accepted => "Accept",
        ConditionType::Registered => "Register",
        ConditionType::Synced => "Write",
        ConditionType::FirmwareCurrent => "Update",
        ConditionType::Progressing => "Progress",
        ConditionType::Degraded => "Check",
        ConditionType::Paused => "Pause",
        ConditionType::Suspended => "Suspend",
        ConditionType::Verified => "Verify",
        ConditionType::Available => "Provide",
        ConditionType::Complete | ConditionType::Failed | ConditionType::Succeeded => "Finish",
        ConditionType::RolledBack => "RollBack",
        ConditionType::Ready => "Reconcile",
        ConditionType::Reconciling | ConditionType::Stalled => return None,
    })
}

const fn weight(reason: Reason) -> Weight {
    match reason {
        Reason::Pending
        | Reason::Applying
        | Reason::Evaluating
        | Reason::Running
        | Reason::Fetching
        | Reason::UpdateScheduled
        | Reason::NeverSeen
        | Reason::NotReported
        | Reason::NotChecked
        | Reason::NotAccepted
        | Reason::NotVerified => Weight::OnItsWay,
        Reason::AsExpected | Reason::NotPaused | Reason::UpToDate => Weight::AtFirst,
        Reason::Accepted
        | Reason::Wiping
        | Reason::Registered
        | Reason::LifetimeExpired
        | Reason::ClientDeregistered
        | Reason::NotRegistered
        | Reason::InSync
        | Reason::AwaitingWakeup
        | Reason::Suspended
        | Reason::Evaluated
        | Reason::InForce
        | Reason::UserPaused
        | Reason::PausedByAnnotation
        | Reason::PausedByNamespace
        | Reason::OutsideWindow
        | Reason::AwaitingApproval
        | Reason::WaveRunning
        | Reason::Soaking
        | Reason::Complete
        | Reason::Aborted
        | Reason::Verified
        | Reason::Available
        | Reason::Updating
        | Reason::NotUpdated
        | Reason::Yanked => Weight::Information,
        Reason::IdentityConflict
        | Reason::AlreadyKnown
        | Reason::CredentialTaken
        | Reason::ObservedOtherwise
        | Reason::Unsupported
        | Reason::UnknownObjectModel
        | Reason::InvalidValue
        | Reason::InvalidFilter
        | Reason::InvalidPattern
        | Reason::InvalidDefinition
        | Reason::NotNewer
        | Reason::SecretNotFound
        | Reason::KeyNotFound
        | Reason::AuthorityNotFound
        | Reason::GroupNotFound
        | Reason::ProfileNotFound
        | Reason::DeviceNotFound
        | Reason::ImageNotFound
        | Reason::ImageNotVerified
        | Reason::SelectorEmpty
        | Reason::OverlapsRollout
        | Reason::Conflicts
        | Reason::Rejected
        | Reason::PartiallyApplied
        | Reason::Drifted
        | Reason::WriteRejected
        | Reason::QuotaExceeded
        | Reason::FailureThresholdExceeded
        | Reason::FleetUnhealthy
        | Reason::ProgressDeadlineExceeded
        | Reason::DeadlineExceeded
        | Reason::OutcomeUnknown
        | Reason::DevicesFailed
        | Reason::FetchFailed
        | Reason::SizeMismatch
        | Reason::DigestMismatch
        | Reason::SignatureInvalid
        | Reason::UntrustedKey
        | Reason::NotStored
        | Reason::UpdateFailed
        | Reason::ObjectsRefused
        | Reason::StorageFull => Weight::Warning,
    }
}

#[cfg(test)]
mod tests;
