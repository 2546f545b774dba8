//! Why a text is no filter.

use std::fmt;

use crate::{MAX_BYTES, MAX_DEPTH, MAX_TERMS};

/// What is wrong with a filter, and where: `at` counts bytes from the start of the text, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("has {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),
    #[error("has more than {MAX_TERMS} comparisons")]
    TooManyTerms { at: usize },
    #[error("at position {at}: parentheses and negations stand more than {MAX_DEPTH} deep")]
    TooDeep { at: usize },
    #[error("at position {at}: expected {expected}, found {found}")]
    Unexpected {
        at: usize,
        expected: Expected,
        /// For people: a few characters of what stands there.
        found: String,
    },
    #[error("at position {at}: the string that begins here does not end")]
    OpenString { at: usize },
    #[error("at position {at}: a * can only stand at the end; \\* in quotes is the character")]
    StrayStar { at: usize },
}

impl FilterError {
    /// Where the error is, in bytes from the start.
    pub const fn at(&self) -> usize {
        match self {
            Self::TooLong(_) => MAX_BYTES,
            Self::TooManyTerms { at }
            | Self::TooDeep { at }
            | Self::Unexpected { at, .. }
            | Self::OpenString { at }
            | Self::StrayStar { at } => *at,
        }
    }
}

/// What could have stood in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    Term,
    Key,
    Comparator,
    Argument,
    Close,
    /// After a complete expression.
    Operator,
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Term => "a field, NOT or (",
            Self::Key => "a key after the dot",
            Self::Comparator => "one of = != < <= > >= :",
            Self::Argument => "a value; one with spaces, parentheses or = < > ! , has to be quoted",
            Self::Close => "AND, OR or )",
            Self::Operator => "AND, OR or the end",
        })
    }
}
