//! A whole shard in one process: replicas with their log, their rows and their proposals, on virtual time, over a network
//! that loses, delays, repeats and cuts, with disks that forget what was not synced, while replicas join and leave.
//!
//! First safety: what callers saw has to be linearizable. Then liveness: once nothing is broken any more, every replica has
//! the same rows, soon. `DROVER_SEEDS` says how many runs there are, `DROVER_SEED` which one is the first. A seed repeats
//! the faults; Raft draws its election timeouts from elsewhere.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use device_state::NodeId;
use node_runtime::Tasks;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use callers::{Caller, History, REGISTERS};
use network::SimNetwork;
use replica::Replica;

mod callers;
mod levels;
mod network;
mod replica;
pub(crate) mod volume;

const REPLICAS: u64 = 5;
/// The first members are the replicas 1 to this; others join and leave.
const FIRST_MEMBERS: u64 = 3;
const STEPS: usize = 12;
/// Milliseconds that a replica is down.
const DOWN: Range<u64> = 0..3_000;
const SEEDS: u64 = 10;
/// How long a cluster that is whole may take to agree.
const SOON: Duration = Duration::from_secs(60);
/// How long a change of voters is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What goes wrong next.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Crash(u64),
    /// All but the leader lose power for a moment, and the leader is cut off from them: they must not elect another one
    /// while it still answers by its lease.
    CrashOthers,
    CrashAll,
    Cut(u64, u64),
    CutOneWay(u64, u64),
    Isolate(u64),
    /// What it sends and is sent arrives once all is healed, as if it had been paused.
    Pause(u64),
    Lose(u32),
    Heal,
    TransferLeader(u64),
    Snapshot(u64),
    /// So many replicas from this one on are to be the voters.
    Members(u64, u64),
}

struct Cluster {
    network: SimNetwork,
    replicas: Vec<Replica>,
}

impl Cluster {
    async fn start(rng: &mut ChaCha8Rng) -> Self {
        let network = SimNetwork::new(rng.random());
        let mut replicas = Vec::new();
        for id in 1..=REPLICAS {
            let mut replica = Replica::new(id, network.clone(), rng.random());
            replica.start().await;
            replicas.push(replica);
        }
        let members = (1..=FIRST_MEMBERS).map(|id| (id, crate::raft::Member::default()));
        let first = network.group(1).expect("it runs");
        first
            .raft()
            .initialize(members.collect::<std::collections::BTreeMap<_, _>>())
            .await
            .unwrap();
        Self { network, replicas }
    }

    /// With a leader, and its id.
    async fn start_led() -> (Self, u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let cluster = Self::start(&mut rng).await;
        until("a leader", || cluster.leader().is_some()).await;
        let leader = cluster.leader().unwrap();
        (cluster, leader)
    }

    async fn stop(mut self) {
        for replica in &mut self.replicas {
            replica.crash().await;
        }
    }

    fn replica(&mut self, id: u64) -> &mut Replica {
        &mut self.replicas[(id - 1) as usize]
    }

    async fn strike(&mut self, fault: Fault, rng: &mut ChaCha8Rng) {
        match fault {
            Fault::Crash(id) => self.crash(&[id], DOWN, rng).await,
            Fault::CrashOthers => {
                let leader = self.leader().unwrap_or(1);
                self.network.isolate(leader);
                let others: Vec<u64> = (1..=REPLICAS).filter(|other| *other != leader).collect();
                self.crash(&others, 0..300, rng).await;
            }
            Fault::CrashAll => {
                let all: Vec<u64> = (1..=REPLICAS).collect();
                self.crash(&all, DOWN, rng).await;
            }
            Fault::Cut(one, other) => {
                self.network.cut(one, other);
                self.network.cut(other, one);
            }
            Fault::CutOneWay(from, to) => self.network.cut(from, to),
            Fault::Isolate(id) => self.network.isolate(id),
            Fault::Pause(id) => self.network.pause(id),
            Fault::Lose(percent) => self.network.lose(percent),
            Fault::Heal => self.network.heal(),
            Fault::TransferLeader(to) => {
                for group in self.network.groups() {
                    group.hand_over(NodeId(to)).await;
                }
            }
            Fault::Snapshot(id) => {
                if let Some(group) = self.network.group(id) {
                    let _stopped = group.raft().trigger().snapshot().await;
                }
            }
            Fault::Members(first, count) => {
                let voters = (first..first + count).map(|id| (id - 1) % REPLICAS + 1);
                // Without a leader, or a quorum that confirms it in time, nothing comes of it, or later.
                let change = self.make_voters(voters.collect());
                let _unfinished = timeout(PATIENCE, change).await;
            }
        }
    }

    fn leader(&self) -> Option<u64> {
        (1..=REPLICAS).find(|id| self.network.group(*id).is_some_and(|group| group.leads()))
    }

    /// Asks the leader for these voters; whether they are.
    async fn make_voters(&self, voters: BTreeSet<u64>) -> bool {
        let Some(group) = self.leader().and_then(|id| self.network.group(id)) else {
            return false;
        };
        for id in &voters {
            let learner = crate::raft::Member::default();
            if group.raft().add_learner(*id, learner, false).await.is_err() {
                return false;
            }
        }
        group.raft().change_membership(voters, false).await.is_ok()
    }

    async fn crash(&mut self, ids: &[u64], down: Range<u64>, rng: &mut ChaCha8Rng) {
        for id in ids {
            self.replica(*id).crash().await;
        }
        sleep(Duration::from_millis(rng.random_range(down))).await;
        for id in ids {
            self.replica(*id).start().await;
        }
    }

    /// Waits until every replica is a voter, has applied the same, and has the same rows.
    async fn agree(&self) {
        self.network.heal();
        let end = Instant::now() + SOON;
        loop {
            let all = self.make_voters((1..=REPLICAS).collect());
            if timeout(PATIENCE, all).await == Ok(true) {
                break;
            }
            assert!(Instant::now() < end, "{}", self.network.describe());
            sleep(Duration::from_millis(100)).await;
        }
        loop {
            let seen: Vec<_> = self.network.groups().iter().map(callers::rows).collect();
            if seen.len() == REPLICAS as usize && seen.windows(2).all(|pair| pair[0] == pair[1]) {
                return;
            }
            assert!(Instant::now() < end, "the replicas differ: {seen:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn draw(rng: &mut ChaCha8Rng) -> Fault {
    let id = rng.random_range(1..=REPLICAS);
    let other = (id + rng.random_range(0..REPLICAS - 1)) % REPLICAS + 1;
    *[
        Fault::Crash(id),
        Fault::CrashOthers,
        Fault::CrashAll,
        Fault::Cut(id, other),
        Fault::CutOneWay(id, other),
        Fault::Isolate(id),
        Fault::Pause(id),
        Fault::Lose(rng.random_range(1..25)),
        Fault::Heal,
        Fault::Heal,
        Fault::TransferLeader(id),
        Fault::Snapshot(id),
        Fault::Members(id, 3),
        Fault::Members(id, rng.random_range(1..=REPLICAS)),
    ]
    .choose(rng)
    .unwrap()
}

async fn play(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = Cluster::start(&mut rng).await;
    let mut callers = JoinSet::new();
    let stop = Tasks::new();
    for number in 0..REGISTERS * callers::CALLERS {
        let caller = Caller::new(number, cluster.network.clone(), rng.random());
        callers.spawn(caller.work(stop.drain(node_runtime::Stage::Intake)));
    }
    for _ in 0..STEPS {
        sleep(Duration::from_millis(rng.random_range(100..4_000))).await;
        let fault = draw(&mut rng);
        cluster.strike(fault, &mut rng).await;
    }
    cluster.network.heal();
    sleep(Duration::from_secs(5)).await;
    stop.shut_down(Duration::from_secs(1), std::future::pending())
        .await;
    let mut history: History = callers.join_all().await.into_iter().flatten().collect();
    history.extend(callers::last_reads(&cluster.network, SOON).await);
    cluster.agree().await;
    callers::check(&history);
    cluster.stop().await;
}

/// Plays one seed after the other, each on virtual time: `DROVER_SEEDS` many, from `DROVER_SEED` on.
pub(crate) fn play_seeds<F: Future<Output = ()>>(seeds: u64, play: impl Fn(u64) -> F) {
    let number = |variable: &str, default: u64| {
        std::env::var(variable).map_or(default, |text| text.parse().unwrap())
    };
    let (first, seeds) = (number("DROVER_SEED", 0), number("DROVER_SEEDS", seeds));
    for seed in first..first + seeds {
        let game = std::panic::AssertUnwindSafe(play(seed));
        let played = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(game);
        });
        assert!(played.is_ok(), "DROVER_SEED={seed}");
    }
}

#[test]
fn what_callers_see_is_linearizable_and_replicas_agree_whatever_breaks() {
    play_seeds(SEEDS, play);
}

/// It may not hear that another one is elected.
#[tokio::test(start_paused = true)]
async fn a_leader_that_has_handed_over_answers_nothing_by_its_lease() {
    let (cluster, leader) = Cluster::start_led().await;
    let group = cluster.network.group(leader).unwrap();
    until("a lease", || group.silence() < Duration::from_millis(50)).await;
    let next = leader % FIRST_MEMBERS + 1;
    for other in (1..=REPLICAS).filter(|other| *other != leader) {
        cluster.network.cut(other, leader);
    }
    let found = group.read_current(|_| ()).await;
    assert!(found.is_ok(), "{found:?}");
    group.hand_over(NodeId(next)).await;
    let another = cluster.network.group(next).unwrap();
    until("another leader", || another.leads()).await;
    let found = group.read_current(|_| ()).await;
    assert!(found.is_err(), "{found:?}");
    drop((group, another));
    cluster.stop().await;
}

/// A leader hears late what its followers answered before they elected another one, and tells them what is committed when it
/// hears the first: what it hears then says nothing of now.
#[tokio::test(start_paused = true)]
async fn answers_that_come_late_renew_no_lease() {
    let (cluster, leader) = Cluster::start_led().await;
    let network = &cluster.network;
    let group = network.group(leader).unwrap();
    let ids = (1..=FIRST_MEMBERS).filter(|id| *id != leader);
    let others: Vec<_> = ids.map(|id| (id, network.group(id).unwrap())).collect();
    assert!(callers::set(&group, 1).await);
    until("the first entry with all", || {
        others
            .iter()
            .all(|(_, other)| other.status().applied == group.status().last_log)
    })
    .await;
    for (id, _) in &others {
        network.hold(*id, leader);
    }
    let before = group.status().last_log;
    let proposing = group.clone();
    let mut proposed = JoinSet::new();
    proposed.spawn(async move { callers::set(&proposing, 2).await });
    until("the next entry", || {
        others
            .iter()
            .all(|(_, other)| other.status().last_log > before)
    })
    .await;
    // Longer than anything takes: their answers are on their way.
    sleep(Duration::from_millis(100)).await;
    network.isolate(leader);
    let elected = || others.iter().find(|(_, other)| other.leads());
    until("another leader", || elected().is_some()).await;
    let (_, another) = elected().unwrap();
    let replaced = async {
        while !callers::set(another, 3).await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, replaced).await.unwrap();
    for (id, _) in &others {
        network.let_go(*id, leader);
        until("what is committed", || group.status().applied > before).await;
        for _ in 0..100 {
            let found = group.read_current(|_| ()).await;
            assert!(found.is_err(), "{found:?}");
            sleep(Duration::from_millis(1)).await;
        }
    }
    proposed.shutdown().await;
    drop((group, others));
    cluster.stop().await;
}

/// The one voter that is left elects itself at once, while the lease lasts that it gave to the leader before.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_no_voter_any_more_answers_nothing_by_its_lease() {
    let (cluster, leader) = Cluster::start_led().await;
    let last = leader % FIRST_MEMBERS + 1;
    assert!(cluster.make_voters([last].into()).await);
    cluster.network.cut(last, leader);
    let another = cluster.network.group(last).unwrap();
    until("another leader", || another.leads()).await;
    let group = cluster.network.group(leader).unwrap();
    let found = group.read_current(|_| ()).await;
    assert!(found.is_err(), "{found:?}");
    drop((group, another));
    cluster.stop().await;
}

/// Nobody else renews its lease.
#[tokio::test(start_paused = true)]
async fn a_group_of_one_answers_reads_however_long_it_was_idle() {
    let (cluster, leader) = Cluster::start_led().await;
    assert!(cluster.make_voters([leader].into()).await);
    sleep(Duration::from_secs(300)).await;
    let group = cluster.network.group(leader).unwrap();
    let found = group.read_current(|_| ()).await;
    assert!(found.is_ok(), "{found:?}");
    drop(group);
    cluster.stop().await;
}

/// For whoever has to wait in this module.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
