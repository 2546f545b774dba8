//! How one stream of events stands, and what follows when it ends.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tonic::Code;

use super::{Depth, Sight, Terms};
use crate::state_tier::CallError;

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There never was one.
    Opening,
    /// Events come.
    Live,
    /// It broke a moment ago: state nodes come and go, and another one goes on.
    Broken,
    /// It broke, and did not come back at once.
    Down,
    /// The operator may not watch.
    Denied,
}

impl State {
    pub(super) const fn sight(self) -> Sight {
        match self {
            Self::Live | Self::Broken => Sight::Told,
            Self::Opening | Self::Down | Self::Denied => Sight::Untold,
        }
    }

    /// One word for metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Live => "live",
            Self::Broken => "broken",
            Self::Down => "down",
            Self::Denied => "denied",
        }
    }
}

/// How a stream ended, or why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// To be opened again where it was.
    Broken,
    /// Where it was, nobody can go on: the events are gone, or it is another cluster.
    Gone,
    Denied,
}

impl From<&CallError> for End {
    fn from(error: &CallError) -> Self {
        let CallError::Refused(status) = error else {
            return Self::Broken;
        };
        match status.code() {
            Code::OutOfRange | Code::InvalidArgument => Self::Gone,
            Code::PermissionDenied => Self::Denied,
            _ => Self::Broken,
        }
    }
}

/// A stream, and how far it has come.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: State,
    /// What it tells. Never less than before, as a token goes on with the filter that it was given for and with no other.
    pub(super) depth: Depth,
    /// Of the last event that was handled; empty: it begins with what happens from then on.
    pub(super) resume_token: String,
    /// How often it ended, by which another node is asked each time.
    pub(super) ended: usize,
    pauses: <ExponentialBuilder as BackoffBuilder>::Backoff,
    terms: Terms,
}

impl Link {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            state: State::Opening,
            depth: Depth::Arrivals,
            resume_token: String::new(),
            ended: 0,
            pauses: pauses(terms),
            terms,
        }
    }

    /// Something came.
    pub(super) fn open(&mut self) {
        if self.state != State::Live {
            self.state = State::Live;
            self.pauses = pauses(self.terms);
        }
    }

    /// Is to tell at least so much: if that is more than before, it begins anew.
    pub(super) fn deepen(&mut self, depth: Depth) {
        if depth > self.depth {
            self.depth = depth;
            self.resume_token.clear();
        }
    }

    /// Returns how long to wait until it is opened again.
    pub(super) fn end(&mut self, end: End) -> Duration {
        self.ended = self.ended.wrapping_add(1);
        let began_anew = self.resume_token.is_empty();
        self.state = match (end, self.state) {
            (End::Denied, _) => State::Denied,
            // What goes on nowhere may begin anew.
            (End::Gone, state) if !began_anew && state != State::Live => state,
            (_, State::Live) => State::Broken,
            (_, State::Opening | State::Broken | State::Down | State::Denied) => State::Down,
        };
        match end {
            End::Denied => return self.terms.denied,
            End::Gone => self.resume_token.clear(),
            End::Broken => {}
        }
        self.pauses.next().unwrap_or(self.terms.longest_pause)
    }
}

/// They double, and are drawn from between themselves and twice that, so that operators do not come back all at once.
fn pauses(terms: Terms) -> <ExponentialBuilder as BackoffBuilder>::Backoff {
    ExponentialBuilder::new()
        .with_min_delay(terms.first_pause)
        .with_max_delay(terms.longest_pause)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms::new();

    fn live() -> Link {
        let mut link = Link::new(TERMS);
        link.open();
        link.resume_token = "7".to_owned();
        link
    }

    fn refused(code: Code) -> End {
        End::from(&CallError::from(tonic::Status::new(code, "no")))
    }

    #[test]
    fn one_that_breaks_and_comes_back_was_never_down() {
        let mut link = live();
        link.end(refused(Code::Unavailable));
        assert_eq!(
            (link.state, link.state.sight()),
            (State::Broken, Sight::Told)
        );
        assert_eq!(link.resume_token, "7");
        link.open();
        assert_eq!(link.state, State::Live);
    }

    #[test]
    fn one_that_does_not_come_back_is_down_and_asks_ever_more_rarely() {
        let mut link = live();
        let pauses: Vec<Duration> = (0..12).map(|_| link.end(End::Broken)).collect();
        assert_eq!((link.state, link.ended), (State::Down, 12));
        assert!(pauses[0] <= TERMS.first_pause * 2, "{pauses:?}");
        assert!(pauses[11] >= TERMS.longest_pause, "{pauses:?}");
        assert!(pauses[11] <= TERMS.longest_pause * 2, "{pauses:?}");
        link.open();
        assert!(link.end(End::Broken) <= TERMS.first_pause * 2);
    }

    #[test]
    fn one_that_cannot_go_on_begins_anew() {
        let mut link = live();
        link.end(End::Broken);
        link.end(refused(Code::OutOfRange));
        // It is not down: it is about to begin.
        assert_eq!(
            (link.state, link.resume_token.as_str()),
            (State::Broken, "")
        );
        // Whoever says so of one that begins anew means something else.
        link.end(refused(Code::InvalidArgument));
        assert_eq!(link.state, State::Down);
    }

    #[test]
    fn one_that_is_to_tell_more_begins_anew() {
        let mut link = live();
        link.deepen(Depth::Arrivals);
        assert_eq!(link.resume_token, "7");
        link.deepen(Depth::Course);
        assert_eq!(link.resume_token, "");
        link.resume_token = "7".to_owned();
        link.deepen(Depth::Values);
        assert_eq!((link.state, link.resume_token.as_str()), (State::Live, ""));
        link.resume_token = "8".to_owned();
        link.deepen(Depth::Course);
        assert_eq!(
            (link.depth, link.resume_token.as_str()),
            (Depth::Values, "8")
        );
    }

    #[test]
    fn one_that_is_denied_is_asked_for_rarely() {
        let mut link = live();
        assert_eq!(link.end(refused(Code::PermissionDenied)), TERMS.denied);
        assert_eq!(
            (link.state, link.state.sight()),
            (State::Denied, Sight::Untold)
        );
        // What is told meanwhile is that nobody answers.
        link.end(End::Broken);
        assert_eq!(link.state, State::Down);
    }
}
