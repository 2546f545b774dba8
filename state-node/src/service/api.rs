//! The public API (`drover.v1`). Any node serves it: what concerns one device goes to the leader of its shard.

use std::sync::Arc;
use std::time::Duration;

use device_state::query::DeviceView;
use device_state::{Command, DeviceName, FeatureLevel, Namespace, Outcome, ShardId};
use lwm2m::Registry;
use node_runtime::Tasks;
use proto::convert::device_in;
use proto::convert::public::{Change, InNamespace, Terms};
use proto::storage::v1 as wire;
use tokio::time::{Instant, sleep};
use tonic::{Request, Status};

use crate::raft::group::Group;
use crate::router::Router;
use crate::seal::Signer;
use crate::service::keeper;
use crate::service::models::Models;
use crate::service::state::{Known, Origin, StateService};
use crate::service::status;
use crate::service::watch::Watchers;

mod artefacts;
mod bootstrap;
mod campaigns;
mod cluster;
mod credentials;
mod desired;
mod devices;
mod diagnose;
mod enrollment;
mod events;
mod groups;
mod models;
mod observations;
mod observe;
mod operations;
mod profiles;
mod records;
mod token;

pub use artefacts::Uploads;
use token::PageToken;

/// How long a call waits for a device if its caller sets no deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Page sizes: what an unset one means, and what a larger one is cut to.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 1_000;

/// All public services of a node.
#[derive(Clone, Debug)]
pub struct Api {
    pub state: StateService,
    pub models: Models,
    pub tasks: Tasks,
    /// Of page tokens and resume tokens.
    pub signer: Signer,
    pub watchers: Watchers,
    pub uploads: Uploads,
}

/// Between two looks at whether all state nodes have been told of something.
const PAUSE: Duration = Duration::from_millis(50);

impl Api {
    /// Waits for state nodes that are just being told of a feature, before one of them is asked for it in vain.
    async fn all_know(&self, level: FeatureLevel) -> Result<(), Status> {
        let knows = |group: &Arc<Group>| group.feature_level() >= level;
        let deadline = Instant::now() + keeper::COMMIT_TIMEOUT;
        while !self.router().groups().iter().all(knows) {
            if Instant::now() >= deadline {
                return Err(status::not_upgraded());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn router(&self) -> &Router {
        &self.state.router
    }

    /// What values are typed and operations are checked by.
    fn definitions(&self) -> Arc<Registry> {
        self.models.definitions(self.router())
    }

    /// Commits a command to the shard of an endpoint.
    async fn commit(&self, shard: ShardId, command: Command) -> Result<Outcome, Status> {
        keeper::commit(self.router(), shard, command).await
    }

    /// Commits a command on a caller's terms.
    async fn commit_on(
        &self,
        shard: ShardId,
        terms: &Terms,
        command: Command,
    ) -> Result<Outcome, Status> {
        keeper::commit_part(self.router(), shard, (terms, ""), command).await
    }

    /// Where to go on, if there is anything behind a page; empty if not.
    fn next_token(&self, page: &PageToken) -> String {
        let more = self.router().group(ShardId(page.shard)).is_some();
        let token = more.then(|| token::encode(&self.signer, page));
        token.unwrap_or_default()
    }

    /// Everything known of a device, as its shard's leader knows it now.
    async fn view(&self, endpoint: &DeviceName) -> Result<DeviceView, Status> {
        self.known(endpoint, Known::Everything).await
    }

    /// As [`Self::view`], or a part of it.
    async fn known(&self, endpoint: &DeviceName, what: Known) -> Result<DeviceView, Status> {
        let response = self.state.describe(endpoint, what, Origin::Caller).await?;
        let view = proto::convert::device_view(endpoint, response)
            .map_err(|error| status::convert(&error))?;
        Ok(view.0)
    }

    fn shard_of(&self, endpoint: &DeviceName) -> ShardId {
        ShardId::of_endpoint(endpoint, self.router().shards())
    }

    /// The cluster that tokens are good for.
    fn cluster_id(&self) -> String {
        self.state.cluster_id()
    }
}

/// A request and whose devices it is about, as the access layer has read and allowed it. The only way from the name of a
/// device in a request to the device.
fn tenant<R>(request: Request<R>) -> Result<InNamespace<R>, Status> {
    let namespace = request.extensions().get::<Namespace>().cloned();
    Ok(InNamespace {
        namespace: namespace.ok_or_else(|| Status::internal("a call without a namespace"))?,
        request: request.into_inner(),
    })
}

/// The device of a name that a caller in a namespace gave.
fn named(namespace: &Namespace, name: &str) -> Result<DeviceName, Status> {
    device_in(namespace, name).map_err(|error| status::convert(&error))
}

/// On which terms a change is asked for.
fn terms<R: Change>(asked: &InNamespace<R>) -> Result<Terms, Status> {
    let terms = asked.request.terms(&asked.namespace);
    terms.map_err(|error| status::convert(&error))
}

/// As [`terms`], of a change of what all namespaces share.
fn of_cluster(request: &impl Change) -> Result<Terms, Status> {
    let terms = request.terms(&Namespace::default());
    terms.map_err(|error| status::convert(&error))
}

fn page_size(asked: u32) -> usize {
    let size = if asked == 0 {
        DEFAULT_PAGE
    } else {
        asked.min(MAX_PAGE)
    };
    size as usize
}

/// What the caller's gRPC deadline leaves, less a little for the answer to get back in time.
fn patience<T>(request: &Request<T>) -> Duration {
    let given = request
        .metadata()
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(parse_timeout);
    let given = given.map(|given| {
        given
            .saturating_sub(Duration::from_millis(50))
            .max(Duration::from_millis(50))
    });
    given.unwrap_or(DEFAULT_TIMEOUT)
}

// gRPC over HTTP/2: TimeoutValue is up to 8 digits, followed by H, M, S, m, u or n.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(value.checked_mul(3_600)?)),
        "M" => Some(Duration::from_secs(value.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// The domain form of an outcome that another node sent.
fn outcome(wire: wire::OperationOutcome) -> Result<device_state::OperationOutcome, Status> {
    device_state::OperationOutcome::try_from(wire).map_err(|error| status::convert(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_deadline_is_read_in_every_unit() {
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(parse_timeout("123456789S"), None);
        assert_eq!(parse_timeout("S"), None);
        assert_eq!(parse_timeout(""), None);
        assert_eq!(parse_timeout("5é"), None);
    }
}
