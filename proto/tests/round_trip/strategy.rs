//! Random domain values.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use device_state::command::{Live, Missing};
use device_state::guard::Effectiveness;
use device_state::table::{Counters, Expiring};
use device_state::{
    AccessRule, Attempt, BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapSecurity,
    BootstrapServer, BoundCredential, CertificateUse, ChildValue, Command, Contact, ContextOwner,
    Credential, CredentialId, CredentialKey, CredentialName, CredentialOrigin, DesiredOrigin,
    DesiredResource, DesiredState, DesiredValue, DeviceName, DriftPolicy, Envelope, Etag, Event,
    FeatureLevel, FeedEntry, Goal, Guard, IndexEntry, Indexed, LabelKey, LabelValue, LastValue,
    Leadership, MapChange, Member, MemberPhase, Metadata, Move, Namespace, NodeId, Observation,
    ObservationHolder, OperationId, OperationOutcome, OperationRecord, OperationSource,
    OperationState, Outcome, Presence, Queueing, Quirks, RefusedAttempt, Registration, Rejection,
    RequestId, Resumption, ResumptionId, Revision, Row, SecurityIdentity, ServerCertificate,
    Session, SessionCid, SessionGeneration, ShardId, StateNode, StateNodeRole, Timestamp,
    Transport, ValueOrigin,
};
use lwm2m::{
    Binding, ChildPrefix, CompositePaths, ContentFormat, Entry, ExecuteArguments, Lifetime,
    LwM2mVersion, Method, NotificationAttributes, ObjectModel, ObjectVersion, Observed, Operation,
    Operations, Patch, Path, RawRequest, RegistrationId, ResourceModel, Value, ValueType,
    WriteMode,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proto::convert::{MAX_REFUSED, ReportedContact};

pub(crate) fn endpoint() -> impl Strategy<Value = DeviceName> {
    "(\u{1f}[a-c]{1,3}\u{1f})?[a-z0-9:é-]{1,24}".prop_map(|name| DeviceName::parse(&name).unwrap())
}

pub(crate) fn namespace() -> impl Strategy<Value = Namespace> {
    "default|[a-c]([a-c-]{0,2}[a-c])?".prop_map(|name| Namespace::new(&name).unwrap())
}

pub(crate) fn registration_id() -> impl Strategy<Value = RegistrationId> {
    "[A-Za-z0-9_-]{1,32}".prop_map(|id| RegistrationId::new(&id).unwrap())
}

pub(crate) fn path() -> impl Strategy<Value = Path> {
    vec(0_u16..65_535, 0..=4).prop_map(|ids| Path::from_segments(&ids).unwrap())
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,12}".prop_map(Value::String),
        any::<i64>().prop_map(Value::Integer),
        any::<u64>().prop_map(Value::Unsigned),
        any::<f64>().prop_map(Value::Float),
        any::<bool>().prop_map(Value::Boolean),
        vec(any::<u8>(), 0..12).prop_map(Value::Opaque),
        any::<i64>().prop_map(Value::Time),
        any::<(u16, u16)>().prop_map(|(object, instance)| Value::ObjectLink { object, instance }),
        ".{0,12}".prop_map(Value::CoreLink),
    ]
}

fn cid() -> impl Strategy<Value = SessionCid> {
    any::<[u8; 8]>().prop_map(SessionCid)
}

pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<u64>().prop_map(Timestamp), Just(Timestamp::NEVER)]
}

fn owner() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

fn peer() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

fn identity() -> impl Strategy<Value = SecurityIdentity> {
    prop_oneof![
        Just(SecurityIdentity::Unauthenticated),
        credential_id().prop_map(SecurityIdentity::Credential),
        vec("[a-z:.]{0,20}", 0..3).prop_map(SecurityIdentity::CertificateNames),
    ]
}

fn context_owner() -> impl Strategy<Value = ContextOwner> {
    (namespace(), context_owner_of_default())
        .prop_map(|(namespace, row)| ContextOwner { namespace, ..row })
}

fn context_owner_of_default() -> impl Strategy<Value = ContextOwner> {
    let id = vec(any::<u8>(), 0..=7);
    let window = vec(any::<u8>(), 0..=64);
    (id, any::<u64>(), any::<u16>(), window).prop_map(|(oscore_id, owner, generation, window)| {
        ContextOwner {
            namespace: Namespace::default(),
            oscore_id,
            owner: NodeId(owner),
            generation: SessionGeneration(generation),
            window,
        }
    })
}

pub(crate) fn credential_id() -> impl Strategy<Value = CredentialId> {
    prop_oneof![
        vec(any::<u8>(), 1..=128).prop_map(CredentialId::PskIdentity),
        any::<[u8; 32]>().prop_map(CredentialId::PublicKey),
        vec(any::<u8>(), 0..=7).prop_map(CredentialId::OscoreId),
    ]
}

fn binding() -> impl Strategy<Value = Binding> {
    let letters = select(vec!["U", "UQ", "UTS", "NMHQ"]);
    letters.prop_map(|letters| letters.parse().unwrap())
}

fn lifetime() -> impl Strategy<Value = Lifetime> {
    any::<u32>().prop_map(Lifetime::from_secs)
}

fn request_id() -> impl Strategy<Value = RequestId> {
    any::<(u64, u64)>().prop_map(|(client, sequence)| RequestId { client, sequence })
}

pub(crate) fn operation_id() -> impl Strategy<Value = OperationId> {
    any::<(u16, u64)>().prop_map(|(shard, sequence)| OperationId {
        shard: ShardId(shard),
        sequence,
    })
}

fn transport() -> impl Strategy<Value = Transport> {
    select(vec![
        Transport::Udp,
        Transport::Dtls,
        Transport::Tcp,
        Transport::Tls,
    ])
}

pub(crate) fn registration() -> impl Strategy<Value = Registration> {
    let who = (endpoint(), registration_id(), identity(), owner(), peer());
    let how = (
        transport(),
        option::of(cid()),
        lifetime(),
        select(vec![
            LwM2mVersion::V1_0,
            LwM2mVersion::V1_1,
            LwM2mVersion::V1_2,
        ]),
        binding(),
    );
    let times = [time(), time(), time()];
    let learnt = (quirks(), option::of(crate::enrollment::enrollment()));
    (who, how, ".{0,20}", times, learnt).prop_map(|(who, how, links, times, learnt)| {
        let (quirks, enrollment) = learnt;
        let (endpoint, id, identity, owner, peer) = who;
        let (transport, session, lifetime, version, binding) = how;
        let [registered_at, updated_at, expires_at] = times;
        Registration {
            endpoint,
            id,
            identity,
            owner,
            peer,
            transport,
            session,
            lifetime,
            version,
            binding,
            links,
            registered_at,
            updated_at,
            expires_at,
            quirks,
            enrollment,
        }
    })
}

fn session() -> impl Strategy<Value = Session> {
    (namespace(), session_of_default()).prop_map(|(namespace, row)| Session { namespace, ..row })
}

fn session_of_default() -> impl Strategy<Value = Session> {
    (
        cid(),
        vec(any::<u8>(), 0..20),
        identity(),
        peer(),
        owner(),
        any::<u16>(),
        time(),
        time(),
    )
        .prop_map(
            |(cid, export, identity, peer, owner, generation, stored_at, expires_at)| {
                let generation = SessionGeneration(generation);
                Session {
                    namespace: Namespace::default(),
                    cid,
                    export,
                    identity,
                    peer,
                    owner,
                    generation,
                    stored_at,
                    expires_at,
                }
            },
        )
}

fn resumption_id() -> impl Strategy<Value = ResumptionId> {
    any::<[u8; 32]>().prop_map(ResumptionId)
}

fn resumption() -> impl Strategy<Value = Resumption> {
    (namespace(), resumption_of_default())
        .prop_map(|(namespace, row)| Resumption { namespace, ..row })
}

fn resumption_of_default() -> impl Strategy<Value = Resumption> {
    (
        resumption_id(),
        vec(any::<u8>(), 0..20),
        identity(),
        option::of(cid()),
        time(),
        time(),
    )
        .prop_map(
            |(id, state, identity, session, stored_at, expires_at)| Resumption {
                namespace: Namespace::default(),
                id,
                state,
                identity,
                session,
                stored_at,
                expires_at,
            },
        )
}

fn member() -> impl Strategy<Value = Member> {
    (namespace(), member_of_default()).prop_map(|(namespace, row)| Member { namespace, ..row })
}

fn member_of_default() -> impl Strategy<Value = Member> {
    (
        owner(),
        ".{0,20}",
        select(vec![MemberPhase::Ready, MemberPhase::Leaving]),
        vec(peer(), 0..3),
        time(),
    )
        .prop_map(|(node, name, phase, workers, lease_until)| Member {
            namespace: Namespace::default(),
            node,
            name,
            phase,
            workers,
            lease_until,
        })
}

fn credential() -> impl Strategy<Value = Credential> {
    (
        credential_id(),
        endpoint(),
        vec(any::<u8>(), 0..40),
        time(),
        any::<u64>(),
    )
        .prop_map(
            |(id, endpoint, sealed_secret, created_at, serial)| Credential {
                id,
                endpoint,
                sealed_secret,
                created_at,
                serial,
            },
        )
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    vec(
        (path(), value()).prop_map(|(path, value)| Entry::new(path, value)),
        0..4,
    )
}

fn arguments() -> impl Strategy<Value = ExecuteArguments> {
    select(vec!["", "5", "0='https://example.com',2"]).prop_map(|text| text.parse().unwrap())
}

fn attributes() -> impl Strategy<Value = NotificationAttributes> {
    let query = select(vec![
        "pmin=10", "pmax", "gt=45.5", "st=0.1", "epmin=2", "edge=1", "con=0", "hqmax=7",
    ]);
    query.prop_map(|item| NotificationAttributes::parse_query(&[item, "lt=-3"]).unwrap())
}

pub(crate) fn parameters() -> impl Strategy<Value = NotificationAttributes> {
    prop_oneof![Just(NotificationAttributes::default()), attributes()]
}

fn child() -> impl Strategy<Value = ChildPrefix> {
    select(vec!["dev0", "a4:c1:38", "~"]).prop_map(|prefix| prefix.parse().unwrap())
}

pub(crate) fn observed() -> impl Strategy<Value = Observed> {
    prop_oneof![
        path().prop_map(Observed::Path),
        (child(), path()).prop_map(|(child, path)| Observed::Behind { child, path }),
        vec(path(), 1..4)
            .prop_map(|paths| Observed::Composite(CompositePaths::new(paths).unwrap())),
    ]
}

fn patch() -> impl Strategy<Value = Patch> {
    prop_oneof![
        (path(), value()).prop_map(|(path, value)| Patch::Set(Entry::new(path, value))),
        path().prop_map(Patch::Remove),
    ]
}

fn format() -> impl Strategy<Value = Option<ContentFormat>> {
    option::of(any::<u16>().prop_map(ContentFormat))
}

fn raw() -> impl Strategy<Value = RawRequest> {
    (
        select(Method::ALL.to_vec()),
        vec("[0-9a-z]{0,3}", 0..3),
        vec("[a-z]=[0-9]", 0..3),
        format(),
        format(),
        vec(any::<u8>(), 0..9),
    )
        .prop_map(
            |(method, path, query, content_format, accept, payload)| RawRequest {
                method,
                path,
                query,
                content_format,
                accept,
                payload,
            },
        )
}

fn queueing() -> impl Strategy<Value = Queueing> {
    any::<(u8, bool)>().prop_map(|(priority, supersedes)| Queueing {
        priority,
        supersedes,
    })
}

fn certificate(usage: Option<CertificateUse>) -> BootstrapSecurity {
    BootstrapSecurity::Certificate(ServerCertificate {
        certificate: vec![0x30, 1, 2],
        usage,
    })
}

fn access_rule((object, instance, server, bits): (u16, Option<u16>, u16, u8)) -> AccessRule {
    let (bits, owner) = match instance {
        None => (AccessRule::CREATE, AccessRule::BOOTSTRAP_SERVER),
        Some(_) => (bits, 1),
    };
    AccessRule {
        object,
        instance,
        rights: vec![(server, bits)],
        owner,
    }
}

fn bootstrap_profile() -> impl Strategy<Value = BootstrapProfile> {
    (namespace(), bootstrap_profile_of_default())
        .prop_map(|(namespace, row)| BootstrapProfile { namespace, ..row })
}

fn bootstrap_profile_of_default() -> impl Strategy<Value = BootstrapProfile> {
    let access = select(vec![
        ("coap://h", BootstrapSecurity::NoSec),
        ("coaps://h", BootstrapSecurity::NoSec),
        ("coaps://lwm2m.example.com:5684", BootstrapSecurity::Psk),
        (
            "coaps+tcp://h",
            BootstrapSecurity::RawPublicKey {
                server: vec![0x30, 0],
            },
        ),
        ("coaps://h", certificate(None)),
        (
            "coaps://h",
            certificate(Some(CertificateUse::TrustAnchorAssertion)),
        ),
        ("coaps://h", certificate(Some(CertificateUse::CaConstraint))),
        ("coap://h", BootstrapSecurity::Oscore),
    ]);
    let server = (access, lifetime(), binding());
    let rule = (3..20_u16, option::of(0..65_535_u16), 0..2_u16, 0..16_u8);
    let names = ("[a-z0-9-]{1,9}", "[a-z-]{0,9}");
    (names, vec(server, 1..4), option::of(rule)).prop_map(
        |((name, endpoint_prefix), servers, rule)| BootstrapProfile {
            namespace: Namespace::default(),
            access: rule.map(access_rule).into_iter().collect(),
            name,
            endpoint_prefix,
            servers: (1..)
                .zip(servers)
                .map(
                    |(id, ((uri, security), lifetime, binding))| BootstrapServer {
                        uri: uri.to_owned(),
                        short_server_id: id,
                        security,
                        lifetime,
                        binding,
                    },
                )
                .collect(),
        },
    )
}

fn object_version() -> impl Strategy<Value = ObjectVersion> {
    any::<(u8, u8)>().prop_map(|(major, minor)| ObjectVersion::new(major, minor))
}

fn resource_model() -> impl Strategy<Value = ResourceModel> {
    let kinds = select(vec![
        ("E", None),
        ("R", Some(ValueType::Unsigned)),
        ("RW", Some(ValueType::ObjectLink)),
        ("", Some(ValueType::Opaque)),
    ]);
    let fact = || option::of(".{1,9}".prop_map(Into::into));
    let facts = (fact(), fact(), fact());
    let flags = any::<(bool, bool)>();
    (0_u16..65_535, ".{1,9}", kinds, flags, facts).prop_map(
        |(
            id,
            name,
            (operations, value_type),
            (multiple, mandatory),
            (range, units, description),
        )| {
            ResourceModel {
                id,
                name: name.into(),
                operations: Operations::parse(operations).unwrap(),
                multiple,
                mandatory,
                value_type,
                range,
                units,
                description,
            }
        },
    )
}

pub(crate) fn object_model() -> impl Strategy<Value = ObjectModel> {
    let flags = any::<(bool, bool)>();
    let resources = vec(resource_model(), 0..5);
    let versions = (object_version(), object_version());
    (0_u16..65_535, versions, ".{1,9}", flags, resources).prop_map(
        |(id, (version, lwm2m_version), name, (multiple, mandatory), mut resources)| {
            resources.sort_by_key(|resource| resource.id);
            resources.dedup_by_key(|resource| resource.id);
            let mut model = ObjectModel::new(id, version, name);
            model.lwm2m_version = lwm2m_version;
            model.multiple = multiple;
            model.mandatory = mandatory;
            model.with_resources(resources).unwrap()
        },
    )
}

pub(crate) fn bootstrap_record() -> impl Strategy<Value = BootstrapRecord> {
    let outcome = select(vec![
        BootstrapResult::Finished,
        BootstrapResult::PackDelivered,
        BootstrapResult::Failed,
    ]);
    let confirmed = vec(vec(any::<u8>(), 0..9), 0..3);
    (
        endpoint(),
        "[a-z]{0,9}",
        outcome,
        ".{0,20}",
        time(),
        confirmed,
    )
        .prop_map(
            |(endpoint, profile, outcome, detail, at, confirmed)| BootstrapRecord {
                endpoint,
                profile,
                outcome,
                detail,
                at,
                confirmed,
            },
        )
}

fn quirks() -> impl Strategy<Value = Quirks> {
    let formats = (any::<u16>(), any::<u16>())
        .prop_map(|(label, actual)| (ContentFormat(label), ContentFormat(actual)));
    (any::<bool>(), any::<bool>(), option::of(formats)).prop_map(
        |(no_composite, no_observe_parameters, mislabelled)| Quirks {
            no_composite,
            no_observe_parameters,
            mislabelled,
        },
    )
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    (option::of(child()), own_operation()).prop_map(|(child, operation)| match child {
        Some(child) => operation.behind(child),
        None => operation,
    })
}

fn own_operation() -> impl Strategy<Value = Operation> {
    let write = (
        path(),
        select(vec![WriteMode::Replace, WriteMode::Update]),
        entries(),
    );
    prop_oneof![
        (path(), option::of(any::<u16>().prop_map(ContentFormat)))
            .prop_map(|(path, accept)| Operation::Read { path, accept }),
        write.prop_map(|(path, mode, values)| Operation::Write { path, mode, values }),
        (path(), arguments()).prop_map(|(path, arguments)| Operation::Execute { path, arguments }),
        (path(), option::of(any::<u8>()))
            .prop_map(|(path, depth)| Operation::Discover { path, depth }),
        (observed(), parameters()).prop_map(|(observed, parameters)| Operation::Observe {
            observed,
            parameters
        }),
        observed().prop_map(|observed| Operation::CancelObserve { observed }),
        (vec(path(), 0..4), format())
            .prop_map(|(paths, accept)| Operation::ReadComposite { paths, accept }),
        vec(patch(), 0..4).prop_map(|patches| Operation::WriteComposite { patches }),
        raw().prop_map(Operation::Raw),
        (path(), option::of(any::<u16>()), entries()).prop_map(|(path, instance, values)| {
            Operation::Create {
                path,
                instance,
                values,
            }
        }),
        path().prop_map(|path| Operation::Delete { path }),
        (path(), attributes())
            .prop_map(|(path, attributes)| Operation::WriteAttributes { path, attributes }),
    ]
}

pub(crate) fn operation_outcome() -> impl Strategy<Value = OperationOutcome> {
    prop_oneof![
        (any::<u8>(), vec((path(), value()), 0..4))
            .prop_map(|(code, values)| OperationOutcome::Delivered { code, values }),
        (any::<u8>(), ".{0,12}")
            .prop_map(|(code, diagnostic)| OperationOutcome::Rejected { code, diagnostic }),
        (any::<u8>(), format(), vec(any::<u8>(), 0..9)).prop_map(
            |(code, content_format, payload)| OperationOutcome::Answered {
                code,
                content_format,
                payload
            }
        ),
        Just(OperationOutcome::Expired),
        Just(OperationOutcome::Cancelled),
        Just(OperationOutcome::Superseded),
    ]
}

pub(crate) fn operation_record() -> impl Strategy<Value = OperationRecord> {
    let state = prop_oneof![
        Just(OperationState::Pending),
        (owner(), time()).prop_map(|(owner, since)| OperationState::InFlight { owner, since }),
        (operation_outcome(), time(), time()).prop_map(|(outcome, at, retain_until)| {
            OperationState::Finished {
                outcome,
                at,
                retain_until,
            }
        }),
    ];
    let source = select(vec![
        OperationSource::Caller,
        OperationSource::Desired,
        OperationSource::Campaign,
    ]);
    (
        operation_id(),
        endpoint(),
        operation(),
        (source, any::<u8>()),
        time(),
        time(),
        state,
    )
        .prop_map(
            |(id, endpoint, operation, (source, priority), enqueued_at, deadline, state)| {
                OperationRecord {
                    id,
                    endpoint,
                    operation,
                    source,
                    priority,
                    enqueued_at,
                    deadline,
                    state,
                }
            },
        )
}

fn desired_state() -> impl Strategy<Value = DesiredState> {
    prop_oneof![
        operation_id().prop_map(|operation| DesiredState::Pending { operation }),
        time().prop_map(|since| DesiredState::InSync { since }),
        time().prop_map(|since| DesiredState::Drifted { since }),
        (any::<u8>(), ".{0,9}", time()).prop_map(|(code, diagnostic, since)| {
            DesiredState::Rejected {
                code,
                diagnostic,
                since,
            }
        }),
    ]
}

pub(crate) fn drift() -> impl Strategy<Value = DriftPolicy> {
    prop_oneof![
        Just(DriftPolicy::Enforce),
        Just(DriftPolicy::Report),
        Just(DriftPolicy::InitOnly),
    ]
}

pub(crate) fn desired_value() -> impl Strategy<Value = DesiredValue> {
    let goal = prop_oneof![
        2 => value().prop_map(Goal::Value),
        1 => Just(Goal::Instance(Presence::Present)),
        1 => Just(Goal::Instance(Presence::Absent)),
    ];
    (path(), goal, drift()).prop_map(|(path, goal, drift)| DesiredValue { path, goal, drift })
}

fn desired() -> impl Strategy<Value = DesiredResource> {
    let origin = prop_oneof![
        Just(DesiredOrigin::Device),
        "[a-c]{1,3}".prop_map(DesiredOrigin::Profile),
    ];
    let corrected = option::of((1..u64::MAX).prop_map(Timestamp));
    (
        (endpoint(), desired_value(), any::<u64>(), desired_state()),
        origin,
        corrected,
    )
        .prop_map(
            |((endpoint, wanted, generation, state), origin, corrected_at)| DesiredResource {
                endpoint,
                path: wanted.path,
                goal: wanted.goal,
                drift: wanted.drift,
                origin,
                generation,
                state,
                corrected_at,
            },
        )
}

fn observation() -> impl Strategy<Value = Observation> {
    let holder =
        (any::<u64>(), time()).prop_map(|(id, lease_until)| ObservationHolder { id, lease_until });
    (endpoint(), observed(), parameters(), vec(holder, 0..4)).prop_map(
        |(endpoint, observed, parameters, holders)| Observation {
            endpoint,
            observed,
            parameters,
            holders,
        },
    )
}

fn origin() -> impl Strategy<Value = ValueOrigin> {
    select(vec![
        ValueOrigin::Notify,
        ValueOrigin::Send,
        ValueOrigin::Read,
        ValueOrigin::Write,
    ])
}

fn timed_values() -> impl Strategy<Value = Vec<(Path, Value, Timestamp)>> {
    vec((path(), value(), time()), 0..4)
}

fn state_node() -> impl Strategy<Value = StateNode> {
    (
        owner(),
        "[a-z0-9.:]{0,20}",
        "[a-z0-9.:]{0,20}",
        select(vec![
            StateNodeRole::Voter,
            StateNodeRole::Learner,
            StateNodeRole::Leaving,
        ]),
        select(vec![Leadership::Allowed, Leadership::Avoided]),
    )
        .prop_map(|(node, internal, api, role, leadership)| StateNode {
            node,
            internal,
            api,
            role,
            leadership,
        })
}

fn expiring() -> impl Strategy<Value = Expiring> {
    prop_oneof![
        endpoint().prop_map(Expiring::Registration),
        cid().prop_map(Expiring::Session),
        resumption_id().prop_map(Expiring::Resumption),
        (endpoint(), any::<u64>())
            .prop_map(|(endpoint, sequence)| Expiring::Operation(endpoint, sequence)),
        (endpoint(), observed(), any::<u64>())
            .prop_map(|(endpoint, observed, holder)| Expiring::Hold(endpoint, observed, holder)),
        owner().prop_map(Expiring::Member),
        endpoint().prop_map(Expiring::CampaignDevice),
        (endpoint(), path()).prop_map(|(endpoint, path)| Expiring::Correction(endpoint, path)),
        crate::artefact::name().prop_map(Expiring::Artefact),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        registration().prop_map(|row| Event::Registered {
            registration: Box::new(row)
        }),
        registration().prop_map(|row| Event::Updated {
            registration: Box::new(row)
        }),
        registration_id().prop_map(|id| Event::Deregistered { id }),
        registration_id().prop_map(|id| Event::Expired { id }),
        (option::of(child()), origin(), timed_values()).prop_map(|(child, origin, values)| {
            Event::ValuesReported {
                child,
                origin,
                values,
            }
        }),
        (
            operation_id(),
            "[a-z]{1,9}",
            "/[0-9]{1,3}",
            operation_outcome()
        )
            .prop_map(
                |(operation, name, target, outcome)| Event::OperationFinished {
                    operation,
                    name,
                    target,
                    outcome
                }
            ),
        bootstrap_record().prop_map(|record| Event::Bootstrapped { record }),
        ("[a-z]{1,9}", crate::campaign::phase())
            .prop_map(|(campaign, phase)| Event::CampaignMoved { campaign, phase }),
        metadata().prop_map(|metadata| Event::MetadataChanged { metadata }),
        Just(Event::Forgotten),
        (path(), any::<u64>(), option::of(desired_state())).prop_map(
            |(path, generation, state)| Event::DesiredChanged {
                path,
                generation,
                state
            }
        ),
    ]
}

pub(crate) fn feed_entry() -> impl Strategy<Value = FeedEntry> {
    (any::<u64>(), any::<u32>(), time(), endpoint(), event()).prop_map(
        |(revision, index, at, endpoint, event)| FeedEntry {
            revision: Revision(revision),
            index,
            at,
            endpoint,
            event,
        },
    )
}

fn credential_key() -> impl Strategy<Value = CredentialKey> {
    (credential_id(), any::<u64>()).prop_map(|(id, serial)| CredentialKey { id, serial })
}

fn bound_credential() -> impl Strategy<Value = BoundCredential> {
    let origin = select(vec![CredentialOrigin::Stored, CredentialOrigin::Bootstrap]);
    (credential_key(), origin).prop_map(|(key, origin)| BoundCredential { key, origin })
}

fn rejection() -> impl Strategy<Value = Rejection> {
    select(vec![
        Rejection::UnknownRegistration,
        Rejection::UnknownDevice,
        Rejection::UnknownOperation,
        Rejection::UnknownSession,
        Rejection::UnknownCredential,
        Rejection::CidTaken,
        Rejection::GenerationMoved,
        Rejection::StaleGeneration,
        Rejection::QueueFull,
        Rejection::TooManyObservations,
        Rejection::TooManyDesired,
        Rejection::TooManyMembers,
        Rejection::UnknownResumption,
        Rejection::ResumptionTaken,
        Rejection::ResumptionTooLong,
        Rejection::SecurityRequired,
        Rejection::TooManyCredentials,
        Rejection::CredentialTaken,
        Rejection::ObservedOtherwise,
        Rejection::UnknownProfile,
        Rejection::TooManyProfiles,
        Rejection::UnknownModel,
        Rejection::TooManyModels,
        Rejection::TooManyStateNodes,
        Rejection::UnknownStateNode,
        Rejection::StateNodeLeaves,
        Rejection::EtagMismatch,
        Rejection::RequestIdReused,
        Rejection::StillRegistered,
        Rejection::TooManyLabels,
        Rejection::AnnotationsTooLong,
        Rejection::UnknownCampaign,
        Rejection::CampaignExists,
        Rejection::CampaignRuns,
        Rejection::CampaignEnded,
        Rejection::CampaignStopped,
        Rejection::TooManyCampaigns,
        Rejection::UnknownWave,
        Rejection::UnknownArtefact,
        Rejection::TooManyArtefacts,
        Rejection::WrongChunk,
        Rejection::UnknownGroup,
        Rejection::TooManyGroups,
        Rejection::CourseMoved,
    ])
}

pub(crate) fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (
            registration_id(),
            time(),
            vec(observation(), 0..4),
            quirks(),
            option::of(peer())
        )
            .prop_map(|(id, expires_at, observations, quirks, moved_from)| {
                Outcome::Registered {
                    id,
                    expires_at,
                    observations,
                    quirks,
                    moved_from,
                }
            }),
        (
            endpoint(),
            time(),
            vec(observation(), 0..4),
            option::of(peer())
        )
            .prop_map(|(endpoint, expires_at, observations, moved_from)| {
                Outcome::Updated {
                    endpoint,
                    expires_at,
                    observations,
                    moved_from,
                }
            }),
        endpoint().prop_map(|endpoint| Outcome::Deregistered { endpoint }),
        any::<u32>().prop_map(|rows| Outcome::Expired { rows }),
        session().prop_map(|session| Outcome::Claimed {
            session: Box::new(session)
        }),
        operation_id().prop_map(|operation| Outcome::Enqueued { operation }),
        any::<u64>().prop_map(|revision| Outcome::Revised { revision }),
        any::<bool>().prop_map(|complete| Outcome::Arrived { complete }),
        (any::<bool>(), vec(member(), 0..4))
            .prop_map(|(stood, members)| Outcome::Members { stood, members }),
        (endpoint(), any::<u64>())
            .prop_map(|(endpoint, serial)| Outcome::CredentialTaken { endpoint, serial }),
        Just(Outcome::Done),
        rejection().prop_map(Outcome::Rejected),
    ]
}

fn counters() -> impl Strategy<Value = Counters> {
    (any::<[u64; 14]>(), any::<u16>()).prop_map(
        |(
            [
                next_operation,
                registrations,
                sessions,
                resumptions,
                dedup_rows,
                feed_rows,
                feed_bytes,
                floor,
                model_changes,
                campaign_devices,
                dynamic_campaigns,
                profiles,
                enrolled,
                counting_campaigns,
            ],
            context_floor,
        )| Counters {
            next_operation,
            registrations,
            sessions,
            resumptions,
            dedup_rows,
            feed_rows,
            feed_bytes,
            feed_floor: Revision(floor),
            model_changes,
            feature_level: FeatureLevel::SUPPORTED,
            context_floor: SessionGeneration(context_floor),
            campaign_devices,
            dynamic_campaigns,
            profiles,
            enrolled,
            counting_campaigns,
        },
    )
}

fn last_value() -> impl Strategy<Value = LastValue> {
    (endpoint(), path(), value(), origin(), time()).prop_map(
        |(endpoint, path, value, origin, at)| LastValue {
            endpoint,
            path,
            value,
            origin,
            at,
        },
    )
}

pub(crate) fn child_value() -> impl Strategy<Value = ChildValue> {
    (child(), last_value()).prop_map(|(child, value)| ChildValue { child, value })
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        6 => crate::campaign::row(),
        4 => crate::profile::row(),
        2 => crate::artefact::row(),
        2 => crate::enrollment::row(),
        24 => other_row(),
    ]
}

fn other_row() -> impl Strategy<Value = Row> {
    prop_oneof![
        registration().prop_map(Row::Registration),
        (registration_id(), endpoint())
            .prop_map(|(id, endpoint)| Row::RegistrationIndex { id, endpoint }),
        session().prop_map(Row::Session),
        resumption().prop_map(Row::Resumption),
        credential().prop_map(Row::Credential),
        context_owner().prop_map(Row::ContextOwner),
        (endpoint(), vec(bound_credential(), 0..4)).prop_map(|(endpoint, credentials)| {
            Row::EndpointCredentials {
                endpoint,
                credentials,
            }
        }),
        member().prop_map(Row::Member),
        state_node().prop_map(Row::StateNode),
        operation_record().prop_map(Row::Operation),
        desired().prop_map(Row::Desired),
        observation().prop_map(Row::Observation),
        last_value().prop_map(Row::LastValue),
        child_value().prop_map(Row::ChildValue),
        metadata().prop_map(Row::Metadata),
        index_entry().prop_map(Row::Index),
        (time(), expiring()).prop_map(|(at, what)| Row::Expiry { at, what }),
        feed_entry().prop_map(Row::Feed),
        (request_id(), outcome(), option::of(any::<u64>())).prop_map(
            |(request_id, outcome, fingerprint)| Row::Dedup {
                request_id,
                outcome,
                fingerprint,
            }
        ),
        (time(), request_id()).prop_map(|(at, request_id)| Row::DedupOrder { at, request_id }),
        bootstrap_profile().prop_map(Row::BootstrapProfile),
        bootstrap_record().prop_map(Row::Bootstrap),
        object_model().prop_map(Row::ObjectModel),
        counters().prop_map(Row::Counters),
        (endpoint(), any::<u64>()).prop_map(|(endpoint, generation)| Row::DesiredGeneration {
            endpoint,
            generation
        }),
    ]
}

fn update() -> impl Strategy<Value = Command> {
    let who = (
        registration_id(),
        identity(),
        owner(),
        peer(),
        option::of(transport()),
        option::of(cid()),
    );
    let changes = (
        option::of(lifetime()),
        option::of(binding()),
        option::of(".{0,9}"),
    );
    (namespace(), who, changes).prop_map(
        |(
            namespace,
            (id, identity, owner, peer, transport, session),
            (lifetime, binding, links),
        )| {
            Command::Update {
                namespace,
                id,
                identity,
                owner,
                peer,
                transport,
                session,
                lifetime,
                binding,
                links,
            }
        },
    )
}

fn session_or_credential_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (session(), option::of(resumption().prop_map(Box::new))).prop_map(
            |(session, resumption)| Command::StoreSession {
                session: Box::new(session),
                resumption,
            }
        ),
        resumption().prop_map(|row| Command::StoreResumption {
            resumption: Box::new(row)
        }),
        (resumption_id(), option::of(session().prop_map(Box::new)))
            .prop_map(|(id, session)| Command::Resume { id, session }),
        resumption_id().prop_map(|id| Command::RemoveResumption { id }),
        (cid(), owner(), any::<u16>()).prop_map(|(cid, owner, generation)| {
            Command::ClaimSession {
                cid,
                owner,
                expected: SessionGeneration(generation),
            }
        }),
        (registration_id(), cid(), owner())
            .prop_map(|(id, session, owner)| Command::MoveRegistration { id, session, owner }),
        cid().prop_map(|cid| Command::RemoveSession { cid }),
        (member(), any::<u32>()).prop_map(|(member, lease)| Command::RenewMembership {
            member,
            lease: Duration::from_millis(lease.into()),
        }),
        (0..=FeatureLevel::SUPPORTED.0).prop_map(|level| Command::RaiseFeatureLevel {
            level: FeatureLevel(level)
        }),
        state_node().prop_map(|node| Command::PutStateNode { node }),
        owner().prop_map(|node| Command::ForgetStateNode { node }),
        credential().prop_map(|credential| Command::PutCredential { credential }),
        credential().prop_map(|credential| Command::AddCredential { credential }),
        context_owner().prop_map(|context| Command::ClaimContext {
            namespace: context.namespace,
            oscore_id: context.oscore_id,
            owner: context.owner,
            expected: context.generation,
        }),
        context_owner().prop_map(|context| Command::ReleaseContext {
            namespace: context.namespace,
            oscore_id: context.oscore_id,
            owner: context.owner,
            generation: context.generation,
            window: context.window,
        }),
        (namespace(), credential_id()).prop_map(|(namespace, id)| Command::RemoveCredential {
            credential: CredentialName { namespace, id }
        }),
        (endpoint(), bound_credential()).prop_map(|(endpoint, credential)| Command::BindEndpoint {
            endpoint,
            credential,
        }),
        (endpoint(), credential_key()).prop_map(|(endpoint, credential)| {
            Command::UnbindEndpoint {
                endpoint,
                credential,
            }
        }),
    ]
}

fn operation_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (endpoint(), any::<u64>(), vec(desired_value(), 0..4)).prop_map(
            |(endpoint, generation, resources)| Command::SetDesired {
                endpoint,
                generation,
                resources
            }
        ),
        (endpoint(), operation(), time(), queueing()).prop_map(
            |(endpoint, operation, deadline, queueing)| Command::Enqueue {
                endpoint,
                operation,
                deadline,
                queueing,
            }
        ),
        (endpoint(), operation_id(), owner()).prop_map(|(endpoint, operation, owner)| {
            Command::Start {
                endpoint,
                operation,
                owner,
            }
        }),
        (endpoint(), operation_id()).prop_map(|(endpoint, operation)| Command::Requeue {
            endpoint,
            operation
        }),
        (endpoint(), operation_id(), operation_outcome()).prop_map(
            |(endpoint, operation, outcome)| Command::Finish {
                endpoint,
                operation,
                outcome
            }
        ),
        (endpoint(), operation_id()).prop_map(|(endpoint, operation)| Command::Cancel {
            endpoint,
            operation
        }),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        9 => crate::campaign::command(),
        4 => crate::profile::command(),
        3 => crate::artefact::command(),
        2 => crate::enrollment::command(),
        40 => other_command(),
    ]
}

fn other_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        registration().prop_map(|row| Command::Register {
            registration: Box::new(row)
        }),
        update(),
        (namespace(), registration_id(), identity()).prop_map(|(namespace, id, identity)| {
            Command::Deregister {
                namespace,
                id,
                identity,
            }
        }),
        any::<u32>().prop_map(|limit| Command::ExpireUpTo { limit }),
        Just(Command::CompareRows),
        session_or_credential_command(),
        operation_command(),
        (endpoint(), observed(), parameters(), any::<u64>(), time()).prop_map(
            |(endpoint, observed, parameters, holder, lease_until)| {
                Command::HoldObservation {
                    endpoint,
                    observed,
                    parameters,
                    holder,
                    lease_until,
                }
            }
        ),
        (endpoint(), observed(), any::<u64>()).prop_map(|(endpoint, observed, holder)| {
            Command::ReleaseObservation {
                endpoint,
                observed,
                holder,
            }
        }),
        bootstrap_profile().prop_map(|profile| Command::PutBootstrapProfile { profile }),
        (namespace(), "[a-z]{1,9}")
            .prop_map(|(namespace, name)| Command::RemoveBootstrapProfile { namespace, name }),
        bootstrap_record().prop_map(|record| Command::RecordBootstrap { record }),
        object_model().prop_map(|model| Command::PutObjectModel {
            model: Box::new(model)
        }),
        (0_u16..65_535, option::of(object_version()))
            .prop_map(|(object, version)| Command::RemoveObjectModel { object, version }),
        (registration_id(), quirks()).prop_map(|(registration, quirks)| Command::LearnQuirks {
            registration,
            quirks
        }),
        record_values(),
        metadata_command(),
        guarded(),
    ]
}

fn label_key() -> impl Strategy<Value = LabelKey> {
    "([a-z]{1,3}/)?[A-Za-z0-9]([a-z_.-]{0,3}[0-9])?".prop_map(|key| LabelKey::new(&key).unwrap())
}

fn labels() -> impl Strategy<Value = BTreeMap<LabelKey, LabelValue>> {
    let value = "([a-z]{1,4})?".prop_map(|value| LabelValue::new(&value).unwrap());
    btree_map(label_key(), value, 0..3)
}

fn annotations() -> impl Strategy<Value = BTreeMap<LabelKey, String>> {
    btree_map(label_key(), ".{0,9}", 0..3)
}

pub(crate) fn metadata() -> impl Strategy<Value = Metadata> {
    (endpoint(), labels(), annotations()).prop_map(|(endpoint, labels, annotations)| Metadata {
        endpoint,
        labels,
        annotations,
    })
}

fn index_entry() -> impl Strategy<Value = IndexEntry> {
    let attribute = prop_oneof![
        label_key().prop_map(Indexed::Label),
        Just(Indexed::Manufacturer),
        Just(Indexed::Model),
        Just(Indexed::FirmwareVersion),
    ];
    (attribute, "[a-zé ]{0,9}", endpoint()).prop_map(|(attribute, value, endpoint)| IndexEntry {
        attribute,
        value,
        endpoint,
    })
}

fn map_change<V: Clone + std::fmt::Debug>(
    map: impl Strategy<Value = BTreeMap<LabelKey, V>>,
) -> impl Strategy<Value = MapChange<V>> {
    (map, btree_set(label_key(), 0..3), any::<bool>()).prop_map(|(set, remove, replace)| {
        if replace {
            MapChange::Replace(set)
        } else {
            MapChange::Merge { set, remove }
        }
    })
}

fn missing() -> impl Strategy<Value = Missing> {
    prop_oneof![Just(Missing::Refused), Just(Missing::Allowed)]
}

fn metadata_command() -> impl Strategy<Value = Command> {
    let live = prop_oneof![Just(Live::Refused), Just(Live::Deregistered)];
    prop_oneof![
        (
            endpoint(),
            map_change(labels()),
            map_change(annotations()),
            missing()
        )
            .prop_map(
                |(endpoint, labels, annotations, missing)| Command::ChangeMetadata {
                    endpoint,
                    labels,
                    annotations,
                    missing,
                }
            ),
        (endpoint(), live, missing()).prop_map(|(endpoint, live, missing)| Command::Forget {
            endpoint,
            live,
            missing
        }),
    ]
}

fn guarded() -> impl Strategy<Value = Command> {
    let effect = prop_oneof![Just(Effectiveness::Real), Just(Effectiveness::Rehearsed)];
    let etag = option::of(any::<[u8; Etag::BYTES]>().prop_map(Etag));
    let guard = (etag, effect, option::of(any::<u64>()));
    (guard, metadata_command()).prop_map(|((etag, effect, fingerprint), command)| {
        Command::Guarded {
            guard: Guard {
                etag,
                effect,
                fingerprint,
            },
            command: Box::new(command),
        }
    })
}

fn record_values() -> impl Strategy<Value = Command> {
    let of = (endpoint(), registration_id(), option::of(child()));
    (of, origin(), timed_values()).prop_map(|((endpoint, registration, child), origin, values)| {
        Command::RecordValues {
            endpoint,
            registration,
            child,
            origin,
            values,
        }
    })
}

pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    (option::of(request_id()), time(), command()).prop_map(|(request_id, leader_time, command)| {
        Envelope {
            request_id,
            leader_time,
            command,
        }
    })
}

fn last_move() -> impl Strategy<Value = Move> {
    (time(), peer(), peer()).prop_map(|(at, from, to)| Move { at, from, to })
}

fn contact() -> impl Strategy<Value = Contact> {
    let last_move = option::of(last_move().prop_map(Box::new));
    let counts = any::<[u32; 7]>();
    (time(), time(), counts, last_move).prop_map(|(since, heard_at, counts, last_move)| Contact {
        since,
        heard_at,
        requests: counts[0],
        unanswered: counts[1],
        sent_again: counts[2],
        heard: counts[3],
        heard_again: counts[4],
        registered_again: counts[5],
        moves: counts[6],
        last_move,
    })
}

fn refused_attempt() -> impl Strategy<Value = RefusedAttempt> {
    let what = select(Attempt::ALL.to_vec());
    (time(), peer(), what, ".{0,12}", any::<u32>()).prop_map(|(at, from, what, reason, count)| {
        RefusedAttempt {
            at,
            from,
            what,
            reason,
            count,
        }
    })
}

pub(crate) fn reported_contact() -> impl Strategy<Value = ReportedContact> {
    let refused = vec(refused_attempt(), 0..=MAX_REFUSED);
    (option::of(contact()), refused)
        .prop_map(|(contact, refused)| ReportedContact { contact, refused })
}
