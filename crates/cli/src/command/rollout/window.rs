//! Windows as they are typed: `Mon-Fri 22:00-04:00 Europe/Berlin`.

use crate::view::campaign::plan::WindowView;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WindowError {
    #[error(
        "a window is [DAYS] START-END [TIME ZONE], for example `22:00-04:00` or `Mon-Fri 22:00-04:00 Europe/Berlin`"
    )]
    Form,
    #[error("{0:?} is no day: Mon, Tue, Wed, Thu, Fri, Sat, Sun, with a comma or - between them")]
    Day(String),
}

/// Reads one window. Whether the times and the zone exist is for the API to say.
pub(crate) fn parse(text: &str) -> Result<WindowView, WindowError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, times, time_zone) = match words.as_slice() {
        [times] => ("", *times, ""),
        [days, times, zone] => (*days, *times, *zone),
        [first, second] if is_times(second) => (*first, *second, ""),
        [first, second] => ("", *first, *second),
        _ => return Err(WindowError::Form),
    };
    let (start, end) = times.split_once('-').ok_or(WindowError::Form)?;
    if !is_times(times) {
        return Err(WindowError::Form);
    }
    Ok(WindowView {
        days: parse_days(days)?,
        start: start.to_owned(),
        end: end.to_owned(),
        time_zone: time_zone.to_owned(),
    })
}

fn is_times(text: &str) -> bool {
    let parts = text.split_once('-');
    parts.is_some_and(|(start, end)| start.contains(':') && end.contains(':'))
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`; in the order of the week.
fn parse_days(text: &str) -> Result<Vec<String>, WindowError> {
    let mut wanted = [false; DAYS.len()];
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        let count = (last + DAYS.len() - first) % DAYS.len();
        for (day, wanted) in wanted.iter_mut().enumerate() {
            *wanted |= (day + DAYS.len() - first) % DAYS.len() <= count;
        }
    }
    let days = DAYS.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    Ok(days.map(|(day, _)| (*day).to_owned()).collect())
}

fn number(day: &str) -> Result<usize, WindowError> {
    let known = DAYS
        .iter()
        .position(|known| known.eq_ignore_ascii_case(day));
    known.ok_or_else(|| WindowError::Day(day.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), WindowError> {
        let window = parse(text)?;
        let times = format!("{} {} {}", window.start, window.end, window.time_zone);
        Ok((window.days.join(","), times))
    }

    #[test]
    fn a_window_has_days_times_and_a_zone() {
        for (text, days, times) in [
            ("22:00-04:00", "", "22:00 04:00 "),
            ("22:00-04:00 Europe/Berlin", "", "22:00 04:00 Europe/Berlin"),
            ("sat,Sun 00:00-00:00", "Sat,Sun", "00:00 00:00 "),
            (
                "Mon-Wed,Fri 22:00-04:00 UTC",
                "Mon,Tue,Wed,Fri",
                "22:00 04:00 UTC",
            ),
            ("Sat-Mon 1:00-2:00", "Mon,Sat,Sun", "1:00 2:00 "),
        ] {
            let expected = (days.to_owned(), times.to_owned());
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "22:00",
            "Mon-Fri",
            "Mon 22:00-04:00 Europe/Berlin x",
            "a b c",
        ] {
            assert_eq!(read(text), Err(WindowError::Form), "{text}");
        }
        let wrong = WindowError::Day("Mo".to_owned());
        assert_eq!(read("Mo-Fri 22:00-04:00"), Err(wrong));
    }
}
