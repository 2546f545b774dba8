//! Condition types, their reasons, and the one way to write a condition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

mod kind;
mod reason;
mod words;

pub use kind::ConditionType;
pub use reason::Reason;

/// A condition of a kind with the reasons that it can have.
pub type ConditionRow = (ConditionType, &'static [Reason]);

/// Of every kind that the operator acts on, if it has no other reason to pause.
pub(crate) const BRAKE: ConditionRow = (
    ConditionType::Paused,
    &[
        Reason::PausedByAnnotation,
        Reason::PausedByNamespace,
        Reason::NotPaused,
    ],
);

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

impl ConditionStatus {
    /// The status as it stands in `status.conditions[].status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What was found about one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What it is about.
    pub condition: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
    /// For people; cut at [`Observation::MAX_MESSAGE_BYTES`] when it is written.
    pub message: String,
}

impl Observation {
    /// Longer messages are cut.
    pub const MAX_MESSAGE_BYTES: usize = 1024;
}

/// Writes one condition of an object whose `metadata.generation` is `generation`.
///
/// The transition time moves only when the status does: the same observation at any later time
/// leaves the list as it is, so that comparing two statuses tells whether a write is due.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    observation: Observation,
    generation: i64,
    now: &Time,
) {
    let mut message = observation.message;
    message.truncate(message.floor_char_boundary(Observation::MAX_MESSAGE_BYTES));
    let mut written = Condition {
        type_: observation.condition.as_str().to_owned(),
        status: observation.status.as_str().to_owned(),
        reason: observation.reason.as_str().to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: now.clone(),
    };
    match conditions
        .iter_mut()
        .find(|known| known.type_ == written.type_)
    {
        Some(known) => {
            if known.status == written.status {
                written.last_transition_time = known.last_transition_time.clone();
            }
            *known = written;
        }
        None => conditions.push(written),
    }
}

/// The schema of `status.conditions`, with shorter descriptions than those of `metav1.Condition`.
pub(crate) fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {
                    "type": "string", "maxLength": 316,
                    "description": "What the condition is about.",
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds.",
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "description": "Why, as one CamelCase word.",
                },
                "message": {
                    "type": "string", "maxLength": 32768,
                    "description": "Why, for people.",
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The metadata.generation that the condition is about.",
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time",
                    "description": "When status last changed.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests;
