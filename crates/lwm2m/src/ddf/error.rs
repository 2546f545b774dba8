//! What is wrong with a DDF, and where.

use std::fmt;

use thiserror::Error;

use super::{MAX_DOCUMENT, MAX_OBJECTS};
use crate::registry::ModelError;

/// A place in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    pub(super) const fn fault(self, fault: Fault) -> DdfError {
        DdfError { at: self, fault }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a document gives no definition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{at}: {fault}")]
pub struct DdfError {
    /// Where.
    pub at: Position,
    /// What.
    pub fault: Fault,
}

/// What is wrong at a place of a document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Longer than [`MAX_DOCUMENT`].
    #[error("the document has {0} bytes, more than {MAX_DOCUMENT}")]
    TooLarge(usize),
    /// In the words of the XML library.
    #[error("this is not well-formed XML: {0}")]
    Malformed(String),
    /// A document type declaration, which could define entities.
    #[error("a DOCTYPE is refused, because a definition needs none; remove it")]
    DocType,
    /// A reference to something that is not known.
    #[error("&{0}; is not known; write &lt; &gt; &amp; &apos; &quot; or a number such as &#181;")]
    Entity(String),
    /// Elements in elements in elements.
    #[error("elements are nested more than {0} deep")]
    TooDeep(usize),
    /// More than a definition has.
    #[error("the document has more than {0} elements")]
    TooManyElements(usize),
    /// More than an element of a definition has.
    #[error("the element has more than {0} attributes")]
    TooManyAttributes(usize),
    /// The document ends before the element does.
    #[error("<{0}> is never closed; write </{0}>")]
    Unclosed(String),
    /// There is nothing in the document.
    #[error("there is no XML element; a definition is <LWM2M><Object>…</Object></LWM2M>")]
    NoElement,
    /// Another kind of XML.
    #[error("the document is <{0}>; a definition of objects (DDF) is <LWM2M>")]
    NotADdf(String),
    /// A DDF without any object.
    #[error("<LWM2M> has no <Object>")]
    NoObject,
    /// More than [`MAX_OBJECTS`].
    #[error("<LWM2M> has {0} objects, more than {MAX_OBJECTS}; use several documents")]
    TooManyObjects(usize),
    /// Not `MODefinition`.
    #[error("ObjectType is \"{0}\"; it must be \"MODefinition\"")]
    ObjectType(String),
    /// An element that must be there.
    #[error("<{parent}> has no <{element}>; add it")]
    Missing {
        /// Where it is missing.
        parent: &'static str,
        /// What is missing.
        element: &'static str,
    },
    /// An `Item` without an id.
    #[error("<Item> has no attribute ID; write <Item ID=\"0\"> with the id of the resource")]
    NoItemId,
    /// Not the id of an object or a resource.
    #[error("{element} is \"{text}\"; it must be a number from 0 to 65534")]
    NotAnId {
        /// What should be an id.
        element: &'static str,
        /// What it is.
        text: String,
    },
    /// Not the version of an object or of LwM2M.
    #[error("<{element}> is \"{text}\"; it must be major.minor such as 1.0, or empty for 1.0")]
    NotAVersion {
        /// What should be a version.
        element: &'static str,
        /// What it is.
        text: String,
    },
    /// Not one of the words that the schema has.
    #[error("<{element}> is \"{text}\"; it must be {allowed}")]
    NotOneOf {
        /// The element.
        element: &'static str,
        /// What is in it.
        text: String,
        /// What may be in it.
        allowed: &'static str,
    },
    /// What is written contradicts itself, or is more than is kept.
    #[error(transparent)]
    Model(ModelError),
}
