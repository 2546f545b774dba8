//! Whether what callers saw could have happened one call after the other, each at a moment between its invocation and
//! its answer: linearizability, decided as Wing and Gong do it, with Lowe's memory of places that lead nowhere.
//!
//! Owns: the search, and the smallest part of a history that has no explanation. Never: records anything, or knows what
//! the calls do; a [`Model`] tells.
//!
//! A call without an answer may have taken effect at any moment since, or never.
//!
//! ```
//! use std::time::Duration;
//!
//! use linearizable::{Invocation, Model, check};
//!
//! /// A number that callers set, each to a higher one, and read.
//! struct Register;
//!
//! impl Model for Register {
//!     type State = u32;
//!     /// What to set it to; `None` reads it.
//!     type Call = Option<u32>;
//!     type Answer = u32;
//!
//!     fn answered(state: &u32, call: &Option<u32>, answer: &u32) -> Option<u32> {
//!         call.or((answer == state).then_some(*state))
//!     }
//!
//!     fn unanswered(state: &u32, call: &Option<u32>) -> Option<u32> {
//!         call.filter(|number| number > state)
//!     }
//! }
//!
//! let call = |call, from, to, answer| Invocation::<Register> {
//!     caller: 1,
//!     call,
//!     invoked: Duration::from_secs(from),
//!     answer: Some((Duration::from_secs(to), answer)),
//! };
//! // While it is being set, a reader may find the old number or the new one.
//! assert!(check(&0, &[call(Some(1), 0, 9, 1), call(None, 1, 2, 0)]).is_ok());
//! // Afterwards, only the new one.
//! assert!(check(&0, &[call(Some(1), 0, 1, 1), call(None, 2, 3, 0)]).is_err());
//! ```

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::time::Duration;

/// What is called: a state and what each call does to it.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Call: Clone + Debug;
    type Answer: Clone + Debug;

    /// The state after a call that was answered so; `None` if it could not have been answered so.
    fn answered(
        state: &Self::State,
        call: &Self::Call,
        answer: &Self::Answer,
    ) -> Option<Self::State>;

    /// The state after a call whose answer nobody knows; `None` if it changes nothing. A call that has taken effect must
    /// change nothing any more, whatever follows: the search does not keep which ones have.
    fn unanswered(state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// A call. Times are since any moment that is the same for all calls.
#[derive(Debug)]
pub struct Invocation<M: Model> {
    pub caller: usize,
    pub call: M::Call,
    pub invoked: Duration,
    /// When the answer came, and what it was.
    pub answer: Option<(Duration, M::Answer)>,
}

impl<M: Model> Clone for Invocation<M> {
    fn clone(&self) -> Self {
        Self {
            caller: self.caller,
            call: self.call.clone(),
            invoked: self.invoked,
            answer: self.answer.clone(),
        }
    }
}

/// A part of a history that no order of calls explains.
#[derive(Debug)]
pub struct Violation<M: Model> {
    /// What was there before; `None`: whatever any earlier call may have left.
    pub start: Option<M::State>,
    /// The answered calls.
    pub window: Vec<Invocation<M>>,
    /// Calls without an answer, which do not help, whenever they take effect.
    pub unanswered: usize,
}

impl<M: Model> Violation<M> {
    fn new(start: Option<M::State>, mut window: Vec<Invocation<M>>) -> Self {
        let calls = window.len();
        window.retain(|call| call.answer.is_some());
        window.sort_by_key(|call| call.invoked);
        Self {
            start,
            unanswered: calls - window.len(),
            window,
        }
    }
}

impl<M: Model> fmt::Display for Violation<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            Some(start) => writeln!(formatter, "from {start:?} no order explains:")?,
            None => writeln!(
                formatter,
                "from nothing that was there before an order explains:"
            )?,
        }
        for call in &self.window {
            write!(formatter, "{:>12.6} ", call.invoked.as_secs_f64())?;
            if let Some((at, answer)) = &call.answer {
                let (at, caller) = (at.as_secs_f64(), call.caller);
                writeln!(
                    formatter,
                    "{at:>12.6} caller {caller}: {:?} -> {answer:?}",
                    call.call
                )?;
            }
        }
        if self.unanswered > 0 {
            writeln!(
                formatter,
                "and {} calls without an answer do not help",
                self.unanswered
            )?;
        }
        Ok(())
    }
}

/// Looks for an order that explains `history`, which began in `start`.
pub fn check<M: Model>(start: &M::State, history: &[Invocation<M>]) -> Result<(), Violation<M>> {
    if explains(std::slice::from_ref(start), history) {
        return Ok(());
    }
    Err(smallest(start, history))
}

fn explains<M: Model>(starts: &[M::State], history: &[Invocation<M>]) -> bool {
    starts.iter().any(|start| Search::new(history).run(start))
}

/// Windows that are looked for have at most so many answers.
const MAX_WINDOW: usize = 64;

/// The shortest beginning that nothing explains, and of that the shortest end that nothing explains either, whatever any
/// call before may have left.
fn smallest<M: Model>(start: &M::State, history: &[Invocation<M>]) -> Violation<M> {
    let mut answers: Vec<Duration> = history.iter().filter_map(answered_at).collect();
    answers.sort_unstable();
    let starts = [start.clone()];
    let explained = answers.partition_point(|end| explains(&starts, &until(history, *end)));
    let end = answers.get(explained).copied().unwrap_or(Duration::MAX);
    let beginning = until(history, end);
    let left = history
        .iter()
        .filter_map(|call| M::unanswered(start, &call.call));
    let anything: Vec<M::State> = std::iter::once(start.clone()).chain(left).collect();
    for cut in answers[..explained].iter().rev().take(MAX_WINDOW) {
        let window: Vec<_> = beginning
            .iter()
            .filter(|call| answered_at(call).is_none_or(|at| at > *cut))
            .cloned()
            .collect();
        if !explains(&anything, &window) {
            return Violation::new(None, window);
        }
    }
    Violation::new(Some(start.clone()), beginning)
}

fn answered_at<M: Model>(call: &Invocation<M>) -> Option<Duration> {
    call.answer.as_ref().map(|(at, _)| *at)
}

/// The history as it was known at a moment.
fn until<M: Model>(history: &[Invocation<M>], end: Duration) -> Vec<Invocation<M>> {
    let known = history.iter().filter(|call| call.invoked <= end);
    known
        .map(|call| Invocation {
            answer: call.answer.clone().filter(|(at, _)| *at <= end),
            ..call.clone()
        })
        .collect()
}

/// An answered call.
struct Answered<'a, M: Model> {
    invoked: Duration,
    call: &'a M::Call,
    at: Duration,
    answer: &'a M::Answer,
}

/// Which answered calls have their place: all before `first`, and of the following ones those in `further`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Placed {
    first: usize,
    further: BTreeSet<usize>,
}

impl Placed {
    fn has(&self, index: usize) -> bool {
        index < self.first || self.further.contains(&index)
    }

    fn with(&self, index: usize) -> Self {
        let mut placed = self.clone();
        placed.further.insert(index);
        while placed.further.remove(&placed.first) {
            placed.first += 1;
        }
        placed
    }
}

struct Search<'a, M: Model> {
    /// Both by the time of their invocation.
    answered: Vec<Answered<'a, M>>,
    unanswered: Vec<&'a Invocation<M>>,
    /// Places that were looked at.
    seen: HashSet<(Placed, M::State)>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(history: &'a [Invocation<M>]) -> Self {
        let mut answered: Vec<_> = history
            .iter()
            .filter_map(|call| {
                let (at, answer) = call.answer.as_ref()?;
                Some(Answered {
                    invoked: call.invoked,
                    call: &call.call,
                    at: *at,
                    answer,
                })
            })
            .collect();
        answered.sort_by_key(|call| call.invoked);
        let mut unanswered: Vec<_> = history
            .iter()
            .filter(|call| call.answer.is_none())
            .collect();
        unanswered.sort_by_key(|call| call.invoked);
        Self {
            answered,
            unanswered,
            seen: HashSet::new(),
        }
    }

    /// Looks for an order of all answered calls, depth first.
    fn run(mut self, start: &M::State) -> bool {
        let mut open = vec![(Placed::default(), start.clone())];
        while let Some(place) = open.pop() {
            if place.0.first == self.answered.len() {
                return true;
            }
            for next in self.next(&place.0, &place.1) {
                if self.seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        false
    }

    /// Where one more call leads. It was invoked before any call that has no place yet was answered.
    fn next(&self, placed: &Placed, state: &M::State) -> Vec<(Placed, M::State)> {
        let waiting = || {
            let calls = self.answered.iter().enumerate().skip(placed.first);
            calls.filter(|(index, _)| !placed.has(*index))
        };
        let mut end = Duration::MAX;
        for (_, call) in waiting() {
            if call.invoked > end {
                break;
            }
            end = end.min(call.at);
        }
        let unanswered = self
            .unanswered
            .iter()
            .take_while(|call| call.invoked <= end);
        let unknown =
            unanswered.filter_map(|call| Some((placed.clone(), M::unanswered(state, &call.call)?)));
        let known = waiting()
            .take_while(|(_, call)| call.invoked <= end)
            .filter_map(|(index, call)| {
                let state = M::answered(state, call.call, call.answer)?;
                Some((placed.with(index), state))
            });
        // The last one is tried first: an answer is the better guess.
        unknown.chain(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that is set and read.
    #[derive(Debug)]
    struct Register;

    #[derive(Clone, Debug)]
    enum Call {
        Set(u32),
        Get,
    }

    impl Model for Register {
        type State = u32;
        type Call = Call;
        type Answer = u32;

        fn answered(state: &u32, call: &Call, answer: &u32) -> Option<u32> {
            match call {
                Call::Set(number) => Some(*number),
                Call::Get => (state == answer).then_some(*state),
            }
        }

        fn unanswered(state: &u32, call: &Call) -> Option<u32> {
            match call {
                // Numbers grow in these tests.
                Call::Set(number) => (number > state).then_some(*number),
                Call::Get => None,
            }
        }
    }

    fn at(tenths: u64) -> Duration {
        Duration::from_millis(tenths * 100)
    }

    fn set(number: u32, invoked: u64, answered: Option<u64>) -> Invocation<Register> {
        Invocation {
            caller: 1,
            call: Call::Set(number),
            invoked: at(invoked),
            answer: answered.map(|answered| (at(answered), 0)),
        }
    }

    fn get(number: u32, invoked: u64, answered: u64) -> Invocation<Register> {
        Invocation {
            caller: 2,
            call: Call::Get,
            invoked: at(invoked),
            answer: Some((at(answered), number)),
        }
    }

    #[test]
    fn calls_that_overlap_may_have_happened_in_any_order() {
        let history = [set(1, 0, Some(9)), get(0, 1, 2), get(1, 3, 4), get(1, 5, 6)];
        assert!(check(&0, &history).is_ok());
        let history = [
            set(1, 0, Some(9)),
            set(2, 0, Some(9)),
            get(2, 1, 2),
            get(1, 3, 4),
        ];
        assert!(check(&0, &history).is_ok());
    }

    #[test]
    fn a_value_that_was_read_does_not_go_back() {
        let history = [set(1, 0, Some(9)), get(1, 1, 2), get(0, 3, 4)];
        let violation = check(&0, &history).expect_err("1 was read before 0");
        let seen = (violation.window.len(), violation.unanswered);
        assert_eq!(seen, (2, 1), "{violation}");
    }

    #[test]
    fn what_was_acknowledged_is_read_afterwards() {
        let history = [set(1, 0, Some(1)), set(2, 2, Some(3)), get(1, 4, 5)];
        let violation = check(&0, &history).expect_err("2 was acknowledged");
        assert_eq!(
            violation.window.len(),
            2,
            "without the first one:\n{violation}"
        );
        assert!(violation.start.is_none(), "whatever was before");
    }

    #[test]
    fn a_call_without_an_answer_takes_effect_late_or_never() {
        let late = [set(1, 0, None), get(0, 5, 6), get(1, 7, 8)];
        assert!(check(&0, &late).is_ok());
        let never = [
            set(1, 0, None),
            get(0, 5, 6),
            set(2, 7, Some(8)),
            get(2, 9, 10),
        ];
        assert!(check(&0, &never).is_ok());
        let early = [get(1, 0, 1), set(1, 2, None)];
        assert!(check(&0, &early).is_err(), "it was not asked for yet");
        let twice = [
            set(1, 0, None),
            get(1, 2, 3),
            set(2, 4, Some(5)),
            get(1, 6, 7),
        ];
        assert!(check(&0, &twice).is_err(), "it takes effect once");
    }

    #[test]
    fn a_long_history_takes_no_long_time() {
        let mut history = Vec::new();
        for number in 1..5_000 {
            let begin = u64::from(number) * 10;
            history.push(set(number, begin, Some(begin + 12)));
            history.push(get(number, begin + 11, begin + 14));
            history.push(get(number, begin + 13, begin + 15));
            if number % 50 == 0 {
                history.push(set(number, begin, None));
            }
        }
        assert!(check(&0, &history).is_ok());
        history.push(get(4_000, 60_000, 60_001));
        let violation = check(&0, &history).expect_err("an old value");
        assert!(violation.window.len() < 10, "{violation}");
    }
}
