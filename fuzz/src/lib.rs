//! What strangers' bytes reach, each under a fuzzer.
//!
//! A target is a function of bytes, which it reads as a [`script`]: messages to hand in, in which order and how framed, so
//! that the fuzzer gets past lengths, sequence numbers and cookies. It panics when an invariant is broken. `seeds()` of
//! each gives scripts to begin with. `make fuzz` runs them all; a bug that one finds becomes a test in its crate.

pub mod coap_datagram;
pub mod coap_stream;
pub mod dtls_cid;
pub mod dtls_client;
pub mod dtls_handshake;
pub mod dtls_network;
pub mod dtls_record;
pub mod filter;
pub mod forward;
pub mod lwm2m_bootstrap;
pub mod lwm2m_bootstrap_client;
pub mod lwm2m_ddf;
pub mod lwm2m_device;
pub mod lwm2m_engine;
pub mod lwm2m_formats;
pub mod lwm2m_names;
pub mod lwm2m_register;
pub mod oscore;
pub mod stored_states;

mod bootstrap_rig;
mod coap_messages;
mod dtls_messages;
mod dtls_rig;
mod engine_rig;
mod operation;
mod script;

/// The scripts to begin with, of every target by its name.
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    vec![
        ("coap_datagram", coap_datagram::seeds()),
        ("coap_stream", coap_stream::seeds()),
        ("dtls_cid", dtls_cid::seeds()),
        ("dtls_client", dtls_client::seeds()),
        ("dtls_handshake", dtls_handshake::seeds()),
        ("dtls_network", dtls_network::seeds()),
        ("dtls_record", dtls_record::seeds()),
        ("filter", filter::seeds()),
        ("forward", forward::seeds()),
        ("lwm2m_bootstrap", lwm2m_bootstrap::seeds()),
        ("lwm2m_bootstrap_client", lwm2m_bootstrap_client::seeds()),
        ("lwm2m_device", lwm2m_device::seeds()),
        ("lwm2m_engine", lwm2m_engine::seeds()),
        ("lwm2m_ddf", lwm2m_ddf::seeds()),
        ("lwm2m_formats", lwm2m_formats::seeds()),
        ("lwm2m_names", lwm2m_names::seeds()),
        ("lwm2m_register", lwm2m_register::seeds()),
        ("oscore", oscore::seeds()),
        ("stored_states", stored_states::seeds()),
    ]
}
