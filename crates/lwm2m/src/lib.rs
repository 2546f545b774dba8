//! LwM2M paths, values, objects and content formats.
//!
//! The words of LwM2M as Rust types: names ([`EndpointName`], [`RegistrationId`], [`Lifetime`],
//! [`Binding`]), addresses in the object tree ([`Path`]), what a resource holds ([`Value`],
//! [`Entry`]), what a server can ask of a device ([`Operation`]), what a device says about itself
//! ([`RegisterRequest`], [`ObjectLinks`]), the object definitions of the OMA and of vendors
//! ([`Registry`], [`ddf`]) and the payloads that carry all of it ([`decode`], [`encode`]).
//!
//! This crate never does I/O, never reads a clock, keeps no state about any device and never
//! panics on bytes that a peer has sent. Every parser bounds the work and the memory that its
//! input can cause.
//!
//! ```
//! use lwm2m::{ContentFormat, Path, Registry, Value, decode};
//!
//! // A device answers `GET /3/0/9` (battery level) in TLV.
//! let path: Path = "/3/0/9".parse()?;
//! let entries = decode(ContentFormat::TLV, path, &[0xc1, 0x09, 0x64], Registry::oma())?;
//! assert_eq!(entries[0].path, path);
//! assert_eq!(entries[0].value, Value::Integer(100));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod alternate_path;
pub mod attributes;
pub mod binding;
pub mod ddf;
pub mod format;
pub mod gateway;
pub mod link;
pub mod misuse;
pub mod names;
pub mod observed;
pub mod operation;
pub mod path;
pub mod power_saving;
pub mod raw;
pub mod registration;
pub mod registry;
pub mod value;

pub use alternate_path::AlternatePath;
pub use attributes::{Edge, NotificationAttributes, Setting};
pub use binding::{Binding, Mode, QueueMode};
pub use format::{
    ContentFormat, DecodeError, EncodeError, Entry, Patch, SampleTime, decode, decode_below,
    decode_patch, decode_paths, encode, encode_below, encode_empty_instance, encode_patch,
    encode_paths, first_instance,
};
pub use gateway::{Child, ChildPrefix};
pub use link::{Link, ObjectLinks};
pub use misuse::Misuse;
pub use names::{EndpointName, Lifetime, LwM2mVersion, RegistrationId};
pub use observed::{CompositePaths, Observed};
pub use operation::{ExecuteArguments, Operation, WriteMode};
pub use path::Path;
pub use power_saving::PowerSaving;
pub use raw::{Method, RawRequest};
pub use registration::{RegisterError, RegisterRequest, UpdateError, UpdateRequest};
pub use registry::{
    ModelError, NotAdmitted, ObjectModel, ObjectVersion, Operations, Registry, ResourceModel,
    default_object_version,
};
pub use value::{Value, ValueType};
