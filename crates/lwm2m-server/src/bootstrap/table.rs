//! The bootstraps of an engine.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Instant;

use coap::ExchangeId;
use device_state::SecurityIdentity;
use hashbrown::HashMap;
use lwm2m::{ContentFormat, EndpointName};

use super::output::{BootstrapId, BootstrapMethod, BootstrapStep, StepResult};
use super::run::{Run, Task};

/// Whom a bootstrap is for. Another one for the same client takes its place; an endpoint name alone, which anybody can
/// claim, does not do that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) endpoint: EndpointName,
    pub(super) identity: SecurityIdentity,
}

/// A bootstrap that has not ended, but for its [`Stage`].
#[derive(Debug)]
pub(super) struct Bootstrap<P> {
    pub(super) id: BootstrapId,
    pub(super) peer: P,
    pub(super) client: Client,
    pub(super) preferred_format: Option<ContentFormat>,
    /// When all of it ends.
    pub(super) ends_at: Instant,
    /// When something must have happened.
    pub(super) deadline: Instant,
    pub(super) log: Vec<StepResult>,
    /// The step that was sent last, until it is answered.
    pub(super) unanswered: Option<BootstrapStep>,
}

/// How far a bootstrap is.
#[derive(Debug)]
pub(super) enum Stage {
    /// The device's request waits for the plan.
    Preparing {
        exchange: ExchangeId,
        method: BootstrapMethod,
    },
    /// The device is being told that its request is accepted; nothing else is sent before.
    Accepting { exchange: ExchangeId, run: Run },
    /// The answer with the pack is on its way.
    Delivering { exchange: ExchangeId },
    /// The device has been sent a step.
    Stepping {
        exchange: ExchangeId,
        task: Task,
        step: BootstrapStep,
        run: Run,
    },
}

impl Stage {
    /// The exchange whose end is waited for; the one that waits for the plan only ends by that.
    pub(super) fn awaited(&self) -> Option<ExchangeId> {
        match self {
            Self::Preparing { .. } => None,
            Self::Accepting { exchange, .. }
            | Self::Delivering { exchange }
            | Self::Stepping { exchange, .. } => Some(*exchange),
        }
    }
}

/// Bootstraps by id, peer, client, awaited exchange and deadline.
#[derive(Debug)]
pub(super) struct Bootstraps<P> {
    by_id: HashMap<BootstrapId, (Bootstrap<P>, Stage)>,
    by_peer: HashMap<P, BootstrapId>,
    by_client: HashMap<Client, BootstrapId>,
    by_exchange: HashMap<ExchangeId, BootstrapId>,
    deadlines: BTreeSet<(Instant, BootstrapId)>,
}

impl<P: Copy + Eq + Hash> Bootstraps<P> {
    pub(super) fn new() -> Self {
        Self {
            by_id: HashMap::new(),
            by_peer: HashMap::new(),
            by_client: HashMap::new(),
            by_exchange: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn at_peer(&self, peer: P) -> Option<BootstrapId> {
        self.by_peer.get(&peer).copied()
    }

    pub(super) fn of_client(&self, client: &Client) -> Option<BootstrapId> {
        self.by_client.get(client).copied()
    }

    pub(super) fn awaiting(&self, exchange: ExchangeId) -> Option<BootstrapId> {
        self.by_exchange.get(&exchange).copied()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A bootstrap whose deadline is not after `now`.
    pub(super) fn due(&self, now: Instant) -> Option<BootstrapId> {
        let (at, id) = self.deadlines.first()?;
        (*at <= now).then_some(*id)
    }

    /// Puts a bootstrap in; there is none for its peer or its client.
    pub(super) fn insert(&mut self, bootstrap: Bootstrap<P>, stage: Stage) {
        let id = bootstrap.id;
        self.by_peer.insert(bootstrap.peer, id);
        self.by_client.insert(bootstrap.client.clone(), id);
        if let Some(exchange) = stage.awaited() {
            self.by_exchange.insert(exchange, id);
        }
        self.deadlines.insert((bootstrap.deadline, id));
        self.by_id.insert(id, (bootstrap, stage));
    }

    /// Takes a bootstrap out, to change or to end it.
    pub(super) fn take(&mut self, id: BootstrapId) -> Option<(Bootstrap<P>, Stage)> {
        let (bootstrap, stage) = self.by_id.remove(&id)?;
        self.by_peer.remove(&bootstrap.peer);
        self.by_client.remove(&bootstrap.client);
        if let Some(exchange) = stage.awaited() {
            self.by_exchange.remove(&exchange);
        }
        self.deadlines.remove(&(bootstrap.deadline, id));
        Some((bootstrap, stage))
    }
}
