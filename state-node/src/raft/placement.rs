//! What the leader of a shard does next about the shard's members.
//!
//! Pure: what is there and what is wanted go in, one step comes out. A step is taken only when the one before is
//! committed, so every change of a membership is of one node, or of one node in place of another.
//!
//! ```text
//!  not a member ──add──▶ learner, catches up ──promote──▶ voter ──demote──▶ learner
//!                              │                            │
//!                              └──────────remove────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};

use device_state::{NodeId, StateNodeRole};

use crate::raft::Member;

/// A voter or learner this many entries behind does not get a leadership or a vote.
pub const MAX_LAG: u64 = 1_000;

/// What is wanted of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub member: Member,
    pub role: StateNodeRole,
    /// The voter that lost its volume, and lived at the same address.
    pub instead_of: Option<NodeId>,
}

impl Wanted {
    /// Out, whatever it is now.
    pub fn leaving(member: Member) -> Self {
        Self {
            member,
            role: StateNodeRole::Leaving,
            instead_of: None,
        }
    }
}

/// A shard as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The leader itself.
    pub node: NodeId,
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
    /// How much of the log each other member has, of those that answered lately.
    pub matched: BTreeMap<NodeId, u64>,
    pub last_log: u64,
}

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    AddLearner {
        node: NodeId,
        member: Member,
    },
    /// Makes a learner a voter.
    Promote {
        node: NodeId,
        instead_of: Option<NodeId>,
    },
    /// Makes a voter a learner.
    Demote {
        node: NodeId,
    },
    RemoveVoter {
        node: NodeId,
    },
    RemoveLearner {
        node: NodeId,
    },
    /// The leader is to leave: another one takes it out.
    StepAside,
}

impl View {
    fn is_member(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }

    /// Whether the node answers, and has nearly all of the log.
    pub fn is_caught_up(&self, node: NodeId) -> bool {
        let matched = self.matched.get(&node);
        matched.is_some_and(|matched| matched + MAX_LAG >= self.last_log)
    }

    /// Whether a majority of the voters that stay without `node` answers.
    fn can_spare(&self, node: NodeId) -> bool {
        let rest = self.voters.iter().filter(|voter| **voter != node);
        let answers = |voter: &&NodeId| **voter == self.node || self.matched.contains_key(voter);
        let (all, live) = (rest.clone().count(), rest.filter(answers).count());
        live * 2 > all
    }
}

/// The next step; `None` if all is as it is wanted, or nothing can be done now.
pub fn next_step(view: &View, wanted: &BTreeMap<NodeId, Wanted>) -> Option<Step> {
    let steps = wanted
        .iter()
        .filter_map(|(node, wanted)| step_of(view, *node, wanted));
    // Growing goes before shrinking.
    steps.min_by_key(|step| match step {
        Step::Promote { .. } => 0,
        Step::AddLearner { .. } => 1,
        Step::Demote { .. } | Step::RemoveVoter { .. } | Step::RemoveLearner { .. } => 2,
        Step::StepAside => 3,
    })
}

fn step_of(view: &View, node: NodeId, wanted: &Wanted) -> Option<Step> {
    let votes = view.voters.contains(&node);
    match wanted.role {
        StateNodeRole::Voter | StateNodeRole::Learner if !view.is_member(node) => {
            Some(Step::AddLearner {
                node,
                member: wanted.member.clone(),
            })
        }
        StateNodeRole::Voter if !votes => view.is_caught_up(node).then_some(Step::Promote {
            node,
            instead_of: wanted.instead_of,
        }),
        StateNodeRole::Voter => None,
        StateNodeRole::Learner if !votes => None,
        StateNodeRole::Learner if node == view.node => lead_elsewhere(view),
        StateNodeRole::Learner => view.can_spare(node).then_some(Step::Demote { node }),
        StateNodeRole::Leaving if !view.is_member(node) => None,
        StateNodeRole::Leaving if node == view.node => lead_elsewhere(view),
        StateNodeRole::Leaving if votes => {
            view.can_spare(node).then_some(Step::RemoveVoter { node })
        }
        StateNodeRole::Leaving => Some(Step::RemoveLearner { node }),
    }
}

fn lead_elsewhere(view: &View) -> Option<Step> {
    let others = view.voters.iter().filter(|voter| **voter != view.node);
    let able = others.filter(|voter| view.is_caught_up(**voter)).count();
    (able > 0 && view.can_spare(view.node)).then_some(Step::StepAside)
}

#[cfg(test)]
mod tests;
