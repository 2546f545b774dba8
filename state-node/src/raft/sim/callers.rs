//! Callers that set and read the generation of a device's desired state.

use std::sync::Arc;
use std::time::Duration;

use device_state::{Command, DeviceName, Outcome, Rejection, query};
use ledger::registers::{Answer, Call, Register};
use linearizable::Invocation;
use node_runtime::Drain;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep, timeout};

use super::REPLICAS;
use super::network::SimNetwork;
use crate::raft::group::Group;

pub(super) const REGISTERS: usize = 2;
/// Of each register.
pub(super) const CALLERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(3);

/// Calls and the registers that they were about.
pub(super) type History = Vec<(usize, Invocation<Register>)>;

fn endpoint(register: usize) -> DeviceName {
    DeviceName::parse(&format!("register-{register}")).unwrap()
}

pub(super) struct Caller {
    number: usize,
    network: SimNetwork,
    rng: ChaCha8Rng,
}

impl Caller {
    pub(super) fn new(number: usize, network: SimNetwork, seed: u64) -> Self {
        Self {
            number,
            network,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub(super) async fn work(mut self, drain: Drain) -> History {
        let register = self.number % REGISTERS;
        let mut history = History::new();
        let mut generation = self.number as u64;
        while !drain.has_started() {
            sleep(Duration::from_millis(self.rng.random_range(5..80))).await;
            let Some(group) = self.network.group(self.rng.random_range(1..=REPLICAS)) else {
                continue;
            };
            let call = if self.rng.random() {
                // No two callers choose the same; who is behind is refused.
                let step = self.rng.random_range(1..4);
                generation += step * (REGISTERS * CALLERS) as u64;
                Call::Set(generation)
            } else {
                Call::Get
            };
            let done = invoke(&self.network, &group, self.number, register, call).await;
            if let Some((_, Answer::Found(found))) = done.answer {
                let all = (REGISTERS * CALLERS) as u64;
                generation = generation.max(found / all * all + self.number as u64);
            }
            history.push((register, done));
        }
        history
    }
}

async fn invoke(
    network: &SimNetwork,
    group: &Arc<Group>,
    caller: usize,
    register: usize,
    call: Call,
) -> Invocation<Register> {
    let invoked = network.now();
    let answer = timeout(PATIENCE, answer(group, register, call))
        .await
        .ok()
        .flatten();
    Invocation {
        caller,
        call,
        invoked,
        answer: answer.map(|answer| (network.now(), answer)),
    }
}

/// Whether the first register was set.
pub(super) async fn set(group: &Arc<Group>, generation: u64) -> bool {
    let answer = answer(group, 0, Call::Set(generation)).await;
    matches!(answer, Some(Answer::Done))
}

/// What the caller knows then.
async fn answer(group: &Arc<Group>, register: usize, call: Call) -> Option<Answer> {
    let endpoint = endpoint(register);
    match call {
        Call::Set(generation) => {
            let command = Command::SetDesired {
                endpoint,
                generation,
                resources: Vec::new(),
            };
            match group.proposer().propose(None, command).await.ok()? {
                Outcome::Done => Some(Answer::Done),
                Outcome::Rejected(Rejection::StaleGeneration) => Some(Answer::Stale),
                other => panic!("{other:?}"),
            }
        }
        Call::Get => {
            let found = group
                .read_current(|tables| query::desired_generation(tables, &endpoint))
                .await;
            Some(Answer::Found(found.ok()?.unwrap_or_default()))
        }
    }
}

/// Reads every register once more, soon.
pub(super) async fn last_reads(network: &SimNetwork, soon: Duration) -> History {
    let end = Instant::now() + soon;
    let mut reads = History::new();
    for register in 0..REGISTERS {
        loop {
            assert!(
                Instant::now() < end,
                "nobody answers: {}",
                network.describe()
            );
            let mut answered = None;
            for group in network.groups() {
                let read = invoke(network, &group, REGISTERS * CALLERS, register, Call::Get).await;
                answered = answered.or_else(|| read.answer.is_some().then_some(read));
            }
            if let Some(read) = answered {
                reads.push((register, read));
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    reads
}

/// What a replica has, and how far it is.
pub(super) fn rows(group: &Arc<Group>) -> (u64, Vec<Option<u64>>) {
    let generations = group.store().read(|tables| {
        (0..REGISTERS)
            .map(|register| query::desired_generation(tables, &endpoint(register)))
            .collect()
    });
    (group.status().applied, generations)
}

pub(super) fn check(history: &History) {
    for register in 0..REGISTERS {
        let of_it = history.iter().filter(|(number, _)| *number == register);
        let calls: Vec<_> = of_it.map(|(_, call)| call.clone()).collect();
        if let Err(violation) = linearizable::check(&0, &calls) {
            panic!("register {register}: {violation}");
        }
    }
}
