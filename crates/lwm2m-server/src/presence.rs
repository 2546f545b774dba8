//! Whether a device listens (LwM2M Core 1.2 §6.5, queue mode).

use std::time::{Duration, Instant};

use lwm2m::QueueMode;

/// When a device can be sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Always: it did not ask for queue mode.
    Always,
    /// For some time after its last message, which came then.
    After(Instant),
}

impl Presence {
    pub(crate) fn new(queue: QueueMode, now: Instant) -> Self {
        match queue {
            QueueMode::Off => Self::Always,
            QueueMode::On => Self::After(now),
        }
    }

    /// Any message of the device opens the window again.
    pub(crate) fn heard(&mut self, now: Instant) {
        if let Self::After(heard) = self {
            *heard = now;
        }
    }

    /// Whether the device sleeps between its messages.
    pub(crate) fn queue_mode(self) -> QueueMode {
        match self {
            Self::Always => QueueMode::Off,
            Self::After(_) => QueueMode::On,
        }
    }

    pub(crate) fn listens(self, now: Instant, window: Duration) -> bool {
        match self {
            Self::Always => true,
            Self::After(heard) => now < heard + window,
        }
    }
}
