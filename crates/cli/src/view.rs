//! What commands print: the JSON shapes, which are stable, and their tables.

pub(crate) mod artefact;
pub(crate) mod backup;
pub(crate) mod bootstrap;
pub(crate) mod campaign;
pub(crate) mod cluster;
pub(crate) mod contact;
pub(crate) mod credential;
pub(crate) mod device;
pub(crate) mod enrollment;
pub(crate) mod event;
pub(crate) mod group;
pub(crate) mod model;
pub(crate) mod operation;
pub(crate) mod profile;
pub(crate) mod value;
