//! Numbers of campaigns as people write them.

use device_state::campaign::Share;

/// Millionths in a percent.
const PERCENT: u32 = 10_000;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// `20`, or `5%` with at most four digits behind the point.
pub(super) fn share(text: &str) -> Option<Share> {
    if text.ends_with('%') {
        return percent(text).map(Share::Millionths);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok().map(Share::Devices))?
}

pub(in crate::convert::public) fn share_text(share: Share) -> String {
    match share {
        Share::Devices(devices) => devices.to_string(),
        Share::Millionths(part) => percent_text(part),
    }
}

/// `99.5%` or `99.5`, up to 100, in millionths.
pub(super) fn percent(text: &str) -> Option<u32> {
    let text = text.strip_suffix('%').unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 4 || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let part: u32 = format!("{part:0<4}").parse().ok()?;
    Some(whole * PERCENT + part).filter(|part| *part <= 100 * PERCENT)
}

pub(super) fn percent_text(millionths: u32) -> String {
    let part = format!("{:04}", millionths % PERCENT);
    match part.trim_end_matches('0') {
        "" => format!("{}%", millionths / PERCENT),
        part => format!("{}.{part}%", millionths / PERCENT),
    }
}

/// `22:00`, in minutes after midnight.
pub(super) fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two(hours) || !two(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

pub(super) fn minutes_text(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Bits by day, Monday the lowest.
pub(super) fn days(names: &[String]) -> Option<u8> {
    names.iter().try_fold(0, |days, name| {
        let day = DAYS.iter().position(|known| known == name)?;
        Some(days | 1 << day)
    })
}

pub(super) fn day_names(days: u8) -> Vec<String> {
    let named = (0..).zip(DAYS).filter(|(day, _)| days & (1 << day) != 0);
    named.map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbers_or_parts() {
        assert_eq!(share("20"), Some(Share::Devices(20)));
        assert_eq!(share("5%"), Some(Share::Millionths(50_000)));
        assert_eq!(share("0.1%"), Some(Share::Millionths(1_000)));
        for bad in ["", "%", "-1", "101%", "1.23456%", "five", "1e3", "5 %"] {
            assert_eq!(share(bad), None, "{bad:?}");
        }
        for good in ["0", "7", "0.0001%", "12.5%", "100%"] {
            assert_eq!(share(good).map(share_text).as_deref(), Some(good));
        }
    }

    #[test]
    fn times_of_day_have_four_digits() {
        assert_eq!(minutes("23:59"), Some(1_439));
        for bad in ["24:00", "1:00", "01:60", "0100", "aa:bb", "+1:00"] {
            assert_eq!(minutes(bad), None, "{bad:?}");
        }
        assert_eq!(minutes("04:05").map(minutes_text).as_deref(), Some("04:05"));
    }

    #[test]
    fn days_have_three_letters() {
        let names = ["Mon", "Sun"].map(str::to_owned);
        assert_eq!(days(&names), Some(0b100_0001));
        assert_eq!(day_names(0b100_0001), names);
        assert_eq!(days(&["monday".to_owned()]), None);
    }
}
