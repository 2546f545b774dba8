//! `drover.v1.Diagnostics`.

use std::time::{Duration, Instant};

use device_state::{OperationOutcome, Timestamp};
use diagnosis::{Answer, Asked, Facts, Finding, Severity, VITAL, diagnose};
use lwm2m::{EndpointName, ObjectLinks, Operation, Path};
use node_runtime::clock;
use proto::convert::public::{DeviceRequest, path_values};
use proto::drover::v1 as public;
use proto::drover::v1::diagnostics_server::Diagnostics;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::service::api::{Api, endpoint_name};
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
        let endpoint = endpoint_name(&request.into_inner().endpoint)?;
        let view = self.view(&endpoint).await?;
        if view.is_unknown() {
            return Err(status::not_found("the device"));
        }
        let links = view.registration.as_ref().map(|row| row.links.as_str());
        let asked = self.ask_how_it_is(&endpoint, links).await;
        let facts = Facts {
            now: Timestamp(clock::now_ms()),
            view: &view,
            asked: &asked,
        };
        let findings = diagnose(&facts);
        Ok(Response::new(public::Diagnosis {
            endpoint: endpoint.to_string(),
            findings: findings.into_iter().map(shown).collect(),
            exchanges: asked.into_iter().map(exchange).collect(),
        }))
    }
}

impl Api {
    /// Reads what the device has of the objects that tell how it is. One that is silent is not asked on.
    async fn ask_how_it_is(&self, endpoint: &EndpointName, links: Option<&str>) -> Vec<Asked> {
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

    async fn read_instance(
        &self,
        endpoint: &EndpointName,
        path: Path,
        patience: Duration,
    ) -> Answer {
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
