use super::*;

fn shard(leader: u64, term: u64, voters: &[u64]) -> Shard {
    Shard {
        leader,
        term,
        applied: 40,
        voters: voters.to_vec(),
        ..Shard::default()
    }
}

fn answer(id: u64, shard: Shard) -> (NodeId, Answer) {
    let answer = DescribeClusterResponse {
        cluster_id: "c".to_owned(),
        shards: 1,
        shard_states: vec![shard],
        ..DescribeClusterResponse::default()
    };
    (NodeId(id), Some((NodeId(id), answer)))
}

fn survey(answers: impl IntoIterator<Item = (NodeId, Answer)>) -> Survey {
    Survey::new(NodeId(1), Vec::new(), answers.into_iter().collect())
}

#[test]
fn the_newest_term_tells_who_leads() {
    let survey = survey([
        answer(1, shard(1, 3, &[1, 2, 3])),
        answer(2, shard(3, 4, &[1, 2, 3])),
        answer(3, shard(3, 4, &[1, 2, 3])),
    ]);
    let status = survey.status();
    assert_eq!(status.shards[0].leader, format_id(3));
    assert_eq!(status.shards[0].term, 4);
    let leads: Vec<u32> = status.nodes.iter().map(|node| node.leads).collect();
    assert_eq!(leads, [0, 0, 1]);
}

#[test]
fn a_node_cannot_be_spared_while_another_is_away() {
    let voters = [1, 2, 3];
    let survey = survey([
        answer(1, shard(1, 3, &voters)),
        answer(2, shard(1, 3, &voters)),
        (NodeId(3), None),
    ]);
    assert_eq!(survey.stuck_without(NodeId(2)), [ShardId(0)]);
    assert_eq!(survey.stuck_without(NodeId(3)), []);
    assert!(!survey.is_last_voter(NodeId(1)));
    let status = survey.status();
    assert!(status.shards[0].quorum);
    assert_eq!(status.nodes[2].condition(), Condition::Unreachable);
}

#[test]
fn another_node_at_the_address_does_not_speak_for_the_one_before() {
    let stranger = DescribeClusterResponse::default();
    let survey = survey([
        answer(1, shard(1, 3, &[1, 2])),
        (NodeId(2), Some((NodeId(9), stranger))),
    ]);
    let status = survey.status();
    assert_eq!(status.nodes[1].condition(), Condition::Replaced);
    assert!(!status.shards[0].quorum);
}

#[test]
fn a_node_joins_until_every_shard_counts_on_it() {
    let record = |role| StateNode {
        node: NodeId(2),
        internal: "b:1".to_owned(),
        api: "b:2".to_owned(),
        role,
        leadership: Leadership::Allowed,
    };
    let role = |role, voters: &[u64]| {
        let answers = BTreeMap::from([answer(1, shard(1, 3, voters)), (NodeId(2), None)]);
        let survey = Survey::new(NodeId(1), vec![record(role)], answers);
        survey.node(NodeId(2)).role()
    };
    assert_eq!(role(StateNodeRole::Voter, &[1]), Role::Joining);
    assert_eq!(role(StateNodeRole::Voter, &[1, 2]), Role::Voter);
    assert_eq!(role(StateNodeRole::Leaving, &[1, 2]), Role::Leaving);
}
