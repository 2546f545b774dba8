//! XML as a small tree: the one door to the XML library.
//!
//! Documents come from strangers. Their size, depth, elements and attributes are bounded, a document
//! type declaration is refused, and no entities are expanded but the five that XML has itself.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::error::{DdfError, Fault, Position};

/// Nested elements. A definition has five levels.
const MAX_DEPTH: usize = 32;
/// Elements of a document, which is more than the largest definition has.
const MAX_ELEMENTS: usize = 32_768;
/// Attributes of an element.
const MAX_ATTRIBUTES: usize = 32;

/// An element with what is in it. Prefixes of namespaces are left out of names.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    /// Where it begins.
    pub(super) at: Position,
    /// The text directly in it.
    pub(super) text: String,
    pub(super) children: Vec<Self>,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The first child with this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(known, _)| known == name)?;
        Some(&found.1)
    }
}

/// The outermost element of a document.
pub(super) fn read(text: &str) -> Result<Element, DdfError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Document {
        reader: Reader::from_str(text),
        cursor: Cursor {
            rest: text,
            byte: 0,
            at: Position::START,
        },
        open: Vec::new(),
        elements: 0,
    }
    .root()
}

struct Document<'t> {
    reader: Reader<&'t [u8]>,
    /// Where the event that is being read begins.
    cursor: Cursor<'t>,
    /// Elements whose end was not met yet, the outermost first.
    open: Vec<Element>,
    elements: usize,
}

impl<'t> Document<'t> {
    /// What stands behind the outermost element is not looked at.
    fn root(mut self) -> Result<Element, DdfError> {
        loop {
            self.cursor.advance(self.reader.buffer_position());
            let event = self.reader.read_event().map_err(|error| {
                self.cursor.advance(self.reader.error_position());
                self.cursor.at.fault(Fault::Malformed(error.to_string()))
            })?;
            let closed = match event {
                Event::Start(tag) => {
                    let element = self.element(&tag)?;
                    self.open.push(element);
                    None
                }
                Event::Empty(tag) => Some(self.element(&tag)?),
                Event::End(_) => self.open.pop(),
                Event::DocType(_) => return Err(self.cursor.at.fault(Fault::DocType)),
                Event::Eof => return Err(self.ended()),
                other => {
                    self.text(&other)?;
                    None
                }
            };
            if let Some(closed) = closed {
                match self.open.last_mut() {
                    Some(parent) => parent.children.push(closed),
                    None => return Ok(closed),
                }
            }
        }
    }

    fn element(&mut self, tag: &BytesStart<'t>) -> Result<Element, DdfError> {
        let at = self.cursor.at;
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(at.fault(Fault::TooManyElements(MAX_ELEMENTS)));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(at.fault(Fault::TooDeep(MAX_DEPTH)));
        }
        let mut attributes = Vec::new();
        // Without the library's check for repeated ones, whose work is the square of their number.
        for attribute in tag.attributes().with_checks(false) {
            let malformed = |error: String| at.fault(Fault::Malformed(error));
            let attribute = attribute.map_err(|error| malformed(error.to_string()))?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| malformed(error.to_string()))?;
            let name = attribute.key.local_name().as_ref().to_owned();
            attributes.push((name, value.into_owned()));
            if attributes.len() > MAX_ATTRIBUTES {
                return Err(at.fault(Fault::TooManyAttributes(MAX_ATTRIBUTES)));
            }
        }
        Ok(Element {
            name: tag.local_name().as_ref().to_owned(),
            at,
            text: String::new(),
            children: Vec::new(),
            attributes,
        })
    }

    /// Adds text to the innermost element. Declarations, comments and processing instructions are none,
    /// and text outside of elements is of no use.
    fn text(&mut self, event: &Event<'t>) -> Result<(), DdfError> {
        let text = match event {
            Event::Text(text) => text.xml_content(XmlVersion::Implicit1_0),
            Event::CData(data) => data.xml_content(XmlVersion::Implicit1_0),
            Event::GeneralRef(reference) => {
                let name: &str = reference;
                let character = match name {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "quot" => Some('"'),
                    _ => reference.resolve_char_ref().ok().flatten(),
                };
                let unknown = || self.cursor.at.fault(Fault::Entity(name.to_owned()));
                character.ok_or_else(unknown)?.to_string().into()
            }
            _ => return Ok(()),
        };
        if let Some(innermost) = self.open.last_mut() {
            innermost.text.push_str(&text);
        }
        Ok(())
    }

    fn ended(&self) -> DdfError {
        match self.open.last() {
            Some(open) => open.at.fault(Fault::Unclosed(open.name.clone())),
            None => Position::START.fault(Fault::NoElement),
        }
    }
}

/// A place in the text that only moves on, so that all places together cost one look at the text.
struct Cursor<'t> {
    rest: &'t str,
    byte: u64,
    at: Position,
}

impl Cursor<'_> {
    fn advance(&mut self, to: u64) {
        let passed = usize::try_from(to.saturating_sub(self.byte)).unwrap_or(usize::MAX);
        let Some((passed, rest)) = self.rest.split_at_checked(passed) else {
            return;
        };
        for character in passed.chars() {
            if character == '\n' {
                self.at.line += 1;
                self.at.column = 1;
            } else {
                self.at.column += 1;
            }
        }
        self.byte = to.max(self.byte);
        self.rest = rest;
    }
}
