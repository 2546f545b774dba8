//! What goes wrong, and for how long: drawn from a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use ledger::Work;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use crate::lab::{Lab, MACHINES, NODES, Room};
use crate::{tell, wait};

/// A clock is never wrong by more: a request id is forgotten ten minutes later.
const WRONG_SECONDS: i64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill(usize),
    KillAll,
    Pause(usize),
    /// Two nodes do not reach each other.
    CutPair(usize, usize),
    /// What the first sends does not reach the second.
    CutOneWay(usize, usize),
    Unplug(usize),
    SlowDown(usize),
    NearlyFull(usize),
    Full(usize),
    Clock(usize, i64),
    /// A state node is to lead nothing for a while.
    HandOver(usize),
}

/// How often each kind struck.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<&'static str, usize>);

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self
            .0
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        writeln!(formatter, "faults: {}", kinds.join(", "))
    }
}

/// Breaks and mends until the time is over.
pub(crate) fn strike(
    lab: &mut Lab,
    mut rng: ChaCha8Rng,
    length: Duration,
    work: &mut Work,
) -> Faults {
    let end = Instant::now() + length;
    let mut faults = Faults::default();
    if !lab.has_clocks() {
        tell("clocks are left alone: there is no libfaketime");
    }
    wait(work, Duration::from_secs(2));
    while Instant::now() < end {
        let blows = Fault::draw_some(&mut rng, lab.has_clocks());
        for (fault, _) in &blows {
            *faults.0.entry(fault.kind()).or_default() += 1;
        }
        tell(&format!(
            "{:>6.1} s left: {blows:?}",
            (end - Instant::now()).as_secs_f64()
        ));
        for (fault, time) in &blows {
            fault.begin(lab);
            wait(work, *time);
        }
        for (fault, _) in &blows {
            fault.end(lab);
        }
        lab.all_run();
        // Most blows fall on a cluster that is well, some on one that is not yet.
        wait(work, Duration::from_millis(rng.random_range(200..4_000)));
    }
    faults
}

impl Fault {
    /// One, or two of different nodes; each with the time until the next thing happens.
    fn draw_some(rng: &mut ChaCha8Rng, clocks: bool) -> Vec<(Self, Duration)> {
        let first = Self::draw(rng, clocks);
        let mut faults = vec![(first, first.time(rng))];
        if rng.random_ratio(1, 3) {
            let second = Self::draw(rng, clocks);
            if first
                .nodes()
                .iter()
                .all(|node| !second.nodes().contains(node))
            {
                faults[0].1 = Duration::from_millis(rng.random_range(0..3_000));
                faults.push((second, second.time(rng)));
            }
        }
        faults
    }

    fn draw(rng: &mut ChaCha8Rng, clocks: bool) -> Self {
        // State nodes have disks and clocks that matter; every machine can be killed, paused and cut off.
        let node = rng.random_range(0..NODES);
        let machine = rng.random_range(0..MACHINES);
        let other = (machine + rng.random_range(1..MACHINES)) % MACHINES;
        match rng.random_range(0..22) {
            0..5 => Self::Kill(machine),
            5..7 => Self::KillAll,
            7..10 => Self::Pause(machine),
            10..12 => Self::CutPair(machine, other),
            12..14 => Self::CutOneWay(machine, other),
            14 => Self::Unplug(machine),
            15 => Self::SlowDown(machine),
            16 => Self::NearlyFull(node),
            17..19 => Self::Full(node),
            19 => Self::HandOver(node),
            _ if clocks => Self::Clock(node, rng.random_range(-WRONG_SECONDS..=WRONG_SECONDS)),
            _ => Self::Kill(node),
        }
    }

    fn time(self, rng: &mut ChaCha8Rng) -> Duration {
        let longest = match self {
            Self::KillAll => 2_000,
            Self::Kill(_) | Self::NearlyFull(_) | Self::Full(_) => 6_000,
            Self::Pause(_) => 20_000,
            Self::CutPair(..)
            | Self::CutOneWay(..)
            | Self::Unplug(_)
            | Self::SlowDown(_)
            | Self::HandOver(_)
            | Self::Clock(..) => 10_000,
        };
        // Short ones fall between an election and the end of a lease.
        let shortest = if rng.random_ratio(1, 2) {
            0
        } else {
            longest / 4
        };
        Duration::from_millis(rng.random_range(shortest..longest))
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "killed",
            Self::KillAll => "all killed",
            Self::Pause(_) => "paused",
            Self::CutPair(..) => "cut off from one",
            Self::CutOneWay(..) => "unheard by one",
            Self::Unplug(_) => "unplugged",
            Self::SlowDown(_) => "slowed down",
            Self::NearlyFull(_) => "disk nearly full",
            Self::Full(_) => "disk full",
            Self::Clock(..) => "clock set",
            Self::HandOver(_) => "leaderships taken",
        }
    }

    fn nodes(self) -> Vec<usize> {
        match self {
            Self::KillAll => (0..NODES).collect(),
            Self::CutPair(node, other) | Self::CutOneWay(node, other) => vec![node, other],
            Self::Kill(node)
            | Self::Pause(node)
            | Self::Unplug(node)
            | Self::SlowDown(node)
            | Self::NearlyFull(node)
            | Self::Full(node)
            | Self::HandOver(node)
            | Self::Clock(node, _) => vec![node],
        }
    }

    fn begin(self, lab: &mut Lab) {
        match self {
            Self::Kill(node) => lab.kill_node(node),
            Self::KillAll => (0..NODES).for_each(|node| lab.kill_node(node)),
            Self::Pause(node) => lab.signal(node, Signal::STOP),
            Self::CutPair(node, other) => {
                lab.cut(node, other);
                lab.cut(other, node);
            }
            Self::CutOneWay(from, to) => lab.cut(from, to),
            Self::Unplug(node) => Lab::unplug(node),
            Self::SlowDown(node) => lab.slow_down(node),
            Self::NearlyFull(node) => lab.fill(node, Room::Little),
            Self::Full(node) => lab.fill(node, Room::None),
            Self::Clock(node, offset) => lab.set_clock(node, offset),
            // It need not succeed while something else is broken.
            Self::HandOver(node) => {
                lab.lead(node, false);
            }
        }
    }

    fn end(self, lab: &mut Lab) {
        match self {
            Self::Kill(node) => lab.start_node(node),
            Self::KillAll => (0..NODES).for_each(|node| lab.start_node(node)),
            Self::Pause(node) => lab.signal(node, Signal::CONT),
            Self::CutPair(node, other) => {
                lab.join(node, other);
                lab.join(other, node);
            }
            Self::CutOneWay(from, to) => lab.join(from, to),
            Self::Unplug(node) => Lab::plug(node),
            Self::SlowDown(node) => lab.speed_up(node),
            Self::NearlyFull(node) | Self::Full(node) => lab.clear(node),
            Self::Clock(node, _) => lab.set_clock(node, 0),
            Self::HandOver(node) => {
                lab.lead(node, true);
            }
        }
    }
}
