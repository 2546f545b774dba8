//! Which state nodes there are to be, and what all of them understand.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::feature::FeatureLevel;
use crate::id::NodeId;
use crate::limit::MAX_STATE_NODES;
use crate::query;
use crate::record::{StateNode, StateNodeRole};
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// A node that leaves stays on its way: what it has may be gone already.
    pub(super) fn put_state_node(&mut self, node: &StateNode) -> Result<Outcome, Rejection> {
        let known = query::state_node(self.tables, node.node);
        let leaves = |known: &StateNode| known.role == StateNodeRole::Leaving;
        if known.as_ref().is_some_and(leaves) && !leaves(node) {
            return Err(Rejection::StateNodeLeaves);
        }
        if known.is_none() && query::state_nodes(self.tables).len() >= MAX_STATE_NODES {
            return Err(Rejection::TooManyStateNodes);
        }
        self.tables.put(Row::StateNode(node.clone()));
        Ok(Outcome::Done)
    }

    pub(super) fn forget_state_node(&mut self, node: NodeId) -> Result<Outcome, Rejection> {
        query::state_node(self.tables, node).ok_or(Rejection::UnknownStateNode)?;
        self.tables.delete(&RowKey::StateNode(node));
        Ok(Outcome::Done)
    }

    /// Levels only rise; two leaders may have proposed the same one.
    pub(super) fn raise_feature_level(&mut self, level: FeatureLevel) -> Outcome {
        self.counters.feature_level = self.counters.feature_level.max(level);
        Outcome::Done
    }
}
