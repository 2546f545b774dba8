//! Campaigns: what they are made of, at random.

use std::time::Duration;

use device_state::campaign::{
    Abort, Campaign, CampaignId, CampaignState, Compatibility, Control, Course, DevicePolicy,
    Failure, FailureSample, FailureThreshold, Image, Ledger, Membership, OnFailure, Part,
    PauseReason, Phase, Plan, Presence, Promotion, Reach, Schedule, Selector, Share, SkipReason,
    Sweep, Tally, Transfer, UpdateObject, Wave, WaveCourse, WaveState, Window,
};
use device_state::{Command, Group, Row};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use proto::convert::public::device_filter;

use crate::strategy::{endpoint, namespace, operation_id, time};

fn id() -> impl Strategy<Value = CampaignId> {
    any::<u64>().prop_map(CampaignId)
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    "[a-z0-9-]{1,12}"
}

pub(crate) fn selector() -> impl Strategy<Value = Selector> {
    let texts = vec![
        "",
        "labels.site = north",
        "state = REGISTERED AND model = \"m*\"",
    ];
    select(texts).prop_map(|text| Selector {
        text: text.to_owned(),
        filter: device_filter(text).unwrap(),
    })
}

fn duration() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|millis| Duration::from_millis(millis.into()))
}

pub(crate) fn share() -> impl Strategy<Value = Share> {
    prop_oneof![
        any::<u64>().prop_map(Share::Devices),
        any::<u32>().prop_map(Share::Millionths),
    ]
}

fn image() -> impl Strategy<Value = Image> {
    let texts = (name(), "[0-9.]{1,9}", "coap://[a-z]{1,9}");
    (texts, object(), compatibility()).prop_map(|((name, version, uri), object, compatibility)| {
        Image {
            name,
            version,
            uri,
            object,
            compatibility,
        }
    })
}

fn compatibility() -> impl Strategy<Value = Compatibility> {
    let version = || of("[0-9.]{1,9}");
    (version(), version(), of("[A-Z]{1,3}")).prop_map(
        |(minimum_version, maximum_version, hardware_version)| Compatibility {
            minimum_version,
            maximum_version,
            hardware_version,
        },
    )
}

fn object() -> impl Strategy<Value = UpdateObject> {
    // LwM2M Core 1.2 §7.1: no instance has the id 65535, and no path names one.
    let instance = || 0..u16::MAX;
    prop_oneof![
        Just(UpdateObject::Firmware),
        instance().prop_map(UpdateObject::Component),
        instance().prop_map(UpdateObject::Software),
    ]
}

fn membership() -> impl Strategy<Value = Membership> {
    prop_oneof![
        Just(Membership::Snapshot),
        Just(Membership::Dynamic),
        id().prop_map(Membership::UpdatedBy),
    ]
}

fn policy() -> impl Strategy<Value = DevicePolicy> {
    (
        duration(),
        duration(),
        duration(),
        any::<u8>(),
        duration(),
        any::<u8>(),
    )
        .prop_map(
            |(
                wake_up_deadline,
                download_timeout,
                install_timeout,
                retries,
                retry_backoff,
                battery,
            )| {
                DevicePolicy {
                    wake_up_deadline,
                    download_timeout,
                    install_timeout,
                    retries,
                    retry_backoff,
                    minimum_battery: battery,
                }
            },
        )
}

fn wave() -> impl Strategy<Value = Wave> {
    (
        (name(), share(), of(selector()), share()),
        (
            any::<u32>(),
            of(any::<u64>()),
            of(any::<u32>()),
            any::<u64>(),
        ),
        duration(),
        select(vec![Promotion::Automatic, Promotion::Manual]),
    )
        .prop_map(
            |((name, size, selector, max_concurrent), results, soak, promotion)| {
                let (success_threshold, devices, millionths, minimum_results) = results;
                Wave {
                    name,
                    size,
                    selector,
                    max_concurrent,
                    success_threshold,
                    failure_threshold: FailureThreshold {
                        devices,
                        millionths,
                    },
                    minimum_results,
                    soak,
                    promotion,
                }
            },
        )
}

pub(crate) fn schedule() -> impl Strategy<Value = Schedule> {
    let window = (any::<u8>(), any::<u16>(), any::<u16>(), "[A-Za-z/]{0,20}").prop_map(
        |(days, start, end, time_zone)| Window {
            days,
            start,
            end,
            time_zone,
        },
    );
    (of(time()), vec(window, 0..3), of(duration())).prop_map(|(not_before, windows, deadline)| {
        Schedule {
            not_before,
            windows,
            deadline,
        }
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let on_failure = select(vec![
        OnFailure::Pause,
        OnFailure::Abort,
        OnFailure::Rollback,
    ]);
    (
        (image(), selector(), membership(), name()),
        (vec(wave(), 0..4), of(share())),
        (
            schedule(),
            policy(),
            on_failure,
            of(image()),
            (of(any::<u32>()), of(any::<u64>())),
        ),
    )
        .prop_map(
            |((image, selector, membership, seed), (waves, max_unavailable), rest)| {
                let (schedule, device, on_failure, rollback_image, (lost, every)) = rest;
                Plan {
                    image,
                    transfer: Transfer::Pull,
                    selector,
                    membership,
                    seed,
                    waves,
                    max_unavailable,
                    schedule,
                    device,
                    on_failure,
                    rollback_image,
                    pause_when_unreachable: lost,
                    begin_every: every.map(Duration::from_micros),
                }
            },
        )
}

fn course() -> impl Strategy<Value = Course> {
    let state = select(vec![
        CampaignState::Enrolling,
        CampaignState::Running,
        CampaignState::Paused(PauseReason::Asked),
        CampaignState::Paused(PauseReason::FailureThreshold),
        CampaignState::Paused(PauseReason::SuccessThreshold),
        CampaignState::Paused(PauseReason::Unreachable),
        CampaignState::Aborting,
        CampaignState::Succeeded,
        CampaignState::Aborted,
        CampaignState::DeadlineExceeded,
    ]);
    let wave_state = prop_oneof![
        time().prop_map(|until| WaveState::Soaking { until }),
        select(vec![
            WaveState::Pending,
            WaveState::Running,
            WaveState::AwaitingApproval,
            WaveState::Succeeded,
            WaveState::Failed,
            WaveState::Skipped,
        ]),
    ];
    let wave = (wave_state, any::<u64>(), of(time()), of(time())).prop_map(
        |(state, size, started_at, ended_at)| WaveCourse {
            state,
            size,
            started_at,
            ended_at,
        },
    );
    (
        any::<u64>(),
        state,
        any::<u64>(),
        vec(wave, 0..4),
        (of(time()), of(time())),
        any::<u64>(),
    )
        .prop_map(
            |(step, state, members, waves, (started_at, ended_at), census)| Course {
                step,
                state,
                members,
                waves,
                started_at,
                ended_at,
                census,
            },
        )
}

fn campaign() -> impl Strategy<Value = Campaign> {
    let control =
        (any::<bool>(), name(), any::<bool>()).prop_map(|(paused, approved_through, aborted)| {
            Control {
                paused,
                approved_through,
                aborted,
            }
        });
    (
        id(),
        namespace(),
        name(),
        plan(),
        control,
        course(),
        (time(), name()),
    )
        .prop_map(
            |(id, namespace, name, plan, control, course, (created_at, owner))| Campaign {
                id,
                namespace,
                name,
                plan,
                control,
                course,
                created_at,
                owner,
            },
        )
}

fn sweep() -> impl Strategy<Value = Sweep> {
    prop_oneof![
        Just(Sweep::NotBegun),
        endpoint().prop_map(Sweep::Through),
        Just(Sweep::Done),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    (
        (id(), (namespace(), name()), image(), selector()),
        (membership(), name(), vec(of(selector()), 0..3)),
        (policy(), sweep(), sweep(), any::<u64>(), of(reach())),
    )
        .prop_map(
            |((id, (namespace, name), image, selector), (membership, seed, waves), rest)| {
                let (device, enrolment, halt, step, reach) = rest;
                Part {
                    id,
                    namespace,
                    name,
                    image,
                    transfer: Transfer::Pull,
                    selector,
                    membership,
                    seed,
                    wave_selectors: waves,
                    device,
                    enrolment,
                    halt,
                    step,
                    reach,
                }
            },
        )
}

fn reach() -> impl Strategy<Value = Reach> {
    any::<[u64; 4]>().prop_map(|[census, registered, counted, lost]| Reach {
        census,
        registered,
        counted,
        lost,
    })
}

fn presence() -> impl Strategy<Value = Presence> {
    (any::<bool>(), 0..3_u64, any::<bool>()).prop_map(|(registered, census, counted)| Presence {
        registered,
        census,
        counted,
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        any::<u8>().prop_map(Failure::UpdateResult),
        (0..8_u8, 0..32_u8).prop_map(|(class, detail)| Failure::Refused(class, detail)),
        select(vec![
            Failure::DownloadTimeout,
            Failure::Interrupted,
            Failure::InstallTimeout,
            Failure::VersionMismatch,
        ]),
    ]
}

pub(crate) fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        select(vec![
            Phase::Waiting,
            Phase::Scheduled,
            Phase::Offered,
            Phase::Downloading,
            Phase::Downloaded,
            Phase::Updating,
            Phase::Verifying,
            Phase::Retrying,
            Phase::Succeeded,
            Phase::Expired,
            Phase::Cancelled,
        ]),
        failure().prop_map(Phase::Failed),
        select(vec![
            SkipReason::UpToDate,
            SkipReason::Unsupported,
            SkipReason::Battery,
            SkipReason::Forgotten,
            SkipReason::Version,
            SkipReason::Hardware,
        ])
        .prop_map(Phase::Skipped),
    ]
}

pub(crate) fn ledger() -> impl Strategy<Value = Ledger> {
    (
        (id(), endpoint(), any::<u64>()),
        (of(any::<u8>()), of(any::<u8>()), phase()),
        (time(), time(), time(), time()),
        (of(operation_id()), any::<u8>(), of(".{0,9}"), presence()),
    )
        .prop_map(
            |((campaign, endpoint, rank), (lane, wave, phase), times, rest)| {
                let (since, deadline, due, asked_at) = times;
                let (operation, retries, version_before, presence) = rest;
                Ledger {
                    campaign,
                    endpoint,
                    rank,
                    lane,
                    wave,
                    phase,
                    since,
                    deadline,
                    due,
                    operation,
                    asked_at,
                    retries,
                    version_before,
                    presence,
                }
            },
        )
}

fn tally() -> impl Strategy<Value = Tally> {
    let sample =
        (endpoint(), failure(), time()).prop_map(|(endpoint, failure, at)| FailureSample {
            endpoint,
            failure,
            at,
        });
    (
        vec((phase(), any::<u32>()), 0..5),
        vec((failure(), any::<u64>()), 0..3),
        vec(sample, 0..3),
        any::<u32>(),
    )
        .prop_map(|(counts, failures, samples, held)| {
            let mut tally = Tally {
                failures,
                samples,
                held: u64::from(held),
                ..Tally::default()
            };
            for (phase, count) in counts {
                *tally.count(phase) += u64::from(count);
            }
            tally
        })
}

fn group() -> impl Strategy<Value = Group> {
    (namespace(), name(), selector(), ".{0,9}").prop_map(
        |(namespace, name, selector, description)| Group {
            namespace,
            name,
            selector,
            description,
        },
    )
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        group().prop_map(Row::Group),
        campaign().prop_map(|row| Row::Campaign(Box::new(row))),
        part().prop_map(|row| Row::CampaignPart(Box::new(row))),
        ledger().prop_map(Row::CampaignDevice),
        (id(), any::<u8>(), any::<u64>(), endpoint()).prop_map(
            |(campaign, lane, rank, endpoint)| Row::CampaignQueue {
                campaign,
                lane,
                rank,
                endpoint,
            }
        ),
        (id(), any::<u8>(), tally()).prop_map(|(campaign, slot, tally)| Row::CampaignTally {
            campaign,
            slot,
            tally,
        }),
        (endpoint(), id())
            .prop_map(|(endpoint, campaign)| Row::DeviceCampaign { endpoint, campaign }),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let abort = select(vec![Abort::No, Abort::Now]);
    prop_oneof![
        group().prop_map(|group| Command::PutGroup { group }),
        (namespace(), name())
            .prop_map(|(namespace, name)| Command::RemoveGroup { namespace, name }),
        campaign().prop_map(|campaign| Command::PutCampaign {
            campaign: Box::new(campaign)
        }),
        (namespace(), name(), of(any::<bool>()), of(name()), abort).prop_map(
            |(namespace, name, paused, approved_through, abort)| Command::ControlCampaign {
                namespace,
                name,
                paused,
                approved_through,
                abort,
            }
        ),
        (id(), namespace(), name(), course()).prop_map(|(id, namespace, name, course)| {
            Command::SteerCampaign {
                id,
                namespace,
                name,
                course,
            }
        }),
        (namespace(), name())
            .prop_map(|(namespace, name)| Command::RemoveCampaign { namespace, name }),
        part().prop_map(|part| Command::OpenCampaign {
            part: Box::new(part)
        }),
        (id(), any::<u32>()).prop_map(|(id, limit)| Command::EnrolDevices { id, limit }),
        (id(), any::<u32>()).prop_map(|(id, limit)| Command::HaltCampaign { id, limit }),
        (id(), any::<u32>()).prop_map(|(id, limit)| Command::DropCampaign { id, limit }),
        (id(), any::<u8>(), any::<[u64; 3]>()).prop_map(|(id, wave, [until, step, census])| {
            Command::AdmitDevices {
                id,
                wave,
                until,
                step,
                census,
            }
        }),
    ]
}
