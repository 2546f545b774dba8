//! Operations and their ends.

use proto::drover::v1::Operation;
use proto::drover::v1::operation::State;
use serde::Serialize;

use crate::table;
use crate::time::rfc3339;
use crate::view::value::{ValueView, values};

/// An operation. `state` is `Pending`, `InFlight`, `Delivered`, `Rejected`, `Expired`, `Cancelled` or `Superseded`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationView {
    endpoint: String,
    id: String,
    name: String,
    path: String,
    state: &'static str,
    coap_code: Option<String>,
    diagnostic: Option<String>,
    values: Vec<ValueView>,
    enqueue_time: Option<String>,
    deadline: Option<String>,
    finish_time: Option<String>,
}

impl From<Operation> for OperationView {
    fn from(operation: Operation) -> Self {
        let some = |text: String| (!text.is_empty()).then_some(text);
        Self {
            state: state_name(operation.state()),
            endpoint: operation.endpoint,
            id: operation.id,
            name: operation.name,
            path: operation.path,
            coap_code: some(operation.coap_code),
            diagnostic: some(operation.diagnostic),
            values: values(operation.values),
            enqueue_time: rfc3339(operation.enqueue_time.as_ref()),
            deadline: rfc3339(operation.deadline.as_ref()),
            finish_time: rfc3339(operation.finish_time.as_ref()),
        }
    }
}

pub(crate) const fn state_name(state: State) -> &'static str {
    match state {
        State::Unspecified => "Unknown",
        State::Pending => "Pending",
        State::InFlight => "InFlight",
        State::Delivered => "Delivered",
        State::Rejected => "Rejected",
        State::Expired => "Expired",
        State::Cancelled => "Cancelled",
        State::Superseded => "Superseded",
    }
}

impl OperationView {
    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.name.clone(),
            self.path.clone(),
            self.state.to_owned(),
            self.coap_code.clone().unwrap_or_default(),
            self.diagnostic.clone().unwrap_or_default(),
            self.deadline.clone().unwrap_or_default(),
        ]
    }

    /// One operation as a table.
    pub(crate) fn table(&self) -> String {
        table::render(&HEADINGS, [self.row()])
    }

    /// One line: `write /3/0/14: Delivered (2.04), operation 3-17`.
    pub(crate) fn line(&self) -> String {
        let code = self
            .coap_code
            .as_ref()
            .map(|code| format!(" ({code})"))
            .unwrap_or_default();
        let line = format!(
            "{} {}: {}{code}, operation {}",
            self.name, self.path, self.state, self.id
        );
        table::printable(&line) + "\n"
    }
}

const HEADINGS: [&str; 7] = [
    "ID",
    "OPERATION",
    "PATH",
    "STATE",
    "CODE",
    "DIAGNOSTIC",
    "DEADLINE",
];

/// `{"operations": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct OperationsView {
    pub(crate) operations: Vec<OperationView>,
}

impl OperationsView {
    pub(crate) fn table(&self) -> String {
        table::render(&HEADINGS, self.operations.iter().map(OperationView::row))
    }
}
