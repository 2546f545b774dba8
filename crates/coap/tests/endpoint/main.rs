//! Two endpoints, or one endpoint and hand-made messages, on virtual time.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time has to start somewhere"
)]

mod blockwise;
mod bounds;
mod loss;
mod observe;
mod reliability;
mod rig;
mod stream;
