//! What a cellular device says of its sleep: object 10, LwM2M Cellular Connectivity.

use std::time::Duration;

use crate::path::Path;
use crate::value::Value;

/// Active Timer: T3324 (3GPP TS 24.008 §10.5.7.4), in seconds.
const ACTIVE_TIMER: Path = Path::Resource(10, 0, 5);
/// Active Power Saving Modes; not in version 1.0 of the object.
const ACTIVE_MODES: Path = Path::Resource(10, 0, 13);
/// Bit of [`ACTIVE_MODES`]: power saving mode, in which nothing reaches the device.
const PSM: u64 = 1;
/// Below this no window goes. T3324 can be 0, but it only starts when the network releases the
/// radio connection, which it keeps for some seconds after each message.
// RFC 7252 §4.8: ACK_TIMEOUT × ACK_RANDOM_FACTOR, the wait for one transmission's acknowledgement.
const SHORTEST_WINDOW: Duration = Duration::from_secs(3);

/// What is known of how a device saves power. Devices that say nothing of it are all that is
/// [`Default`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerSaving {
    /// Seconds.
    active_timer: Option<u32>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Unknown,
    Psm,
    /// None, or eDRX, in which the device can still be reached.
    Other,
}

impl PowerSaving {
    /// Takes a value in that the device reported. Those of other resources say nothing.
    pub fn learn(&mut self, path: Path, value: &Value) {
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Unsigned(number) => Some(*number),
            _ => None,
        };
        if path == ACTIVE_TIMER {
            self.active_timer = number.and_then(|seconds| u32::try_from(seconds).ok());
        } else if path == ACTIVE_MODES {
            self.mode = match number {
                Some(modes) if modes & PSM != 0 => Mode::Psm,
                Some(_) => Mode::Other,
                None => Mode::Unknown,
            };
        }
    }

    /// The paths that tell.
    pub const fn paths() -> [Path; 2] {
        [ACTIVE_TIMER, ACTIVE_MODES]
    }

    /// How long the device takes requests after its last message, where that is `most` for others.
    // LwM2M-Transport 1.2 §6.5: MAX_TRANSMIT_WAIT is only the recommended time to stay awake. A
    // modem in PSM can be reached until T3324 has run out (3GPP TS 23.682 §4.5.4).
    pub fn awake_window(self, most: Duration) -> Duration {
        match (self.active_timer, self.mode) {
            (Some(seconds), Mode::Psm | Mode::Unknown) => Duration::from_secs(seconds.into())
                .max(SHORTEST_WINDOW)
                .min(most),
            _ => most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(93);

    fn window(values: &[(Path, Value)]) -> Duration {
        let mut known = PowerSaving::default();
        for (path, value) in values {
            known.learn(*path, value);
        }
        known.awake_window(MOST)
    }

    #[test]
    fn a_modem_in_psm_listens_until_its_active_timer_has_run_out() {
        let timer = |seconds| (ACTIVE_TIMER, Value::Integer(seconds));
        let modes = |bits| (ACTIVE_MODES, Value::Unsigned(bits));
        let seconds = Duration::from_secs;
        assert_eq!(window(&[timer(16), modes(0b11)]), seconds(16));
        // Version 1.0 of the object does not tell the mode.
        assert_eq!(window(&[timer(16)]), seconds(16));
        // In eDRX, or without power saving, the timer means nothing.
        assert_eq!(window(&[timer(16), modes(0b10)]), MOST);
        assert_eq!(window(&[modes(0b1)]), MOST);
        // It is never waited for longer than for others, nor so short that nothing could be sent.
        assert_eq!(window(&[timer(11_160), modes(0b1)]), MOST);
        assert_eq!(window(&[timer(0), modes(0b1)]), seconds(3));
    }

    #[test]
    fn newer_values_hold_and_senseless_ones_say_nothing() {
        let timer = |value| (ACTIVE_TIMER, value);
        let newer = [timer(Value::Integer(16)), timer(Value::Integer(20))];
        assert_eq!(window(&newer), Duration::from_secs(20));
        for senseless in [
            Value::Integer(-1),
            Value::Unsigned(u64::MAX),
            Value::String("16".to_owned()),
        ] {
            assert_eq!(window(&[timer(Value::Integer(16)), timer(senseless)]), MOST);
        }
        let elsewhere = (Path::Resource(10, 0, 4), Value::Integer(16));
        assert_eq!(window(&[elsewhere]), MOST);
    }
}
