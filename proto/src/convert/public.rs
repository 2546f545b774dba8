//! The public API: domain types to messages, requests to domain types.
//!
//! What a service asks for is checked here once: paths, numbers and texts are read, an operation is one that some
//! device could accept, and values have the types that the object definitions give them.

mod artefact;
mod bootstrap;
mod campaign;
mod child;
mod contact;
mod device;
mod enrollment;
mod event;
mod filter;
mod group;
mod metadata;
mod model;
mod observation;
mod operation;
mod profile;
mod request;
mod terms;
mod value;
mod watch;

use device_state::{OperationId, ShardId, Timestamp};

pub use artefact::{NewArtefact, STORE_TIMEOUT, artefact_name, artefact_parts};
pub use campaign::{Standing, campaign_device, checked_name, heard_campaign, heard_counts, phases};
pub use child::children;
pub use device::{desired_resources, device};
pub use enrollment::enrollment_counts;
pub use filter::{device_filter, operation_filter};
pub use group::both;
pub use model::{new_models, summary};
pub use observation::observed;
pub use operation::raw_answer;
pub use profile::{profile_device, profile_overlaps, profile_states};
pub use request::{
    Defined, Delivery, DeviceRequest, DurableRequest, InNamespace, OperationTarget, RawCall, Wait,
    WaitTarget, operation_id,
};
pub use terms::{Change, Terms, enqueue_once};
pub use value::{path_values, reported_values, typed_value};
pub use watch::{Beginning, WatchRequest, present};

/// The last moment that a protobuf timestamp can name, the end of the year 9999, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// A time of the state tier; `None` for what never comes.
pub(crate) fn timestamp(time: Timestamp) -> Option<prost_types::Timestamp> {
    let seconds = time.0 / 1_000;
    (seconds <= LAST_SECOND).then(|| prost_types::Timestamp {
        seconds: seconds as i64,
        nanos: (time.0 % 1_000) as i32 * 1_000_000,
    })
}

/// A CoAP code as it is written: `2.05`.
// RFC 7252 §3: three bits of class, five bits of detail.
pub(crate) fn coap_code(code: u8) -> String {
    format!("{}.{:02}", code >> 5, code & 0x1f)
}

/// The form of [`OperationId`]'s `Display`: `shard-sequence`, both decimal.
pub(crate) fn parse_operation_id(text: &str) -> Option<OperationId> {
    let (shard, sequence) = text.split_once('-')?;
    let id = OperationId {
        shard: ShardId(shard.parse().ok()?),
        sequence: sequence.parse().ok()?,
    };
    (id.to_string() == text).then_some(id)
}
