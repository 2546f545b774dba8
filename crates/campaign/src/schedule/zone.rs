//! The one door to jiff. Its database is the one that is built in: whatever runs the planner, the same rules hold.

use device_state::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp as Instant};

/// A time zone of the IANA database.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

/// A day of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day(Date);

impl Day {
    /// So many days later.
    pub(crate) fn plus(self, days: i64) -> Option<Self> {
        let span = Span::new().try_days(days).ok()?;
        self.0.checked_add(span).ok().map(Self)
    }

    /// As in [`device_state::campaign::Window::days`].
    pub(crate) fn bit(self) -> u8 {
        1 << self.0.weekday().to_monday_zero_offset()
    }
}

impl Zone {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        (!zone.is_unknown()).then_some(Self(zone))
    }

    /// `None` for a time that is too far away for a calendar.
    pub(crate) fn day_of(&self, time: Timestamp) -> Option<Day> {
        let millisecond = i64::try_from(time.0).ok()?;
        let instant = Instant::from_millisecond(millisecond).ok()?;
        Some(Day(self.0.to_datetime(instant).date()))
    }

    /// The first moment at which the clock shows so many minutes after midnight of this day, or more.
    pub(crate) fn first(&self, day: Day, minutes: u16) -> Option<Timestamp> {
        let (hour, minute) = (i8::try_from(minutes / 60).ok()?, (minutes % 60) as i8);
        let time = Time::new(hour, minute, 0, 0).ok()?;
        let at = self
            .0
            .to_ambiguous_timestamp(DateTime::from_parts(day.0, time));
        let instant = match at.offset() {
            AmbiguousOffset::Gap { .. } => self.0.following(at.earlier().ok()?).next()?.timestamp(),
            AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } => {
                at.earlier().ok()?
            }
        };
        u64::try_from(instant.as_millisecond()).ok().map(Timestamp)
    }
}
