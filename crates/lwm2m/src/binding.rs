//! The transports a device can be reached over (`b`) and its queue mode (`Q`).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::names::LwM2mVersion;

/// One transport of a [`Binding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// `U`: UDP.
    Udp,
    /// `T`: TCP.
    Tcp,
    /// `S`: SMS.
    Sms,
    /// `N`: non-IP (NIDD, LoRaWAN).
    NonIp,
    /// `M`: MQTT.
    Mqtt,
    /// `H`: HTTP.
    Http,
}

impl Mode {
    const ALL: [Self; 6] = [
        Self::Udp,
        Self::Tcp,
        Self::Sms,
        Self::NonIp,
        Self::Mqtt,
        Self::Http,
    ];

    /// The letter of the mode.
    pub const fn letter(self) -> char {
        match self {
            Self::Udp => 'U',
            Self::Tcp => 'T',
            Self::Sms => 'S',
            Self::NonIp => 'N',
            Self::Mqtt => 'M',
            Self::Http => 'H',
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Whether a device sleeps between its own messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum QueueMode {
    /// The device can be reached at any time.
    #[default]
    Off,
    /// The device can be reached only for a while after each message of its own.
    On,
}

/// The transports a device can be reached over, and whether it sleeps.
///
/// Read from the 1.0 form (`UQ`) as well as from the 1.1 form (`U`, with `Q` as a separate
/// parameter; see [`Binding::with_queue_mode`]), because clients mix them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Binding {
    modes: u8,
    queue: QueueMode,
}

/// Why a text is not a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BindingError {
    /// The text is empty or holds only `Q`.
    #[error("binding names no transport")]
    NoMode,
    /// The text holds a letter that is no transport.
    #[error("binding contains the unknown mode {0:?}")]
    UnknownMode(char),
}

impl Binding {
    /// UDP without queue mode: the binding of a device that names none.
    pub const UDP: Self = Self {
        modes: Mode::Udp.bit(),
        queue: QueueMode::Off,
    };

    /// UDP with queue mode.
    pub const UDP_QUEUED: Self = Self {
        modes: Mode::Udp.bit(),
        queue: QueueMode::On,
    };

    /// TCP without queue mode.
    pub const TCP: Self = Self {
        modes: Mode::Tcp.bit(),
        queue: QueueMode::Off,
    };

    /// Whether the device can be reached over `mode`.
    pub const fn supports(self, mode: Mode) -> bool {
        self.modes & mode.bit() != 0
    }

    /// The transports, in the order of the letters `U T S N M H`.
    pub fn modes(self) -> impl Iterator<Item = Mode> {
        Mode::ALL
            .into_iter()
            .filter(move |mode| self.supports(*mode))
    }

    /// Whether the device sleeps.
    pub const fn queue_mode(self) -> QueueMode {
        self.queue
    }

    /// The same transports with the given queue mode, for the `Q` parameter of LwM2M 1.1.
    #[must_use]
    pub const fn with_queue_mode(self, queue: QueueMode) -> Self {
        Self { queue, ..self }
    }

    /// What the binding is after an Update with `update`, for a device that registered with `version`.
    #[must_use]
    pub fn changed_to(self, update: Self, version: LwM2mVersion) -> Self {
        match version {
            // LwM2M-Core 1.0 §5.3.1.1: the queue mode is part of the binding.
            LwM2mVersion::V1_0 => update,
            // LwM2M-Core 1.1 §6.2.2: an Update has no Q, so that the queue mode stays.
            LwM2mVersion::V1_1 | LwM2mVersion::V1_2 => {
                update.with_queue_mode(update.queue.max(self.queue))
            }
        }
    }

    /// The transports without the queue mode, as LwM2M 1.1 writes `b`.
    pub fn mode_letters(self) -> String {
        self.modes().map(Mode::letter).collect()
    }
}

impl Default for Binding {
    fn default() -> Self {
        Self::UDP
    }
}

impl FromStr for Binding {
    type Err = BindingError;
    fn from_str(text: &str) -> Result<Self, BindingError> {
        let mut binding = Self {
            modes: 0,
            queue: QueueMode::Off,
        };
        for letter in text.chars() {
            if letter == 'Q' {
                binding.queue = QueueMode::On;
                continue;
            }
            let mode = Mode::ALL.into_iter().find(|mode| mode.letter() == letter);
            binding.modes |= mode.ok_or(BindingError::UnknownMode(letter))?.bit();
        }
        if binding.modes == 0 {
            return Err(BindingError::NoMode);
        }
        Ok(binding)
    }
}

/// The 1.0 form: queue mode is a `Q` at the end (`UQ`, `USQ`).
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mode_letters())?;
        match self.queue {
            QueueMode::Off => Ok(()),
            QueueMode::On => f.write_str("Q"),
        }
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({self})")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn both_generations_of_bindings_are_read() {
        for (text, printed) in [
            ("U", "U"),
            ("UQ", "UQ"),
            ("UQS", "USQ"),
            ("SQ", "SQ"),
            ("UN", "UN"),
            ("S", "S"),
            ("US", "US"),
            ("T", "T"),
            ("N", "N"),
            ("M", "M"),
            ("H", "H"),
            ("HMNSTU", "UTSNMH"),
        ] {
            assert_eq!(text.parse::<Binding>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn a_binding_without_transport_is_refused() {
        assert_eq!("".parse::<Binding>(), Err(BindingError::NoMode));
        assert_eq!("Q".parse::<Binding>(), Err(BindingError::NoMode));
        assert_eq!("UX".parse::<Binding>(), Err(BindingError::UnknownMode('X')));
    }
}
