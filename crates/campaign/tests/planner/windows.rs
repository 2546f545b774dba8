use campaign::{WindowState, decide, window};
use device_state::Timestamp;
use device_state::campaign::{Schedule, Share, WaveCourse, Window};

use crate::rig::{admitted, begun, plan, settle, shard, wave};

const MONDAY: u8 = 1;
const FRIDAY: u8 = 1 << 4;
const SUNDAY: u8 = 1 << 6;
const DAILY: u8 = 0b111_1111;
const OPEN: WindowState = WindowState::Open;

/// Such as `2026-03-29T01:00Z`.
fn at(utc: &str) -> Timestamp {
    let number = |range: std::ops::Range<usize>| utc[range].parse::<i64>().expect("digits");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days of the Gregorian calendar, in years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 719_469;
    Timestamp(((days * 24 + number(11..13)) * 60 + number(14..16)) as u64 * 60_000)
}

fn of(days: u8, (start, end): (u16, u16), time_zone: &str) -> Window {
    let minutes = |time: u16| time / 100 * 60 + time % 100;
    Window {
        days,
        start: minutes(start),
        end: minutes(end),
        time_zone: time_zone.into(),
    }
}

fn schedule(windows: Vec<Window>) -> Schedule {
    Schedule {
        windows,
        ..Schedule::default()
    }
}

fn until(utc: &str) -> WindowState {
    WindowState::Closed {
        until: Some(at(utc)),
    }
}

#[track_caller]
fn check(windows: &[Window], cases: &[(&str, WindowState)]) {
    for (now, state) in cases {
        let schedule = schedule(windows.to_vec());
        assert_eq!(window(&schedule, at(now)), *state, "{now}");
    }
}

#[test]
fn a_window_is_open_from_its_start_to_before_its_end() {
    check(&[], &[("2026-12-01T12:00Z", OPEN)]);
    check(
        &[of(DAILY, (100, 400), "UTC")],
        &[
            ("2026-12-01T00:59Z", until("2026-12-01T01:00Z")),
            ("2026-12-01T01:00Z", OPEN),
            ("2026-12-01T03:59Z", OPEN),
            ("2026-12-01T04:00Z", until("2026-12-02T01:00Z")),
        ],
    );
    // Any of them; 1 December 2026 is a Tuesday.
    check(
        &[
            of(MONDAY, (100, 400), "UTC"),
            of(FRIDAY, (2000, 2100), "Asia/Tokyo"),
        ],
        &[
            ("2026-12-01T02:00Z", until("2026-12-04T11:00Z")),
            ("2026-12-04T11:30Z", OPEN),
            ("2026-12-04T12:00Z", until("2026-12-07T01:00Z")),
        ],
    );
}

#[test]
fn a_window_over_midnight_is_of_the_day_on_which_it_begins() {
    check(
        &[of(FRIDAY, (2200, 500), "Europe/Berlin")],
        &[
            ("2026-12-04T04:00Z", until("2026-12-04T21:00Z")),
            ("2026-12-04T21:00Z", OPEN),
            ("2026-12-05T03:59Z", OPEN),
            ("2026-12-05T04:00Z", until("2026-12-11T21:00Z")),
        ],
    );
    // The whole day, from noon to noon.
    check(
        &[of(SUNDAY, (1200, 1200), "UTC")],
        &[
            ("2026-12-06T11:59Z", until("2026-12-06T12:00Z")),
            ("2026-12-07T11:59Z", OPEN),
            ("2026-12-07T12:00Z", until("2026-12-13T12:00Z")),
        ],
    );
}

// In Berlin, 29 March 2026 has no 02:00 to 03:00: 01:00 UTC is 03:00.
#[test]
fn a_clock_that_is_put_forward_opens_and_closes_at_that_moment() {
    check(
        &[of(SUNDAY, (230, 400), "Europe/Berlin")],
        &[
            ("2026-03-29T00:59Z", until("2026-03-29T01:00Z")),
            ("2026-03-29T01:00Z", OPEN),
            ("2026-03-29T02:00Z", until("2026-04-05T00:30Z")),
        ],
    );
    check(
        &[of(SUNDAY, (100, 230), "Europe/Berlin")],
        &[
            ("2026-03-29T00:59Z", OPEN),
            ("2026-03-29T01:00Z", until("2026-04-04T23:00Z")),
        ],
    );
    check(
        &[of(SUNDAY, (200, 300), "Europe/Berlin")],
        &[
            ("2026-03-28T12:00Z", until("2026-04-05T00:00Z")),
            ("2026-03-29T01:00Z", until("2026-04-05T00:00Z")),
        ],
    );
}

// In Berlin, 25 October 2026 has 02:00 to 03:00 twice: from 00:00 UTC and from 01:00 UTC.
#[test]
fn a_time_that_the_clock_shows_twice_counts_when_it_is_shown_first() {
    check(
        &[of(SUNDAY, (200, 230), "Europe/Berlin")],
        &[
            ("2026-10-24T23:59Z", until("2026-10-25T00:00Z")),
            ("2026-10-25T00:00Z", OPEN),
            ("2026-10-25T00:30Z", until("2026-11-01T01:00Z")),
            ("2026-10-25T01:15Z", until("2026-11-01T01:00Z")),
        ],
    );
    check(
        &[of(SUNDAY, (230, 330), "Europe/Berlin")],
        &[
            ("2026-10-25T00:29Z", until("2026-10-25T00:30Z")),
            ("2026-10-25T01:15Z", OPEN),
            ("2026-10-25T02:29Z", OPEN),
            ("2026-10-25T02:30Z", until("2026-11-01T01:30Z")),
        ],
    );
}

#[test]
fn rules_of_a_zone_hold_for_years_that_no_table_has() {
    check(
        &[of(DAILY, (100, 400), "America/New_York")],
        &[
            ("2090-01-15T05:59Z", until("2090-01-15T06:00Z")),
            ("2090-07-15T05:00Z", OPEN),
        ],
    );
}

#[test]
fn nothing_opens_before_the_earliest_time() {
    let mut schedule = schedule(vec![]);
    let mut check = |not_before, windows: &[Window], now, state| {
        schedule.not_before = Some(at(not_before));
        schedule.windows = windows.to_vec();
        assert_eq!(window(&schedule, at(now)), state, "{not_before} {now}");
    };
    let nights = [of(DAILY, (100, 400), "UTC")];
    let noon = "2026-12-01T12:00Z";
    check(noon, &[], "2026-12-01T11:59Z", until(noon));
    check(noon, &[], noon, OPEN);
    check(
        noon,
        &nights,
        "2026-12-01T02:00Z",
        until("2026-12-02T01:00Z"),
    );
    let at_night = "2026-12-02T02:00Z";
    check(at_night, &nights, "2026-12-01T02:00Z", until(at_night));
}

#[test]
fn a_window_that_nobody_checked_does_not_open() {
    let never = WindowState::Closed { until: None };
    for window in [
        of(0, (100, 400), "UTC"),
        of(DAILY, (100, 400), "Europe/Atlantis"),
        of(DAILY, (2500, 2600), "UTC"),
        of(DAILY, (100, 60_000), "UTC"),
    ] {
        check(&[window], &[("2026-12-01T02:00Z", never)]);
    }
    let nights = schedule(vec![of(DAILY, (100, 400), "UTC")]);
    assert_eq!(window(&nights, Timestamp::NEVER), never);
    check(
        &nights.windows,
        &[("1970-01-01T00:00Z", until("1970-01-01T01:00Z"))],
    );
}

#[test]
fn outside_of_a_window_nobody_begins_and_no_wave_does() {
    let waves = vec![wave("all", Share::ALL)];
    let mut campaign = begun(plan(waves), 4, 4);
    campaign.plan.schedule = schedule(vec![of(DAILY, (100, 400), "UTC")]);
    let shards = [shard(0, 4, vec![])];
    assert_eq!(settle(&mut campaign, &shards, at("2026-12-01T04:00Z")), []);
    let admissions = settle(&mut campaign, &shards, at("2026-12-02T01:00Z"));
    assert_eq!(admitted(&admissions), [(0, 0, 4)]);
    campaign.course.waves[0] = WaveCourse::default();
    assert_eq!(decide(&campaign, &shards, at("2026-12-01T04:00Z")), []);
}
