//! Sans-IO OSCORE.
#![expect(dead_code, reason = "the layer that uses the rest follows")]

mod algorithm;
mod cbor;
mod class;
mod context;
mod error;
mod identifier;
mod option;
mod partial_iv;
mod protect;
mod replay;

pub use algorithm::Algorithm;
pub use context::{Secrets, SecurityContext};
pub use error::{DeriveError, ImportError, ProtectError, SendError, UnprotectError};
pub use identifier::{IdContext, Identifier};
pub use option::{MalformedOption, OSCORE, OscoreOption};
pub use partial_iv::PartialIv;
pub use protect::{ReceivedRequest, SentRequest};
