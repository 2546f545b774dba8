//! Events of the fleet.

use std::collections::BTreeMap;

use proto::drover::v1::event::Kind;
use proto::drover::v1::{Event, WatchEventsResponse};
use serde::Serialize;

use crate::table::printable;
use crate::time::rfc3339;
use crate::view::bootstrap::BootstrapView;
use crate::view::campaign::device::phase_name;
use crate::view::device::{DesiredView, DeviceDetailView, DeviceView};
use crate::view::operation::{OperationView, state_name};
use crate::view::value::ReportedView;

/// One event: `{"time", "endpoint", "event", …, "resumeToken"}`, where the name of the event tells which other field
/// there is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventView {
    time: Option<String>,
    endpoint: String,
    #[serde(flatten)]
    kind: KindView,
    resume_token: String,
    #[serde(skip)]
    detail: String,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event")]
enum KindView {
    Registered {
        device: DeviceView,
    },
    Updated {
        device: DeviceView,
    },
    #[serde(rename_all = "camelCase")]
    Deregistered {
        registration_id: String,
    },
    #[serde(rename_all = "camelCase")]
    Expired {
        registration_id: String,
    },
    ValuesReported {
        values: Vec<ReportedView>,
    },
    OperationFinished {
        operation: OperationView,
    },
    DesiredChanged {
        desired: DesiredView,
    },
    DesiredRemoved {
        path: String,
    },
    Bootstrapped {
        bootstrap: BootstrapView,
    },
    Present {
        device: Box<DeviceDetailView>,
    },
    /// Every device that was there has come.
    InitialComplete,
    LabelsChanged {
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    },
    Deleted,
    CampaignMoved {
        campaign: String,
        phase: &'static str,
        reason: String,
    },
    Unknown,
}

impl EventView {
    /// `None` for a checkpoint.
    pub(crate) fn new(response: WatchEventsResponse) -> Option<Self> {
        if response.initial_complete {
            return Some(Self {
                time: None,
                endpoint: String::new(),
                kind: KindView::InitialComplete,
                resume_token: response.resume_token,
                detail: "every device that was there has come".to_owned(),
            });
        }
        let Event {
            endpoint,
            time,
            kind,
        } = response.event?;
        let (kind, detail) = kind.map_or((KindView::Unknown, String::new()), described);
        Some(Self {
            time: rfc3339(time.as_ref()),
            endpoint,
            kind,
            resume_token: response.resume_token,
            detail,
        })
    }

    /// Whether it is about a device, and not about the watch itself.
    pub(crate) const fn is_event(&self) -> bool {
        !matches!(self.kind, KindView::InitialComplete)
    }

    /// `TIME  ENDPOINT  EVENT  DETAIL`.
    pub(crate) fn line(&self) -> String {
        let time = self.time.as_deref().unwrap_or("-");
        let line = format!(
            "{time}  {}  {:17}  {}",
            self.endpoint,
            self.kind.name(),
            self.detail
        );
        printable(line.trim_end()) + "\n"
    }
}

impl KindView {
    const fn name(&self) -> &'static str {
        match self {
            Self::Present { .. } => "Present",
            Self::InitialComplete => "InitialComplete",
            Self::Registered { .. } => "Registered",
            Self::Updated { .. } => "Updated",
            Self::Deregistered { .. } => "Deregistered",
            Self::Expired { .. } => "Expired",
            Self::ValuesReported { .. } => "ValuesReported",
            Self::OperationFinished { .. } => "OperationFinished",
            Self::DesiredChanged { .. } => "DesiredChanged",
            Self::DesiredRemoved { .. } => "DesiredRemoved",
            Self::Bootstrapped { .. } => "Bootstrapped",
            Self::LabelsChanged { .. } => "LabelsChanged",
            Self::Deleted => "Deleted",
            Self::CampaignMoved { .. } => "CampaignMoved",
            Self::Unknown => "Unknown",
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
fn described(kind: Kind) -> (KindView, String) {
    match kind {
        Kind::Registered(device) => {
            let detail = format!(
                "{} {} from {}",
                device.transport, device.lwm2m_version, device.peer
            );
            (
                KindView::Registered {
                    device: device.into(),
                },
                detail,
            )
        }
        Kind::Present(device) => {
            let detail = format!(
                "{} {} from {}",
                device.transport, device.lwm2m_version, device.peer
            );
            (
                KindView::Present {
                    device: Box::new(device.into()),
                },
                detail,
            )
        }
        Kind::Updated(device) => {
            let detail = format!("from {}", device.peer);
            (
                KindView::Updated {
                    device: device.into(),
                },
                detail,
            )
        }
        Kind::Deregistered(end) => (
            KindView::Deregistered {
                registration_id: end.registration_id,
            },
            String::new(),
        ),
        Kind::Expired(end) => (
            KindView::Expired {
                registration_id: end.registration_id,
            },
            String::new(),
        ),
        Kind::ValuesReported(reported) => {
            let values: Vec<ReportedView> = reported
                .values
                .into_iter()
                .map(ReportedView::from)
                .collect();
            let detail = values
                .iter()
                .map(|value| format!("{}={}", value.path(), value.value.text()));
            let detail = detail.collect::<Vec<_>>().join(" ");
            (KindView::ValuesReported { values }, detail)
        }
        Kind::OperationFinished(operation) => {
            let state = state_name(operation.state());
            let detail = format!(
                "{} {} {state} {}",
                operation.name, operation.path, operation.coap_code
            );
            (
                KindView::OperationFinished {
                    operation: operation.into(),
                },
                detail,
            )
        }
        Kind::DesiredChanged(desired) => {
            let desired = DesiredView::from(desired);
            let detail = format!("{} {}", desired.path(), desired.state());
            (KindView::DesiredChanged { desired }, detail)
        }
        Kind::Bootstrapped(record) => {
            let bootstrap = BootstrapView::from(record);
            let detail = bootstrap.line();
            (KindView::Bootstrapped { bootstrap }, detail)
        }
        Kind::CampaignMoved(moved) => {
            let phase = phase_name(moved.phase());
            let detail = format!("{} {phase} {}", moved.campaign, moved.reason);
            let view = KindView::CampaignMoved {
                phase,
                campaign: moved.campaign,
                reason: moved.reason,
            };
            (view, detail)
        }
        Kind::LabelsChanged(changed) => {
            let detail = changed.labels.iter();
            let detail: Vec<_> = detail
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let view = KindView::LabelsChanged {
                labels: changed.labels,
                annotations: changed.annotations,
            };
            (view, detail.join(" "))
        }
        Kind::Deleted(_) => (KindView::Deleted, String::new()),
        Kind::DesiredRemoved(path) => (KindView::DesiredRemoved { path: path.clone() }, path),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use proto::drover::v1::event;

    use super::*;

    #[test]
    fn an_event_is_one_line_and_a_checkpoint_none() {
        let response = |event| WatchEventsResponse {
            resume_token: "tok".to_owned(),
            event,
            ..Default::default()
        };
        assert!(EventView::new(response(None)).is_none());
        let event = Event {
            endpoint: "dev-1".to_owned(),
            time: Some(prost_types::Timestamp {
                seconds: 60,
                nanos: 0,
            }),
            kind: Some(Kind::Expired(event::Deregistered {
                registration_id: "aB3".to_owned(),
            })),
        };
        let view = EventView::new(response(Some(event))).unwrap();
        assert_eq!(view.line(), "1970-01-01T00:01:00Z  dev-1  Expired\n");
        insta::assert_snapshot!(
            serde_json::to_string(&view).unwrap(),
            @r#"{"time":"1970-01-01T00:01:00Z","endpoint":"dev-1","event":"Expired","registrationId":"aB3","resumeToken":"tok"}"#
        );
    }
}
