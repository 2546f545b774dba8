//! The public API: what services ask for is read or refused with the field's name, what they are told is complete.

use std::sync::LazyLock;
use std::time::Duration;

use device_state::query::{DeviceView, FirmwareCampaign};
use device_state::{
    BootstrapProfile, Command, CredentialId, DesiredValue, DeviceName, DriftPolicy, FeedEntry,
    Goal, Namespace, OperationRecord, Presence, Registration, Revision,
};
use lwm2m::{Entry, Operation, Path, Registry, Value, WriteMode};
use proptest::prelude::*;
use proto::convert::public::{
    Defined, Delivery, DeviceRequest, DurableRequest, InNamespace, OperationTarget, Wait,
    new_models,
};
use proto::convert::{
    ConvertError, NewCredential, Reason, decode_secret, device_view, encode_secret,
    wire_device_view,
};
use proto::drover::v1 as public;

use crate::strategy;

static DEFAULT: LazyLock<Namespace> = LazyLock::new(Namespace::default);

pub(crate) fn in_default<R>(request: R) -> InNamespace<R> {
    InNamespace {
        namespace: Namespace::default(),
        request,
    }
}

fn by_oma<R>(request: R) -> Defined<'static, R> {
    Defined {
        namespace: &DEFAULT,
        request,
        definitions: Registry::oma(),
    }
}

fn device<R>(request: R) -> Result<DeviceRequest, ConvertError>
where
    DeviceRequest: TryFrom<Defined<'static, R>, Error = ConvertError>,
{
    by_oma(request).try_into()
}

fn made_durable<R>(request: R) -> Result<DurableRequest, ConvertError>
where
    DurableRequest: TryFrom<Defined<'static, R>, Error = ConvertError>,
{
    by_oma(request).try_into()
}

fn field<T: std::fmt::Debug>(result: Result<T, ConvertError>) -> String {
    result.unwrap_err().field
}

fn write(path: &str) -> public::WriteRequest {
    public::WriteRequest {
        endpoint: "meter".to_owned(),
        path: path.to_owned(),
        ..Default::default()
    }
}

fn value(path: &str, value: Value) -> public::PathValue {
    public::PathValue {
        path: path.to_owned(),
        value: Some(value.into()),
    }
}

#[test]
fn a_text_is_typed_by_the_definition_of_its_resource() {
    let request = public::WriteRequest {
        text: "85".to_owned(),
        ..write("/1/0/1")
    };
    let durable = made_durable(request).unwrap();
    let path = Path::Resource(1, 0, 1);
    let values = vec![Entry::new(path, Value::Integer(85))];
    assert_eq!(
        durable.operation,
        Operation::Write {
            path,
            mode: WriteMode::Replace,
            values
        }
    );
    assert_eq!(durable.delivery.deadline, Duration::from_secs(30));
    assert_eq!(durable.delivery.wait, Wait::UntilFinished);

    let wrong = public::WriteRequest {
        text: "soon".to_owned(),
        ..write("/1/0/1")
    };
    assert_eq!(field(made_durable(wrong)), "text");
    let unknown = public::WriteRequest {
        text: "1".to_owned(),
        ..write("/65000/0/1")
    };
    let refused = made_durable(unknown).unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::Untyped(Path::Resource(65_000, 0, 1))
    );
}

#[test]
fn a_value_takes_the_type_of_its_resource_and_an_instance_is_updated() {
    let request = |value| public::WriteRequest {
        values: vec![value],
        ..write("/1/0")
    };
    let wrong = request(value("/1/0/1", Value::Boolean(true)));
    assert_eq!(field(made_durable(wrong)), "values.value");
    let request = request(value("/1/0/1", Value::Unsigned(7)));
    let durable = made_durable(request).unwrap();
    let Operation::Write { mode, values, .. } = durable.operation else {
        panic!()
    };
    assert_eq!(mode, WriteMode::Update);
    assert_eq!(
        values,
        [Entry::new(Path::Resource(1, 0, 1), Value::Integer(7))]
    );
}

#[test]
fn a_request_that_no_device_could_accept_is_refused_with_the_field_that_is_wrong() {
    let read = |path: &str, accept| public::ReadRequest {
        endpoint: "m".to_owned(),
        path: path.to_owned(),
        accept,
        ..Default::default()
    };
    assert_eq!(field(device(read("3/0", None))), "path");
    assert_eq!(field(device(read("/", None))), "path");
    assert_eq!(field(device(read("/3", Some(65_536)))), "accept");
    assert_eq!(field(device(public::ReadRequest::default())), "path");
    assert_eq!(field(made_durable(write("/1/0"))), "values");
    let outside = public::WriteRequest {
        values: vec![value("/3/0/14", Value::Integer(1))],
        ..write("/1/0")
    };
    assert_eq!(field(made_durable(outside)), "values.value");
    let both = public::WriteRequest {
        values: vec![value("/1/0/1", Value::Integer(1))],
        text: "1".to_owned(),
        ..write("/1/0/1")
    };
    assert_eq!(field(made_durable(both)), "text");
    let nobody = public::WriteRequest {
        endpoint: String::new(),
        text: "1".to_owned(),
        ..write("/1/0/1")
    };
    assert_eq!(field(made_durable(nobody)), "endpoint");
    let execute = public::ExecuteRequest {
        endpoint: "m".to_owned(),
        path: "/3/0".to_owned(),
        ..Default::default()
    };
    assert_eq!(field(made_durable(execute)), "path");
    let attributes = public::WriteAttributesRequest {
        endpoint: "m".to_owned(),
        path: "/3/0/9".to_owned(),
        attributes: "pmin=soon".to_owned(),
        ..Default::default()
    };
    assert_eq!(field(made_durable(attributes)), "attributes");
    let behind = |child: &str| public::WriteRequest {
        child: child.to_owned(),
        text: "1".to_owned(),
        ..write("/1/0/1")
    };
    assert_eq!(field(made_durable(behind("33"))), "child");
    assert_eq!(field(made_durable(behind("a/b"))), "child");
    assert_eq!(field(device(read("/dev0/3/0", None))), "path");
    let observed = |child: &str, paths: &[&str]| {
        let paths = paths.iter().map(ToString::to_string).collect();
        device(public::PutObservationRequest {
            endpoint: "m".to_owned(),
            paths,
            child: child.to_owned(),
            ..Default::default()
        })
    };
    assert_eq!(field(observed("33", &["/3/0/9"])), "child");
    assert_eq!(field(observed("dev0", &["/3/0/9", "/4"])), "child");
    assert_eq!(field(observed("dev0", &["/"])), "path");
}

#[test]
fn a_callers_request_id_names_one_request_to_one_device() {
    let id = |endpoint: &str, request_id: &str| {
        let delivery = Some(public::Delivery {
            request_id: request_id.to_owned(),
            ..Default::default()
        });
        let request = public::WriteRequest {
            text: "1".to_owned(),
            delivery,
            ..write("/1/0/1")
        };
        let request = public::WriteRequest {
            endpoint: endpoint.to_owned(),
            ..request
        };
        made_durable(request).unwrap().delivery.request_id
    };
    assert_eq!(id("a", ""), None);
    assert_eq!(id("a", "x"), id("a", "x"));
    assert_ne!(id("a", "x"), id("a", "y"));
    assert_ne!(id("a", "x"), id("b", "x"));
    assert_ne!(id("a", "bx"), id("ab", "x"));
}

#[test]
fn a_deadline_is_more_than_nothing_and_at_most_a_year() {
    let with = |seconds| {
        let deadline = Some(prost_types::Duration { seconds, nanos: 0 });
        let delivery = Some(public::Delivery {
            deadline,
            ..Default::default()
        });
        made_durable(public::WriteRequest {
            text: "1".to_owned(),
            delivery,
            ..write("/1/0/1")
        })
    };
    assert_eq!(with(60).unwrap().delivery.deadline, Duration::from_mins(1));
    assert_eq!(field(with(0)), "delivery.deadline");
    assert_eq!(field(with(-5)), "delivery.deadline");
    assert_eq!(field(with(i64::MAX)), "delivery.deadline");
    assert!(with(Delivery::LONGEST.as_secs() as i64).is_ok());
}

const fn enforced(path: Path, value: Value) -> DesiredValue {
    DesiredValue {
        path,
        goal: Goal::Value(value),
        drift: DriftPolicy::Enforce,
    }
}

#[test]
fn desired_texts_are_typed() {
    let desired = |path: &str, text: &str| public::DesiredValue {
        path: path.to_owned(),
        text: text.to_owned(),
        ..Default::default()
    };
    let request = public::SetDesiredRequest {
        endpoint: "meter".to_owned(),
        generation: 4,
        resources: vec![desired("/1/0/1", "60"), desired("/3/0/14", "+01:00")],
        ..Default::default()
    };
    let resources = vec![
        enforced(Path::Resource(1, 0, 1), Value::Integer(60)),
        enforced(Path::Resource(3, 0, 14), Value::String("+01:00".to_owned())),
    ];
    let endpoint = DeviceName::parse("meter").unwrap();
    let expected = Command::SetDesired {
        endpoint,
        generation: 4,
        resources,
    };
    assert_eq!(Command::try_from(by_oma(request.clone())), Ok(expected));
    let wrong = public::SetDesiredRequest {
        resources: vec![desired("/1/0/1", "x")],
        ..request
    };
    assert_eq!(field(Command::try_from(by_oma(wrong))), "resources.text");
}

#[test]
fn desired_instances_are_there_or_not() {
    use public::Presence::{Absent, Present};
    let instance = |path: &str, presence: public::Presence| public::DesiredValue {
        path: path.to_owned(),
        presence: presence.into(),
        ..Default::default()
    };
    let asked = |resources: Vec<public::DesiredValue>| {
        let endpoint = "meter".to_owned();
        Command::try_from(by_oma(public::SetDesiredRequest {
            endpoint,
            generation: 4,
            resources,
            ..Default::default()
        }))
    };
    let goal = |id, presence| DesiredValue {
        path: Path::ObjectInstance(3311, id),
        goal: Goal::Instance(presence),
        drift: DriftPolicy::Enforce,
    };
    let both = asked(vec![
        instance("/3311/0", Present),
        instance("/3311/1", Absent),
    ]);
    let expected = Command::SetDesired {
        endpoint: DeviceName::parse("meter").unwrap(),
        generation: 4,
        resources: vec![goal(0, Presence::Present), goal(1, Presence::Absent)],
    };
    assert_eq!(expected.needs(), device_state::FeatureLevel::INSTANCES);
    assert_eq!(both, Ok(expected));
    for path in ["/0/0", "/1/0", "/2/0", "/3/0", "/5/0", "/3311", "/3311/0/1"] {
        let refused = asked(vec![instance(path, Present)]);
        assert_eq!(field(refused), "resources.path", "{path}");
    }
    let on = public::DesiredValue {
        path: "/3311/1/5850".to_owned(),
        text: "1".to_owned(),
        ..Default::default()
    };
    assert!(asked(vec![instance("/3311/1", Present), on.clone()]).is_ok());
    let contradiction = asked(vec![instance("/3311/1", Absent), on.clone()]);
    assert_eq!(field(contradiction), "resources");
    let two = public::DesiredValue {
        presence: Present.into(),
        ..on
    };
    assert_eq!(field(asked(vec![two])), "resources.presence");
}

fn definition(id: u16) -> public::PutObjectModelsRequest {
    let words = "<MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>";
    let item = |id, operations, value_type| {
        format!(
            "<Item ID=\"{id}\"><Name>R</Name><Operations>{operations}</Operations>{words}\
             <Type>{value_type}</Type></Item>"
        )
    };
    let ddf = format!(
        "<LWM2M><Object ObjectType=\"MODefinition\"><Name>Pump</Name><ObjectID>{id}</ObjectID>{words}\
         <Resources>{}{}</Resources></Object></LWM2M>",
        item(0, "RW", "Float"),
        item(1, "R", "Boolean"),
    );
    public::PutObjectModelsRequest {
        ddf,
        ..Default::default()
    }
}

#[test]
fn values_of_vendors_objects_are_typed_and_checked_by_their_definitions() {
    let models = new_models(&definition(26_241)).unwrap();
    let definitions = Registry::oma().with(models);
    let write = |path: &str| {
        let request = public::WriteRequest {
            text: "1".to_owned(),
            ..write(path)
        };
        let definitions = &definitions;
        DurableRequest::try_from(Defined {
            namespace: &DEFAULT,
            request,
            definitions,
        })
    };
    let path = Path::Resource(26_241, 0, 0);
    assert_eq!(
        write("/26241/0/0").unwrap().operation,
        Operation::Write {
            path,
            mode: WriteMode::Replace,
            values: vec![Entry::new(path, Value::Float(1.0))],
        }
    );
    let refused = write("/26241/0/1").unwrap_err().to_string();
    assert!(refused.contains("not writable"), "{refused}");
    assert_eq!(field(write("/26242/0/0")), "text");
}

#[test]
fn a_definition_that_cannot_be_added_is_refused_with_its_place() {
    assert_eq!(field(new_models(&definition(3))), "ddf");
    let broken = public::PutObjectModelsRequest {
        ddf: "<LWM2M>".to_owned(),
        ..Default::default()
    };
    let error = new_models(&broken).unwrap_err().to_string();
    assert!(error.starts_with("ddf: line 1, column 1: "), "{error}");
}

proptest! {
    #[test]
    fn a_described_object_is_read_back(model in strategy::object_model()) {
        let message = public::ObjectModel::from(model.clone());
        prop_assert_eq!(lwm2m::ObjectModel::try_from(message), Ok(model));
    }
}

#[test]
fn an_operation_id_is_read_in_its_one_form_only() {
    let get = |id: &str| {
        let request = public::GetOperationRequest {
            endpoint: "m".to_owned(),
            id: id.to_owned(),
        };
        OperationTarget::try_from(in_default(request))
    };
    assert_eq!(get("12-345").unwrap().operation.to_string(), "12-345");
    for wrong in ["", "12", "12-", "-1", "012-1", "1-+1", "65536-1"] {
        assert_eq!(field(get(wrong)), "id", "{wrong}");
    }
}

fn put(
    credential: public::put_credential_request::Credential,
) -> Result<NewCredential, ConvertError> {
    NewCredential::try_from(in_default(public::PutCredentialRequest {
        endpoint: "m".to_owned(),
        credential: Some(credential),
        ..Default::default()
    }))
}

#[test]
fn a_key_is_bounded_and_stays_out_of_logs() {
    let put = |key: Vec<u8>| {
        let identity = b"id".to_vec();
        let psk = public::PreSharedKey { identity, key };
        put(public::put_credential_request::Credential::PreSharedKey(
            psk,
        ))
    };
    assert!(!format!("{:?}", put(vec![77; 16]).unwrap()).contains("77"));
    assert_eq!(field(put(vec![])), "pre_shared_key.key");
    assert_eq!(field(put(vec![0; 65])), "pre_shared_key.key");
}

#[test]
fn an_oscore_context_has_two_ids_and_comes_back_from_its_bytes() {
    let put = |client_id: &[u8], server_id: &[u8]| {
        put(public::put_credential_request::Credential::Oscore(
            public::OscoreContext {
                client_id: client_id.to_vec(),
                server_id: server_id.to_vec(),
                master_secret: vec![1; 16],
                master_salt: Vec::new(),
                id_context: None,
            },
        ))
    };
    assert_eq!(field(put(b"1", b"1")), "oscore.server_id");
    assert_eq!(field(put(b"12345678", b"1")), "oscore.client_id");
    let new = put(b"1", b"").unwrap();
    let bytes = encode_secret(&new.secret);
    assert_eq!(decode_secret(&new.id, bytes), Some(new.secret));
}

#[test]
fn only_a_p256_key_is_taken_and_known_by_its_fingerprint() {
    let info =
        "3059301306072a8648ce3d020106082a8648ce3d03010703420004".to_owned() + &"17".repeat(64);
    let put = |info: &str| {
        let info = hex::decode(info).unwrap();
        put(public::put_credential_request::Credential::PublicKey(info))
    };
    let fingerprint = "3e1225618c82d7f34526707019effe63b8b2e26bbb0c448e77333dd95e78b457";
    let CredentialId::PublicKey(found) = put(&info).unwrap().id else {
        panic!("another kind of id");
    };
    assert_eq!(hex::encode(found), fingerprint);
    assert_eq!(field(put(&info[2..])), "public_key");
    assert_eq!(field(put(&(info + "00"))), "public_key");
}

proptest! {
    #[test]
    fn values_are_read_back_as_shown(value in strategy::value()) {
        prop_assert_eq!(Value::try_from(public::Value::from(value.clone())), Ok(value));
    }

    #[test]
    fn everything_can_be_shown(
        registration in strategy::registration(),
        record in strategy::operation_record(),
        entry in strategy::feed_entry(),
    ) {
        let (registration, record, entry): (Registration, OperationRecord, FeedEntry) = (registration, record, entry);
        let device = public::Device::from(registration.clone());
        prop_assert_eq!(device.endpoint, registration.endpoint.endpoint_str());
        prop_assert_eq!(device.lifetime.is_none(), registration.lifetime.is_infinite());
        let operation = public::Operation::from(record.clone());
        prop_assert_eq!(operation.id, record.id.to_string());
        let event = public::Event::from(entry.clone());
        prop_assert_eq!(event.endpoint, entry.endpoint.endpoint_str());
        prop_assert!(event.kind.is_some());
    }

    #[test]
    fn a_described_device_is_read_back(
        registration in strategy::registration(),
        child_values in proptest::collection::vec(strategy::child_value(), 0..3),
        record in strategy::operation_record(),
        bootstrap in proptest::option::of(strategy::bootstrap_record()),
        metadata in proptest::option::of(strategy::metadata()),
        ledger in proptest::option::of(crate::campaign::ledger()),
    ) {
        let firmware = |ledger| FirmwareCampaign {
            name: "fw231".to_owned(),
            image: "m200-2.3.1".to_owned(),
            version: "2.3.1".to_owned(),
            ledger,
        };
        let view = DeviceView {
            endpoint: registration.endpoint.clone(),
            registration: Some(registration),
            desired: vec![],
            desired_generation: Some(3),
            values: vec![],
            child_values,
            operations: vec![record],
            observations: vec![],
            bootstrap,
            metadata,
            firmware: ledger.map(firmware),
        };
        let response = wire_device_view(view.clone(), Revision(9));
        prop_assert_eq!(device_view(&view.endpoint.clone(), response), Ok((view, Revision(9))));
    }
}

#[test]
fn a_device_shows_its_objects_and_times() {
    let registration = Registration {
        endpoint: DeviceName::parse("meter").unwrap(),
        id: "0001ab".parse().unwrap(),
        identity: device_state::SecurityIdentity::Unauthenticated,
        owner: device_state::NodeId(0xab),
        peer: "[2001:db8::1]:5683".parse().unwrap(),
        transport: device_state::Transport::Dtls,
        session: Some(device_state::SessionCid([1, 0, 0, 4, 5, 6, 7, 8])),
        lifetime: lwm2m::Lifetime::from_secs(60),
        version: lwm2m::LwM2mVersion::V1_1,
        binding: lwm2m::Binding::UDP_QUEUED,
        links: "</1/0>,</3/0>,</3303>;ver=1.1".to_owned(),
        registered_at: device_state::Timestamp(1_500),
        updated_at: device_state::Timestamp(2_000),
        expires_at: device_state::Timestamp::NEVER,
        quirks: device_state::Quirks::default(),
        enrollment: None,
    };
    let device = public::Device::from(registration);
    let object = |object, instance, version: &str| public::ObjectInstance {
        object,
        instance,
        version: version.to_owned(),
    };
    assert_eq!(
        device.objects,
        [
            object(1, Some(0), "1.1"),
            object(3, Some(0), "1.1"),
            object(3303, None, "1.1")
        ]
    );
    assert_eq!(
        device.registration_time,
        Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 500_000_000
        })
    );
    assert_eq!(device.expire_time, None);
    assert_eq!(
        (device.peer.as_str(), device.transport.as_str()),
        ("[2001:db8::1]:5683", "DTLS")
    );
    assert_eq!(
        (device.connection_id.as_str(), device.binding.as_str()),
        ("0100000405060708", "UQ")
    );
    assert_eq!(device.ingress_node, "00000000000000ab");
}

#[test]
fn the_rights_of_servers_are_letters_and_name_servers_of_the_profile() {
    let rule = |path: &str, id, letters: &str, owner| public::AccessRule {
        path: path.to_owned(),
        rights: vec![public::access_rule::Right {
            short_server_id: id,
            letters: letters.to_owned(),
        }],
        owner,
    };
    let put = |access: Vec<public::AccessRule>| {
        let servers = [7, 8].map(|id| public::BootstrapAccount {
            uri: "coaps://h".to_owned(),
            short_server_id: id,
            ..Default::default()
        });
        let profile = public::BootstrapProfile {
            name: "shared".to_owned(),
            servers: servers.to_vec(),
            access,
            ..Default::default()
        };
        BootstrapProfile::try_from(in_default(public::PutBootstrapProfileRequest {
            profile: Some(profile),
            ..Default::default()
        }))
    };
    let given = vec![rule("/3303/0", 8, "wr", 0), rule("/3303", 0, "c", 0)];
    let profile = put(given).unwrap();
    assert_eq!(profile.access[0].rights, [(8, 0b11)]);
    assert_eq!(
        (profile.access[0].owner, profile.access[1].owner),
        (7, 65_535)
    );
    let shown = public::BootstrapProfile::from(profile).access;
    let expected = [rule("/3303/0", 8, "rw", 7), rule("/3303", 0, "c", 65_535)];
    assert_eq!(shown, expected);

    let wrong = |rules: &[public::AccessRule]| field(put(rules.to_vec()));
    assert_eq!(
        wrong(&[rule("/3303/0", 7, "rr", 0)]),
        "profile.access.rights.letters"
    );
    assert_eq!(
        wrong(&[rule("/3303/0", 7, "x", 0)]),
        "profile.access.rights.letters"
    );
    assert_eq!(
        wrong(&[rule("/3303/0", 9, "r", 0)]),
        "profile.access.rights"
    );
    assert_eq!(wrong(&[rule("/3303/0", 7, "r", 9)]), "profile.access.owner");
    assert_eq!(
        wrong(&[rule("/3303/0/1", 7, "r", 0)]),
        "profile.access.path"
    );
    assert_eq!(wrong(&[rule("/2/0", 7, "r", 0)]), "profile.access.path");
    assert_eq!(wrong(&[rule("/3303", 7, "r", 0)]), "profile.access.rights");
    assert_eq!(
        wrong(&[rule("/3303/0", 7, "c", 0)]),
        "profile.access.rights"
    );
    assert_eq!(wrong(&[rule("/3303", 7, "c", 7)]), "profile.access.owner");
    let twice = rule("/3303/0", 7, "r", 0);
    assert_eq!(wrong(&[twice.clone(), twice]), "profile.access.path");
}
