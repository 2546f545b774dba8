//! Key ranges of scans: first key included, last key excluded.

use lwm2m::{ChildPrefix, EndpointName, ObjectVersion, Observed, Path};

use crate::bootstrap::BootstrapProfile;
use crate::id::{NodeId, RequestId, Revision, Timestamp};
use crate::record::{CredentialId, ResumptionId, SessionCid};
use crate::table::{Expiring, RowKey};

/// A range of keys of one kind of row.
pub(crate) type Range = (RowKey, RowKey);

/// Above every path of a device: 65535 is reserved and names no object.
const ABOVE_PATHS: Path = Path::ResourceInstance(u16::MAX, u16::MAX, u16::MAX, u16::MAX);

pub(crate) fn operations(endpoint: &EndpointName) -> Range {
    (
        RowKey::Operation(endpoint.clone(), 0),
        RowKey::Operation(endpoint.clone(), u64::MAX),
    )
}

pub(crate) fn desired(endpoint: &EndpointName) -> Range {
    (
        RowKey::Desired(endpoint.clone(), Path::Root),
        RowKey::Desired(endpoint.clone(), ABOVE_PATHS),
    )
}

pub(crate) fn observations(endpoint: &EndpointName) -> Range {
    (
        RowKey::Observation(endpoint.clone(), Observed::Path(Path::Root)),
        RowKey::Observation(endpoint.clone(), above_observed()),
    )
}

/// Above everything that can be observed: what is behind a gateway sorts last, and by its prefix.
fn above_observed() -> Observed {
    Observed::Behind {
        child: last_prefix(),
        path: ABOVE_PATHS,
    }
}

pub(crate) fn values(endpoint: &EndpointName) -> Range {
    (
        RowKey::LastValue(endpoint.clone(), Path::Root),
        RowKey::LastValue(endpoint.clone(), ABOVE_PATHS),
    )
}

pub(crate) fn child_values(endpoint: &EndpointName) -> Range {
    (
        RowKey::ChildValue(endpoint.clone(), first_prefix(), Path::Root),
        RowKey::ChildValue(endpoint.clone(), last_prefix(), ABOVE_PATHS),
    )
}

pub(crate) fn members() -> Range {
    (RowKey::Member(NodeId(0)), RowKey::Member(NodeId(u64::MAX)))
}

pub(crate) fn state_nodes() -> Range {
    (
        RowKey::StateNode(NodeId(0)),
        RowKey::StateNode(NodeId(u64::MAX)),
    )
}

/// All sessions: no Connection ID begins with the format 255.
pub(crate) fn sessions() -> Range {
    (
        RowKey::Session(SessionCid([0; 8])),
        RowKey::Session(SessionCid([u8::MAX; 8])),
    )
}

/// All resumptions: no id begins with the format 255.
pub(crate) fn resumptions() -> Range {
    (
        RowKey::Resumption(ResumptionId([0; 32])),
        RowKey::Resumption(ResumptionId([u8::MAX; 32])),
    )
}

/// The owners of contexts from `from` on.
pub(crate) fn context_owners(from: &[u8]) -> Range {
    let above = vec![u8::MAX; CredentialId::MAX_OSCORE_ID + 1];
    (
        RowKey::ContextOwner(from.to_vec()),
        RowKey::ContextOwner(above),
    )
}

/// The operations of all devices from one on.
pub(crate) fn all_operations(from: Option<(EndpointName, u64)>) -> Range {
    let (endpoint, sequence) = from.unwrap_or_else(|| (first_name(""), 0));
    (
        RowKey::Operation(endpoint, sequence),
        RowKey::Operation(last_name(""), u64::MAX),
    )
}

pub(crate) fn bootstrap_profiles() -> Range {
    // Above every name, which has no bytes above 0x7f in its first place but in UTF-8.
    let above = char::MAX.to_string().repeat(BootstrapProfile::MAX_NAME);
    (
        RowKey::BootstrapProfile(String::new()),
        RowKey::BootstrapProfile(above),
    )
}

pub(crate) fn object_models() -> Range {
    let above = ObjectVersion::new(u8::MAX, u8::MAX);
    (
        RowKey::ObjectModel(0, ObjectVersion::new(0, 0)),
        // 65535 is reserved and no object.
        RowKey::ObjectModel(u16::MAX, above),
    )
}

/// What expires at or before `until`.
pub(crate) fn expiry(until: Timestamp) -> Range {
    let first = |at| RowKey::Expiry(at, Expiring::Registration(first_name("")));
    (
        first(Timestamp(0)),
        first(Timestamp(until.0.saturating_add(1))),
    )
}

pub(crate) fn feed(from: Revision, to: Revision) -> Range {
    (RowKey::Feed(from, 0), RowKey::Feed(to, 0))
}

pub(crate) fn dedup_order() -> Range {
    let request = |number| RequestId {
        client: number,
        sequence: number,
    };
    (
        RowKey::DedupOrder(Timestamp(0), request(0)),
        RowKey::DedupOrder(Timestamp::NEVER, request(u64::MAX)),
    )
}

/// The least endpoint name that begins with `prefix`, which must be empty or an endpoint name
/// itself.
pub(crate) fn first_name(prefix: &str) -> EndpointName {
    let name = if prefix.is_empty() { " " } else { prefix };
    EndpointName::new(name)
        .expect("a space is the least character of a name, and the prefix is a name")
}

/// The greatest endpoint name that begins with `prefix`, which must be empty or an endpoint name
/// itself.
pub(crate) fn last_name(prefix: &str) -> EndpointName {
    let mut name = prefix.to_owned();
    // The greatest character of each encoded length; of one byte it is the last that is no control
    // character.
    for greatest in ['\u{10FFFF}', '\u{FFFF}', '\u{7FF}', '~'] {
        while name.len() + greatest.len_utf8() <= EndpointName::MAX_BYTES {
            name.push(greatest);
        }
    }
    EndpointName::new(&name)
        .expect("filled up to the greatest length with characters that are no control characters")
}

fn first_prefix() -> ChildPrefix {
    "!".parse()
        .expect("an exclamation mark is the least character of a prefix")
}

fn last_prefix() -> ChildPrefix {
    "~".repeat(ChildPrefix::MAX_BYTES)
        .parse()
        .expect("a tilde is the greatest character of a prefix")
}
