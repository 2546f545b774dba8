//! Real processes on loopback: what must hold when they are killed, lied to or overloaded.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod access;
mod apply;
mod artefacts;
mod backup;
mod bad_input;
mod components;
mod corruption;
mod device;
mod diagnosis;
mod dual_stack;
mod enrollment;
mod fleet;
mod flood;
mod gateway;
mod kill_ingress;
mod leave;
mod ledger;
mod main_job;
mod membership;
mod observations;
mod one_device;
mod profiles;
mod queued_commands;
mod rest_shim;
mod resume;
mod rollout;
mod split_brain;
mod spray;
mod take_over;
mod tenancy;
mod transports;
mod watch;
