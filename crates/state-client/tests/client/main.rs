//! The client against state nodes that misbehave as a test tells them to.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod artefact;
mod attachment;
mod broken;
mod device;
mod fake;
mod proposal;

use std::time::Duration;

use state_client::{Client, Config};

use fake::Node;

/// Long enough for anything that is expected to happen.
const AMPLE: Duration = Duration::from_secs(20);

fn client_of(nodes: &[&Node]) -> Client {
    Client::connect(Config::new(
        nodes.iter().map(|node| node.address.to_string()),
    ))
    .unwrap()
}
