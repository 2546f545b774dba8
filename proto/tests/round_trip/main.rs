//! What is written to the log and to the tables is read back as it was, and nothing else is read.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod artefact;
mod campaign;
mod conditions;
mod enrollment;
mod profile;
mod public;
mod strategy;

use device_state::command::{Live, Missing};
use device_state::guard::Effectiveness;
use device_state::table::Expiring;
use device_state::{
    ChildValue, Command, DeviceName, Envelope, Event, FeedEntry, Guard, IndexEntry, LabelKey,
    LabelValue, LastValue, Metadata, Namespace, Observation, Outcome, Revision, Row,
    SecurityIdentity, Session, SessionCid, Timestamp, ValueOrigin,
};
use lwm2m::{ChildPrefix, NotificationAttributes, Observed, Operation, Path, Value};
use proptest::prelude::*;
use prost::Message;
use proto::convert::{ConvertError, Reason, ReportedContact};
use proto::rpc::v1::ContactReport;
use proto::storage::v1 as wire;

/// Encodes, decodes and converts back.
fn through_bytes<D, W>(domain: D) -> Result<D, ConvertError>
where
    W: From<D> + Message + Default,
    D: TryFrom<W, Error = ConvertError>,
{
    let bytes = W::from(domain).encode_to_vec();
    D::try_from(W::decode(bytes.as_slice()).unwrap())
}

/// Decodes arbitrary bytes; whatever they are must be refused or read, never panic.
fn read_any<D, W>(bytes: &[u8]) -> Option<D>
where
    W: Message + Default,
    D: TryFrom<W, Error = ConvertError>,
{
    D::try_from(W::decode(bytes).ok()?).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn commands_are_read_back_as_written(command in strategy::command()) {
        prop_assert_eq!(through_bytes::<_, wire::Command>(command.clone()), Ok(command));
    }

    #[test]
    fn rows_are_read_back_as_written(row in strategy::row()) {
        prop_assert_eq!(through_bytes::<_, wire::Row>(row.clone()), Ok(row));
    }

    #[test]
    fn outcomes_are_read_back_as_written(outcome in strategy::outcome()) {
        prop_assert_eq!(through_bytes::<_, wire::Outcome>(outcome.clone()), Ok(outcome));
    }

    #[test]
    fn operations_are_read_back_as_written(operation in strategy::operation()) {
        prop_assert_eq!(through_bytes::<_, wire::Operation>(operation.clone()), Ok(operation));
    }

    #[test]
    fn feed_entries_are_read_back_as_written(entry in strategy::feed_entry()) {
        prop_assert_eq!(through_bytes::<_, wire::FeedEntry>(entry.clone()), Ok(entry));
    }

    #[test]
    fn log_entries_are_read_back_as_written(envelopes in prop::collection::vec(strategy::envelope(), 0..4)) {
        prop_assert_eq!(through_bytes::<Vec<Envelope>, wire::Entry>(envelopes.clone()), Ok(envelopes));
    }

    #[test]
    fn reports_of_contacts_are_read_back_as_written(
        reported in strategy::reported_contact(),
        tag in any::<u64>(),
    ) {
        let bytes = reported.clone().into_report(tag).encode_to_vec();
        let report = ContactReport::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(report.tag, tag);
        prop_assert_eq!(ReportedContact::try_from(report), Ok(reported));
    }

    #[test]
    fn a_damaged_message_is_refused_or_read(
        row in strategy::row(),
        command in strategy::command(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = wire::Row::from(row).encode_to_vec();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _row = read_any::<Row, wire::Row>(&bytes);
        let mut bytes = wire::Command::from(command).encode_to_vec();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _command = read_any::<Command, wire::Command>(&bytes);
        let _outcome = read_any::<Outcome, wire::Outcome>(&bytes);
        let _entry = read_any::<FeedEntry, wire::FeedEntry>(&bytes);
    }
}

fn refusal<D, W>(message: W) -> (String, Reason)
where
    D: TryFrom<W, Error = ConvertError> + std::fmt::Debug,
{
    let ConvertError { field, reason } = D::try_from(message).unwrap_err();
    (field, reason)
}

#[test]
fn an_unset_choice_is_refused() {
    let missing = |field: &str| (field.to_owned(), Reason::Missing);
    assert_eq!(
        refusal::<Command, _>(wire::Command::default()),
        missing("command")
    );
    assert_eq!(refusal::<Row, _>(wire::Row::default()), missing("row.kind"));
    assert_eq!(
        refusal::<Outcome, _>(wire::Outcome::default()),
        missing("outcome.kind")
    );
    assert_eq!(
        refusal::<Operation, _>(wire::Operation::default()),
        missing("kind")
    );
    assert_eq!(refusal::<Value, _>(wire::Value::default()), missing("kind"));
}

#[test]
fn an_error_names_the_field_from_the_outside_in() {
    let release = wire::command::ReleaseObservation {
        endpoint: "e".to_owned(),
        path: None,
        composite: Vec::new(),
        behind: None,
        holder: 1,
    };
    let kind = Some(wire::command::Kind::ReleaseObservation(release));
    let error = Command::try_from(wire::Command { kind }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "command.release_observation.path: is missing"
    );
}

#[test]
fn a_path_of_more_than_four_ids_or_with_an_id_out_of_range_is_refused() {
    let refused = |ids: &[u32]| refusal::<Path, _>(wire::Path { ids: ids.to_vec() }).1;
    assert_eq!(
        refused(&[1, 2, 3, 4, 5]),
        Reason::TooMany { found: 5, limit: 4 }
    );
    assert_eq!(refused(&[65_536]), Reason::OutOfRange(65_536));
    assert_eq!(refused(&[65_535]), Reason::Path);
    assert_eq!(Path::try_from(wire::Path { ids: vec![] }), Ok(Path::Root));
}

#[test]
fn unknown_enum_values_are_refused() {
    let rejected = |number| wire::Outcome {
        kind: Some(wire::outcome::Kind::Rejected(number)),
    };
    assert_eq!(refusal::<Outcome, _>(rejected(0)).1, Reason::UnknownEnum(0));
    assert_eq!(
        refusal::<Outcome, _>(rejected(4_711)).1,
        Reason::UnknownEnum(4_711)
    );
}

#[test]
fn identities_connection_ids_and_addresses_have_their_lengths() {
    use wire::credential_id::Kind;
    let remove = |kind| refusal::<Command, _>(wire::Command { kind: Some(kind) }).1;
    assert_eq!(
        remove(wire::command::Kind::RemoveSession(vec![0; 7])),
        Reason::Length(7)
    );
    assert_eq!(
        remove(wire::command::Kind::RemoveResumption(vec![0; 31])),
        Reason::Length(31)
    );
    let credential = |kind| {
        let id = wire::CredentialId {
            kind: Some(kind),
            namespace: String::new(),
        };
        remove(wire::command::Kind::RemoveCredential(id))
    };
    assert_eq!(credential(Kind::PskIdentity(vec![])), Reason::Length(0));
    let long = Kind::PskIdentity(vec![0; 129]);
    assert_eq!(credential(long), Reason::Length(129));
    assert_eq!(credential(Kind::PublicKey(vec![0; 31])), Reason::Length(31));
    assert_eq!(credential(Kind::OscoreId(vec![0; 8])), Reason::Length(8));
    let peer = |ip: Vec<u8>, port| refusal::<std::net::SocketAddr, _>(wire::Peer { ip, port }).1;
    assert_eq!(peer(vec![127, 0, 0], 1), Reason::Length(3));
    assert_eq!(peer(vec![127, 0, 0, 1], 65_536), Reason::OutOfRange(65_536));
}

#[test]
fn a_list_longer_than_its_bound_is_refused() {
    let item = wire::DesiredValue {
        path: Some(Path::Resource(3, 0, 14).into()),
        value: Some(Value::Integer(1).into()),
        drift: 0,
        presence: 0,
    };
    let set = wire::command::SetDesired {
        endpoint: "e".to_owned(),
        generation: 1,
        resources: vec![item; proto::convert::MAX_VALUES + 1],
    };
    let command = wire::Command {
        kind: Some(wire::command::Kind::SetDesired(set)),
    };
    assert_eq!(
        refusal::<Command, _>(command).1,
        Reason::TooMany {
            found: 4_097,
            limit: 4_096
        }
    );
}

#[test]
fn an_entry_of_a_later_format_is_refused() {
    let entry = wire::Entry {
        format: 2,
        envelopes: vec![],
    };
    assert_eq!(
        Vec::<Envelope>::try_from(entry).unwrap_err().reason,
        Reason::Format(2)
    );
}

#[test]
fn bytes_at_rest_do_not_change() {
    // A change of these bytes is a change of the format of every stored log and table.
    let envelope = Envelope {
        request_id: Some(device_state::RequestId {
            client: 1,
            sequence: 300,
        }),
        leader_time: Timestamp(1_700_000_000_000),
        command: Command::ClaimSession {
            cid: SessionCid([1, 2, 3, 4, 5, 6, 7, 8]),
            owner: device_state::NodeId(9),
            expected: device_state::SessionGeneration(2),
        },
    };
    let bytes = wire::Entry::from(vec![envelope]).encode_to_vec();
    let golden = "0801122e0a0c09010000000000000010ac021080d095ffbc311a173215\
                  0a0801020304050607081109000000000000001802";
    assert_eq!(hex::encode(bytes), golden.replace(' ', ""));
    let resumption = Row::Resumption(device_state::Resumption {
        namespace: Namespace::default(),
        id: device_state::ResumptionId([1; 32]),
        state: vec![4, 5],
        identity: SecurityIdentity::Unauthenticated,
        session: Some(SessionCid([1, 2, 3, 4, 5, 6, 7, 8])),
        stored_at: Timestamp(1),
        expires_at: Timestamp(2),
    });
    let bytes = wire::Row::from(resumption).encode_to_vec();
    let golden = format!(
        "8a01380a20{}120204051a0208012208010203040506070828013002",
        "01".repeat(32)
    );
    assert_eq!(hex::encode(bytes), golden);
}

#[test]
fn the_bytes_of_what_came_later_do_not_change_either() {
    let compare = wire::Command::from(Command::CompareRows).encode_to_vec();
    assert_eq!(hex::encode(compare), "b20200");
    let read = Operation::Read {
        path: Path::Resource(3, 0, 9),
        accept: None,
    };
    let behind = read.behind("dev0".parse().unwrap());
    let bytes = wire::Operation::from(behind).encode_to_vec();
    assert_eq!(hex::encode(bytes), "6a110a046465763012090a070a050a03030009");
    let rule = device_state::AccessRule {
        object: 3303,
        instance: Some(0),
        rights: vec![(1, 0b1111), (0, 1)],
        owner: 1,
    };
    let bytes = wire::AccessRule::from(rule).encode_to_vec();
    assert_eq!(hex::encode(bytes), "08e71910001a040801100f1a0210012001");
    let counters = device_state::Counters {
        feed_rows: 2,
        feed_bytes: 300,
        ..Default::default()
    };
    let bytes = wire::Counters::from(counters).encode_to_vec();
    assert_eq!(hex::encode(bytes), "280248ac02");
}

fn behind() -> Observed {
    Observed::Behind {
        child: "dev0".parse().unwrap(),
        path: Path::Resource(3, 0, 9),
    }
}

#[test]
fn the_bytes_of_observations_behind_a_gateway_do_not_change_either() {
    let endpoint = || "gw".parse::<DeviceName>().unwrap();
    let hex = |message: Vec<u8>| hex::encode(message);
    let cancel = Operation::CancelObserve { observed: behind() };
    let bytes = wire::Operation::from(cancel).encode_to_vec();
    assert_eq!(hex(bytes), "320f1a0d0a046465763012050a03030009");
    let hold = Command::HoldObservation {
        endpoint: endpoint(),
        observed: behind(),
        parameters: NotificationAttributes::default(),
        holder: 1,
        lease_until: Timestamp(2),
    };
    assert_eq!(
        hex(wire::Command::from(hold).encode_to_vec()),
        "82011e0a02677719010000000000000020023a0d0a046465763012050a03030009"
    );
    let observation = Row::Observation(Observation {
        endpoint: endpoint(),
        observed: behind(),
        parameters: NotificationAttributes::default(),
        holders: Vec::new(),
    });
    let bytes = wire::Row::from(observation).encode_to_vec();
    assert_eq!(hex(bytes), "3a130a026777320d0a046465763012050a03030009");
    let at = Timestamp(5);
    let what = Expiring::Hold(endpoint(), behind(), 1);
    let bytes = wire::Row::from(Row::Expiry { at, what }).encode_to_vec();
    assert_eq!(
        hex(bytes),
        "4a2008052a1c0a0267771901000000000000002a0d0a046465763012050a03030009"
    );
}

#[test]
fn the_bytes_of_values_behind_a_gateway_do_not_change_either() {
    let endpoint = || "gw".parse::<DeviceName>().unwrap();
    let child = || Some("dev0".parse::<ChildPrefix>().unwrap());
    let (path, at) = (Path::Resource(3, 0, 9), Timestamp(5));
    let values = || vec![(path, Value::Integer(80), at)];
    let record = Command::RecordValues {
        endpoint: endpoint(),
        registration: "0001ab".parse().unwrap(),
        child: child(),
        origin: ValueOrigin::Notify,
        values: values(),
    };
    let bytes = wire::Command::from(record).encode_to_vec();
    assert_eq!(
        hex::encode(bytes),
        "a202260a0464657630121e0a02677712063030303161621801220e0a050a03030009120310a0011805"
    );
    let value = LastValue {
        endpoint: endpoint(),
        path,
        value: Value::Integer(80),
        origin: ValueOrigin::Notify,
        at,
    };
    let child_value = ChildValue {
        child: child().unwrap(),
        value,
    };
    let bytes = wire::Row::from(Row::ChildValue(child_value)).encode_to_vec();
    assert_eq!(
        hex::encode(bytes),
        "b2011c0a046465763012140a02677712050a030300091a0310a00120012805"
    );
    let told = FeedEntry {
        revision: Revision(7),
        index: 0,
        at,
        endpoint: endpoint(),
        event: Event::ValuesReported {
            child: child(),
            origin: ValueOrigin::Notify,
            values: values(),
        },
    };
    let bytes = wire::FeedEntry::from(told).encode_to_vec();
    assert_eq!(
        hex::encode(bytes),
        "08071805220267776a1a0a046465763012120801120e0a050a03030009120310a0011805"
    );
}

#[test]
fn what_is_observed_behind_a_gateway_leaves_an_older_release_nothing_to_misread() {
    let hold = |observed: Observed| {
        let release = Command::ReleaseObservation {
            endpoint: "gw".parse().unwrap(),
            observed,
            holder: 1,
        };
        match wire::Command::from(release).kind {
            Some(wire::command::Kind::ReleaseObservation(release)) => release,
            other => panic!("{other:?}"),
        }
    };
    let there = hold(behind());
    assert_eq!((&there.path, &there.composite[..]), (&None, &[][..]));
    let refused = |release| {
        let kind = Some(wire::command::Kind::ReleaseObservation(release));
        refusal::<Command, _>(wire::Command { kind })
    };
    // As that release sees it.
    let unknown = wire::command::ReleaseObservation {
        behind: None,
        ..there.clone()
    };
    assert_eq!(refused(unknown).1, Reason::Missing);
    let both = wire::command::ReleaseObservation {
        path: hold(Path::Object(3).into()).path,
        ..there.clone()
    };
    assert_eq!(refused(both).1, Reason::Conflict("path"));
    let nobody = wire::ChildPath {
        child: "33".to_owned(),
        path: Some(Path::Object(3).into()),
    };
    let nobody = wire::command::ReleaseObservation {
        behind: Some(nobody),
        ..there
    };
    let (field, _) = refused(nobody);
    assert_eq!(field, "command.release_observation.behind.child");
}

#[test]
fn a_session_that_was_logged_before_there_were_resumptions_is_read() {
    let golden = "2a2d0a08010203040506070812030102031a0208012209\
                  0a047f00000110b42c290900000000000000300238014002";
    let bytes = hex::decode(golden).unwrap();
    let session = Session {
        namespace: Namespace::default(),
        cid: SessionCid([1, 2, 3, 4, 5, 6, 7, 8]),
        export: vec![1, 2, 3],
        identity: SecurityIdentity::Unauthenticated,
        peer: "127.0.0.1:5684".parse().unwrap(),
        owner: device_state::NodeId(9),
        generation: device_state::SessionGeneration(2),
        stored_at: Timestamp(1),
        expires_at: Timestamp(2),
    };
    let command = Command::StoreSession {
        session: Box::new(session),
        resumption: None,
    };
    assert_eq!(
        Command::try_from(wire::Command::decode(&*bytes).unwrap()),
        Ok(command.clone())
    );
    assert_eq!(wire::Command::from(command).encode_to_vec(), bytes);
}

#[test]
fn labels_the_index_and_guards_keep_their_bytes() {
    let endpoint: DeviceName = "m".parse().unwrap();
    let (key, value) = (LabelKey::new("a").unwrap(), LabelValue::new("1").unwrap());
    let entry = IndexEntry::of_label(&endpoint, &key, &value);
    let metadata = Metadata {
        labels: [(key, value)].into(),
        ..Metadata::none(endpoint.clone())
    };
    let bytes = |row: Row| hex::encode(wire::Row::from(row).encode_to_vec());
    assert_eq!(
        bytes(Row::Metadata(metadata)),
        "ba010b0a016d12060a0161120131"
    );
    assert_eq!(bytes(Row::Index(entry)), "c201090a016d1201311a0161");
    let forget = Command::Forget {
        endpoint,
        live: Live::Deregistered,
        missing: Missing::Refused,
    };
    let guarded = Command::Guarded {
        guard: Guard {
            effect: Effectiveness::Rehearsed,
            ..Guard::default()
        },
        command: Box::new(forget),
    };
    let bytes = wire::Command::from(guarded.clone()).encode_to_vec();
    assert_eq!(hex::encode(bytes), "ba020c0a08ca02050a016d10011801");
    let twice = Command::Guarded {
        guard: Guard::default(),
        command: Box::new(guarded),
    };
    let (field, reason) = refusal::<Command, _>(wire::Command::from(twice));
    assert_eq!(
        (field.as_str(), reason),
        ("command.guarded.command", Reason::NotOfCaller)
    );
}
