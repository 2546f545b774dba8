//! Windows of a spec, as campaigns and profiles know them.

use crd::window::{Weekday, Window};
use device_state::campaign;

use crate::Refusal;

/// The windows of a field.
pub(crate) fn windows(field: &str, given: &[Window]) -> Result<Vec<campaign::Window>, Refusal> {
    let given = given.iter().enumerate();
    given
        .map(|(place, given)| window(&format!("{field}[{place}]"), given))
        .collect()
}

fn window(field: &str, window: &Window) -> Result<campaign::Window, Refusal> {
    if window.time_zone == "Device" {
        return Err(Refusal::unsupported(
            &format!("{field}.timeZone"),
            "Device: nobody knows the time zones of devices yet; name one such as Europe/Berlin",
        ));
    }
    let time = |name: &str, text: &str| {
        let field = format!("{field}.{name}");
        minutes(text).ok_or_else(|| Refusal::invalid(&field, "is not a time of day such as 22:00"))
    };
    Ok(campaign::Window {
        days: match window.days.as_slice() {
            [] => 0b111_1111,
            days => days.iter().fold(0, |bits, day| bits | bit(*day)),
        },
        start: time("startTime", &window.start_time)?,
        end: time("endTime", &window.end_time)?,
        time_zone: window.time_zone.clone(),
    })
}

const fn bit(day: Weekday) -> u8 {
    match day {
        Weekday::Monday => 1,
        Weekday::Tuesday => 1 << 1,
        Weekday::Wednesday => 1 << 2,
        Weekday::Thursday => 1 << 3,
        Weekday::Friday => 1 << 4,
        Weekday::Saturday => 1 << 5,
        Weekday::Sunday => 1 << 6,
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}
