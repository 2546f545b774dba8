//! Profiles of devices: what they are made of, at random.

use device_state::campaign::Sweep;
use device_state::profile::{
    Activity, Profile, ProfileDevice, ProfileObservation, ProfilePart, ProfileRollout,
    ProfileState, ProfileTally, Requirements, Standing,
};
use device_state::{Command, Row};
use lwm2m::{LwM2mVersion, Observed};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::campaign::{name, schedule, selector, share};
use crate::strategy::{desired_value, endpoint, namespace, observed, parameters};

fn requirements() -> impl Strategy<Value = Requirements> {
    let version = select(vec![
        LwM2mVersion::V1_0,
        LwM2mVersion::V1_1,
        LwM2mVersion::V1_2,
    ]);
    (vec(any::<u16>(), 0..4), of(version))
        .prop_map(|(objects, version)| Requirements { objects, version })
}

/// Nothing behind a gateway is observed by a profile, and one path alone is no composite.
fn observation() -> impl Strategy<Value = ProfileObservation> {
    let own = |observed: &Observed| match observed {
        Observed::Path(_) => true,
        Observed::Composite(_) => observed.paths().len() > 1,
        Observed::Behind { .. } => false,
    };
    (
        observed().prop_filter("of the device itself", own),
        parameters(),
    )
        .prop_map(|(observed, parameters)| ProfileObservation {
            observed,
            parameters,
        })
}

fn profile() -> impl Strategy<Value = Profile> {
    let activity = select(vec![Activity::Active, Activity::Paused]);
    (
        (namespace(), name(), ".{0,9}", selector()),
        ("[a-z-]{0,9}", any::<i32>(), activity, requirements()),
        vec(desired_value(), 0..4),
        vec(observation(), 0..3),
        (any::<u64>(), of(rollout())),
    )
        .prop_map(
            |(
                (namespace, name, description, selector),
                (group, priority, activity, requires),
                resources,
                observations,
                (revision, rollout),
            )| Profile {
                namespace,
                name,
                description,
                selector,
                group,
                priority,
                activity,
                requires,
                rollout,
                resources,
                observations,
                revision,
            },
        )
}

fn rollout() -> impl Strategy<Value = ProfileRollout> {
    (share(), of(share()), schedule()).prop_map(|(max_concurrent, failure_threshold, schedule)| {
        ProfileRollout {
            max_concurrent,
            failure_threshold,
            windows: schedule.windows,
        }
    })
}

fn sweep() -> impl Strategy<Value = Sweep> {
    prop_oneof![
        Just(Sweep::NotBegun),
        endpoint().prop_map(Sweep::Through),
        Just(Sweep::Done),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    select(vec![Standing::Declared, Standing::Removed])
}

fn part() -> impl Strategy<Value = ProfilePart> {
    (profile(), standing(), sweep(), sweep(), sweep()).prop_map(
        |(profile, standing, members, candidates, released)| ProfilePart {
            profile,
            standing,
            members,
            candidates,
            released,
        },
    )
}

fn tally() -> impl Strategy<Value = ProfileTally> {
    any::<[u64; 8]>().prop_map(
        |[
            waiting,
            unsupported,
            rejected,
            unregistered,
            pending,
            drifted,
            superseded,
            in_sync,
        ]| ProfileTally {
            waiting,
            unsupported,
            rejected,
            unregistered,
            pending,
            drifted,
            superseded,
            in_sync,
        },
    )
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let state = select(ProfileState::ALL.to_vec());
    prop_oneof![
        profile().prop_map(|row| Row::Profile(Box::new(row))),
        part().prop_map(|row| Row::ProfilePart(Box::new(row))),
        (namespace(), name(), endpoint(), state).prop_map(
            |(namespace, profile, endpoint, state)| Row::ProfileDevice(ProfileDevice {
                namespace,
                profile,
                endpoint,
                state,
            })
        ),
        (namespace(), name(), tally()).prop_map(|(namespace, profile, tally)| {
            Row::ProfileTally {
                namespace,
                profile,
                tally,
            }
        }),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        profile().prop_map(|profile| Command::PutProfile {
            profile: Box::new(profile)
        }),
        (namespace(), name())
            .prop_map(|(namespace, name)| Command::RemoveProfile { namespace, name }),
        (profile(), standing()).prop_map(|(profile, standing)| Command::InstallProfile {
            profile: Box::new(profile),
            standing
        }),
        (
            (namespace(), name(), any::<u64>()),
            (sweep(), any::<u32>(), any::<u32>()),
        )
            .prop_map(
                |((namespace, name, revision), (released, limit, examine))| {
                    Command::ReleaseProfile {
                        namespace,
                        name,
                        revision,
                        released,
                        limit,
                        examine,
                    }
                }
            ),
        (namespace(), name(), any::<u32>()).prop_map(|(namespace, name, limit)| {
            Command::SpreadProfile {
                namespace,
                name,
                limit,
            }
        }),
    ]
}
