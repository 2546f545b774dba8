//! Key ranges of scans: first key included, last key excluded.

use lwm2m::{ChildPrefix, ObjectVersion, Observed, Path};

use crate::artefact::{ArtefactName, Digest};
use crate::bootstrap::BootstrapProfile;
use crate::campaign::{Campaign, CampaignId};
use crate::enrollment::EnrollmentPolicy;
use crate::group::Group;
use crate::id::{NodeId, RequestId, Revision, Timestamp};
use crate::name::{DeviceName, DevicePrefix, Namespace};
use crate::profile::Profile;
use crate::record::{CredentialId, CredentialName, ResumptionId, SessionCid};
use crate::table::{Expiring, RowKey};

/// A range of keys of one kind of row.
pub(crate) type Range = (RowKey, RowKey);

/// Above every path of a device: 65535 is reserved and names no object.
const ABOVE_PATHS: Path = Path::ResourceInstance(u16::MAX, u16::MAX, u16::MAX, u16::MAX);

pub(crate) fn operations(endpoint: &DeviceName) -> Range {
    (
        RowKey::Operation(endpoint.clone(), 0),
        RowKey::Operation(endpoint.clone(), u64::MAX),
    )
}

pub(crate) fn desired(endpoint: &DeviceName) -> Range {
    (
        RowKey::Desired(endpoint.clone(), Path::Root),
        RowKey::Desired(endpoint.clone(), ABOVE_PATHS),
    )
}

pub(crate) fn observations(endpoint: &DeviceName) -> Range {
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

pub(crate) fn values(endpoint: &DeviceName) -> Range {
    (
        RowKey::LastValue(endpoint.clone(), Path::Root),
        RowKey::LastValue(endpoint.clone(), ABOVE_PATHS),
    )
}

pub(crate) fn child_values(endpoint: &DeviceName) -> Range {
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

/// The credentials of all namespaces.
pub(crate) fn credentials() -> Range {
    let least = Namespace::new("0").expect("a digit alone is a namespace, and the least one");
    let above = CredentialId::OscoreId(vec![u8::MAX; CredentialId::MAX_OSCORE_ID + 1]);
    (
        RowKey::Credential(CredentialName::new(
            &least,
            CredentialId::PskIdentity(Vec::new()),
        )),
        RowKey::Credential(CredentialName::new(&Namespace::default(), above)),
    )
}

/// The owners of contexts from `from` on.
pub(crate) fn context_owners(from: &[u8]) -> Range {
    // Those of all namespaces begin with fewer such bytes.
    let above = vec![u8::MAX; CredentialId::MAX_OSCORE_ID + 2];
    (
        RowKey::ContextOwner(from.to_vec()),
        RowKey::ContextOwner(above),
    )
}

/// The operations of all devices from one on.
pub(crate) fn all_operations(from: Option<(DeviceName, u64)>) -> Range {
    let all = DevicePrefix::everything();
    let (endpoint, sequence) = from.unwrap_or_else(|| (all.first(), 0));
    (
        RowKey::Operation(endpoint, sequence),
        RowKey::Operation(all.last(), u64::MAX),
    )
}

pub(crate) fn bootstrap_profiles(namespace: &Namespace) -> Range {
    // Above every name, which has no bytes above 0x7f in its first place but in UTF-8.
    let above = char::MAX.to_string().repeat(BootstrapProfile::MAX_NAME);
    (
        // A space is the least character of a name.
        RowKey::BootstrapProfile(namespace.qualify(" ")),
        RowKey::BootstrapProfile(namespace.qualify(&above)),
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

/// The campaigns of a namespace.
pub(crate) fn campaigns(namespace: &Namespace) -> Range {
    // Names are of letters, digits and the like.
    let above = char::MAX.to_string().repeat(Campaign::MAX_NAME);
    (
        RowKey::Campaign(namespace.qualify(" ")),
        RowKey::Campaign(namespace.qualify(&above)),
    )
}

/// The campaigns of all namespaces. Those of other namespaces than the default one begin with a control character.
pub(crate) fn all_campaigns() -> Range {
    (
        RowKey::Campaign(String::new()),
        campaigns(&Namespace::default()).1,
    )
}

/// The groups of a namespace.
pub(crate) fn groups(namespace: &Namespace) -> Range {
    let above = char::MAX.to_string().repeat(Group::MAX_NAME);
    (
        RowKey::Group(namespace.qualify(" ")),
        RowKey::Group(namespace.qualify(&above)),
    )
}

/// The enrollment policies of a namespace.
pub(crate) fn enrollment_policies(namespace: &Namespace) -> Range {
    let above = char::MAX.to_string().repeat(EnrollmentPolicy::MAX_NAME);
    (
        RowKey::EnrollmentPolicy(namespace.qualify(" ")),
        RowKey::EnrollmentPolicy(namespace.qualify(&above)),
    )
}

/// The packages of a namespace.
pub(crate) fn artefacts(namespace: &Namespace) -> Range {
    // Nobody knows what has a digest of all ones.
    let key = |byte| {
        RowKey::Artefact(ArtefactName {
            namespace: namespace.clone(),
            digest: Digest([byte; Digest::BYTES]),
        })
    };
    (key(0), key(u8::MAX))
}

/// The profiles of a namespace.
pub(crate) fn profiles(namespace: &Namespace) -> Range {
    let (first, last) = profile_names(namespace);
    (RowKey::Profile(first), RowKey::Profile(last))
}

/// The profiles of all namespaces.
pub(crate) fn all_profiles() -> Range {
    let (_, last) = profile_names(&Namespace::default());
    (RowKey::Profile(String::new()), RowKey::Profile(last))
}

pub(crate) fn profile_parts(namespace: &Namespace) -> Range {
    let (first, last) = profile_names(namespace);
    (RowKey::ProfilePart(first), RowKey::ProfilePart(last))
}

/// The parts of the profiles of all namespaces.
pub(crate) fn all_profile_parts() -> Range {
    let (_, last) = profile_names(&Namespace::default());
    (
        RowKey::ProfilePart(String::new()),
        RowKey::ProfilePart(last),
    )
}

/// The devices of a profile.
pub(crate) fn profile_devices(profile: &str) -> Range {
    let all = DevicePrefix::everything();
    (
        RowKey::ProfileDevice(profile.to_owned(), all.first()),
        RowKey::ProfileDevice(profile.to_owned(), all.last()),
    )
}

fn profile_names(namespace: &Namespace) -> (String, String) {
    let above = char::MAX.to_string().repeat(Profile::MAX_NAME);
    (namespace.qualify(" "), namespace.qualify(&above))
}

pub(crate) fn campaign_parts() -> Range {
    (
        RowKey::CampaignPart(CampaignId(0)),
        RowKey::CampaignPart(CampaignId(u64::MAX)),
    )
}

/// The devices of a campaign.
pub(crate) fn ledger(campaign: CampaignId) -> Range {
    let all = DevicePrefix::everything();
    (
        RowKey::CampaignDevice(campaign, all.first()),
        RowKey::CampaignDevice(campaign, all.last()),
    )
}

/// Those that wait, in one lane or, with `None`, in any.
pub(crate) fn campaign_queue(campaign: CampaignId, lane: Option<u8>) -> Range {
    let all = DevicePrefix::everything();
    let (first, last) = lane.map_or((0, u8::MAX), |lane| (lane, lane));
    (
        RowKey::CampaignQueue(campaign, first, 0, all.first()),
        RowKey::CampaignQueue(campaign, last, u64::MAX, all.last()),
    )
}

pub(crate) fn campaign_tallies(campaign: CampaignId) -> Range {
    (
        RowKey::CampaignTally(campaign, 0),
        RowKey::CampaignTally(CampaignId(campaign.0.saturating_add(1)), 0),
    )
}

/// What expires at or before `until`.
pub(crate) fn expiry(until: Timestamp) -> Range {
    let least = DevicePrefix::everything().first();
    let first = |at| RowKey::Expiry(at, Expiring::Registration(least.clone()));
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

fn first_prefix() -> ChildPrefix {
    "!".parse()
        .expect("an exclamation mark is the least character of a prefix")
}

fn last_prefix() -> ChildPrefix {
    "~".repeat(ChildPrefix::MAX_BYTES)
        .parse()
        .expect("a tilde is the greatest character of a prefix")
}
