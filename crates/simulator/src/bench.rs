//! `drover-sim bench`: measurements of a server, each reported in one line of JSON.

pub(crate) mod read;
mod register;
pub(crate) mod request;

pub use read::bench_read;
pub use register::bench_register;
pub use request::bench_request;
