//! When devices may begin.

mod zone;

use device_state::Timestamp;
use device_state::campaign::{Campaign, Schedule, Window};

pub(crate) use zone::Zone;

/// Whether devices may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    Open,
    /// `until` is when it opens next; `None` for never, as far as one can see.
    Closed {
        until: Option<Timestamp>,
    },
}

/// Days that are looked at for the next time a window opens: one with a single day of the week can be lost to a clock
/// that is put forward.
const DAYS_AHEAD: i64 = 15;

/// Whether devices may begin at `now`.
///
/// A window is open from the first moment at which the clock shows its start to the first one after it at which the
/// clock shows its end. When the clock is put forward over one of them, that is the moment at which it is; a window that
/// lies within the hour that is left out does not open on that day.
pub fn window(schedule: &Schedule, now: Timestamp) -> WindowState {
    let from = schedule.not_before.unwrap_or(now).max(now);
    match (in_windows(&schedule.windows, from), from > now) {
        (WindowState::Open, true) => WindowState::Closed { until: Some(from) },
        (state, _) => state,
    }
}

/// Whether one of the windows is open; without any, always.
pub(crate) fn in_windows(windows: &[Window], now: Timestamp) -> WindowState {
    if windows.is_empty() {
        return WindowState::Open;
    }
    let mut until: Option<Timestamp> = None;
    for (opens, closes) in windows.iter().flat_map(|window| openings(window, now)) {
        if opens <= now && now < closes {
            return WindowState::Open;
        }
        if opens > now {
            until = Some(until.map_or(opens, |until| until.min(opens)));
        }
    }
    WindowState::Closed { until }
}

/// When the window opens and closes, from the day before yesterday on.
fn openings(window: &Window, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let zone = Zone::named(&window.time_zone);
    let today = zone.as_ref().and_then(|zone| zone.day_of(now));
    let ends_after = i64::from(window.end <= window.start);
    let (days, start, end) = (window.days, window.start, window.end);
    (-2..=DAYS_AHEAD).filter_map(move |offset| {
        let zone = zone.as_ref()?;
        let day = today?.plus(offset)?;
        if days & day.bit() == 0 {
            return None;
        }
        let opens = zone.first(day, start)?;
        let closes = zone.first(day.plus(ends_after)?, end)?;
        (opens < closes).then_some((opens, closes))
    })
}

/// When the campaign has to be at its end. `None` before it began.
pub(crate) fn deadline(campaign: &Campaign) -> Option<Timestamp> {
    let started_at = campaign.course.started_at?;
    let deadline = campaign.plan.schedule.deadline?;
    Some(started_at.saturating_add(deadline))
}
