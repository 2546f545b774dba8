//! The REST paths of Leshan's demo servers, in terms of the public API: so that test suites that drive Leshan (Zephyr's
//! interoperability suite among them) manage the devices of a cluster unmodified.
//!
//! | path | translated by |
//! |---|---|
//! | `/api/clients…` | [`clients`], with [`target`] for the path, [`query`] for the parameters, [`body`] and [`node`] for values |
//! | `/api/event` | [`events`], with [`presence`] for who sleeps, and [`observations`] for what is notified |
//! | `/api/security/clients…` | [`security`] |
//! | `/api/bootstrap…` | [`bootstrap`] |
//!
//! Everything that looks at JSON, paths or codes is pure; handlers fetch, call and answer. Requests are taken as Leshan
//! takes them: liberal in what is unknown, with its status codes. What has no counterpart is refused with a text that
//! says so. There is no authentication.
//!
//! The shapes are those of `leshan-demo-server` 2.0.0-M15.

mod answer;
mod body;
mod bootstrap;
mod clients;
mod events;
mod node;
mod observations;
mod operate;
mod presence;
mod query;
mod refusal;
mod registration;
mod security;
mod server;
mod shim;
mod target;

pub(crate) use server::Listeners;
