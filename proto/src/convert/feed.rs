//! Entries of the feed.

use device_state::{Event, FeedEntry, Revision};
use lwm2m::{ChildPrefix, Path};

use super::list::{timed_values, wire_timed_values};
use super::value::{origin, wire_origin};
use super::{ConvertError, InField, Within, endpoint, message, registration_id, required, time};
use crate::storage::v1 as wire;
use crate::storage::v1::feed_entry::{
    ChildValuesReported, DesiredChanged, Event as Kind, OperationFinished, ValuesReported,
};

impl From<FeedEntry> for wire::FeedEntry {
    fn from(entry: FeedEntry) -> Self {
        Self {
            revision: entry.revision.0,
            index: entry.index,
            at_ms: entry.at.0,
            endpoint: entry.endpoint.stored().to_owned(),
            event: Some(wire_event(entry.event)),
        }
    }
}

fn wire_event(event: Event) -> Kind {
    match event {
        Event::Registered { registration } => Kind::Registered((*registration).into()),
        Event::Updated { registration } => Kind::Updated((*registration).into()),
        Event::Deregistered { id } => Kind::Deregistered(id.to_string()),
        Event::Expired { id } => Kind::Expired(id.to_string()),
        Event::ValuesReported {
            child,
            origin,
            values,
        } => {
            let reported = ValuesReported {
                origin: wire_origin(origin),
                values: wire_timed_values(values),
            };
            match child {
                None => Kind::ValuesReported(reported),
                Some(child) => Kind::ChildValuesReported(ChildValuesReported {
                    child: child.to_string(),
                    reported: Some(reported),
                }),
            }
        }
        Event::OperationFinished {
            operation,
            name,
            target,
            outcome,
        } => Kind::OperationFinished(OperationFinished {
            operation: Some(operation.into()),
            name,
            // Earlier releases know a path only.
            path: target.parse().ok().map(|path: Path| path.into()),
            target,
            outcome: Some(outcome.into()),
        }),
        Event::Bootstrapped { record } => Kind::Bootstrapped(record.into()),
        Event::MetadataChanged { metadata } => Kind::MetadataChanged(metadata.into()),
        Event::Forgotten => Kind::Forgotten(true),
        Event::CampaignMoved { campaign, phase } => Kind::CampaignMoved(wire::CampaignMoved {
            campaign,
            phase: Some(phase.into()),
        }),
        Event::DesiredChanged {
            path,
            generation,
            state,
        } => Kind::DesiredChanged(DesiredChanged {
            path: Some(path.into()),
            generation,
            state: state.map(Into::into),
        }),
    }
}

impl TryFrom<wire::FeedEntry> for FeedEntry {
    type Error = ConvertError;

    fn try_from(entry: wire::FeedEntry) -> Result<Self, ConvertError> {
        Ok(Self {
            revision: Revision(entry.revision),
            index: entry.index,
            at: time(entry.at_ms),
            endpoint: endpoint(&entry.endpoint)?,
            event: domain_event(required("event", entry.event)?).within("event")?,
        })
    }
}

fn domain_event(event: Kind) -> Result<Event, ConvertError> {
    Ok(match event {
        Kind::Registered(row) => Event::Registered {
            registration: Box::new(row.try_into().within("registered")?),
        },
        Kind::Updated(row) => Event::Updated {
            registration: Box::new(row.try_into().within("updated")?),
        },
        Kind::Deregistered(id) => Event::Deregistered {
            id: registration_id("deregistered", &id)?,
        },
        Kind::Expired(id) => Event::Expired {
            id: registration_id("expired", &id)?,
        },
        Kind::ValuesReported(reported) => {
            values_reported(None, reported).within("values_reported")?
        }
        Kind::ChildValuesReported(reported) => {
            child_values_reported(reported).within("child_values_reported")?
        }
        Kind::OperationFinished(finished) => {
            operation_finished(finished).within("operation_finished")?
        }
        Kind::Bootstrapped(record) => Event::Bootstrapped {
            record: record.try_into().within("bootstrapped")?,
        },
        Kind::MetadataChanged(metadata) => Event::MetadataChanged {
            metadata: metadata.try_into().within("metadata_changed")?,
        },
        Kind::Forgotten(_) => Event::Forgotten,
        Kind::CampaignMoved(moved) => Event::CampaignMoved {
            campaign: moved.campaign,
            phase: message("phase", moved.phase).within("campaign_moved")?,
        },
        Kind::DesiredChanged(changed) => desired_changed(changed).within("desired_changed")?,
    })
}

fn values_reported(
    child: Option<ChildPrefix>,
    reported: ValuesReported,
) -> Result<Event, ConvertError> {
    Ok(Event::ValuesReported {
        child,
        origin: origin("origin", reported.origin)?,
        values: timed_values("values", reported.values)?,
    })
}

fn child_values_reported(reported: ChildValuesReported) -> Result<Event, ConvertError> {
    let child = reported.child.parse().in_field("child")?;
    let reported = required("reported", reported.reported)?;
    values_reported(Some(child), reported).within("reported")
}

fn operation_finished(finished: OperationFinished) -> Result<Event, ConvertError> {
    let target = match finished.path {
        Some(path) => Path::try_from(path).within("path")?.to_string(),
        None => finished.target,
    };
    Ok(Event::OperationFinished {
        operation: message("operation", finished.operation)?,
        name: finished.name,
        target,
        outcome: message("outcome", finished.outcome)?,
    })
}

fn desired_changed(changed: DesiredChanged) -> Result<Event, ConvertError> {
    let state = changed.state.map(|state| state.try_into().within("state"));
    Ok(Event::DesiredChanged {
        path: message("path", changed.path)?,
        generation: changed.generation,
        state: state.transpose()?,
    })
}
