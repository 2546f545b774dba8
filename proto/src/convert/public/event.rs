//! Events.

use device_state::{Event, FeedEntry};
use lwm2m::RegistrationId;

use super::campaign::campaign_moved;
use super::device::{desired_state, texts};
use super::operation::finished;
use super::timestamp;
use super::value::reported_values;
use crate::drover::v1 as public;
use crate::drover::v1::event::{Deleted, Deregistered, Kind, Labels, ValuesReported};

impl From<FeedEntry> for public::Event {
    /// The text of a desired resource is not part of its event.
    fn from(entry: FeedEntry) -> Self {
        let time = timestamp(entry.at);
        let endpoint = entry.endpoint.endpoint_str().to_owned();
        let kind = match entry.event {
            Event::Registered { registration } => Kind::Registered((*registration).into()),
            Event::Updated { registration } => Kind::Updated((*registration).into()),
            Event::Deregistered { id } => Kind::Deregistered(ended(&id)),
            Event::Expired { id } => Kind::Expired(ended(&id)),
            Event::ValuesReported {
                child,
                origin,
                values,
            } => Kind::ValuesReported(ValuesReported {
                values: reported_values(child.as_ref(), origin, values),
            }),
            Event::OperationFinished {
                operation,
                name,
                target,
                outcome,
            } => {
                let bare = public::Operation {
                    endpoint: endpoint.clone(),
                    id: operation.to_string(),
                    name,
                    path: target,
                    finish_time: time,
                    ..Default::default()
                };
                Kind::OperationFinished(finished(bare, outcome))
            }
            Event::Bootstrapped { record } => Kind::Bootstrapped(record.into()),
            Event::MetadataChanged { metadata } => Kind::LabelsChanged(Labels {
                labels: texts(&metadata.labels, |value| value.as_str()),
                annotations: texts(&metadata.annotations, String::as_str),
            }),
            Event::Forgotten => Kind::Deleted(Deleted {}),
            Event::CampaignMoved { campaign, phase } => {
                Kind::CampaignMoved(campaign_moved(campaign, phase))
            }
            Event::DesiredChanged {
                path,
                generation,
                state: Some(state),
            } => Kind::DesiredChanged(desired_state(path, generation, state)),
            Event::DesiredChanged {
                path, state: None, ..
            } => Kind::DesiredRemoved(path.to_string()),
        };
        Self {
            endpoint,
            time,
            kind: Some(kind),
        }
    }
}

fn ended(id: &RegistrationId) -> Deregistered {
    Deregistered {
        registration_id: id.to_string(),
    }
}
