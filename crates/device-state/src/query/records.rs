//! Operations that meet a condition, page by page.

use crate::name::{DeviceName, DevicePrefix, Namespace};
use crate::record::{OperationOutcome, OperationRecord, OperationState};
use crate::selection::{OperationFilter, OperationTest, Stage};
use crate::table::{Row, RowKey, Tables};

/// The place of an operation in a list: its device and its sequence.
pub type OperationPlace = (DeviceName, u64);

/// A page of operations, by device and in the order in which they were enqueued.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationPage {
    pub operations: Vec<OperationRecord>,
    /// How many were looked at.
    pub examined: usize,
    /// Where to go on (`after`); `None` at the end.
    pub next: Option<OperationPlace>,
}

/// The operations of a namespace in a shard that meet a condition, at most `limit`; looks at `examine` of them. There can be none on a
/// page that is not the last.
pub fn select_operations(
    tables: &dyn Tables,
    namespace: &Namespace,
    filter: &OperationFilter,
    after: Option<&OperationPlace>,
    (limit, examine): (usize, usize),
) -> OperationPage {
    let all = DevicePrefix::of(namespace);
    let from = match after {
        Some((endpoint, sequence)) => {
            RowKey::Operation(endpoint.clone(), sequence.saturating_add(1))
        }
        None => RowKey::Operation(all.first(), 0),
    };
    let to = RowKey::Operation(all.last(), u64::MAX);
    let rows = tables.scan(&from, &to, examine);
    let whole = rows.len() < examine;
    let mut page = OperationPage {
        operations: Vec::new(),
        examined: 0,
        next: None,
    };
    for row in rows {
        if page.operations.len() >= limit {
            return page;
        }
        let Row::Operation(record) = row else {
            continue;
        };
        page.examined += 1;
        page.next = Some((record.endpoint.clone(), record.id.sequence));
        if is_selected(filter, &record) {
            page.operations.push(record);
        }
    }
    if whole {
        page.next = None;
    }
    page
}

/// Whether an operation meets a condition.
pub fn is_selected(filter: &OperationFilter, record: &OperationRecord) -> bool {
    filter.holds(&mut |test| match test {
        OperationTest::State(stage) => stage_of(&record.state) == *stage,
        OperationTest::Name(test) => test.holds(Some(record.operation.name())),
        OperationTest::Path(test) => test.holds(Some(&record.operation.target().to_string())),
        OperationTest::EnqueuedAt(test) => test.holds(Some(record.enqueued_at)),
    })
}

const fn stage_of(state: &OperationState) -> Stage {
    match state {
        OperationState::Pending => Stage::Pending,
        OperationState::InFlight { .. } => Stage::InFlight,
        OperationState::Finished { outcome, .. } => match outcome {
            OperationOutcome::Delivered { .. } | OperationOutcome::Answered { .. } => {
                Stage::Delivered
            }
            OperationOutcome::Rejected { .. } => Stage::Rejected,
            OperationOutcome::Expired => Stage::Expired,
            OperationOutcome::Cancelled => Stage::Cancelled,
            OperationOutcome::Superseded => Stage::Superseded,
        },
    }
}
