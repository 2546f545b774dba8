//! What nobody here wrote, against a real cluster: devices, servers, tools of DTLS, an object store, a registry.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod aiocoap;
mod bootstrap;
mod device;
mod dtls_tools;
mod keys;
mod leshan;
mod leshan_security;
mod leshan_server;
mod libcoap;
mod object_storage;
mod registry;
mod secured;
mod tls;
