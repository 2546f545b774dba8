//! From any node to the leader of a shard.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use device_state::{Command, DeviceName, NodeId, Outcome, RequestId, ShardId};
use proto::rpc::v1::state_client::StateClient;
use proto::rpc::v1::{Call, CallBatch, CallError, Propose, call, call_error, call_result};
use tokio::time::Instant;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::dial::Dialer;
use crate::enrollment::Enrollments;
use crate::raft::group::{Group, NotLeader};
use crate::raft::network::MAX_MESSAGE;
use crate::raft::proposals::ProposeError;
use crate::tenants::Tenants;

/// The shard of what belongs to no device: bootstrap profiles and the definitions of objects.
pub const COMMON: ShardId = ShardId(0);

/// Marks a call that a state node passed on, which is not passed on again.
pub const FORWARDED_HEADER: &str = "drover-forwarded";

/// Between two attempts while a shard has no leader.
const PAUSE: Duration = Duration::from_millis(50);

/// Finds leaders and passes calls on to them.
#[derive(Debug)]
pub struct Router {
    node: NodeId,
    groups: Arc<Vec<Arc<Group>>>,
    dialer: Dialer,
    channels: Mutex<HashMap<String, Channel>>,
    /// Random for this process: the first half of the ids of its requests.
    client: u64,
    sequence: AtomicU64,
    tenants: Arc<Tenants>,
    enrollments: Enrollments,
}

/// Where a shard is led.
#[derive(Debug)]
pub enum Route<'a> {
    Here(&'a Arc<Group>),
    There(Box<StateClient<Channel>>),
    /// No leader is known.
    Nowhere,
}

impl Router {
    /// Routes between `groups`; `client` is random.
    pub fn new(
        node: NodeId,
        groups: Arc<Vec<Arc<Group>>>,
        dialer: Dialer,
        client: u64,
        tenants: Arc<Tenants>,
    ) -> Self {
        Self {
            node,
            groups,
            dialer,
            channels: Mutex::default(),
            client,
            sequence: AtomicU64::new(1),
            tenants,
            enrollments: Enrollments::default(),
        }
    }

    /// What namespaces may have.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Who may register.
    pub fn enrollments(&self) -> &Enrollments {
        &self.enrollments
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.groups.len() as u16
    }

    /// All groups, by shard.
    pub fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// The group of a shard; `None` if there is no such shard.
    pub fn group(&self, shard: ShardId) -> Option<&Arc<Group>> {
        self.groups.get(usize::from(shard.0))
    }

    /// The group of an endpoint's shard.
    pub fn group_of(&self, endpoint: &DeviceName) -> &Arc<Group> {
        let shard = ShardId::of_endpoint(endpoint, self.shards());
        &self.groups[usize::from(shard.0)]
    }

    /// The group of [`COMMON`]; there is always one shard.
    pub fn common_group(&self) -> &Arc<Group> {
        &self.groups[usize::from(COMMON.0)]
    }

    /// An id for a request that this node makes.
    pub fn request_id(&self) -> RequestId {
        RequestId {
            client: self.client,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Where the leader of a group is.
    pub fn route<'a>(&self, group: &'a Arc<Group>) -> Route<'a> {
        if group.leads() {
            return Route::Here(group);
        }
        match group.not_leader().leader {
            Some(leader) => Route::There(Box::new(self.client(&leader.member.internal))),
            None => Route::Nowhere,
        }
    }

    fn client(&self, address: &str) -> StateClient<Channel> {
        StateClient::new(self.channel(address)).max_decoding_message_size(MAX_MESSAGE)
    }

    /// How this node connects to others.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The channel to the internal services at `address`.
    pub fn channel(&self, address: &str) -> Channel {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels
            .entry(address.to_owned())
            .or_insert_with(|| self.dialer.channel(address))
            .clone()
    }

    /// A request that its receiver does not pass on.
    pub fn forwarded<T>(&self, message: T, timeout: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(FORWARDED_HEADER, AsciiMetadataValue::from(self.node.0));
        request.set_timeout(timeout);
        request
    }

    /// Proposes a command to the shard's leader, wherever it is; tries again while there is none.
    pub async fn propose(
        &self,
        shard: ShardId,
        request_id: Option<RequestId>,
        command: Command,
        patience: Duration,
    ) -> Result<Outcome, ProposeError> {
        let group = self.group(shard).ok_or(ProposeError::Unavailable)?;
        let request_id = request_id.unwrap_or_else(|| self.request_id());
        let deadline = Instant::now() + patience;
        loop {
            let attempt = async {
                // Replicas of a release before could not read it, and a leader of one would leave out what it does not
                // know. The level that is applied here is one that all of them understand; a node that has no rows yet
                // waits for them.
                if group.feature_level() < command.needs() {
                    return Err(ProposeError::Unavailable);
                }
                match self.route(group) {
                    Route::Here(group) => {
                        group
                            .proposer()
                            .propose(Some(request_id), command.clone())
                            .await
                    }
                    Route::There(client) => {
                        propose_there(*client, shard, request_id, command.clone(), patience).await
                    }
                    Route::Nowhere => Err(ProposeError::NotLeader(NotLeader { leader: None })),
                }
            };
            match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Err(ProposeError::NotLeader(_) | ProposeError::Unavailable))
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(result) => return result,
                Err(_) => return Err(ProposeError::Unavailable),
            }
        }
    }
}

async fn propose_there(
    mut client: StateClient<Channel>,
    shard: ShardId,
    request_id: RequestId,
    command: Command,
    patience: Duration,
) -> Result<Outcome, ProposeError> {
    let propose = Propose {
        request_id: Some(request_id.into()),
        command: Some(command.into()),
    };
    let call = Call {
        tag: 1,
        shard: u32::from(shard.0),
        timeout_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        kind: Some(call::Kind::Propose(propose)),
    };
    let batch = CallBatch { calls: vec![call] };
    let answer = async {
        let stream = client.call(futures::stream::iter([batch])).await?;
        stream.into_inner().message().await
    };
    let answer: Result<_, Status> = answer.await;
    let result = answer
        .ok()
        .flatten()
        .and_then(|results| results.results.into_iter().next());
    match result.and_then(|result| result.kind) {
        Some(call_result::Kind::Outcome(outcome)) => {
            Outcome::try_from(outcome).map_err(|_| ProposeError::Unavailable)
        }
        Some(call_result::Kind::Error(error)) => Err(propose_error(&error)),
        Some(call_result::Kind::Query(_)) | None => Err(ProposeError::Unavailable),
    }
}

fn propose_error(error: &CallError) -> ProposeError {
    match error.kind() {
        call_error::Kind::NotLeader => ProposeError::NotLeader(NotLeader { leader: None }),
        call_error::Kind::Overloaded => ProposeError::Overloaded,
        call_error::Kind::Invalid => ProposeError::TooLarge,
        call_error::Kind::Unavailable
        | call_error::Kind::Deadline
        | call_error::Kind::Unspecified => ProposeError::Unavailable,
    }
}
