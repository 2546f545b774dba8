//! The definitions of objects that vendors added.

use std::time::Duration;

use device_state::ShardId;
use lwm2m::ObjectModel;
use proto::rpc::v1::ListDefinitionsRequest;
use proto::rpc::v1::state_client::StateClient;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;

use super::Client;
use super::device::{Unary, with_timeout};
use crate::error::{AnswerError, DescribeError};

/// All definitions are in this shard.
const SHARD: ShardId = ShardId(0);

/// The definitions of vendors at one time.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// How often they have changed: to ask with the next time.
    pub changes: u64,
    /// By object and version, without descriptions.
    pub models: Vec<ObjectModel>,
}

impl Client {
    /// The definitions of vendors; `None` if they are still those that there were after `known` changes.
    pub async fn definitions(
        &self,
        known: Option<u64>,
        timeout: Duration,
    ) -> Result<Option<Definitions>, DescribeError> {
        let deadline = Instant::now() + timeout;
        timeout_at(deadline, self.ready())
            .await
            .map_err(|_| Unary::Unavailable)?;
        let call = |mut client: StateClient<Channel>, left: Duration| async move {
            let request = ListDefinitionsRequest { known };
            client.list_definitions(with_timeout(request, left)).await
        };
        let response = self.at_leader_of(SHARD, deadline, call).await?;
        if known == Some(response.changes) {
            return Ok(None);
        }
        let models = response.models.into_iter().map(ObjectModel::try_from);
        Ok(Some(Definitions {
            changes: response.changes,
            models: models
                .collect::<Result<_, _>>()
                .map_err(AnswerError::from)?,
        }))
    }
}
