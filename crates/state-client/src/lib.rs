//! Typed gRPC client of the state tier.
//!
//! The crate owns how an ingress node, the operator and a state node reach the state nodes: which node leads a shard,
//! batching, retries with one request id, and the streams on which operations come down. It never decides what a
//! command means and stores nothing. The entry type is [`Client`]; every call speaks the types of `device-state` and
//! `lwm2m`.
//!
//! ```no_run
//! use std::time::Duration;
//! use device_state::{Command, NodeId, Outcome};
//! use state_client::{Client, Config};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(Config::new(["10.0.0.1:7444".to_owned()]))?;
//! let topology = client.ready().await;
//! let endpoint = client.device(&lwm2m::EndpointName::new("meter-1")?);
//! let shard = topology.shard_of(&endpoint);
//! let command = Command::SetDesired { endpoint, generation: 1, resources: vec![] };
//! let outcome = client.propose(shard, command, Duration::from_secs(2)).await?;
//! assert_eq!(outcome, Outcome::Done);
//! # Ok(())
//! # }
//! ```
//!
//! One task per state node owns the bidirectional stream to it: it sends whatever is queued as one message of up to
//! 256 calls, without waiting for more, and hands the answers out. Callers only touch a channel and an atomic counter.

mod attach;
mod backoff;
mod call;
mod client;
mod config;
mod error;
mod link;
mod refresh;
mod topology;

pub use attach::{
    AttachHandle, ContactInquiry, DeviceOperation, DeviceOperations, Downlink, FailureReason,
    OperationAnswer, OperationKey,
};
pub use client::{ClearCredential, Client, Definitions, OperateAnswer, PreparedBootstrap, Proof};
pub use config::{Config, Transport};
pub use error::{
    AnswerError, BootstrapError, ConnectError, DescribeError, OperateError, ProposeError,
    QueryError,
};
pub use proto::convert::{AccountSecret, KeyPair, PreparedAccount, ReportedContact};
pub use topology::{StateNode, Topology};
