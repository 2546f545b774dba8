//! Which contexts are where.

use hashbrown::{HashMap, HashSet};

use super::ContextId;
use crate::carrier::Carrier;

/// The contexts at each peer. Mostly there is one; a proxy has many.
pub(super) struct Places<P> {
    /// Whose request came last, to whom all but requests belongs: message ids and tokens are one
    /// number space a peer.
    newest: HashMap<P, ContextId>,
    /// The other ones.
    others: HashMap<P, HashSet<ContextId>>,
}

impl<P: Carrier> Places<P> {
    pub(super) fn new() -> Self {
        Self {
            newest: HashMap::new(),
            others: HashMap::new(),
        }
    }

    pub(super) fn newest(&self, peer: P) -> Option<ContextId> {
        self.newest.get(&peer).copied()
    }

    /// A request of the context came from `peer`.
    pub(super) fn enter(&mut self, peer: P, context: ContextId) {
        let before = self.newest.insert(peer, context);
        let Some(before) = before.filter(|before| *before != context) else {
            return;
        };
        let others = self.others.entry(peer).or_default();
        others.remove(&context);
        others.insert(before);
    }

    pub(super) fn leave(&mut self, peer: P, context: ContextId) {
        if self.newest.get(&peer) == Some(&context) {
            self.newest.remove(&peer);
            return;
        }
        if let Some(others) = self.others.get_mut(&peer) {
            others.remove(&context);
            if others.is_empty() {
                self.others.remove(&peer);
            }
        }
    }

    /// All contexts leave.
    pub(super) fn clear(&mut self, peer: P) -> impl Iterator<Item = ContextId> {
        let newest = self.newest.remove(&peer);
        let others = self.others.remove(&peer);
        newest.into_iter().chain(others.into_iter().flatten())
    }
}
