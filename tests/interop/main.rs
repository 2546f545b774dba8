//! Devices that nobody here wrote, against a real cluster: Eclipse Leshan's client library and libcoap.

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
mod secured;
mod tls;
