//! The rules of `apply`, each as a sentence, and the properties that hold for every sequence of
//! commands.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod artefact;
mod bootstrap;
mod campaign;
mod desired;
mod enrollment;
mod feed;
mod freshness;
mod guard;
mod instance;
mod member;
mod metadata;
mod model;
mod observation;
mod operation;
mod profile;
mod properties;
mod query;
mod registration;
mod restore;
mod resumption;
mod retry;
mod security;
mod selection;
mod session;
mod tenancy;
mod value;
mod world;
