//! Times and durations as people read them.

use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;
use prost_types::Timestamp;

/// Now, as conditions of custom resources have it.
pub(crate) fn kubernetes() -> Time {
    Time(jiff::Timestamp::try_from(now()).unwrap_or_default())
}

/// RFC 3339 in UTC, as it stands in JSON.
pub(crate) fn rfc3339(time: Option<&Timestamp>) -> Option<String> {
    time.map(ToString::to_string)
}

/// How long ago `time` was, in the largest one or two units: `42s`, `3m5s`, `2h`, `12d`.
pub(crate) fn age(time: Option<&Timestamp>, now: SystemTime) -> String {
    let Some(then) = time.and_then(|time| SystemTime::try_from(*time).ok()) else {
        return "-".to_owned();
    };
    short(now.duration_since(then).unwrap_or_default())
}

/// A duration in its largest one or two units.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..7200 => format!("{minutes}m"),
        7200..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// The wall clock, for ages.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_or_two_units() {
        let shown = |seconds| short(Duration::from_secs(seconds));
        assert_eq!(shown(0), "0s");
        assert_eq!(shown(119), "119s");
        assert_eq!(shown(185), "3m5s");
        assert_eq!(shown(180), "3m");
        assert_eq!(shown(3600), "60m");
        assert_eq!(shown(86_400), "24h");
        assert_eq!(shown(12 * 86_400 + 5), "12d");
    }

    #[test]
    fn a_time_in_the_future_is_no_time_ago() {
        let time = Timestamp {
            seconds: 100,
            nanos: 0,
        };
        assert_eq!(age(Some(&time), SystemTime::UNIX_EPOCH), "0s");
        assert_eq!(age(None, SystemTime::UNIX_EPOCH), "-");
        assert_eq!(
            rfc3339(Some(&time)).as_deref(),
            Some("1970-01-01T00:01:40Z")
        );
    }
}
