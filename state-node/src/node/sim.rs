//! A whole cluster in one process: state nodes with several shards each, on virtual time, over connections that are slow, are
//! cut and break, with disks that forget what was not synced; ingress nodes that hold devices; and callers of the public
//! API. All of it is what runs elsewhere, but for the disk of the log, the connections and the devices.
//!
//! First safety: what callers were told has to hold (`crates/ledger`), and no device does anything twice. Then liveness:
//! once nothing is broken any more, all nodes are ready and have the same rows, soon. `DROVER_SEEDS` says how many runs there
//! are, `DROVER_SEED` which one is the first. A seed repeats the faults; Raft draws its election timeouts from elsewhere.
//! The wall clock is the machine's, so nothing expires: `tests/chaos` sets clocks.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::ops::Range;
use std::time::Duration;

use ledger::{Calls, Watcher, Work};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use crate::raft::sim::{play_seeds, until};
use fleet::Fleet;
use machine::Machine;
use wires::{Place, Wires};

mod fleet;
mod machine;
mod wires;

/// State nodes are the places 1 to this.
const MACHINES: u64 = 3;
/// Whoever calls the public API.
const CALLERS: Place = 20;
const SHARDS: u16 = 4;
const STEPS: usize = 6;
const SEEDS: u64 = 3;
/// Milliseconds that a node is down.
const DOWN: Range<u64> = 0..4_000;
/// Milliseconds between two faults.
const BETWEEN: Range<u64> = 200..4_000;

/// What goes wrong next.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Crash(Place),
    CrashAll,
    Cut(Place, Place),
    CutOneWay(Place, Place),
    /// From the other state nodes.
    Isolate(Place),
    Lose(u32),
    /// All connections of one node break; it goes on.
    BreakOff(Place),
    StepAside(Place),
    Heal,
}

fn draw(rng: &mut ChaCha8Rng) -> Fault {
    let place = rng.random_range(1..=MACHINES);
    let other = (place + rng.random_range(0..MACHINES - 1)) % MACHINES + 1;
    *[
        Fault::Crash(place),
        Fault::Crash(other),
        Fault::CrashAll,
        Fault::Cut(place, other),
        Fault::CutOneWay(place, other),
        Fault::Isolate(place),
        Fault::Lose(rng.random_range(1..20)),
        Fault::BreakOff(place),
        Fault::StepAside(place),
        Fault::Heal,
        Fault::Heal,
    ]
    .choose(rng)
    .unwrap()
}

struct Cluster {
    wires: Wires,
    machines: Vec<Machine>,
}

impl Cluster {
    async fn start(rng: &mut ChaCha8Rng) -> Self {
        let wires = Wires::new(rng.random());
        let mut machines = Vec::new();
        for place in 1..=MACHINES {
            let mut machine = Machine::new(place, wires.clone(), rng.random());
            machine.start().await;
            machines.push(machine);
        }
        let cluster = Self { wires, machines };
        cluster.is_ready().await;
        cluster
    }

    async fn is_ready(&self) {
        until("every node is ready", || {
            self.machines.iter().all(Machine::is_ready)
        })
        .await;
    }

    fn is_well(&self) {
        self.machines.iter().for_each(Machine::is_well);
    }

    async fn strike(&mut self, fault: Fault, rng: &mut ChaCha8Rng) {
        match fault {
            Fault::Crash(place) => self.crash(&[place], rng).await,
            Fault::CrashAll => {
                let all: Vec<Place> = (1..=MACHINES).collect();
                self.crash(&all, rng).await;
            }
            Fault::Cut(one, other) => {
                self.wires.cut(one, other);
                self.wires.cut(other, one);
            }
            Fault::CutOneWay(from, to) => self.wires.cut(from, to),
            Fault::Isolate(place) => {
                for other in (1..=MACHINES).filter(|other| *other != place) {
                    self.wires.cut(place, other);
                    self.wires.cut(other, place);
                }
            }
            Fault::Lose(percent) => self.wires.lose(percent),
            Fault::BreakOff(place) => self.wires.break_connections(place),
            Fault::StepAside(place) => self.machine(place).step_aside().await,
            Fault::Heal => self.wires.heal(),
        }
    }

    fn machine(&mut self, place: Place) -> &mut Machine {
        &mut self.machines[(place - 1) as usize]
    }

    async fn crash(&mut self, places: &[Place], rng: &mut ChaCha8Rng) {
        for place in places {
            self.machine(*place).crash().await;
        }
        sleep(Duration::from_millis(rng.random_range(DOWN))).await;
        for place in places {
            self.machine(*place).start().await;
        }
    }
}

async fn play(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = Cluster::start(&mut rng).await;
    let apis: Vec<String> = (1..=MACHINES).map(machine::api).collect();
    let calls = Calls::new(&apis, rng.random(), |endpoint| {
        cluster.wires.channel(CALLERS, &endpoint)
    });
    let watcher = Watcher::start(calls.clone()).await;
    let mut fleet = Fleet::start(&cluster.wires, &mut rng);
    until("every device has registered", || fleet.all_known()).await;
    let mut work = Work::start(&calls, &fleet::names());
    for _ in 0..STEPS {
        sleep(Duration::from_millis(rng.random_range(BETWEEN))).await;
        let fault = draw(&mut rng);
        cluster.strike(fault, &mut rng).await;
        work.goes_on();
        fleet.goes_on();
        cluster.is_well();
    }
    cluster.wires.heal();
    cluster.is_ready().await;
    let records = work.stop().await;

    records.check(&calls, &watcher).await;
    ledger::check_executed(&records.executed, &fleet.executed());
    // Devices that go on would have replicas differ for ever, by what is on its way.
    drop(fleet);
    ledger::are_equal(&calls, &watcher.beginning()).await;
    cluster.is_ready().await;
    cluster.is_well();
    for machine in &mut cluster.machines {
        machine.crash().await;
    }
}

#[test]
fn what_was_acknowledged_is_there_and_nothing_happens_twice_whatever_breaks() {
    play_seeds(SEEDS, play);
}
