//! Whether a device listens (LwM2M Core 1.2 §6.5, queue mode).

use std::time::{Duration, Instant};

use lwm2m::QueueMode;

/// When a device can be sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Always: it did not ask for queue mode.
    Always,
    /// Until a point that each of its messages moves on.
    Until(Instant),
}

impl Presence {
    pub(crate) fn new(queue: QueueMode, now: Instant, window: Duration) -> Self {
        match queue {
            QueueMode::Off => Self::Always,
            QueueMode::On => Self::Until(now + window),
        }
    }

    /// Any message of the device opens the window again.
    pub(crate) fn heard(&mut self, now: Instant, window: Duration) {
        if let Self::Until(end) = self {
            *end = now + window;
        }
    }

    /// Whether the device sleeps between its messages.
    pub(crate) fn queue_mode(self) -> QueueMode {
        match self {
            Self::Always => QueueMode::Off,
            Self::Until(_) => QueueMode::On,
        }
    }

    pub(crate) fn listens(self, now: Instant) -> bool {
        match self {
            Self::Always => true,
            Self::Until(end) => now < end,
        }
    }
}
