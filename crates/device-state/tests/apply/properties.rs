//! Properties of every sequence of commands.

use std::collections::BTreeMap;
use std::time::Duration;

use device_state::campaign::{CampaignId, Membership, Part, Reach, Share, Sweep};
use device_state::command::{Live, Missing};
use device_state::guard::Effectiveness;
use device_state::profile::{Activity, Profile, ProfileObservation, ProfileRollout, Standing};
use device_state::selection::Condition;
use device_state::{
    ArtefactChunk, BoundCredential, Command, Counters, Credential, CredentialId, CredentialKey,
    CredentialName, CredentialOrigin, DesiredOrigin, DesiredResource, DesiredState, DesiredValue,
    DeviceName, DriftPolicy, Envelope, FeatureLevel, Goal, Guard, LabelKey, LabelValue, MapChange,
    Member, MemberPhase, MemoryTables, Namespace, NodeId, OperationId, OperationOutcome, Presence,
    Queueing, RequestId, Resumption, ResumptionId, Revision, Row, Session, SessionCid,
    SessionGeneration, Timestamp, ValueOrigin, apply_entry, invariant, query,
};
use lwm2m::{
    ChildPrefix, CompositePaths, Lifetime, NotificationAttributes, Observed, Operation, Path, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::artefact::{artefact, chunk};
use crate::campaign::part;
use crate::metadata::label;
use crate::profile::profile;
use crate::world::id as registration_id;
use crate::world::{
    SHARD, delivered, endpoint, execute, id, identity, read, refused, register, registration, text,
    update_by, write,
};

const START: u64 = 1_000_000;

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b"])
}

fn random() -> impl Strategy<Value = u64> {
    0..3_u64
}

fn node() -> impl Strategy<Value = NodeId> {
    (1..3_u64).prop_map(NodeId)
}

fn path() -> impl Strategy<Value = Path> {
    (0..3_u16).prop_map(|id| Path::Resource(3, 0, id))
}

/// What may be desired: of this object there are no values, so that nothing contradicts.
fn wish() -> impl Strategy<Value = Path> {
    prop_oneof![3 => path(), 1 => Just(Path::ObjectInstance(6, 0))]
}

fn goal(path: Path, value: &str) -> Goal {
    match (path, value) {
        (Path::ObjectInstance(..), "x") => Goal::Instance(Presence::Present),
        (Path::ObjectInstance(..), _) => Goal::Instance(Presence::Absent),
        _ => Goal::Value(text(value)),
    }
}

fn operation_id() -> impl Strategy<Value = OperationId> {
    (0..12_u64).prop_map(|sequence| OperationId {
        shard: SHARD,
        sequence,
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![4 => (START..START + 2_000_000).prop_map(Timestamp), 1 => Just(Timestamp::NEVER)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let behind = prefix().prop_map(|child| write("Z").behind(child));
    prop_oneof![
        3 => prop_oneof![Just(read()), Just(write("Z")), Just(execute())],
        1 => behind,
        1 => prop_oneof![
            Just(Operation::Delete { path: Path::ObjectInstance(6, 0) }),
            Just(Operation::Create {
                path: Path::Object(6),
                instance: Some(0),
                values: Vec::new(),
            }),
        ],
    ]
}

fn end() -> impl Strategy<Value = OperationOutcome> {
    prop_oneof![
        4 => Just(delivered()),
        2 => Just(refused()),
        1 => Just(OperationOutcome::Expired),
        1 => Just(OperationOutcome::Cancelled),
    ]
}

fn cid() -> impl Strategy<Value = SessionCid> {
    (0..2_u8).prop_map(|last| SessionCid([1, 0, 0, 0, 0, 0, 0, last]))
}

fn resumption_id() -> impl Strategy<Value = ResumptionId> {
    (0..2_u8).prop_map(|last| ResumptionId([last; 32]))
}

fn session() -> impl Strategy<Value = Box<Session>> {
    (cid(), node(), time(), name()).prop_map(|(cid, owner, expires_at, name)| {
        Box::new(Session {
            namespace: Namespace::default(),
            cid,
            export: vec![1],
            identity: identity(name),
            peer: "192.0.2.7:5684".parse().unwrap(),
            owner,
            generation: SessionGeneration(0),
            stored_at: Timestamp(0),
            expires_at,
        })
    })
}

fn resumption() -> impl Strategy<Value = Box<Resumption>> {
    (resumption_id(), time(), name()).prop_map(|(id, expires_at, name)| {
        Box::new(Resumption {
            namespace: Namespace::default(),
            id,
            state: vec![2],
            identity: identity(name),
            session: None,
            stored_at: Timestamp(0),
            expires_at,
        })
    })
}

/// With and without the instance that may be desired.
fn links() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["</1/0>,</3/0>", "</1/0>,</3/0>,</6/0>"])
}

fn registrations() -> impl Strategy<Value = Command> {
    prop_oneof![
        (
            name(),
            random(),
            prop::sample::select(vec![0, 60, 600]),
            prop::option::of(cid()),
            links()
        )
            .prop_map(|(name, random, seconds, session, links)| {
                let lifetime = Lifetime::from_secs(seconds);
                register(device_state::Registration {
                    lifetime,
                    session,
                    links: links.to_owned(),
                    ..registration(name, random)
                })
            }),
        (name(), random(), node(), prop::option::of(links())).prop_map(
            |(name, random, owner, told)| {
                let mut update = update_by(name, random, owner);
                if let Command::Update { links, .. } = &mut update {
                    *links = told.map(str::to_owned);
                }
                update
            }
        ),
        (random(), cid(), node()).prop_map(|(random, session, owner)| {
            Command::MoveRegistration {
                id: id(random),
                session,
                owner,
            }
        }),
        (name(), random()).prop_map(|(name, random)| Command::Deregister {
            namespace: Namespace::default(),
            id: id(random),
            identity: identity(name)
        }),
        (1..5_u32).prop_map(|limit| Command::ExpireUpTo { limit }),
        Just(Command::CompareRows),
        (name(), random(), child(), path(), time()).prop_map(|(name, random, child, path, at)| {
            Command::RecordValues {
                endpoint: endpoint(name),
                registration: id(random),
                child,
                origin: ValueOrigin::Send,
                values: vec![(path, Value::Integer(1), at)],
            }
        }),
    ]
}

fn operations() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (name(), operation(), time(), 0..3_u8, any::<bool>()).prop_map(
            |(name, operation, deadline, priority, supersedes)| Command::Enqueue {
                endpoint: endpoint(name),
                operation,
                deadline,
                queueing: Queueing { priority, supersedes },
            }
        ),
        4 => (name(), operation_id(), node()).prop_map(|(name, operation, owner)| Command::Start {
            endpoint: endpoint(name),
            operation,
            owner,
        }),
        1 => (name(), operation_id())
            .prop_map(|(name, operation)| Command::Requeue { endpoint: endpoint(name), operation }),
        3 => (name(), operation_id(), end()).prop_map(|(name, operation, outcome)| Command::Finish {
            endpoint: endpoint(name),
            operation,
            outcome,
        }),
        1 => (name(), operation_id())
            .prop_map(|(name, operation)| Command::Cancel { endpoint: endpoint(name), operation }),
    ]
}

fn prefix() -> impl Strategy<Value = ChildPrefix> {
    prop::sample::select(vec!["x", "y"]).prop_map(|prefix| prefix.parse().unwrap())
}

fn child() -> impl Strategy<Value = Option<ChildPrefix>> {
    prop::option::of(prefix())
}

fn observed() -> impl Strategy<Value = Observed> {
    prop_oneof![
        3 => path().prop_map(Observed::Path),
        1 => (prefix(), path()).prop_map(|(child, path)| Observed::Behind { child, path }),
        1 => vec(path(), 1..3).prop_map(|paths| {
            Observed::Composite(CompositePaths::new(paths).unwrap())
        }),
    ]
}

fn intents() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => (name(), 0..4_u64, vec((wish(), "[xyz]"), 0..3)).prop_map(set_desired),
        1 => (name(), observed(), 0..3_u64, time()).prop_map(|(name, observed, holder, lease_until)| {
            let parameters = NotificationAttributes::default();
            Command::HoldObservation { endpoint: endpoint(name), observed, parameters, holder, lease_until }
        }),
        1 => (name(), observed(), 0..3_u64).prop_map(|(name, observed, holder)| {
            Command::ReleaseObservation { endpoint: endpoint(name), observed, holder }
        }),
    ]
}

fn set_desired((name, generation, wish): (&str, u64, Vec<(Path, String)>)) -> Command {
    let resources = wish
        .into_iter()
        .map(|(path, value)| DesiredValue {
            path,
            drift: if value == "x" {
                DriftPolicy::Enforce
            } else {
                DriftPolicy::Report
            },
            goal: goal(path, &value),
        })
        .collect();
    Command::SetDesired {
        endpoint: endpoint(name),
        generation,
        resources,
    }
}

fn sessions() -> impl Strategy<Value = Command> {
    prop_oneof![
        (session(), prop::option::of(resumption())).prop_map(|(session, resumption)| {
            Command::StoreSession {
                session,
                resumption,
            }
        }),
        resumption().prop_map(|resumption| Command::StoreResumption { resumption }),
        (resumption_id(), prop::option::of(session()))
            .prop_map(|(id, session)| Command::Resume { id, session }),
        resumption_id().prop_map(|id| Command::RemoveResumption { id }),
        (cid(), node(), 0..2_u16).prop_map(|(cid, owner, expected)| Command::ClaimSession {
            cid,
            owner,
            expected: SessionGeneration(expected),
        }),
        cid().prop_map(|cid| Command::RemoveSession { cid }),
        (node(), 0..5_u64).prop_map(|(node, lease)| Command::RenewMembership {
            member: Member {
                namespace: Namespace::default(),
                node,
                name: "ingress".to_owned(),
                phase: MemberPhase::Ready,
                workers: Vec::new(),
                lease_until: Timestamp(0),
            },
            lease: Duration::from_secs(lease),
        }),
        (0..2_u8).prop_map(|byte| Command::PutCredential {
            credential: Credential {
                id: CredentialId::PskIdentity(vec![byte]),
                endpoint: endpoint("a"),
                sealed_secret: vec![byte],
                created_at: Timestamp(0),
                serial: 0,
            },
        }),
        (0..2_u8).prop_map(|byte| Command::RemoveCredential {
            credential: CredentialName::new(
                &Namespace::default(),
                CredentialId::PskIdentity(vec![byte])
            )
        }),
        (0..2_u8).prop_map(|byte| Command::BindEndpoint {
            endpoint: endpoint("a"),
            credential: BoundCredential {
                key: CredentialKey {
                    id: CredentialId::PskIdentity(vec![byte]),
                    serial: 0,
                },
                origin: CredentialOrigin::Stored,
            },
        }),
        (0..2_u8).prop_map(|byte| Command::UnbindEndpoint {
            endpoint: endpoint("a"),
            credential: CredentialKey {
                id: CredentialId::PskIdentity(vec![byte]),
                serial: 0,
            },
        }),
    ]
}

fn metadata() -> impl Strategy<Value = Command> {
    let missing = || prop_oneof![Just(Missing::Refused), Just(Missing::Allowed)];
    let labels = prop::collection::btree_map(
        "[ab]".prop_map(|key| LabelKey::new(&key).unwrap()),
        "[xy]?".prop_map(|value| LabelValue::new(&value).unwrap()),
        0..3,
    );
    let live = prop_oneof![Just(Live::Refused), Just(Live::Deregistered)];
    prop_oneof![
        4 => (name(), labels, missing()).prop_map(|(name, labels, missing)| {
            Command::ChangeMetadata {
                endpoint: endpoint(name),
                labels: MapChange::Replace(labels),
                annotations: MapChange::none(),
                missing,
            }
        }),
        1 => (name(), live, missing()).prop_map(|(name, live, missing)| Command::Forget {
            endpoint: endpoint(name),
            live,
            missing,
        }),
        2 => (name(), random(), "[xy\\x00]?").prop_map(|(name, random, version)| {
            Command::RecordValues {
                endpoint: endpoint(name),
                registration: id(random),
                child: None,
                origin: ValueOrigin::Read,
                values: vec![(Path::Resource(3, 0, 3), text(&version), Timestamp(START))],
            }
        }),
    ]
}

fn campaigns() -> impl Strategy<Value = Command> {
    let id = || (1..3_u64).prop_map(CampaignId);
    let limit = || 1..3_u32;
    let membership = prop_oneof![
        2 => Just(Membership::Snapshot),
        2 => Just(Membership::Dynamic),
        1 => Just(Membership::UpdatedBy(CampaignId(1))),
    ];
    let firmware = (name(), random(), 0..4_i64, 0..9_i64);
    prop_oneof![
        2 => (id(), membership, any::<bool>()).prop_map(|(id, membership, counts)| {
            let reach = counts.then(Reach::default);
            Command::OpenCampaign { part: Box::new(Part { membership, reach, ..part(id) }) }
        }),
        3 => (id(), limit()).prop_map(|(id, limit)| Command::EnrolDevices { id, limit }),
        4 => (id(), 0..2_u8, 1..3_u64, 0..3_u64).prop_map(|(id, wave, until, census)| {
            Command::AdmitDevices { id, wave, until, step: 0, census }
        }),
        1 => (id(), limit()).prop_map(|(id, limit)| Command::HaltCampaign { id, limit }),
        1 => (id(), limit()).prop_map(|(id, limit)| Command::DropCampaign { id, limit }),
        3 => firmware.prop_map(|(name, random, state, result)| Command::RecordValues {
            endpoint: endpoint(name),
            registration: registration_id(random),
            child: None,
            origin: ValueOrigin::Notify,
            values: vec![
                (Path::Resource(5, 0, 3), Value::Integer(state), Timestamp::NEVER),
                (Path::Resource(5, 0, 5), Value::Integer(result), Timestamp::NEVER),
            ],
        }),
    ]
}

/// Where whoever releases devices takes a shard to be.
fn sweep() -> impl Strategy<Value = Sweep> {
    prop_oneof![
        Just(Sweep::NotBegun),
        name().prop_map(|name| Sweep::Through(endpoint(name))),
    ]
}

/// What shards are told of them, in any order and of any age.
fn profiles() -> impl Strategy<Value = Command> {
    let called = || prop::sample::select(vec!["p", "q"]);
    let values = vec((path(), prop::sample::select(vec!["x", "y"])), 0..3);
    let everybody = any::<bool>();
    let activity = prop::sample::select(vec![Activity::Active, Activity::Active, Activity::Paused]);
    let standing = prop_oneof![3 => Just(Standing::Declared), 1 => Just(Standing::Removed)];
    let observed = prop::option::of(path());
    let declared = (
        called(),
        0..3,
        values,
        everybody,
        activity,
        observed,
        0..4_u64,
    )
        .prop_map(
            |(name, priority, values, everybody, activity, observed, revision)| {
                let mut profile = profile(name, priority, &values);
                if everybody {
                    profile.selector.filter = Condition::everything();
                }
                profile.activity = activity;
                profile.observations = observed
                    .map(|path| ProfileObservation {
                        observed: Observed::Path(path),
                        parameters: NotificationAttributes::default(),
                    })
                    .into_iter()
                    .collect();
                profile.rollout = (revision % 2 == 1).then_some(ProfileRollout {
                    max_concurrent: Share::ALL,
                    failure_threshold: None,
                    windows: Vec::new(),
                });
                profile.requires.objects = (revision == 3).then_some(1).into_iter().collect();
                Profile {
                    revision,
                    ..profile
                }
            },
        );
    prop_oneof![
        3 => (declared, standing).prop_map(|(profile, standing)| Command::InstallProfile {
            profile: Box::new(profile),
            standing,
        }),
        4 => (called(), 0..4_u64, sweep(), 1..3_u32).prop_map(|(name, revision, released, limit)| {
            Command::ReleaseProfile {
                namespace: Namespace::default(),
                name: name.to_owned(),
                revision,
                released,
                limit,
                examine: 2,
            }
        }),
        4 => (called(), 1..3_u32).prop_map(|(name, limit)| Command::SpreadProfile {
            namespace: Namespace::default(),
            name: name.to_owned(),
            limit,
        }),
        2 => (name(), any::<bool>()).prop_map(|(name, north)| {
            let set: &[(&str, &str)] = if north { &[("site", "north")] } else { &[] };
            label(name, set, if north { &[] } else { &["site"] })
        }),
        1 => prop_oneof![Just(FeatureLevel::PROFILES), Just(FeatureLevel::INSTANCES)]
            .prop_map(|level| Command::RaiseFeatureLevel { level }),
        2 => (name(), random(), path()).prop_map(|(name, random, path)| Command::RecordValues {
            endpoint: endpoint(name),
            registration: registration_id(random),
            child: None,
            origin: ValueOrigin::Notify,
            values: vec![(path, text("x"), Timestamp::NEVER)],
        }),
    ]
}

/// Two packages of two parts, of which some do not fit.
fn artefacts() -> impl Strategy<Value = Command> {
    let name = || (0..2_u8).prop_map(|byte| artefact(byte, ArtefactChunk::BYTES + 1));
    let length = prop::sample::select(vec![1, ArtefactChunk::BYTES]);
    prop_oneof![
        2 => name().prop_map(|artefact| Command::BeginArtefact { artefact }),
        4 => (name(), 0..3_u32, length)
            .prop_map(|(artefact, number, length)| chunk(&artefact, number, length)),
        1 => name().prop_map(|artefact| Command::RemoveArtefact { artefact: artefact.name }),
    ]
}

/// As they are, or tried only.
fn rehearsed(command: Command) -> Command {
    if !command.is_of_caller() {
        return command;
    }
    let guard = Guard {
        effect: Effectiveness::Rehearsed,
        ..Guard::default()
    };
    Command::Guarded {
        guard,
        command: Box::new(command),
    }
}

/// Commands with request ids of their own, under a clock that mostly goes forward.
fn history() -> impl Strategy<Value = Vec<Envelope>> {
    let command = prop_oneof![3 => registrations(), 4 => operations(), 3 => intents(), 1 => sessions(), 2 => metadata(), 3 => campaigns(), 4 => profiles(), 1 => artefacts()];
    vec((command, 0..90_000_u64, any::<bool>()), 1..120).prop_map(|commands| {
        let mut now = Timestamp(START);
        let envelope = |(sequence, (command, pause, identified))| {
            now = now.saturating_add(Duration::from_millis(pause));
            let request_id = Some(RequestId {
                client: 1,
                sequence,
            })
            .filter(|_| identified);
            Envelope {
                request_id,
                leader_time: now,
                command,
            }
        };
        (0..).zip(commands).map(envelope).collect()
    })
}

fn replay(history: &[Envelope], entry: usize) -> MemoryTables {
    let mut tables = MemoryTables::new();
    for (revision, envelopes) in (1..).zip(history.chunks(entry)) {
        apply_entry(&mut tables, SHARD, Revision(revision), envelopes);
    }
    tables
}

/// What is to be desired of a device by its own set and by all profiles, none of which is paused.
fn expected(tables: &MemoryTables, endpoint: &DeviceName) -> BTreeMap<Path, (Goal, DesiredOrigin)> {
    let own = query::desired(tables, endpoint).into_iter();
    let mut expected: BTreeMap<_, _> = own
        .filter(|row| row.origin == DesiredOrigin::Device)
        .map(|row| (row.path, (row.goal, row.origin)))
        .collect();
    let metadata = query::metadata(tables, endpoint);
    let north = metadata.is_some_and(|metadata| {
        let site = metadata.labels.get(&LabelKey::new("site").unwrap());
        site.is_some_and(|site| site.as_str() == "north")
    });
    let is_registered = query::registration(tables, endpoint).is_some();
    for part in query::profile_parts(tables, &Namespace::default()) {
        let profile = part.profile;
        let everybody = profile.selector.filter == Condition::everything();
        let has = part.standing == Standing::Declared
            && (north || everybody)
            && (profile.requires.is_empty() || is_registered)
            && query::is_known(tables, endpoint);
        for resource in profile.resources.iter().filter(|_| has) {
            let origin = DesiredOrigin::Profile(profile.name.clone());
            let goal = resource.goal.clone();
            expected.entry(resource.path).or_insert((goal, origin));
        }
    }
    expected
}

/// Asks every device once more, as somebody who changed a profile would.
fn spread(tables: &mut MemoryTables) {
    let mut revision = 10_000;
    let mut run = |tables: &mut MemoryTables, command| {
        let envelope = Envelope {
            request_id: None,
            leader_time: Timestamp(START + 100_000_000),
            command,
        };
        revision += 1;
        apply_entry(tables, SHARD, Revision(revision), &[envelope]);
    };
    for part in query::all_profile_parts(tables) {
        let profile = Box::new(Profile {
            revision: part.profile.revision + 1,
            ..part.profile
        });
        let (namespace, name) = (profile.namespace.clone(), profile.name.clone());
        let standing = part.standing;
        run(tables, Command::InstallProfile { profile, standing });
        let pending = |tables: &MemoryTables| {
            let part = query::profile_part(tables, &namespace, &name);
            part.is_some_and(|part| !part.is_marked())
        };
        while pending(tables) {
            let (namespace, name) = (namespace.clone(), name.clone());
            let limit = 1;
            run(
                tables,
                Command::SpreadProfile {
                    namespace,
                    name,
                    limit,
                },
            );
        }
        let turns = |tables: &MemoryTables| {
            query::profile_part(tables, &namespace, &name).filter(|part| !part.is_spread())
        };
        while let Some(part) = turns(tables) {
            let release = Command::ReleaseProfile {
                namespace: namespace.clone(),
                name: name.clone(),
                revision: part.profile.revision,
                released: part.released,
                limit: 1,
                examine: 2,
            };
            run(tables, release);
        }
    }
}

fn without_feed(tables: &MemoryTables) -> Vec<Row> {
    let row = |row: &Row| match row {
        Row::Feed(_) => None,
        Row::Counters(counters) => Some(Row::Counters(Counters {
            feed_floor: Revision(0),
            ..*counters
        })),
        other => Some(other.clone()),
    };
    tables.rows().filter_map(row).collect()
}

proptest! {
    #[test]
    fn every_sequence_keeps_the_invariants(history in history()) {
        let mut tables = MemoryTables::new();
        for (revision, envelope) in (1..).zip(&history) {
            apply_entry(&mut tables, SHARD, Revision(revision), std::slice::from_ref(envelope));
            prop_assert_eq!(invariant::check(&tables), Ok(()), "after {:?}", envelope);
        }
    }

    #[test]
    fn a_rehearsal_tells_the_outcome_and_changes_nothing(history in history()) {
        let mut tables = MemoryTables::new();
        for (revision, envelope) in (1..).zip(&history) {
            let tried = Envelope {
                request_id: None,
                command: rehearsed(envelope.command.clone()),
                ..envelope.clone()
            };
            let is_tried = tried.command != envelope.command;
            let mut copy = tables.clone();
            let entry = |tables: &mut MemoryTables, envelope: &Envelope| {
                apply_entry(tables, SHARD, Revision(revision), std::slice::from_ref(envelope))
            };
            let told = entry(&mut copy, &tried);
            let before = tables.clone();
            let done = entry(&mut tables, envelope);
            if is_tried {
                prop_assert_eq!(&copy, &before);
                prop_assert_eq!(&told[0].outcome, &done[0].outcome);
            }
        }
    }

    #[test]
    fn the_same_sequence_gives_the_same_rows(history in history(), entry in 1..9_usize) {
        prop_assert_eq!(replay(&history, entry), replay(&history, entry));
    }

    #[test]
    fn how_commands_are_put_into_entries_changes_the_feed_only(
        history in history(),
        entry in 2..9_usize,
    ) {
        prop_assert_eq!(without_feed(&replay(&history, 1)), without_feed(&replay(&history, entry)));
    }

    #[test]
    fn requests_that_arrive_twice_change_nothing(history in history()) {
        let mut once = MemoryTables::new();
        let mut twice = MemoryTables::new();
        for (revision, envelope) in (1..).zip(&history) {
            let revision = Revision(revision);
            let first = apply_entry(&mut once, SHARD, revision, std::slice::from_ref(envelope));
            let repeated = match envelope.request_id {
                Some(_) => vec![envelope.clone(); 2],
                None => vec![envelope.clone()],
            };
            let applied = apply_entry(&mut twice, SHARD, revision, &repeated);
            for again in &applied {
                prop_assert_eq!(&again.outcome, &first[0].outcome);
            }
        }
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn in_the_end_everything_that_can_end_has_ended(history in history()) {
        let mut tables = replay(&history, 1);
        let end = Envelope {
            request_id: None,
            leader_time: Timestamp(u64::MAX - 1),
            command: Command::ExpireUpTo { limit: u32::MAX },
        };
        // Operations end first and their results thereafter; the clock of the results is saturated.
        apply_entry(&mut tables, SHARD, Revision(1_000), &[end.clone(), end]);
        prop_assert_eq!(invariant::check(&tables), Ok(()));
        prop_assert_eq!(query::next_expiry(&tables), None);
    }

    #[test]
    fn a_device_has_what_its_profiles_and_its_own_set_say(history in history()) {
        let mut tables = replay(&history, 1);
        spread(&mut tables);
        prop_assert_eq!(invariant::check(&tables), Ok(()));
        let parts = query::all_profile_parts(&tables);
        prop_assume!(parts.iter().all(|part| part.profile.activity == Activity::Active));
        for name in ["a", "b"] {
            let endpoint = endpoint(name);
            let rows = query::desired(&tables, &endpoint).into_iter();
            let found: BTreeMap<_, _> = rows
                .map(|row| (row.path, (row.goal, row.origin)))
                .collect();
            prop_assert_eq!(found, expected(&tables, &endpoint));
        }
    }

    #[test]
    fn every_desired_value_is_written_or_waits_for_its_write(history in history()) {
        let tables = replay(&history, 4);
        for name in ["a", "b"] {
            let endpoint = endpoint(name);
            for row in query::desired(&tables, &endpoint) {
                let DesiredResource { path, goal, state, .. } = row;
                let DesiredState::Pending { operation } = state else { continue };
                let record = query::operation(&tables, &endpoint, operation).unwrap();
                match record.operation {
                    Operation::Write { values, .. } => {
                        let written = (values[0].path, Some(&values[0].value));
                        prop_assert_eq!(written, (path, goal.value()));
                    }
                    Operation::Create { instance: Some(0), .. } => {
                        prop_assert_eq!(goal, Goal::Instance(Presence::Present));
                    }
                    operation => {
                        prop_assert_eq!(operation, Operation::Delete { path });
                        prop_assert_eq!(goal, Goal::Instance(Presence::Absent));
                    }
                }
            }
        }
    }
}
