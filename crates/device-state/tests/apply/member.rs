//! Ingress nodes and their leases.

use std::time::Duration;

use device_state::limit::MAX_MEMBERS;
use device_state::{
    Command, Member, MemberPhase, Namespace, NodeId, Outcome, Rejection, Timestamp, query,
};

use crate::world::{NODE, OTHER_NODE, World};

const LEASE: Duration = Duration::from_secs(3);

fn renew(world: &mut World, node: NodeId, phase: MemberPhase) -> Outcome {
    let member = Member {
        namespace: Namespace::default(),
        node,
        name: "ingress".to_owned(),
        phase,
        workers: vec!["192.0.2.1:7445".parse().unwrap()],
        lease_until: Timestamp(0),
    };
    let lease = LEASE;
    world.run(Command::RenewMembership { member, lease })
}

fn nodes(outcome: &Outcome) -> (bool, Vec<NodeId>) {
    let Outcome::Members { stood, members } = outcome else {
        panic!("{outcome:?}")
    };
    (*stood, members.iter().map(|member| member.node).collect())
}

#[test]
fn a_renewal_tells_who_is_a_member_and_whether_the_lease_stood() {
    let mut world = World::new();
    let first = renew(&mut world, NODE, MemberPhase::Ready);
    assert_eq!(nodes(&first), (false, vec![NODE]));
    let second = renew(&mut world, OTHER_NODE, MemberPhase::Ready);
    assert_eq!(nodes(&second), (false, vec![NODE, OTHER_NODE]));
    let again = renew(&mut world, NODE, MemberPhase::Leaving);
    assert_eq!(nodes(&again), (true, vec![NODE, OTHER_NODE]));
    let member = query::member(&world.tables, NODE).unwrap();
    assert_eq!(member.phase, MemberPhase::Leaving);
    assert_eq!(member.lease_until, world.now.saturating_add(LEASE));
}

#[test]
fn a_member_that_does_not_renew_is_let_go_and_learns_of_it() {
    let mut world = World::new();
    renew(&mut world, NODE, MemberPhase::Ready);
    world.now = world.now.saturating_add(LEASE);
    // Ended, but not yet let go: nobody was told, so the lease goes on.
    let late = renew(&mut world, NODE, MemberPhase::Ready);
    assert_eq!(nodes(&late), (true, vec![NODE]));
    world.now = world.now.saturating_add(LEASE);
    assert_eq!(
        world.run(Command::ExpireUpTo { limit: 10 }),
        Outcome::Expired { rows: 1 }
    );
    assert!(query::members(&world.tables).is_empty());
    let after = renew(&mut world, NODE, MemberPhase::Ready);
    assert_eq!(nodes(&after), (false, vec![NODE]));
}

#[test]
fn members_are_bounded() {
    let mut world = World::new();
    for node in 0..MAX_MEMBERS as u64 {
        renew(&mut world, NodeId(node + 1), MemberPhase::Ready);
    }
    let one_more = renew(&mut world, NodeId(u64::MAX - 1), MemberPhase::Ready);
    assert_eq!(one_more, Outcome::Rejected(Rejection::TooManyMembers));
    let known = renew(&mut world, NodeId(1), MemberPhase::Ready);
    assert!(matches!(known, Outcome::Members { stood: true, .. }));
}
