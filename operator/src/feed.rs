//! What happens in the state tier, as a reason to reconcile.
//!
//! ```text
//! controllers ── want ──▶ feed ─ WatchEvents, one stream for each namespace that is wanted ─▶ state tier
//!      ▲                   │ ▲                                                                   │
//!      └─ triggers, by     │ └──────────────────────────── events ───────────────────────────────┘
//!         listeners ◀──────┘
//! ```
//!
//! An event is a reason to look, and is not believed itself: what stands in a status was read from the state tier afterwards,
//! but for the word by which a registration ended, which nothing else tells. So events may come twice, and what is lost costs
//! time, at most that of a resync. A stream that breaks goes on where it was;
//! one that cannot begins with what happens from then on, and the objects that it is for are looked at once. Nothing is queued
//! here: an event becomes triggers, of which each object has at most one, before the next one is taken. A feed that is too slow
//! is sent away by the state node and goes on by its token.

#[cfg(test)]
mod fake;
mod follow;
mod link;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use device_state::Namespace;
use proto::drover::v1 as api;
use tokio::sync::watch;

use link::State;

pub(crate) use follow::{Follower, Terms};

/// Whose statuses depend on what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Audience {
    Devices,
    Operations,
    Enrollment,
}

impl Audience {
    /// The kind of the objects, by its plural.
    const fn kind(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Operations => "deviceoperations",
            Self::Enrollment => "enrollmentpolicies",
        }
    }
}

/// How much of what happens in a namespace is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// That devices register.
    Arrivals,
    /// All that may change a status but the values that devices report, of which there may be very many.
    Course,
    Values,
}

impl Depth {
    fn kinds(self) -> Vec<api::EventKind> {
        use api::EventKind::{
            CampaignMoved, Deleted, Deregistered, DesiredChanged, DesiredRemoved, Expired,
            LabelsChanged, OperationFinished, Registered, Updated, ValuesReported,
        };
        let mut kinds = vec![Registered];
        if self >= Self::Course {
            kinds.extend([
                Updated,
                Deregistered,
                Expired,
                OperationFinished,
                DesiredChanged,
                DesiredRemoved,
                LabelsChanged,
                CampaignMoved,
                Deleted,
            ]);
        }
        if self >= Self::Values {
            kinds.push(ValuesReported);
        }
        kinds
    }
}

/// Whether what happens in a namespace is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// As it happens, or a moment later: a stream that broke is being opened again.
    Told,
    /// No: whoever wants to know has to look.
    Untold,
}

/// A controller whose objects events may concern.
pub(crate) trait Listener: Send + Sync {
    fn audience(&self) -> Audience;

    /// Triggers the objects that an event concerns, and returns how many those are.
    fn hear(&self, namespace: &Namespace, event: &api::Event) -> usize;

    /// Something may have happened that nobody tells any more: triggers every object that it may concern.
    fn miss(&self, namespace: &Namespace);

    /// From now on nothing is told: triggers those that wait for something, to be looked at more often.
    fn lose_sight(&self, namespace: &Namespace);
}

/// What is wanted, and how it stands; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    wanted: Arc<watch::Sender<Wanted>>,
    /// Of the streams that there are.
    states: Arc<Mutex<HashMap<Namespace, State>>>,
}

/// How much each audience wants of each namespace. Bounded by the namespaces that have objects.
type Wanted = BTreeMap<Namespace, BTreeMap<Audience, Depth>>;

impl Default for Feed {
    fn default() -> Self {
        Self {
            wanted: Arc::new(watch::Sender::new(Wanted::new())),
            states: Arc::default(),
        }
    }
}

impl Feed {
    /// Says that events of a namespace are wanted, at least so many. It holds until [`Feed::forgo`].
    pub(crate) fn want(&self, audience: Audience, namespace: &Namespace, depth: Depth) {
        self.wanted.send_if_modified(|wanted| {
            let known = wanted.get(namespace).and_then(|all| all.get(&audience));
            if known.is_some_and(|known| *known >= depth) {
                return false;
            }
            let audiences = wanted.entry(namespace.clone()).or_default();
            audiences.insert(audience, depth);
            true
        });
    }

    /// Says that no object of an audience needs to know any more what happens in a namespace.
    pub(crate) fn forgo(&self, audience: Audience, namespace: &Namespace) {
        self.wanted.send_if_modified(|wanted| {
            let Some(audiences) = wanted.get_mut(namespace) else {
                return false;
            };
            let forgone = audiences.remove(&audience).is_some();
            if audiences.is_empty() {
                wanted.remove(namespace);
            }
            forgone
        });
    }

    /// Whether what happens in a namespace is told at present.
    pub(crate) fn sight(&self, namespace: &Namespace) -> Sight {
        let state = self.with_states(|states| states.get(namespace).copied());
        state.map_or(Sight::Untold, State::sight)
    }

    /// As if a stream told what happens in a namespace.
    #[cfg(test)]
    pub(crate) fn pretend_to_follow(&self, namespace: &Namespace) {
        self.with_states(|states| states.insert(namespace.clone(), State::Live));
    }

    fn with_states<T>(&self, work: impl FnOnce(&mut HashMap<Namespace, State>) -> T) -> T {
        work(&mut self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How much is wanted of a namespace.
fn depth(wanted: &Wanted, namespace: &Namespace) -> Option<Depth> {
    wanted.get(namespace)?.values().max().copied()
}
