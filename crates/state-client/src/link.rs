//! The connection to one state node.

mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::rpc::v1::{call, call_result};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::config::Config;
use crate::error::ConnectError;

/// A call on its way to a node.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) shard: u16,
    pub(crate) timeout: Duration,
    pub(crate) kind: call::Kind,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// The call's share of what may be under way; freed when it is answered.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What became of a call on one node.
#[derive(Debug)]
pub(crate) enum Answer {
    Result(Box<call_result::Kind>),
    /// The stream broke after the call was queued to it: whether it was done is unknown.
    Lost,
    /// No stream could be opened; nothing was sent.
    NotSent,
}

/// A node: a channel for its other calls, and the queue of its call stream.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: Arc<str>,
    pub(crate) channel: Channel,
    pub(crate) queue: mpsc::Sender<Request>,
}

/// The links in use, by address.
#[derive(Debug)]
pub(crate) struct Links {
    config: Config,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    links: HashMap<Arc<str>, Arc<Link>>,
    tasks: JoinSet<()>,
}

impl Links {
    /// More are not kept: a cluster has a handful of nodes.
    const MAX: usize = 512;

    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            open: Mutex::default(),
        }
    }

    /// The link to the node at `address`, made now if there is none. It connects on its first use, and again after
    /// each loss.
    pub(crate) fn to(&self, address: &str) -> Result<Arc<Link>, ConnectError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = open.links.get(address) {
            return Ok(link.clone());
        }
        if open.links.len() >= Self::MAX {
            open.links.clear();
        }
        let channel = endpoint(&self.config, address)?;
        let channel = self.config.transport.channel(channel);
        let (queue, requests) = mpsc::channel(self.config.max_in_flight.max(1));
        let link = Arc::new(Link {
            address: address.into(),
            channel: channel.clone(),
            queue,
        });
        while open.tasks.try_join_next().is_some() {}
        open.tasks.spawn(session::run(
            link.address.clone(),
            channel,
            requests,
            self.config.connect_timeout,
        ));
        open.links.insert(link.address.clone(), link.clone());
        Ok(link)
    }

    /// Drops the links to all other addresses; calls that are under way on them are still answered.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.links.retain(|address, _| keep(address));
    }
}

/// The one place where connections get their settings.
fn endpoint(config: &Config, address: &str) -> Result<Endpoint, ConnectError> {
    let invalid = || ConnectError::Address(address.to_owned());
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() {
        return Err(invalid());
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| invalid())?;
    Ok(endpoint
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(config.keep_alive)
        .keep_alive_timeout(config.keep_alive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20))
}

/// Whether `address` is of the form that a link can be made to.
pub(crate) fn check(config: &Config, address: &str) -> Result<(), ConnectError> {
    endpoint(config, address).map(drop)
}
