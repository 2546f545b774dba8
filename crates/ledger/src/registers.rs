//! Desired state as registers: several callers set and read one, and what they see has to be linearizable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use linearizable::{Invocation, Model};
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::{DesiredResources, DesiredValue, GetDesiredRequest, SetDesiredRequest};
use rand_chacha::ChaCha8Rng;

use tonic::{Code, Status};

use crate::calls::{Calls, Deadline, is_mistake, request, rest};
use crate::tally::End;

/// Registers, which are spread over the shards.
pub(crate) const COUNT: usize = 6;
/// Of one register; every other one writes.
pub(crate) const CALLERS: usize = 4;
/// A resource of a device that never registers, so that nothing else changes it.
const PATH: &str = "/3/0/15";

/// The generation of the desired state of one device. Its value tells the generation, too.
#[derive(Debug)]
pub struct Register;

#[derive(Clone, Copy, Debug)]
pub enum Call {
    Set(u64),
    Get,
}

#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Done,
    /// A later generation is there.
    Stale,
    Found(u64),
}

impl Model for Register {
    type State = u64;
    type Call = Call;
    type Answer = Answer;

    fn answered(state: &u64, call: &Call, answer: &Answer) -> Option<u64> {
        match (call, answer) {
            (Call::Set(generation), Answer::Done) => (generation >= state).then_some(*generation),
            (Call::Set(generation), Answer::Stale) => (generation < state).then_some(*state),
            (Call::Get, Answer::Found(found)) => (found == state).then_some(*state),
            _ => None,
        }
    }

    fn unanswered(state: &u64, call: &Call) -> Option<u64> {
        match call {
            Call::Set(generation) => (generation > state).then_some(*generation),
            Call::Get => None,
        }
    }
}

/// Calls and the devices that they were about.
pub(crate) type History = Vec<(String, Invocation<Register>)>;

/// A device and the last generation that somebody chose.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    endpoint: String,
    generation: Arc<AtomicU64>,
}

pub(crate) fn all() -> Vec<Device> {
    let device = |number| Device {
        endpoint: name(number),
        generation: Arc::default(),
    };
    (0..COUNT).map(device).collect()
}

fn name(number: usize) -> String {
    format!("register-{number}")
}

impl Device {
    pub(crate) async fn work(self, caller: usize, calls: Calls, stop: Arc<AtomicBool>) -> History {
        let mut rng = calls.rng();
        let mut history = History::new();
        while !stop.load(Ordering::SeqCst) {
            let call = match caller % 2 {
                0 => Call::Set(self.generation.fetch_add(1, Ordering::SeqCst) + 1),
                _ => Call::Get,
            };
            let done = invoke(&calls, &mut rng, &self.endpoint, caller, call).await;
            history.push((self.endpoint.clone(), done));
            match call {
                Call::Set(_) => rest(&mut rng, 50..250).await,
                Call::Get => rest(&mut rng, 5..60).await,
            }
        }
        history
    }
}

async fn invoke(
    calls: &Calls,
    rng: &mut ChaCha8Rng,
    endpoint: &str,
    caller: usize,
    call: Call,
) -> Invocation<Register> {
    let mut client = DesiredStateClient::new(calls.any(rng));
    let invoked = calls.now();
    let result = match call {
        Call::Set(generation) => set(&mut client, endpoint, generation).await,
        Call::Get => get(&mut client, endpoint).await,
    };
    let answered = calls.now();
    let answer = answer(call, result);
    match (call, answer) {
        (Call::Get, _) => {}
        (Call::Set(_), Some(Answer::Stale)) => calls.tally().count(End::Refused),
        (Call::Set(_), Some(_)) => calls.tally().count(End::Acknowledged),
        (Call::Set(_), None) => calls.tally().count(End::Indefinite),
    }
    Invocation {
        caller,
        call,
        invoked,
        answer: answer.map(|answer| (answered, answer)),
    }
}

type Client = DesiredStateClient<tonic::transport::Channel>;

async fn set(
    client: &mut Client,
    endpoint: &str,
    generation: u64,
) -> Result<DesiredResources, Status> {
    let value = DesiredValue {
        path: PATH.to_owned(),
        text: generation.to_string(),
        ..DesiredValue::default()
    };
    let set = SetDesiredRequest {
        endpoint: endpoint.to_owned(),
        generation,
        resources: vec![value],
        ..SetDesiredRequest::default()
    };
    client
        .set_desired(request(set))
        .await
        .map(tonic::Response::into_inner)
}

async fn get(client: &mut Client, endpoint: &str) -> Result<DesiredResources, Status> {
    let get = GetDesiredRequest {
        endpoint: endpoint.to_owned(),
    };
    client
        .get_desired(request(get))
        .await
        .map(tonic::Response::into_inner)
}

/// What a caller knows then; `None` if that is nothing.
fn answer(call: Call, result: Result<DesiredResources, Status>) -> Option<Answer> {
    match (call, result) {
        (Call::Set(_), Ok(_)) => Some(Answer::Done),
        (Call::Get, Ok(found)) => Some(Answer::Found(generation(&found))),
        (Call::Set(_), Err(status)) if status.code() == Code::Aborted => Some(Answer::Stale),
        (_, Err(status)) if is_mistake(&status) => panic!("{call:?}: {status:?}"),
        (_, Err(_)) => None,
    }
}

fn generation(found: &DesiredResources) -> u64 {
    let texts: Vec<&str> = found.resources.iter().map(|it| it.text.as_str()).collect();
    match found.generation {
        0 => assert!(texts.is_empty(), "{found:?}"),
        generation => assert_eq!(texts, [generation.to_string()], "{found:?}"),
    }
    found.generation
}

/// Reads every register once more, now that all is well.
pub(crate) async fn last_reads(calls: &Calls, history: &History) -> History {
    let mut rng = calls.rng();
    let mut reads = History::new();
    for number in 0..COUNT {
        let endpoint = name(number);
        assert!(history.iter().any(|(device, _)| *device == endpoint));
        let deadline = Deadline::new();
        loop {
            let read = invoke(calls, &mut rng, &endpoint, CALLERS, Call::Get).await;
            if read.answer.is_some() {
                reads.push((endpoint, read));
                break;
            }
            deadline.check("a last read", &Status::unknown("none"));
            rest(&mut rng, 100..200).await;
        }
    }
    reads
}

pub(crate) fn check(history: &History, last: &History) {
    for number in 0..COUNT {
        let endpoint = name(number);
        let of_it = history
            .iter()
            .chain(last)
            .filter(|(device, _)| *device == endpoint);
        let calls: Vec<_> = of_it.map(|(_, call)| call.clone()).collect();
        if let Err(violation) = linearizable::check(&0, &calls) {
            let around = violation
                .window
                .first()
                .map_or(Duration::ZERO, |call| call.invoked);
            let calls = around_it(calls, around).join("\n");
            panic!("{endpoint}: {violation}\n{calls}");
        }
    }
}

/// The calls of the seconds before and after a moment, in words.
fn around_it(mut calls: Vec<Invocation<Register>>, moment: Duration) -> Vec<String> {
    let near = Duration::from_secs(3);
    calls.retain(|call| call.invoked + near > moment && call.invoked < moment + 2 * near);
    calls.sort_by_key(|call| call.invoked);
    let text = |call: &Invocation<Register>| {
        let (at, answer) = call.answer.unzip();
        let (from, at) = (call.invoked.as_secs_f64(), at.map(|at| at.as_secs_f64()));
        format!(
            "{from:.4} to {at:.4?} caller {}: {:?} {answer:?}",
            call.caller, call.call
        )
    };
    calls.iter().map(text).collect()
}

/// Generations that were acknowledged.
pub(crate) fn acknowledged(history: &History) -> impl Iterator<Item = (&str, u64)> {
    history
        .iter()
        .filter_map(|(endpoint, call)| match (call.call, &call.answer) {
            (Call::Set(generation), Some((_, Answer::Done))) => {
                Some((endpoint.as_str(), generation))
            }
            _ => None,
        })
}
