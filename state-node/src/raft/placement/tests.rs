use proptest::prelude::*;

use super::*;

const LAST: u64 = 50_000;

fn ids(list: &[u64]) -> BTreeSet<NodeId> {
    list.iter().copied().map(NodeId).collect()
}

/// Node 1 leads; all others answer and have the whole log.
fn view(voters: &[u64], learners: &[u64]) -> View {
    let others = voters.iter().chain(learners).filter(|id| **id != 1);
    View {
        node: NodeId(1),
        voters: ids(voters),
        learners: ids(learners),
        matched: others.map(|id| (NodeId(*id), LAST)).collect(),
        last_log: LAST,
    }
}

fn wanted(list: &[(u64, StateNodeRole)]) -> BTreeMap<NodeId, Wanted> {
    let one = |(id, role): &(u64, StateNodeRole)| {
        let wanted = Wanted {
            member: Member::default(),
            role: *role,
            instead_of: None,
        };
        (NodeId(*id), wanted)
    };
    list.iter().map(one).collect()
}

/// What the step makes of the membership.
fn take(view: &mut View, step: &Step) {
    match step {
        Step::AddLearner { node, .. } => {
            view.learners.insert(*node);
            view.matched.insert(*node, view.last_log);
        }
        Step::Promote { node, instead_of } => {
            view.learners.remove(node);
            view.voters.insert(*node);
            if let Some(old) = instead_of {
                view.voters.remove(old);
            }
        }
        Step::Demote { node } => {
            view.voters.remove(node);
            view.learners.insert(*node);
        }
        Step::RemoveVoter { node } => {
            view.voters.remove(node);
        }
        Step::RemoveLearner { node } => {
            view.learners.remove(node);
        }
        Step::StepAside => {
            let others = view.voters.iter().copied();
            let next = others.into_iter().find(|voter| *voter != view.node);
            let next = next.expect("there is another voter");
            view.matched.insert(view.node, view.last_log);
            view.matched.remove(&next);
            view.node = next;
        }
    }
}

#[test]
fn a_cluster_of_one_grows_to_three_and_back() {
    use StateNodeRole::{Leaving, Voter};
    let mut view = view(&[1], &[]);
    let grow = wanted(&[(2, Voter), (3, Voter)]);
    while let Some(step) = next_step(&view, &grow) {
        take(&mut view, &step);
    }
    assert_eq!(view.voters, ids(&[1, 2, 3]));
    let shrink = wanted(&[(1, Leaving), (3, Leaving)]);
    while let Some(step) = next_step(&view, &shrink) {
        take(&mut view, &step);
    }
    assert_eq!((view.voters, view.node), (ids(&[2]), NodeId(2)));
}

#[test]
fn a_node_gets_no_vote_before_it_has_the_log() {
    let mut view = view(&[1, 2, 3], &[4]);
    let grow = wanted(&[(4, StateNodeRole::Voter)]);
    view.matched.insert(NodeId(4), LAST - MAX_LAG - 1);
    assert_eq!(next_step(&view, &grow), None);
    view.matched.insert(NodeId(4), LAST - MAX_LAG);
    assert!(matches!(
        next_step(&view, &grow),
        Some(Step::Promote { .. })
    ));
}

#[test]
fn a_voter_is_not_taken_out_while_the_rest_has_no_majority() {
    let mut view = view(&[1, 2, 3], &[]);
    let shrink = wanted(&[(3, StateNodeRole::Leaving)]);
    view.matched.remove(&NodeId(2));
    assert_eq!(next_step(&view, &shrink), None);
    view.matched.insert(NodeId(2), LAST);
    view.matched.remove(&NodeId(3));
    assert_eq!(
        next_step(&view, &shrink),
        Some(Step::RemoveVoter { node: NodeId(3) })
    );
}

#[test]
fn a_lost_voter_goes_in_the_same_step_in_which_its_successor_comes() {
    let mut view = view(&[1, 2, 3], &[]);
    view.matched.remove(&NodeId(3));
    let mut wanted = wanted(&[(9, StateNodeRole::Voter)]);
    let successor = wanted.get_mut(&NodeId(9)).expect("just put");
    successor.instead_of = Some(NodeId(3));
    let step = next_step(&view, &wanted).expect("the successor is added");
    take(&mut view, &step);
    let step = next_step(&view, &wanted).expect("the successor is promoted");
    take(&mut view, &step);
    assert_eq!(view.voters, ids(&[1, 2, 9]));
    assert_eq!(next_step(&view, &wanted), None);
}

fn role() -> impl Strategy<Value = StateNodeRole> {
    prop_oneof![
        Just(StateNodeRole::Voter),
        Just(StateNodeRole::Learner),
        Just(StateNodeRole::Leaving),
    ]
}

proptest! {
    /// Whatever is wanted, the voters that answer stay a majority, there is always a voter, and it comes to an end.
    #[test]
    fn no_step_loses_the_quorum(
        voters in proptest::collection::btree_set(1_u64..6, 1..6),
        silent in proptest::collection::btree_set(1_u64..6, 0..3),
        roles in proptest::collection::btree_map(1_u64..9, role(), 0..8),
    ) {
        let leader = *voters.iter().find(|id| !silent.contains(id)).unwrap_or(&0);
        prop_assume!(leader != 0);
        let live = voters.iter().filter(|id| !silent.contains(id)).count();
        prop_assume!(live * 2 > voters.len());
        let mut view = View {
            node: NodeId(leader),
            voters: voters.iter().copied().map(NodeId).collect(),
            learners: BTreeSet::new(),
            matched: voters
                .iter()
                .filter(|id| **id != leader && !silent.contains(id))
                .map(|id| (NodeId(*id), LAST))
                .collect(),
            last_log: LAST,
        };
        let list: Vec<_> = roles.into_iter().collect();
        let wanted = wanted(&list);
        let mut steps = 0;
        while let Some(step) = next_step(&view, &wanted) {
            take(&mut view, &step);
            let answers = |voter: &&NodeId| **voter == view.node || view.matched.contains_key(voter);
            let live = view.voters.iter().filter(answers).count();
            prop_assert!(live * 2 > view.voters.len(), "{step:?} left {view:?}");
            prop_assert!(view.voters.contains(&view.node));
            steps += 1;
            prop_assert!(steps < 64, "it does not end: {view:?}");
        }
    }
}
