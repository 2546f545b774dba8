//! What a firmware campaign does next.
//!
//! [`decide`] looks at a [`Campaign`] as it is stored, at what every shard counts of it, and at the time, and says what
//! is to be done. It remembers nothing: what was decided stands in the [`Course`] once it is committed, so a planner
//! can die at any moment, and two of them can work at once. [`check`] says whether a plan can be carried out at all,
//! [`window`] whether devices may begin now, and [`next_wake`] when time alone changes something. The crate moves no
//! device and knows none; that is `device_state::apply`, shard by shard.
//!
//! # The life of a campaign
//!
//! ```text
//!                  every shard              everybody has a result,
//!                  found its members        and the last wave is good
//!       Enrolling ────────────────▶ Running ───────────────────────▶ Succeeded
//!           │                       ▲  │  ▲
//!           │     paused: false ┌───┘  │  └──┐ paused: false
//!           │                   │      │     │
//!           │  Paused(Asked) ◀──┴──────┤     │   paused: true          too many failed, or too few
//!           │        ▲   paused: true  │     └──────────────┐          succeeded, and on_failure
//!           │        │                 ▼                    │          says Pause
//!           │        └──── Paused(FailureThreshold | SuccessThreshold | Unreachable)
//!           │
//!           │ aborted: true at any time, or a bad wave and on_failure says Abort or Rollback
//!           ▼
//!       Aborting ──── every shard is halted, no device is on its way ────▶ Aborted (and RollBack)
//!
//!       the deadline: Halt from any state after the first wave began, then DeadlineExceeded
//! ```
//!
//! Waves come one after the other; of a campaign, devices of one wave only are on their way.
//!
//! ```text
//!       Pending ──▶ Running ──▶ Soaking ──▶ AwaitingApproval ──▶ Succeeded
//!                      └──────▶ Failed
//! ```
//!
//! - A wave **begins** when the one before succeeded and the schedule lets devices begin. Its size is settled then: its
//!   share of all members, at most those who wait for it. A wave without anybody has the size 0 and is over at once; if
//!   it asks for an approval it still does, because whoever wanted to look before the rest begins wants it all the more
//!   when there was nothing to see.
//! - It is **over** when every device of it has a result. Then it is judged: of those that succeeded or failed, so many
//!   have to have succeeded. Who expired or was skipped says nothing about the firmware and does not count; a wave
//!   in which nobody has a result that counts is good.
//! - It **soaks** from the moment at which the planner saw the last result.
//! - The **last wave** takes everybody who is left, whoever meets a selector included. Nothing comes after it, so it
//!   asks for no approval.
//!
//! # A wave that is bad
//!
//! A failure threshold in devices counts at once. One in parts counts from
//! [`minimum_results`](device_state::campaign::Wave::minimum_results) on, or when all of a smaller wave have a result.
//! The wave is [`Failed`](WaveState::Failed) then, and nobody is admitted any more; see [`OnFailure`].
//!
//! A campaign that paused by itself goes on after somebody **paused it and let it go again**: `paused: true`, which makes
//! it `Paused(Asked)`, then `paused: false`. Nothing that was said before can be taken for this, which is why an approval
//! is not enough: `approved_through` may have named a later wave from the beginning. The wave stays `Failed` while its
//! other devices are done, and it is not judged again: whoever lets it go on knows. Whether devices failed while somebody
//! had paused the campaign is looked at once it is let go, and pauses it again.
//!
//! # A fleet that is not well
//!
//! With [`pause_when_unreachable`](device_state::campaign::Plan::pause_when_unreachable) the shards count the members that
//! were registered when the wave began and are not any more, whatever became of them in the campaign. When more than that
//! part of them are lost the campaign pauses by itself, whatever `on_failure` says: it need not be the firmware. The wave is
//! not judged by it. Whoever lets the campaign go on knows who is away; from then on it is counted anew.
//!
//! # Who joins late
//!
//! A campaign of [`Membership::Dynamic`] is never over by itself, for somebody might join at any time. Its last wave
//! stays open, and its size and the campaign's members grow with who joins. It ends when it is aborted, or at the
//! schedule's deadline: as succeeded, if nobody was left without a result and the last wave is good.
//!
//! # For whoever carries it out
//!
//! - `shards` holds every shard of the cluster, each as it was at some moment after which it may have gone on. A shard
//!   that cannot be asked is no reason to leave it out: ask again instead.
//! - Decisions are carried out in their order. A [`Decision::Steer`] that is refused, because the stored step is not one
//!   less, ends the round.
//! - An [`Admit`](Decision::Admit) that comes late, twice or out of order does no harm.
//! - Of a plan with a pace, a [`Throttle`] says which of them are carried out now. It is kept from one round to the next.
//!
//! ```
//! use campaign::{WindowState, window};
//! use device_state::Timestamp;
//! use device_state::campaign::{Schedule, Window};
//!
//! let nights = Window { days: 0b111_1111, start: 22 * 60, end: 5 * 60, time_zone: "Europe/Berlin".into() };
//! let schedule = Schedule { windows: vec![nights], ..Schedule::default() };
//! // Noon of 1 December 2026 in Berlin: 22:00 there is 21:00 UTC.
//! let noon = Timestamp(1_796_122_800_000);
//! let evening = Timestamp(noon.0 + 10 * 3_600_000);
//! assert_eq!(window(&schedule, noon), WindowState::Closed { until: Some(evening) });
//! assert_eq!(window(&schedule, evening), WindowState::Open);
//! ```

mod admit;
mod check;
mod decide;
mod end;
mod fill;
mod judge;
mod reach;
mod release;
mod schedule;
mod throttle;
mod turn;
mod wake;
mod wave;

use device_state::ShardId;
use device_state::campaign::{Course, Reach, Tally};

pub use check::{PlanError, Problem, check, check_rollout};
pub use decide::decide;
pub use release::{Hold, release};
pub use schedule::{WindowState, window};
pub use throttle::Throttle;
pub use wake::next_wake;

#[cfg(doc)]
use device_state::campaign::{Campaign, Membership, OnFailure, WaveState};

/// What a shard told of its part of a campaign: how it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardView {
    pub shard: ShardId,
    /// Everybody was asked whether it takes part.
    pub enrolled: bool,
    /// No device begins any more.
    pub halted: bool,
    /// By wave. `waiting` counts members that wait and meet the wave's selector, all else devices that had their turn
    /// in it.
    pub waves: Vec<Tally>,
    /// `waiting` counts members that wait and meet no wave's selector, all else devices that never had a turn. In all of
    /// them `held` counts those that wait and that another campaign holds.
    pub common: Tally,
    /// Who of them is registered; `None` if it does not count.
    pub reach: Option<Reach>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The course as it is to be, one step after the stored one. To be refused if that has gone on.
    Steer(Course),
    /// In this shard, devices of the wave may be admitted until so many were, ever.
    Admit {
        shard: ShardId,
        wave: u8,
        until: u64,
    },
    /// The shard counts who is lost from now on ([`Course::census`]).
    Count { shard: ShardId },
    /// No device begins any more in any shard; what can be taken back is taken back.
    Halt,
    /// Begin the campaign that goes back. Said once or more; under one name.
    RollBack,
}
