//! What an entry of the feed weighs: the feed has a bound in bytes besides that in entries.

use lwm2m::Value;

use super::{Event, FeedEntry};
use crate::bootstrap::BootstrapRecord;
use crate::label::Metadata;
use crate::record::{DesiredState, OperationOutcome, Registration};

/// Of an entry without anything in it: its key, its time and its frame.
const ENTRY: usize = 64;
/// Of a registration besides its texts.
const REGISTRATION: usize = 96;
/// Of a value besides its text or its bytes: path, time and frame.
const VALUE: usize = 24;
/// Of an operation besides its texts.
const OPERATION: usize = 24;

impl FeedEntry {
    /// About the bytes that the entry takes when it is stored. `apply` decides by it what to drop, so every replica has to
    /// find the same, in every release: the figures in here never change.
    pub fn weight(&self) -> u64 {
        let event = match &self.event {
            Event::Registered { registration } | Event::Updated { registration } => {
                of_registration(registration)
            }
            Event::Deregistered { id } | Event::Expired { id } => id.as_str().len(),
            Event::ValuesReported { values, .. } => {
                values.iter().map(|(_, value, _)| of_value(value)).sum()
            }
            Event::OperationFinished {
                name,
                target,
                outcome,
                ..
            } => OPERATION + name.len() + target.len() + of_outcome(outcome),
            Event::Bootstrapped { record } => of_bootstrap(record),
            Event::MetadataChanged { metadata } => of_metadata(metadata),
            Event::Forgotten => 0,
            Event::CampaignMoved { campaign, .. } => VALUE + campaign.len(),
            Event::DesiredChanged { state, .. } => VALUE + state.as_ref().map_or(0, of_desired),
        };
        (ENTRY + self.endpoint.stored().len() + event) as u64
    }
}

fn of_registration(registration: &Registration) -> usize {
    let Registration {
        endpoint, links, ..
    } = registration;
    REGISTRATION + endpoint.stored().len() + links.len()
}

fn of_value(value: &Value) -> usize {
    VALUE
        + match value {
            Value::String(text) | Value::CoreLink(text) => text.len(),
            Value::Opaque(bytes) => bytes.len(),
            _ => 0,
        }
}

fn of_outcome(outcome: &OperationOutcome) -> usize {
    match outcome {
        OperationOutcome::Delivered { values, .. } => {
            values.iter().map(|(_, value)| of_value(value)).sum()
        }
        OperationOutcome::Rejected { diagnostic, .. } => diagnostic.len(),
        OperationOutcome::Answered { payload, .. } => payload.len(),
        OperationOutcome::Expired | OperationOutcome::Cancelled | OperationOutcome::Superseded => 0,
    }
}

fn of_bootstrap(record: &BootstrapRecord) -> usize {
    let confirmed: usize = record.confirmed.iter().map(Vec::len).sum();
    record.endpoint.stored().len() + record.profile.len() + record.detail.len() + confirmed
}

fn of_metadata(metadata: &Metadata) -> usize {
    let labels = metadata.labels.iter();
    let labels: usize = labels
        .map(|(key, value)| key.as_str().len() + value.as_str().len())
        .sum();
    let annotations = metadata.annotations.iter();
    let annotations: usize = annotations
        .map(|(key, value)| key.as_str().len() + value.len())
        .sum();
    metadata.endpoint.stored().len() + labels + annotations
}

fn of_desired(state: &DesiredState) -> usize {
    match state {
        DesiredState::Rejected { diagnostic, .. } => diagnostic.len(),
        DesiredState::Pending { .. }
        | DesiredState::InSync { .. }
        | DesiredState::Drifted { .. } => 0,
    }
}
