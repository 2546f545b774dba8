//! The keys of rows as bytes, ordered like [`RowKey`]. Every assignment here is on disks: never change one.

use bytes::BufMut;
use device_state::table::Expiring;
use device_state::{ArtefactName, CredentialId, DeviceName, Indexed, Namespace, RequestId, RowKey};
use lwm2m::{ChildPrefix, Observed, Path};

/// The key of the position that the rows stand at. Sorts before every row.
pub const APPLIED: &[u8] = &[0x00];

const REGISTRATION: u8 = 0x10;
const REGISTRATION_INDEX: u8 = 0x11;
const SESSION: u8 = 0x12;
const CREDENTIAL: u8 = 0x13;
const OPERATION: u8 = 0x14;
const DESIRED: u8 = 0x15;
const OBSERVATION: u8 = 0x16;
const LAST_VALUE: u8 = 0x17;
const EXPIRY: u8 = 0x18;
const FEED: u8 = 0x19;
const DEDUP: u8 = 0x1a;
const DEDUP_ORDER: u8 = 0x1b;
const COUNTERS: u8 = 0x1c;
const DESIRED_GENERATION: u8 = 0x1d;
const MEMBER: u8 = 0x1e;
const CONTEXT_OWNER: u8 = 0x1f;
const RESUMPTION: u8 = 0x20;
const ENDPOINT_CREDENTIALS: u8 = 0x21;
const BOOTSTRAP_PROFILE: u8 = 0x22;
const BOOTSTRAP: u8 = 0x23;
const OBJECT_MODEL: u8 = 0x24;
const CHILD_VALUE: u8 = 0x25;
const METADATA: u8 = 0x30;
const INDEX: u8 = 0x31;
const STATE_NODE: u8 = 0x32;
const CAMPAIGN: u8 = 0x40;
const CAMPAIGN_PART: u8 = 0x41;
const CAMPAIGN_DEVICE: u8 = 0x42;
const CAMPAIGN_QUEUE: u8 = 0x43;
const CAMPAIGN_TALLY: u8 = 0x44;
const DEVICE_CAMPAIGN: u8 = 0x45;
const GROUP: u8 = 0x46;
const PROFILE: u8 = 0x47;
const PROFILE_PART: u8 = 0x48;
const PROFILE_DEVICE: u8 = 0x49;
const PROFILE_TALLY: u8 = 0x4a;
const ARTEFACT: u8 = 0x4b;
const ARTEFACT_CHUNK: u8 = 0x4c;
const ENROLLMENT_POLICY: u8 = 0x4d;
const ENROLLMENT_TALLY: u8 = 0x4e;

/// Tables whose rows hold something sealed.
pub const SEALED: [u8; 3] = [SESSION, CREDENTIAL, RESUMPTION];

/// Precedes a namespace where a kind of credential could be, all of which are greater.
const OF_NAMESPACE: u8 = 0x00;

const INDEX_LABEL: u8 = 0x01;
const INDEX_MANUFACTURER: u8 = 0x02;
const INDEX_MODEL: u8 = 0x03;
const INDEX_FIRMWARE_VERSION: u8 = 0x04;

const EXPIRING_REGISTRATION: u8 = 0x01;
const EXPIRING_SESSION: u8 = 0x02;
const EXPIRING_OPERATION: u8 = 0x03;
const EXPIRING_HOLD: u8 = 0x04;
const EXPIRING_MEMBER: u8 = 0x05;
const EXPIRING_RESUMPTION: u8 = 0x06;
const EXPIRING_CAMPAIGN_DEVICE: u8 = 0x07;
const EXPIRING_CORRECTION: u8 = 0x08;
const EXPIRING_ARTEFACT: u8 = 0x09;

/// Precedes a digest, so that it sorts behind [`OF_NAMESPACE`].
const DIGEST: u8 = 0x01;

/// Ends a name, a prefix or a path inside a key. Names and prefixes hold no control characters but the one
/// (1F) around a namespace, and a path's ids are preceded by
/// [`PATH_ID`], so the end sorts before every continuation.
const END: u8 = 0x00;
const PATH_ID: u8 = 0x01;
/// Precedes each path of a list, so that lists sort after single paths.
const LISTED_PATH: u8 = 0x02;
/// Precedes the prefix of what is behind a gateway, so that it sorts after lists.
const CHILD_PREFIX: u8 = 0x03;

/// The bytes of a row's key.
#[expect(clippy::too_many_lines, reason = "one arm for each kind of row")]
pub fn encode(key: &RowKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    match key {
        RowKey::Registration(endpoint) => put_name(&mut bytes, REGISTRATION, endpoint.stored()),
        RowKey::RegistrationIndex(id) => put_name(&mut bytes, REGISTRATION_INDEX, id.as_str()),
        RowKey::Session(cid) => {
            bytes.put_u8(SESSION);
            bytes.put_slice(&cid.0);
        }
        RowKey::Credential(name) => {
            bytes.put_u8(CREDENTIAL);
            put_namespace(&mut bytes, &name.namespace);
            bytes.put_u8(credential_kind(&name.id));
            bytes.put_slice(name.id.as_bytes());
        }
        RowKey::ContextOwner(id) => {
            bytes.put_u8(CONTEXT_OWNER);
            bytes.put_slice(id);
        }
        RowKey::Operation(endpoint, sequence) => {
            put_name(&mut bytes, OPERATION, endpoint.stored());
            bytes.put_u64(*sequence);
        }
        RowKey::Desired(endpoint, path) => {
            put_name(&mut bytes, DESIRED, endpoint.stored());
            put_path(&mut bytes, *path);
        }
        RowKey::Observation(endpoint, observed) => {
            put_name(&mut bytes, OBSERVATION, endpoint.stored());
            put_observed(&mut bytes, observed);
        }
        RowKey::LastValue(endpoint, path) => {
            put_name(&mut bytes, LAST_VALUE, endpoint.stored());
            put_path(&mut bytes, *path);
        }
        RowKey::Expiry(at, what) => {
            bytes.put_u8(EXPIRY);
            bytes.put_u64(at.0);
            put_expiring(&mut bytes, what);
        }
        RowKey::Feed(revision, index) => {
            bytes.put_u8(FEED);
            bytes.put_u64(revision.0);
            bytes.put_u32(*index);
        }
        RowKey::Dedup(id) => {
            bytes.put_u8(DEDUP);
            put_request_id(&mut bytes, *id);
        }
        RowKey::DedupOrder(at, id) => {
            bytes.put_u8(DEDUP_ORDER);
            bytes.put_u64(at.0);
            put_request_id(&mut bytes, *id);
        }
        RowKey::Counters => bytes.put_u8(COUNTERS),
        RowKey::DesiredGeneration(endpoint) => {
            put_name(&mut bytes, DESIRED_GENERATION, endpoint.stored());
        }
        RowKey::Member(node) => {
            bytes.put_u8(MEMBER);
            bytes.put_u64(node.0);
        }
        RowKey::Resumption(id) => {
            bytes.put_u8(RESUMPTION);
            bytes.put_slice(&id.0);
        }
        RowKey::EndpointCredentials(endpoint) => {
            put_name(&mut bytes, ENDPOINT_CREDENTIALS, endpoint.stored());
        }
        RowKey::BootstrapProfile(name) => put_name(&mut bytes, BOOTSTRAP_PROFILE, name),
        RowKey::Bootstrap(endpoint) => put_name(&mut bytes, BOOTSTRAP, endpoint.stored()),
        RowKey::ObjectModel(object, version) => {
            bytes.put_u8(OBJECT_MODEL);
            bytes.put_u16(*object);
            bytes.put_u8(version.major);
            bytes.put_u8(version.minor);
        }
        RowKey::ChildValue(endpoint, child, path) => {
            put_name(&mut bytes, CHILD_VALUE, endpoint.stored());
            put_prefix(&mut bytes, child);
            put_path(&mut bytes, *path);
        }
        RowKey::Metadata(endpoint) => put_name(&mut bytes, METADATA, endpoint.stored()),
        RowKey::Index(attribute, value, endpoint) => {
            bytes.put_u8(INDEX);
            put_attribute(&mut bytes, attribute);
            // Neither holds control characters, so the end sorts before every continuation.
            bytes.put_slice(value.as_bytes());
            bytes.put_u8(END);
            put_last(&mut bytes, endpoint);
        }
        RowKey::StateNode(node) => {
            bytes.put_u8(STATE_NODE);
            bytes.put_u64(node.0);
        }
        RowKey::Campaign(name) => put_name(&mut bytes, CAMPAIGN, name),
        RowKey::Group(name) => put_name(&mut bytes, GROUP, name),
        RowKey::Profile(name) => put_name(&mut bytes, PROFILE, name),
        RowKey::ProfilePart(name) => put_name(&mut bytes, PROFILE_PART, name),
        RowKey::ProfileDevice(name, endpoint) => {
            put_name(&mut bytes, PROFILE_DEVICE, name);
            put_last(&mut bytes, endpoint);
        }
        RowKey::ProfileTally(name) => put_name(&mut bytes, PROFILE_TALLY, name),
        RowKey::EnrollmentPolicy(name) => put_name(&mut bytes, ENROLLMENT_POLICY, name),
        RowKey::EnrollmentTally(name) => put_name(&mut bytes, ENROLLMENT_TALLY, name),
        RowKey::Artefact(name) => put_artefact(&mut bytes, ARTEFACT, name),
        RowKey::ArtefactChunk(name, number) => {
            put_artefact(&mut bytes, ARTEFACT_CHUNK, name);
            bytes.put_u32(*number);
        }
        RowKey::CampaignPart(id) => {
            bytes.put_u8(CAMPAIGN_PART);
            bytes.put_u64(id.0);
        }
        RowKey::CampaignDevice(id, endpoint) => {
            bytes.put_u8(CAMPAIGN_DEVICE);
            bytes.put_u64(id.0);
            put_last(&mut bytes, endpoint);
        }
        RowKey::CampaignQueue(id, lane, rank, endpoint) => {
            bytes.put_u8(CAMPAIGN_QUEUE);
            bytes.put_u64(id.0);
            bytes.put_u8(*lane);
            bytes.put_u64(*rank);
            put_last(&mut bytes, endpoint);
        }
        RowKey::CampaignTally(id, slot) => {
            bytes.put_u8(CAMPAIGN_TALLY);
            bytes.put_u64(id.0);
            bytes.put_u8(*slot);
        }
        RowKey::DeviceCampaign(endpoint) => {
            put_name(&mut bytes, DEVICE_CAMPAIGN, endpoint.stored());
        }
    }
    bytes
}

/// A device behind what it is found by.
fn put_last(bytes: &mut Vec<u8>, endpoint: &DeviceName) {
    bytes.put_slice(endpoint.stored().as_bytes());
    bytes.put_u8(END);
}

fn put_attribute(bytes: &mut Vec<u8>, attribute: &Indexed) {
    match attribute {
        Indexed::Label(key) => put_name(bytes, INDEX_LABEL, key.as_str()),
        Indexed::Manufacturer => bytes.put_u8(INDEX_MANUFACTURER),
        Indexed::Model => bytes.put_u8(INDEX_MODEL),
        Indexed::FirmwareVersion => bytes.put_u8(INDEX_FIRMWARE_VERSION),
    }
}

fn put_expiring(bytes: &mut Vec<u8>, what: &Expiring) {
    match what {
        Expiring::Registration(endpoint) => {
            put_name(bytes, EXPIRING_REGISTRATION, endpoint.stored());
        }
        Expiring::Session(cid) => {
            bytes.put_u8(EXPIRING_SESSION);
            bytes.put_slice(&cid.0);
        }
        Expiring::Operation(endpoint, sequence) => {
            put_name(bytes, EXPIRING_OPERATION, endpoint.stored());
            bytes.put_u64(*sequence);
        }
        Expiring::Hold(endpoint, observed, holder) => {
            put_name(bytes, EXPIRING_HOLD, endpoint.stored());
            put_observed(bytes, observed);
            bytes.put_u64(*holder);
        }
        Expiring::Member(node) => {
            bytes.put_u8(EXPIRING_MEMBER);
            bytes.put_u64(node.0);
        }
        Expiring::Resumption(id) => {
            bytes.put_u8(EXPIRING_RESUMPTION);
            bytes.put_slice(&id.0);
        }
        Expiring::CampaignDevice(endpoint) => {
            put_name(bytes, EXPIRING_CAMPAIGN_DEVICE, endpoint.stored());
        }
        Expiring::Correction(endpoint, path) => {
            put_name(bytes, EXPIRING_CORRECTION, endpoint.stored());
            put_path(bytes, *path);
        }
        Expiring::Artefact(name) => put_artefact(bytes, EXPIRING_ARTEFACT, name),
    }
}

/// Nothing for the default namespace, which sorts last.
fn put_namespace(bytes: &mut Vec<u8>, namespace: &Namespace) {
    if !namespace.is_default() {
        put_name(bytes, OF_NAMESPACE, namespace.as_str());
    }
}

fn put_artefact(bytes: &mut Vec<u8>, table: u8, name: &ArtefactName) {
    bytes.put_u8(table);
    put_namespace(bytes, &name.namespace);
    bytes.put_u8(DIGEST);
    bytes.put_slice(&name.digest.0);
}

fn credential_kind(id: &CredentialId) -> u8 {
    match id {
        CredentialId::PskIdentity(_) => 0x01,
        CredentialId::PublicKey(_) => 0x02,
        CredentialId::OscoreId(_) => 0x03,
    }
}

fn put_name(bytes: &mut Vec<u8>, table: u8, name: &str) {
    bytes.put_u8(table);
    bytes.put_slice(name.as_bytes());
    bytes.put_u8(END);
}

fn put_path(bytes: &mut Vec<u8>, path: Path) {
    for id in path.segments() {
        bytes.put_u8(PATH_ID);
        bytes.put_u16(id);
    }
    bytes.put_u8(END);
}

fn put_observed(bytes: &mut Vec<u8>, observed: &Observed) {
    match observed {
        Observed::Path(path) => put_path(bytes, *path),
        Observed::Composite(_) => {
            for path in observed.paths() {
                bytes.put_u8(LISTED_PATH);
                put_path(bytes, *path);
            }
            bytes.put_u8(END);
        }
        Observed::Behind { child, path } => {
            bytes.put_u8(CHILD_PREFIX);
            put_prefix(bytes, child);
            put_path(bytes, *path);
        }
    }
}

fn put_prefix(bytes: &mut Vec<u8>, child: &ChildPrefix) {
    bytes.put_slice(child.as_str().as_bytes());
    bytes.put_u8(END);
}

fn put_request_id(bytes: &mut Vec<u8>, id: RequestId) {
    bytes.put_u64(id.client);
    bytes.put_u64(id.sequence);
}

#[cfg(test)]
mod tests {
    use device_state::{
        CampaignId, CredentialName, Digest, LabelKey, NodeId, ResumptionId, Revision, SessionCid,
        Timestamp,
    };
    use lwm2m::{CompositePaths, ObjectVersion, RegistrationId};
    use proptest::prelude::*;

    use super::*;

    fn endpoint() -> impl Strategy<Value = DeviceName> {
        "(\u{1f}[ab]{1,2}\u{1f})?[a-c~é]{1,4}"
            .prop_map(|name| DeviceName::parse(&name).expect("the pattern is a valid name"))
    }

    fn namespace() -> impl Strategy<Value = Namespace> {
        "[ab]([ab-]?[ab])?|default"
            .prop_map(|name| Namespace::new(&name).expect("the pattern is a namespace"))
    }

    fn path() -> impl Strategy<Value = Path> {
        proptest::collection::vec(
            prop_oneof![0_u16..3, 255_u16..258, 65_533_u16..=65_534],
            0..=4,
        )
        .prop_map(|ids| Path::from_segments(&ids).expect("four ids without the reserved one"))
    }

    fn prefix() -> impl Strategy<Value = ChildPrefix> {
        "[a!~]{1,3}".prop_map(|prefix| prefix.parse().expect("the pattern is a valid prefix"))
    }

    fn observed() -> impl Strategy<Value = Observed> {
        prop_oneof![
            path().prop_map(Observed::Path),
            (prefix(), path()).prop_map(|(child, path)| Observed::Behind { child, path }),
            proptest::collection::vec(path(), 1..4).prop_map(|paths| {
                let paths = CompositePaths::new(paths).expect("one to three paths");
                Observed::Composite(paths)
            }),
        ]
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0_u64..4, 255_u64..258, Just(u64::MAX)]
    }

    fn expiring() -> impl Strategy<Value = Expiring> {
        prop_oneof![
            endpoint().prop_map(Expiring::Registration),
            any::<[u8; 8]>().prop_map(|cid| Expiring::Session(SessionCid(cid))),
            (endpoint(), number())
                .prop_map(|(endpoint, sequence)| Expiring::Operation(endpoint, sequence)),
            (endpoint(), observed(), number()).prop_map(|(endpoint, observed, holder)| {
                Expiring::Hold(endpoint, observed, holder)
            }),
            number().prop_map(|node| Expiring::Member(NodeId(node))),
            any::<[u8; 32]>().prop_map(|id| Expiring::Resumption(ResumptionId(id))),
            endpoint().prop_map(Expiring::CampaignDevice),
            (endpoint(), path()).prop_map(|(endpoint, path)| Expiring::Correction(endpoint, path)),
            artefact().prop_map(Expiring::Artefact),
        ]
    }

    fn request_id() -> impl Strategy<Value = RequestId> {
        (number(), number()).prop_map(|(client, sequence)| RequestId { client, sequence })
    }

    fn credential() -> impl Strategy<Value = CredentialId> {
        let bytes = || proptest::collection::vec(0_u8..3, 1..4);
        prop_oneof![
            bytes().prop_map(CredentialId::PskIdentity),
            (0_u8..3).prop_map(|byte| CredentialId::PublicKey([byte; 32])),
            bytes().prop_map(CredentialId::OscoreId),
        ]
    }

    fn artefact() -> impl Strategy<Value = ArtefactName> {
        (namespace(), 0_u8..3).prop_map(|(namespace, byte)| ArtefactName {
            namespace,
            digest: Digest([byte; Digest::BYTES]),
        })
    }

    fn attribute() -> impl Strategy<Value = Indexed> {
        prop_oneof![
            "[a-c]{1,2}".prop_map(|key| Indexed::Label(LabelKey::new(&key).expect("a valid key"))),
            Just(Indexed::Manufacturer),
            Just(Indexed::Model),
            Just(Indexed::FirmwareVersion),
        ]
    }

    fn key() -> impl Strategy<Value = RowKey> {
        prop_oneof![
            endpoint().prop_map(RowKey::Registration),
            "[a-c]{1,3}".prop_map(|id| RowKey::RegistrationIndex(
                RegistrationId::new(&id).expect("a valid id")
            )),
            any::<[u8; 8]>().prop_map(|cid| RowKey::Session(SessionCid(cid))),
            (namespace(), credential()).prop_map(|(namespace, id)| {
                RowKey::Credential(CredentialName { namespace, id })
            }),
            proptest::collection::vec(0_u8..3, 0..4).prop_map(RowKey::ContextOwner),
            (endpoint(), number())
                .prop_map(|(endpoint, sequence)| RowKey::Operation(endpoint, sequence)),
            (endpoint(), path()).prop_map(|(endpoint, path)| RowKey::Desired(endpoint, path)),
            (endpoint(), observed())
                .prop_map(|(endpoint, observed)| RowKey::Observation(endpoint, observed)),
            (endpoint(), path()).prop_map(|(endpoint, path)| RowKey::LastValue(endpoint, path)),
            (number(), expiring()).prop_map(|(at, what)| RowKey::Expiry(Timestamp(at), what)),
            (number(), any::<u32>())
                .prop_map(|(revision, index)| RowKey::Feed(Revision(revision), index)),
            request_id().prop_map(RowKey::Dedup),
            (number(), request_id()).prop_map(|(at, id)| RowKey::DedupOrder(Timestamp(at), id)),
            Just(RowKey::Counters),
            endpoint().prop_map(RowKey::DesiredGeneration),
            number().prop_map(|node| RowKey::Member(NodeId(node))),
            any::<[u8; 32]>().prop_map(|id| RowKey::Resumption(ResumptionId(id))),
            endpoint().prop_map(RowKey::EndpointCredentials),
            "[a-c]{1,3}".prop_map(RowKey::BootstrapProfile),
            endpoint().prop_map(RowKey::Bootstrap),
            (0_u16..300, 0_u8..3, 0_u8..3).prop_map(|(object, major, minor)| {
                RowKey::ObjectModel(object, ObjectVersion::new(major, minor))
            }),
            (endpoint(), prefix(), path())
                .prop_map(|(endpoint, child, path)| RowKey::ChildValue(endpoint, child, path)),
            endpoint().prop_map(RowKey::Metadata),
            (attribute(), "[ab~é]{0,2}", endpoint())
                .prop_map(|(attribute, value, endpoint)| RowKey::Index(attribute, value, endpoint)),
            number().prop_map(|node| RowKey::StateNode(NodeId(node))),
            "[a-c]{1,3}".prop_map(RowKey::Campaign),
            number().prop_map(|id| RowKey::CampaignPart(CampaignId(id))),
            (number(), endpoint())
                .prop_map(|(id, endpoint)| RowKey::CampaignDevice(CampaignId(id), endpoint)),
            (number(), any::<u8>(), number(), endpoint()).prop_map(|(id, lane, rank, endpoint)| {
                RowKey::CampaignQueue(CampaignId(id), lane, rank, endpoint)
            }),
            (number(), any::<u8>())
                .prop_map(|(id, slot)| RowKey::CampaignTally(CampaignId(id), slot)),
            endpoint().prop_map(RowKey::DeviceCampaign),
            "[a-c]{1,3}".prop_map(RowKey::Group),
            "[a-c]{1,3}".prop_map(RowKey::EnrollmentPolicy),
            "[a-c]{1,3}".prop_map(RowKey::EnrollmentTally),
            "[a-c]{1,3}".prop_map(RowKey::Profile),
            "[a-c]{1,3}".prop_map(RowKey::ProfilePart),
            ("[a-c]{1,3}", endpoint())
                .prop_map(|(name, endpoint)| RowKey::ProfileDevice(name, endpoint)),
            "[a-c]{1,3}".prop_map(RowKey::ProfileTally),
            artefact().prop_map(RowKey::Artefact),
            (artefact(), any::<u32>())
                .prop_map(|(artefact, number)| RowKey::ArtefactChunk(artefact, number)),
        ]
    }

    proptest! {
        #[test]
        fn bytes_sort_like_the_keys_that_they_encode(left in key(), right in key()) {
            prop_assert_eq!(encode(&left).cmp(&encode(&right)), left.cmp(&right));
        }
    }

    #[test]
    fn every_row_sorts_after_the_applied_position() {
        let first = RowKey::Registration(DeviceName::parse("!").expect("a valid name"));
        assert!(encode(&first).as_slice() > APPLIED);
    }
}
