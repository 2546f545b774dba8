//! Whether the device listens (LwM2M Core 1.2 §6.5, queue mode).

use std::time::{Duration, Instant};

use lwm2m::QueueMode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has no queue mode.
    Always,
    /// Until a point that each message moves on.
    Listening(Instant),
    /// Until it sends something.
    Asleep,
}

impl Presence {
    pub(crate) fn new(queue: QueueMode, now: Instant, window: Duration) -> Self {
        match queue {
            QueueMode::Off => Self::Always,
            QueueMode::On => Self::Listening(now + window),
        }
    }

    /// A message was sent, or received while listening.
    pub(crate) fn active(&mut self, now: Instant, window: Duration) {
        if *self != Self::Always {
            *self = Self::Listening(now + window);
        }
    }

    pub(crate) fn listens(self) -> bool {
        self != Self::Asleep
    }

    pub(crate) fn timeout(self) -> Option<Instant> {
        match self {
            Self::Listening(until) => Some(until),
            Self::Always | Self::Asleep => None,
        }
    }
}
