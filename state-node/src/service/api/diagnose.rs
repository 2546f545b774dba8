//! `drover.v1.Diagnostics`.

use std::time::{Duration, Instant};

use device_state::query::DeviceView;
use device_state::{Contact, DeviceName, OperationOutcome, RefusedAttempt, Timestamp};
use diagnosis::{Answer, Asked, Facts, Finding, Severity, VITAL, diagnose};
use lwm2m::{ObjectLinks, Operation, Path};
use node_runtime::clock;
use proto::convert::public::{DeviceRequest, path_values};
use proto::drover::v1 as public;
use proto::drover::v1::diagnostics_server::Diagnostics;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::service::api::{Api, named, tenant};
use crate::service::status;

/// How long each answer is waited for: a device that is there takes less.
const PATIENCE: Duration = Duration::from_secs(10);
/// With less time left, nothing more is asked.
const LEAST: Duration = Duration::from_secs(5);
/// How long all answers together are waited for: callers have the patience of a single operation, 30 s.
const LONGEST: Duration = Duration::from_secs(24);

#[tonic::async_trait]
impl Diagnostics for Api {
    async fn diagnose(
        &self,
        request: Request<public::DiagnoseRequest>,
    ) -> Result<Response<public::Diagnosis>, Status> {
        let asked = tenant(request)?;
        let endpoint = named(&asked.namespace, &asked.request.endpoint)?;
        let view = self.view(&endpoint).await?;
        let links = view.registration.as_ref().map(|row| row.links.as_str());
        let asked = self.ask_how_it_is(&endpoint, links).await;
        let Reported { contact, refused } = self.contact_with(&view).await;
        // One that is refused and was never let in is known by that.
        if view.is_unknown() && refused.is_empty() {
            return Err(status::not_found("the device"));
        }
        let facts = Facts {
            now: Timestamp(clock::now_ms()),
            view: &view,
            asked: &asked,
            contact: contact.as_ref(),
            refused: &refused,
        };
        let findings = diagnose(&facts);
        Ok(Response::new(public::Diagnosis {
            endpoint: endpoint.endpoint_str().to_owned(),
            findings: findings.into_iter().map(shown).collect(),
            exchanges: asked.into_iter().map(exchange).collect(),
            contact: contact.map(Into::into),
            refused_attempts: refused.into_iter().map(Into::into).collect(),
        }))
    }
}

/// What the ingress nodes know of a device without asking it.
struct Reported {
    contact: Option<Contact>,
    /// The last first.
    refused: Vec<RefusedAttempt>,
}

impl Api {
    /// Asks all ingress nodes how the exchange of messages with a device goes: the one that holds it has counted, any may
    /// have refused somebody who claimed to be it.
    async fn contact_with(&self, view: &DeviceView) -> Reported {
        let owner = view.registration.as_ref().map(|row| row.owner);
        let reports = self.state.attachments.contacts(&view.endpoint).await;
        let mut reported = Reported {
            contact: None,
            refused: Vec::new(),
        };
        for (node, report) in reports {
            if Some(node) == owner {
                reported.contact = report.contact;
            }
            reported.refused.extend(report.refused);
        }
        reported
            .refused
            .sort_by_key(|refused| std::cmp::Reverse(refused.at));
        reported
    }

    /// Reads what the device has of the objects that tell how it is. One that is silent is not asked on.
    async fn ask_how_it_is(&self, endpoint: &DeviceName, links: Option<&str>) -> Vec<Asked> {
        let mut asked = Vec::new();
        let links = links.and_then(|links| ObjectLinks::parse(links).ok());
        let Some(links) = links else {
            return asked;
        };
        let has = |path: &Path| links.iter().any(|link| link.path == *path);
        let deadline = Instant::now() + LONGEST;
        for path in VITAL.into_iter().filter(has) {
            let begun = Instant::now();
            let patience = deadline.saturating_duration_since(begun).min(PATIENCE);
            if patience < LEAST {
                break;
            }
            let answer = self.read_instance(endpoint, path, patience).await;
            let goes_on = matches!(answer, Answer::Values(_) | Answer::Refused(_));
            asked.push(Asked {
                path,
                answer,
                took: begun.elapsed(),
            });
            if !goes_on {
                break;
            }
        }
        asked
    }

    async fn read_instance(&self, endpoint: &DeviceName, path: Path, patience: Duration) -> Answer {
        let request = DeviceRequest {
            endpoint: endpoint.clone(),
            operation: Operation::Read { path, accept: None },
        };
        match self.ask(request, patience).await {
            Ok((OperationOutcome::Delivered { values, .. }, _)) => Answer::Values(values),
            Ok(_) => Answer::Values(Vec::new()),
            Err(status) => {
                let info = status.get_details_error_info();
                let reason = info.map(|info| info.reason).unwrap_or_default();
                match reason.as_str() {
                    "DEVICE_ASLEEP" => Answer::Asleep,
                    "DEVICE_TIMEOUT" => Answer::Silence,
                    _ if status.code() == Code::DeadlineExceeded => Answer::Silence,
                    _ if reason.starts_with("COAP_") => {
                        Answer::Refused(status.message().to_owned())
                    }
                    _ => Answer::Unreachable(status.message().to_owned()),
                }
            }
        }
    }
}

fn shown(finding: Finding) -> public::diagnosis::Finding {
    use public::diagnosis::finding::Severity as Shown;
    let severity = match finding.severity {
        Severity::Problem => Shown::Problem,
        Severity::Warning => Shown::Warning,
        Severity::Notice => Shown::Notice,
    };
    public::diagnosis::Finding {
        severity: severity.into(),
        summary: finding.summary,
        evidence: finding.evidence,
        advice: finding.advice,
    }
}

fn exchange(asked: Asked) -> public::diagnosis::Exchange {
    let (outcome, values) = match asked.answer {
        Answer::Values(values) => (format!("{} values", values.len()), values),
        Answer::Refused(reason) | Answer::Unreachable(reason) => (reason, Vec::new()),
        Answer::Silence => ("no answer".to_owned(), Vec::new()),
        Answer::Asleep => ("not sent: the device sleeps".to_owned(), Vec::new()),
    };
    public::diagnosis::Exchange {
        path: asked.path.to_string(),
        outcome,
        duration: prost_types::Duration::try_from(asked.took).ok(),
        values: path_values(values),
    }
}
