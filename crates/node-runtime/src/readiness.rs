use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The named conditions that must all hold before a node takes traffic.
///
/// A node without conditions is ready. Clones share the same conditions.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, State>>>,
}

#[derive(Debug)]
enum State {
    Met,
    Unmet { reason: String },
}

/// One condition of a [`Readiness`]; whoever holds it says whether it is met.
#[derive(Clone, Debug)]
pub struct Condition {
    name: String,
    readiness: Readiness,
}

/// A condition that does not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The condition's name.
    pub name: String,
    /// What is missing, for a human.
    pub reason: String,
}

impl Readiness {
    /// Without conditions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition that is not met yet. A name that is already known keeps its state, and both
    /// holders speak for the same condition.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let name = name.into();
        self.lock()
            .entry(name.clone())
            .or_insert_with(|| State::Unmet {
                reason: "starting".to_owned(),
            });
        Condition {
            name,
            readiness: self.clone(),
        }
    }

    /// Whether every condition holds.
    pub fn is_ready(&self) -> bool {
        self.lock()
            .values()
            .all(|state| matches!(state, State::Met))
    }

    /// The conditions that do not hold, by name.
    pub fn unmet(&self) -> Vec<Unmet> {
        self.lock()
            .iter()
            .filter_map(|(name, state)| match state {
                State::Met => None,
                State::Unmet { reason } => Some(Unmet {
                    name: name.clone(),
                    reason: reason.clone(),
                }),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        // Every change is one insertion, so a holder that panicked left the map whole.
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    /// The condition holds from now on.
    pub fn meet(&self) {
        self.set(State::Met);
    }

    /// The condition does not hold, because of `reason`.
    pub fn fail(&self, reason: impl Into<String>) {
        self.set(State::Unmet {
            reason: reason.into(),
        });
    }

    fn set(&self, state: State) {
        self.readiness.lock().insert(self.name.clone(), state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_once_every_condition_is_met() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let store = readiness.condition("store");
        let leader = readiness.condition("leader");
        store.meet();
        leader.fail("shard 3 has no leader");
        assert_eq!(
            readiness.unmet(),
            [Unmet {
                name: "leader".to_owned(),
                reason: "shard 3 has no leader".to_owned()
            }]
        );
        leader.meet();
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_condition_named_twice_keeps_its_state() {
        let readiness = Readiness::new();
        readiness.condition("store").meet();
        readiness.condition("store");
        assert!(readiness.is_ready());
    }
}
