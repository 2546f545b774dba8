//! Why a spec is not in force.

use crd::Reason;

use crate::Pace;

/// What is said to whoever wrote the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One word.
    pub reason: Reason,
    /// Names the field, and what to do.
    pub message: String,
}

impl Refusal {
    /// The spec asks for something that this release cannot do.
    pub(crate) fn unsupported(field: &str, why: &str) -> Self {
        Self {
            reason: Reason::Unsupported,
            message: format!("{field}: {why}"),
        }
    }

    /// The spec says something that cannot be.
    pub(crate) fn invalid(field: &str, why: &str) -> Self {
        Self {
            reason: Reason::InvalidValue,
            message: format!("{field}: {why}"),
        }
    }

    /// The refusal as of something that the object names.
    pub(crate) fn of(self, what: &str) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }

    /// When to look again whether it is gone.
    pub(crate) const fn pace(&self) -> Pace {
        if self.may_pass() {
            Pace::Waiting
        } else {
            Pace::Resting
        }
    }

    /// Whether it can go by itself, without a change of the spec.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self.reason,
            Reason::ImageNotFound
                | Reason::ImageNotVerified
                | Reason::SecretNotFound
                | Reason::KeyNotFound
                | Reason::GroupNotFound
                | Reason::QuotaExceeded
                | Reason::Yanked
                | Reason::IdentityConflict
                | Reason::UnknownObjectModel
                | Reason::ProfileNotFound
                | Reason::DeviceNotFound
        )
    }
}
