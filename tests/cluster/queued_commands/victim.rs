//! Nodes that are killed, and come back.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use tests::{Program, kill, metric};

use super::Scene;
use crate::fleet::members_known;
use crate::kill_ingress::restart;

/// A kind of node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Victim {
    /// The state node that leads most shards.
    StateLeader,
    /// Another state node.
    StateFollower,
    /// The ingress node that owns most devices.
    Ingress,
}

/// The node that runs in the place of one that was killed.
pub(super) type Stricken = Program;

impl Victim {
    /// Each kind once.
    pub(super) fn shuffled(rng: &mut ChaCha8Rng) -> [Self; 3] {
        let mut victims = [Self::StateLeader, Self::StateFollower, Self::Ingress];
        victims.shuffle(rng);
        victims
    }

    /// Kills a node of this kind and starts it again.
    pub(super) fn strike(self, scene: &Scene<'_>) -> Stricken {
        let drover = scene.drover;
        let state = |index: usize| {
            drover.kill_state_node(index);
            drover.restart_state_node(index, &format!("state-{index}-again"))
        };
        match self {
            Self::StateLeader => state(drover.leading_state_node()),
            Self::StateFollower => state((drover.leading_state_node() + 1) % 3),
            Self::Ingress => strike_ingress(scene),
        }
    }
}

fn strike_ingress(scene: &Scene<'_>) -> Stricken {
    let sessions =
        |index: &usize| metric(&scene.nodes[*index].admin, "drover_ingress_sessions") as u64;
    let owner = (0..scene.nodes.len()).max_by_key(sessions).unwrap();
    let pid = scene.drover.pid(&format!("/ingress/{owner}/pid"));
    kill(pid, Signal::KILL).unwrap();
    // A load balancer notices soon.
    let alive =
        |(index, node): (usize, &crate::fleet::Node)| (index != owner).then(|| node.coaps.clone());
    let rest: Vec<String> = scene.nodes.iter().enumerate().filter_map(alive).collect();
    scene.spray.set_nodes(&rest);
    let again = restart(scene.drover, &scene.nodes[owner], owner);
    members_known(scene.nodes);
    let all: Vec<String> = scene.nodes.iter().map(|node| node.coaps.clone()).collect();
    scene.spray.set_nodes(&all);
    again
}
