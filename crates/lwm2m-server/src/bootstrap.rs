//! The bootstrap server role (LwM2M Core 1.2 §6.1): how a device gets its accounts.

mod access;
mod account;
mod plan;
mod retry;

pub use access::AccessControl;
pub use account::{AccountSecurity, CertificateUse, KeyMaterial, OscoreAccount, ServerAccount};
pub use plan::{BootstrapPlan, BootstrapWrite, PlanError};
pub use retry::RetryPolicy;
