//! `drover-sim bench`: measurements of a server, each reported in one line of JSON.

mod api;
mod commands;
mod notify;
pub(crate) mod read;
mod register;
pub(crate) mod request;

pub use commands::bench_commands;
pub use notify::bench_notify;
pub use read::bench_read;
pub use register::bench_register;
pub use request::bench_request;
