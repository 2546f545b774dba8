//! Who may call what of the public API.
//!
//! | part | what it says |
//! |---|---|
//! | [`Identity`] | who calls, as a token or a certificate proved it |
//! | [`Claims`] | what a verified token says, and who that is |
//! | [`rule`] | what a method of the API does, to what |
//! | [`Policy`] | who may do what, from a file |
//!
//! The crate verifies no signature, reads no file and asks nobody: it is given claims that were verified, and text that was
//! read. A method that is not in the table of [`rule`] has no rule, and whoever asks must refuse it.
//!
//! ```
//! use access::{Attributes, Identity, Kind, Policy, Rule, rule};
//!
//! let policy = Policy::from_yaml("rules: [{groups: [meter-team], role: viewer}]")?;
//! let alice = Identity::new("alice", ["meter-team".to_owned()], Kind::Token);
//! let Some(Rule::Needs(permission)) = rule("/drover.v1.Devices/GetDevice") else { panic!() };
//! assert!(policy.allows(&alice, &Attributes { scope: permission.scope("default"), permission }));
//! let Some(Rule::Needs(permission)) = rule("/drover.v1.Operations/Execute") else { panic!() };
//! assert!(!policy.allows(&alice, &Attributes { scope: permission.scope("default"), permission }));
//! # Ok::<(), access::PolicyError>(())
//! ```

mod claims;
mod identity;
mod method;
mod pattern;
mod policy;

pub use claims::{Claims, ClaimsError, Mapping};
pub use identity::{Identity, Kind};
pub use method::{Permission, Rule, Scope, Verb, methods, rule};
pub use policy::{Attributes, Policy, PolicyError};
