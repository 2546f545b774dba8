//! Every node has the same rows, as far as they can be seen from outside: its events, from the first one on, and its
//! credentials.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use proto::drover::v1::Event;
use tonic::Status;

use crate::calls::{Calls, Deadline, rest};
use crate::{credentials, watcher};

#[derive(Debug, PartialEq)]
struct Rows {
    events: BTreeMap<String, Vec<Event>>,
    credentials: BTreeSet<String>,
}

async fn rows(calls: &Calls, node: usize, beginning: &str) -> Result<Rows, Status> {
    Ok(Rows {
        events: watcher::all_events(calls, node, beginning).await?,
        credentials: credentials::list(calls, node).await?,
    })
}

/// Waits until nodes that lag behind have caught up. `beginning`: where a watch has begun.
pub async fn are_equal(calls: &Calls, beginning: &str) {
    let mut rng = calls.rng();
    let deadline = Deadline::new();
    loop {
        let all = (0..calls.nodes()).map(|node| rows(calls, node, beginning));
        let different = match try_join_all(all).await {
            Ok(nodes) => match differing(&nodes) {
                None => return,
                Some(different) => Status::data_loss(different),
            },
            Err(status) => status,
        };
        deadline.check("equal replicas", &different);
        rest(&mut rng, 200..300).await;
    }
}

/// The first difference.
fn differing(nodes: &[Rows]) -> Option<String> {
    let [first, others @ ..] = nodes else {
        return None;
    };
    let other = others.iter().position(|other| other != first)?;
    let (number, other) = (other + 1, &others[other]);
    if first.credentials != other.credentials {
        let between: Vec<_> = first
            .credentials
            .symmetric_difference(&other.credentials)
            .collect();
        return Some(format!("node 0 and {number}: credentials {between:?}"));
    }
    let device = first
        .events
        .iter()
        .find(|(device, events)| other.events.get(*device) != Some(*events));
    let Some((device, events)) = device else {
        return Some(format!("node {number} knows of more devices"));
    };
    let theirs = other.events.get(device).map_or(&[][..], Vec::as_slice);
    let at = events
        .iter()
        .zip(theirs)
        .take_while(|(ours, theirs)| ours == theirs)
        .count();
    Some(format!(
        "node 0 and {number}: event {at} of {device} is {:?} and {:?}; {} and {} events",
        events.get(at),
        theirs.get(at),
        events.len(),
        theirs.len()
    ))
}
