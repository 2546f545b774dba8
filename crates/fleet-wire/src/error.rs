//! What cannot be understood.

use proto::convert::ConvertError;
use thiserror::Error;

/// Why an answer of the state tier cannot be understood.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// A path that is none.
    #[error("the state tier named {0:?}, which is not a path")]
    Path(String),
    /// Of what no state is known.
    #[error("the state tier gave {0} no state that is known")]
    State(String),
    /// Of what the value is none.
    #[error("the state tier gave {0} a value that is out of range")]
    Value(String),
    /// A message that says something that cannot be.
    #[error("the state tier told of something that cannot be: {0}")]
    Convert(#[from] ConvertError),
}
