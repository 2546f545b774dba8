//! `diagnose`: what is wrong with a device, in words.

use std::fmt::Write as _;

use proto::drover::v1::diagnosis::finding::Severity;
use proto::drover::v1::diagnosis::{Exchange, Finding};
use proto::drover::v1::{DiagnoseRequest, Diagnosis};
use serde::Serialize;

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::table;
use crate::time::now;
use crate::view::contact::{ContactView, RefusedView};
use crate::view::value::{ValueView, values};

pub(crate) async fn run(global: &Global, endpoint: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("diagnose {endpoint}");
    let request = api.request(DiagnoseRequest { endpoint });
    let answer = api.diagnostics().diagnose(request).await;
    let view = DiagnosisView::from(answer.map_err(Failure::call(action))?.into_inner());
    global.output.show(&view, DiagnosisView::text)
}

/// `{"endpoint", "findings": [{"severity", "summary", "evidence", "advice"}], "exchanges": [{"path", "outcome", "seconds",
/// "values"}], "contact", "refusedAttempts"}`; severity is `Problem`, `Warning` or `Notice`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DiagnosisView {
    endpoint: String,
    findings: Vec<FindingView>,
    exchanges: Vec<ExchangeView>,
    contact: Option<ContactView>,
    refused_attempts: Vec<RefusedView>,
}

#[derive(Debug, Serialize)]
struct FindingView {
    severity: &'static str,
    summary: String,
    evidence: String,
    advice: String,
}

#[derive(Debug, Serialize)]
struct ExchangeView {
    path: String,
    outcome: String,
    seconds: f64,
    values: Vec<ValueView>,
}

impl From<Diagnosis> for DiagnosisView {
    fn from(diagnosis: Diagnosis) -> Self {
        Self {
            endpoint: diagnosis.endpoint,
            findings: diagnosis
                .findings
                .into_iter()
                .map(FindingView::from)
                .collect(),
            exchanges: diagnosis
                .exchanges
                .into_iter()
                .map(ExchangeView::from)
                .collect(),
            contact: diagnosis.contact.map(ContactView::from),
            refused_attempts: diagnosis
                .refused_attempts
                .into_iter()
                .map(RefusedView::from)
                .collect(),
        }
    }
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        Self {
            severity: match finding.severity() {
                Severity::Problem => "Problem",
                Severity::Warning => "Warning",
                Severity::Notice => "Notice",
                Severity::Unspecified => "Unknown",
            },
            summary: finding.summary,
            evidence: finding.evidence,
            advice: finding.advice,
        }
    }
}

impl From<Exchange> for ExchangeView {
    fn from(exchange: Exchange) -> Self {
        let took = exchange.duration.unwrap_or_default();
        Self {
            path: exchange.path,
            outcome: exchange.outcome,
            seconds: took.seconds as f64 + f64::from(took.nanos) / 1e9,
            values: values(exchange.values),
        }
    }
}

impl DiagnosisView {
    /// The findings, each with its evidence and advice, then what was counted and what the device was asked.
    fn text(&self) -> String {
        let mut text = String::new();
        if self.findings.is_empty() {
            let _infallible = writeln!(
                text,
                "{}: all is well, as far as can be seen.",
                table::printable(&self.endpoint)
            );
        }
        for finding in &self.findings {
            let summary = table::printable(&finding.summary);
            let _infallible = writeln!(text, "{}: {summary}", finding.severity);
            for line in [&finding.evidence, &finding.advice] {
                if !line.is_empty() {
                    let _infallible = writeln!(text, "  {}", table::printable(line));
                }
            }
        }
        if let Some(contact) = &self.contact {
            let _infallible = writeln!(text, "\n{}", contact.text(now()));
        }
        if self.exchanges.is_empty() {
            return text;
        }
        text.push_str("\nAsked just now:\n");
        let rows = self.exchanges.iter().map(|exchange| {
            vec![
                exchange.path.clone(),
                exchange.outcome.clone(),
                format!("{:.3} s", exchange.seconds),
            ]
        });
        text + &table::render(&["PATH", "OUTCOME", "TIME"], rows)
    }
}
