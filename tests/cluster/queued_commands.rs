//! A thousand commands wait for devices that sleep, and one node after the other is killed: each command ends once.
//! `DROVER_SEED` decides again what chance decided in a run that printed it.

mod ledger;
mod sleeper;
mod victim;

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::{Drover, LiveDevice, Options, Program, Spray, until};

use crate::fleet::{Node, SOON, members_known, node};
use ledger::{Command, Ends, applied};
use victim::{Stricken, Victim};

const DEVICES: usize = 20;
/// Of each device; it may have 64 waiting.
const COMMANDS: u32 = 50;
const ALL: usize = DEVICES * COMMANDS as usize;
/// Threads that queue commands, and later those that wake devices up, each with devices of its own.
const HANDS: usize = 5;
/// How often a device wakes at most until nothing waits for it any more.
const WAKES: usize = 20;

/// What all threads of the test look at.
struct Scene<'a> {
    drover: &'a Drover,
    nodes: &'a [Node],
    spray: &'a Spray,
    devices: &'a [LiveDevice],
    accepted: AtomicUsize,
}

#[test]
fn queued_commands_end_once_and_in_order_whichever_node_is_killed() {
    let seed = seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let drover = cluster();
    let nodes: Vec<Node> = (0..3).map(|index| node(&drover, index)).collect();
    members_known(&nodes);
    let coaps: Vec<String> = nodes.iter().map(|node| node.coaps.clone()).collect();
    let spray = Spray::start(&coaps, seed);
    let watch = watch(&drover);
    let devices = sleeper::fall_asleep(&drover, spray.address());
    until("a watch that has begun", SOON, || {
        watch.output().contains("Registered")
    });

    let mut wanted: Vec<Vec<Command>> = (0..DEVICES).map(|_| ledger::draw(&mut rng)).collect();
    let (victims, moments) = (Victim::shuffled(&mut rng), moments(&mut rng));
    tell(seed, &format!("{victims:?} at {moments:?}"));
    let scene = Scene {
        drover: &drover,
        nodes: &nodes,
        spray: &spray,
        devices: &devices,
        accepted: AtomicUsize::new(0),
    };
    let restarted = std::thread::scope(|threads| {
        let scene = &scene;
        let killer = threads.spawn(move || scene.strike(victims, moments));
        scene.in_turn(&mut wanted, |device, commands| {
            scene.queue(device, commands);
        });
        scene.in_turn(&mut wanted, |device, _| scene.wake(device));
        killer.join().unwrap()
    });

    let mut unanswered = 0;
    for (device, commands) in devices.iter().zip(&wanted) {
        unanswered += ledger::check(&drover, device, commands);
        assert_eq!(device.handshakes(), 1, "{}", device.endpoint);
    }
    tell(seed, &format!("{unanswered} executes without an answer"));
    // One command of a device is under way at a time.
    assert!(unanswered <= restarted.len() * DEVICES, "{unanswered}");
    Ends::seen_by(&watch, ALL).check(&wanted);
    assert_eq!(spray.repeated_nonces(), 0);
}

fn seed() -> u64 {
    match std::env::var("DROVER_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => rand::random(),
    }
}

/// For whoever looks at a run that failed.
#[expect(clippy::print_stdout, reason = "the seed repeats the run")]
fn tell(seed: u64, what: &str) {
    println!("DROVER_SEED={seed}: {what}");
}

/// A cluster whose ingress nodes send nothing to a device that was silent for a second.
fn cluster() -> Drover {
    Drover::start(&Options {
        ingress_nodes: 3,
        flags: vec!["--coap".to_owned()],
        environment: vec![
            ("DROVER_INGRESS__AWAKE_WINDOW_SECONDS", "1".to_owned()),
            ("DROVER_STATE__AWAKE_WINDOW", "1s".to_owned()),
        ],
        ..Options::default()
    })
}

/// The events of all devices from now on.
fn watch(drover: &Drover) -> Program {
    let mut command = drover.command(&["watch", "-o", "json"]);
    Program::start(&mut command, &drover.scratch().join("watch")).unwrap()
}

/// One moment in each third of the test, counted in commands that were accepted or applied. Some commands are never
/// applied, so the end is left out.
fn moments(rng: &mut ChaCha8Rng) -> [usize; 3] {
    let third = 2 * ALL / 3;
    [0, 1, 2].map(|part| part * third + rng.random_range(0..third * 4 / 5))
}

impl Scene<'_> {
    /// Does something for each device, several at a time.
    fn in_turn(
        &self,
        wanted: &mut [Vec<Command>],
        act: impl Fn(&LiveDevice, &mut [Command]) + Sync,
    ) {
        let each = DEVICES / HANDS;
        let parts = self.devices.chunks(each).zip(wanted.chunks_mut(each));
        let act = &act;
        std::thread::scope(|scope| {
            for (devices, wanted) in parts {
                scope.spawn(move || {
                    for (device, commands) in devices.iter().zip(wanted) {
                        act(device, commands);
                    }
                });
            }
        });
    }

    /// Queues commands in their order, each until it is accepted.
    fn queue(&self, device: &LiveDevice, commands: &mut [Command]) {
        for command in commands {
            command.queue(self.drover, &device.endpoint);
            self.accepted.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Wakes a device up until nothing waits for it any more.
    fn wake(&self, device: &LiveDevice) {
        for _ in 0..WAKES {
            sleeper::wake(device);
            if ledger::waiting(self.drover, &device.endpoint) == 0 {
                return;
            }
        }
        panic!("commands still wait for {}", device.endpoint);
    }

    /// Kills each of the victims at its moment, and starts it again.
    fn strike(&self, victims: [Victim; 3], moments: [usize; 3]) -> Vec<Stricken> {
        let blows = victims.into_iter().zip(moments);
        let restarted = blows.map(|(victim, moment)| {
            until("the moment of a blow", SOON * 3, || self.steps() >= moment);
            victim.strike(self)
        });
        restarted.collect()
    }

    fn steps(&self) -> usize {
        let applied: usize = self
            .devices
            .iter()
            .map(|device| applied(device).len())
            .sum();
        self.accepted.load(Ordering::SeqCst) + applied
    }
}
