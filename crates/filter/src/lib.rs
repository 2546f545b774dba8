//! The language in which lists are filtered: a subset of AIP-160.
//!
//! The crate reads texts and says where they are wrong. It knows no fields and compares nothing: what a field is and
//! which comparisons it takes is said by who has the field.
//!
//! ```text
//!  filter      = [ expression ]
//!  expression  = factor { [ "AND" ] factor }
//!  factor      = term { "OR" term }                 OR binds tighter than AND (AIP-160)
//!  term        = [ "NOT" | "-" ] ( restriction | "(" expression ")" )
//!  restriction = field comparator argument
//!  field       = name [ "." ( key | string ) ]
//!  comparator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"
//!  argument    = word | string                      a * at the end stands for any further text
//! ```
//!
//! ```
//! use filter::{Comparator, Expression, Tail};
//!
//! let filter = filter::parse(r#"labels.site = "north*" AND NOT state = REGISTERED"#)?;
//! let Some(Expression::And(parts)) = filter else { panic!() };
//! let Expression::Restriction(first) = &parts[0] else { panic!() };
//! assert_eq!((first.field.name.as_str(), first.field.member.as_deref()), ("labels", Some("site")));
//! assert_eq!(first.comparator, Comparator::Equal);
//! assert_eq!((first.argument.text.as_str(), first.argument.tail), ("north", Tail::Any));
//! # Ok::<(), filter::FilterError>(())
//! ```

mod error;
mod parser;
mod write;

pub use error::{Expected, FilterError};
pub use parser::parse;

/// The longest filter in bytes.
pub const MAX_BYTES: usize = 2_048;
/// The most restrictions in a filter.
pub const MAX_TERMS: usize = 64;
/// How deep parentheses and negations may stand in one another.
pub const MAX_DEPTH: usize = 16;

/// What a filter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Two at least.
    And(Vec<Self>),
    /// Two at least.
    Or(Vec<Self>),
    Not(Box<Self>),
    Restriction(Restriction),
}

/// A comparison of a field with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    pub field: Field,
    pub comparator: Comparator,
    pub argument: Argument,
}

/// What is compared.
#[derive(Clone, Debug, Eq)]
pub struct Field {
    pub name: String,
    /// After the dot: `labels.site`.
    pub member: Option<String>,
    /// Where it stands in the text, in bytes; does not count when fields are compared.
    pub at: usize,
}

/// What it is compared with.
#[derive(Clone, Debug, Eq)]
pub struct Argument {
    /// Without quotes, escapes and the star at its end.
    pub text: String,
    pub tail: Tail,
    /// Where it stands in the text, in bytes; does not count when arguments are compared.
    pub at: usize,
}

/// What may follow the text of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tail {
    Nothing,
    /// There is a star at the end.
    Any,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
}

impl Comparator {
    /// As it is written; longer ones before those that they begin with.
    const ALL: [(Self, &'static str); 7] = [
        (Self::NotEqual, "!="),
        (Self::LessOrEqual, "<="),
        (Self::GreaterOrEqual, ">="),
        (Self::Equal, "="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
        (Self::Has, ":"),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(comparator, _)| *comparator == self)
            .map_or("", |(_, text)| text)
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.member) == (&other.name, &other.member)
    }
}

impl PartialEq for Argument {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.tail) == (&other.text, other.tail)
    }
}
