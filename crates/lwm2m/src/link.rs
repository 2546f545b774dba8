//! What a device lists about itself, in CoRE link-format (RFC 6690).
//!
//! Clients differ in every corner of the format, so reading is liberal: attributes may lack a
//! value, values may or may not be quoted, paths may end in a slash, and the first item of an old
//! bootstrap Discover answer may lack its `<>`.

use std::fmt;

use thiserror::Error;

use crate::alternate_path::AlternatePath;
use crate::format::ContentFormat;
use crate::names::LwM2mVersion;
use crate::path::Path;
use crate::registry::{ObjectVersion, default_object_version};

/// The object with the servers of a device (LwM2M Core 1.2 §E.2).
const SERVER_OBJECT: u16 = 1;

/// The longest link list that is read, in bytes.
pub const MAX_BYTES: usize = 65_536;

/// The most links that a list may hold.
pub const MAX_LINKS: usize = 4_096;

/// The most attributes that one link may hold.
pub const MAX_ATTRIBUTES: usize = 64;

/// One link: a path and what the device says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The path below the alternate path of the device.
    pub path: Path,
    /// The attributes in the order of the text; the value is absent if there is no `=`.
    pub attributes: Vec<(String, Option<String>)>,
}

impl Link {
    /// A link without attributes.
    pub const fn new(path: Path) -> Self {
        Self {
            path,
            attributes: Vec::new(),
        }
    }

    /// The link with one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.attributes
            .push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// The value of an attribute; `None` if it is absent or has no value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name)?;
        found.1.as_deref()
    }

    /// The object version (`ver`), if there is a readable one.
    pub fn version(&self) -> Option<ObjectVersion> {
        self.attribute("ver")?.parse().ok()
    }
}

/// The list of objects and instances of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectLinks {
    alternate_path: AlternatePath,
    links: Vec<Link>,
}

/// Why a link list cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The list is longer than [`MAX_BYTES`].
    #[error("link list has {0} bytes, more than 65536")]
    TooLong(usize),
    /// The list is not UTF-8.
    #[error("link list is not utf-8")]
    NotUtf8,
    /// The list has more than [`MAX_LINKS`] links.
    #[error("link list has more than 4096 links")]
    TooManyLinks,
    /// A link has more than [`MAX_ATTRIBUTES`] attributes.
    #[error("link has more than 64 attributes")]
    TooManyAttributes,
    /// The list breaks the grammar at this byte, counted from 0.
    #[error("link list is malformed at byte {0}")]
    Malformed(usize),
}

impl ObjectLinks {
    /// Reads a link list.
    ///
    /// Links that are not LwM2M paths below the alternate path belong to other services of the
    /// device and are passed over.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        if text.len() > MAX_BYTES {
            return Err(LinkError::TooLong(text.len()));
        }
        let raw = Reader { text, at: 0 }.links()?;
        let alternate_path = find_alternate_path(&raw);
        let links = raw
            .into_iter()
            .filter_map(|link| {
                let path = parse_target(alternate_path.strip(link.target)?)?;
                let attributes = link.attributes;
                Some(Link { path, attributes })
            })
            .collect();
        Ok(Self {
            alternate_path,
            links,
        })
    }

    /// Reads a list of what lies below `root`, whether its links say so or not.
    pub fn parse_below(root: &AlternatePath, text: &str) -> Result<Self, LinkError> {
        if text.len() > MAX_BYTES {
            return Err(LinkError::TooLong(text.len()));
        }
        let raw = Reader { text, at: 0 }.links()?;
        let links = raw.into_iter().filter_map(|link| {
            let target = root.strip(link.target).unwrap_or(link.target);
            let path = parse_target(target)?;
            let attributes = link.attributes;
            Some(Link { path, attributes })
        });
        Ok(Self::new(links.collect()))
    }

    /// Reads the bytes of a payload.
    pub fn parse_bytes(payload: &[u8]) -> Result<Self, LinkError> {
        if payload.len() > MAX_BYTES {
            return Err(LinkError::TooLong(payload.len()));
        }
        Self::parse(std::str::from_utf8(payload).map_err(|_| LinkError::NotUtf8)?)
    }

    /// A list of the given links, directly under the root.
    pub fn new(links: Vec<Link>) -> Self {
        Self {
            alternate_path: AlternatePath::default(),
            links,
        }
    }

    /// The same links below an alternate path. The writer then adds the link that announces it.
    #[must_use]
    pub fn with_alternate_path(self, alternate_path: AlternatePath) -> Self {
        Self {
            alternate_path,
            ..self
        }
    }

    /// Where the device keeps its objects.
    pub const fn alternate_path(&self) -> &AlternatePath {
        &self.alternate_path
    }

    /// The instance of the Server object that is the listening server's own: the only one that it
    /// was told of. None if there is none or the device shows those of other servers too.
    pub fn own_server_instance(&self) -> Option<u16> {
        let mut instances = self.links.iter().filter_map(|link| match link.path {
            Path::ObjectInstance(SERVER_OBJECT, instance) => Some(instance),
            _ => None,
        });
        let first = instances.next()?;
        instances.next().is_none().then_some(first)
    }

    /// The links in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }

    /// The number of links.
    pub const fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are no links.
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The link of a path.
    pub fn get(&self, path: Path) -> Option<&Link> {
        self.links.iter().find(|link| link.path == path)
    }

    /// Whether the list names the path or something below it.
    pub fn contains(&self, path: Path) -> bool {
        self.links.iter().any(|link| link.path.starts_with(path))
    }

    /// Keeps only the links that `keep` accepts.
    pub fn retain(&mut self, keep: impl FnMut(&Link) -> bool) {
        self.links.retain(keep);
    }

    /// Lists an object instance that the device has from now on.
    pub fn add_instance(&mut self, instance: Path) {
        if self.get(instance).is_none() {
            self.links.push(Link::new(instance));
        }
    }

    /// Lists an object instance no longer. Its object stays listed, as one without instances is (Core 1.2 §6.2.1).
    pub fn remove_instance(&mut self, instance: Path) {
        let Path::ObjectInstance(object, _) = instance else {
            return;
        };
        let version = self.version(object);
        self.links.retain(|link| !link.path.starts_with(instance));
        if !self.contains(Path::Object(object)) {
            let link = Link::new(Path::Object(object));
            self.links.push(match version {
                Some(version) => link.with("ver", &version.to_string()),
                None => link,
            });
        }
    }

    /// The version the device names for an object, on the object or on one of its instances.
    pub fn version(&self, object: u16) -> Option<ObjectVersion> {
        let of_object = |link: &&Link| link.path.starts_with(Path::Object(object));
        self.links.iter().filter(of_object).find_map(Link::version)
    }

    /// The version of an object: the one that the device names, or else the one of its release.
    pub fn version_in(&self, object: u16, release: LwM2mVersion) -> ObjectVersion {
        self.version(object)
            .unwrap_or_else(|| default_object_version(object, release))
    }

    /// The ids of the instances of an object, in the order of the text.
    pub fn instances(&self, object: u16) -> impl Iterator<Item = u16> {
        self.links.iter().filter_map(move |link| match link.path {
            Path::ObjectInstance(o, instance) if o == object => Some(instance),
            _ => None,
        })
    }

    /// The payload formats the device names for all its objects (`ct` of the root link).
    pub fn content_formats(&self) -> impl Iterator<Item = ContentFormat> {
        let list = self.get(Path::Root).and_then(|root| root.attribute("ct"));
        let numbers = list.unwrap_or_default().split_ascii_whitespace();
        numbers.filter_map(|number| number.parse().ok().map(ContentFormat))
    }
}

/// Reads a link target below the alternate path, which may end in a slash.
fn parse_target(target: &str) -> Option<Path> {
    match target.strip_suffix('/') {
        Some("") | None => target.parse().ok(),
        Some(path) => path.parse().ok(),
    }
}

fn find_alternate_path(links: &[RawLink<'_>]) -> AlternatePath {
    let announces = |link: &&RawLink<'_>| {
        let types = link.attributes.iter().filter(|(name, _)| name == "rt");
        types
            .filter_map(|(_, value)| value.as_deref())
            .any(|value| {
                value
                    .split_ascii_whitespace()
                    .any(|resource_type| resource_type == "oma.lwm2m")
            })
    };
    let target = links
        .iter()
        .find(announces)
        .and_then(|link| link.target.parse().ok());
    target.unwrap_or_default()
}

struct RawLink<'a> {
    target: &'a str,
    attributes: Vec<(String, Option<String>)>,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn links(mut self) -> Result<Vec<RawLink<'a>>, LinkError> {
        let mut links = Vec::new();
        loop {
            self.skip_spaces();
            match self.peek() {
                None => return Ok(links),
                // Clients end lists with a comma or leave an item out.
                Some(b',') => self.at += 1,
                Some(_) if links.len() == MAX_LINKS => return Err(LinkError::TooManyLinks),
                Some(b'<') => links.push(self.link()?),
                // LwM2M-Core 1.0 §5.2.7.3: a bootstrap Discover answer began with `lwm2m="1.0",`.
                Some(_) if links.is_empty() => links.push(self.bare_attributes()?),
                Some(_) => return Err(LinkError::Malformed(self.at)),
            }
        }
    }

    fn link(&mut self) -> Result<RawLink<'a>, LinkError> {
        self.expect(b'<')?;
        let target = self.until(|b| b == b'>').trim();
        self.expect(b'>')?;
        let attributes = self.attributes(Vec::new())?;
        Ok(RawLink { target, attributes })
    }

    fn bare_attributes(&mut self) -> Result<RawLink<'a>, LinkError> {
        let first = self.attribute()?;
        Ok(RawLink {
            target: "/",
            attributes: self.attributes(vec![first])?,
        })
    }

    fn attributes(
        &mut self,
        mut attributes: Vec<(String, Option<String>)>,
    ) -> Result<Vec<(String, Option<String>)>, LinkError> {
        loop {
            self.skip_spaces();
            match self.peek() {
                None | Some(b',') => return Ok(attributes),
                Some(b';') => self.at += 1,
                Some(_) => return Err(LinkError::Malformed(self.at)),
            }
            self.skip_spaces();
            if matches!(self.peek(), None | Some(b';' | b',')) {
                continue;
            }
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(LinkError::TooManyAttributes);
            }
            attributes.push(self.attribute()?);
        }
    }

    fn attribute(&mut self) -> Result<(String, Option<String>), LinkError> {
        let name = self
            .until(|b| matches!(b, b'=' | b';' | b',' | b'"' | b'<' | b'>'))
            .trim();
        if name.is_empty() {
            return Err(LinkError::Malformed(self.at));
        }
        if self.peek() != Some(b'=') {
            return Ok((name.to_owned(), None));
        }
        self.at += 1;
        self.skip_spaces();
        let value = match self.peek() {
            Some(b'"') => self.quoted()?,
            _ => self.until(|b| matches!(b, b';' | b',')).trim().to_owned(),
        };
        Ok((name.to_owned(), Some(value)))
    }

    /// A quoted string, in which a backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<String, LinkError> {
        self.expect(b'"')?;
        let mut value = String::new();
        loop {
            value.push_str(self.until(|b| matches!(b, b'"' | b'\\')));
            if self.peek() != Some(b'\\') {
                self.expect(b'"')?;
                return Ok(value);
            }
            self.at += 1;
            let escaped = self
                .text
                .get(self.at..)
                .and_then(|rest| rest.chars().next());
            let escaped = escaped.ok_or(LinkError::Malformed(self.at))?;
            value.push(escaped);
            self.at += escaped.len_utf8();
        }
    }

    /// The text up to the next ASCII character that `ends` accepts, or to the end.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().position(ends).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        self.until(|b| !b.is_ascii_whitespace());
    }

    fn expect(&mut self, byte: u8) -> Result<(), LinkError> {
        if self.peek() != Some(byte) {
            return Err(LinkError::Malformed(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_link(f, &AlternatePath::default(), self)
    }
}

/// Writes the list as a device would send it.
impl fmt::Display for ObjectLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let announced = self
            .get(Path::Root)
            .is_some_and(|root| root.attribute("rt").is_some());
        if !self.alternate_path.is_root() && !announced {
            write!(f, "<{}>;rt=\"oma.lwm2m\"", self.alternate_path)?;
            separator = ",";
        }
        for link in &self.links {
            f.write_str(separator)?;
            write_link(f, &self.alternate_path, link)?;
            separator = ",";
        }
        Ok(())
    }
}

fn write_link(f: &mut fmt::Formatter<'_>, prefix: &AlternatePath, link: &Link) -> fmt::Result {
    match (prefix.is_root(), link.path) {
        (true, path) => write!(f, "<{path}>")?,
        (false, Path::Root) => write!(f, "<{prefix}>")?,
        (false, path) => write!(f, "<{prefix}{path}>")?,
    }
    for (name, value) in &link.attributes {
        match value {
            None => write!(f, ";{name}")?,
            Some(number) if is_bare(number) => write!(f, ";{name}={number}")?,
            Some(text) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, ";{name}=\"{escaped}\"")?;
            }
        }
    }
    Ok(())
}

/// Numbers and versions go without quotes, as the examples of the specification write them.
fn is_bare(value: &str) -> bool {
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-');
    !value.is_empty() && value.bytes().all(numeric)
}

#[cfg(test)]
mod tests;
