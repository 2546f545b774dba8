//! Whose a device is, and what it is called there.
//!
//! A namespace is a tenant. The name of a device in the state tier is its endpoint name inside of its namespace; its text
//! form stands in keys, in rows and between nodes.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use lwm2m::EndpointName;
use lwm2m::names::EndpointNameError;
use thiserror::Error;

/// Stands before and after a namespace in the text form of a name. No endpoint name holds a control character, so none
/// can look as if it were in another namespace. Never change: it is in keys.
const MARK: char = '\u{1f}';

/// Whose devices: a label of the DNS, as the namespaces of Kubernetes are.
///
/// The order is that of the names in it: `default` is the last.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

/// Why a text is no namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a namespace has 1 to 63 characters of a-z, 0-9 and -, with a letter or a digit first and last"
)]
pub struct NamespaceError;

impl Namespace {
    /// Where everything is of which nothing else is said.
    pub const DEFAULT: &'static str = "default";
    /// The longest namespace in bytes.
    pub const MAX_BYTES: usize = 63;

    /// Checks `name` and takes a copy of it.
    pub fn new(name: &str) -> Result<Self, NamespaceError> {
        let is_inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = name.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let fits = bytes.len() <= Self::MAX_BYTES
            && ends.iter().all(|end| end.is_some_and(is_inner))
            && bytes.iter().all(|byte| is_inner(byte) || *byte == b'-');
        fits.then(|| Self(name.into())).ok_or(NamespaceError)
    }

    /// From the form in which it is stored: nothing stands for the default namespace.
    pub fn of_stored(text: &str) -> Result<Self, NamespaceError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        Self::new(text)
    }

    /// As it is stored: rows of the default namespace do not name it.
    pub fn stored(&self) -> &str {
        if self.is_default() { "" } else { &self.0 }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_default(&self) -> bool {
        &*self.0 == Self::DEFAULT
    }

    /// A name that is only good inside of the namespace, for keys and for what is hashed; as it is in the default
    /// namespace.
    pub fn qualify(&self, name: &str) -> String {
        if self.is_default() {
            name.to_owned()
        } else {
            format!("{MARK}{self}{MARK}{name}")
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl Ord for Namespace {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.is_default(), &self.0).cmp(&(other.is_default(), &other.0))
    }
}

impl PartialOrd for Namespace {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;
    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        Self::new(text)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A device: an endpoint name inside of a namespace.
///
/// Cloning is cheap. The order is that of the [stored](Self::stored) text, in which all devices of a namespace are
/// together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(Arc<str>);

/// Why a text is not the stored form of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeviceNameError {
    #[error(transparent)]
    Endpoint(#[from] EndpointNameError),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A namespace begins and does not end, or it is the default one, which is not written.
    #[error("the namespace of the device is not written as it should be")]
    Form,
}

impl DeviceName {
    /// The longest stored form in bytes.
    pub const MAX_BYTES: usize = EndpointName::MAX_BYTES + Namespace::MAX_BYTES + 2;

    pub fn new(namespace: &Namespace, endpoint: &EndpointName) -> Self {
        if namespace.is_default() {
            Self(endpoint.as_str().into())
        } else {
            Self(namespace.qualify(endpoint.as_str()).into())
        }
    }

    /// From the form in which it is stored and sent between nodes.
    pub fn parse(text: &str) -> Result<Self, DeviceNameError> {
        let (namespace, endpoint) = split(text).ok_or(DeviceNameError::Form)?;
        EndpointName::new(endpoint)?;
        if let Some(namespace) = namespace
            && Namespace::new(namespace)?.is_default()
        {
            return Err(DeviceNameError::Form);
        }
        Ok(Self(text.into()))
    }

    /// As it is stored and sent between nodes: the endpoint name alone in the default namespace. Not for people.
    pub fn stored(&self) -> &str {
        &self.0
    }

    pub fn namespace(&self) -> Namespace {
        let namespace = self.parts().0;
        namespace.map_or_else(Namespace::default, |text| Namespace(text.into()))
    }

    /// Whether it is in this namespace.
    pub fn is_in(&self, namespace: &Namespace) -> bool {
        self.parts().0.unwrap_or(Namespace::DEFAULT) == namespace.as_str()
    }

    /// What it registers as, as text.
    pub fn endpoint_str(&self) -> &str {
        self.parts().1
    }

    /// What it registers as.
    pub fn endpoint(&self) -> EndpointName {
        EndpointName::new(self.endpoint_str()).expect("it was an endpoint name when it came in")
    }

    /// For logs. The name has no text of its own: there is one for each purpose, so that none is taken for another.
    pub const fn shown(&self) -> Shown<'_> {
        Shown(self)
    }

    fn parts(&self) -> (Option<&str>, &str) {
        split(&self.0).unwrap_or((None, &self.0))
    }
}

/// The namespace that is written, and what follows; `None` if it does not end.
fn split(text: &str) -> Option<(Option<&str>, &str)> {
    match text.strip_prefix(MARK) {
        None => Some((None, text)),
        Some(rest) => rest
            .split_once(MARK)
            .map(|(namespace, endpoint)| (Some(namespace), endpoint)),
    }
}

impl FromStr for DeviceName {
    type Err = DeviceNameError;
    fn from_str(text: &str) -> Result<Self, DeviceNameError> {
        Self::parse(text)
    }
}

/// A name for people, in logs: the namespace is told unless it is the default one.
#[derive(Clone, Copy)]
pub struct Shown<'n>(&'n DeviceName);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parts() {
            (None, endpoint) => f.write_str(endpoint),
            (Some(namespace), endpoint) => write!(f, "{namespace}/{endpoint}"),
        }
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The devices of a namespace whose endpoint names begin with a text, or all devices of all namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DevicePrefix {
    /// `None`: whatever the namespace.
    namespace: Option<Namespace>,
    beginning: String,
}

impl DevicePrefix {
    /// All devices of all namespaces.
    pub const fn everything() -> Self {
        Self {
            namespace: None,
            beginning: String::new(),
        }
    }

    /// Of a namespace those whose endpoint names begin with `beginning`; all of them if it is empty.
    pub fn new(namespace: &Namespace, beginning: &str) -> Self {
        Self {
            namespace: Some(namespace.clone()),
            beginning: beginning.to_owned(),
        }
    }

    /// All devices of a namespace.
    pub fn of(namespace: &Namespace) -> Self {
        Self::new(namespace, "")
    }

    /// The same, of the names those that begin with `beginning`.
    #[must_use]
    pub fn with_beginning(&self, beginning: &str) -> Self {
        Self {
            namespace: self.namespace.clone(),
            beginning: beginning.to_owned(),
        }
    }

    /// What endpoint names begin with.
    pub fn beginning(&self) -> &str {
        &self.beginning
    }

    /// The namespace; `None` if any will do.
    pub const fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Whether the device is one of them.
    pub fn covers(&self, device: &DeviceName) -> bool {
        let namespace = self.namespace.as_ref();
        namespace.is_none_or(|namespace| device.is_in(namespace))
            && device.endpoint_str().starts_with(&self.beginning)
    }

    /// A device of this endpoint name among them; `None` if the namespace is open.
    pub fn named(&self, endpoint: &EndpointName) -> Option<DeviceName> {
        let namespace = self.namespace.as_ref()?;
        Some(DeviceName::new(namespace, endpoint))
    }

    /// No greater than any name of them. The bounds are good for ranges only: they need not be names.
    pub fn first(&self) -> DeviceName {
        match &self.namespace {
            None => DeviceName(MARK.to_string().into()),
            Some(namespace) if self.beginning.is_empty() => {
                // A space is the least character of a name.
                DeviceName(namespace.qualify(" ").into())
            }
            Some(namespace) => DeviceName(namespace.qualify(&self.beginning).into()),
        }
    }

    /// Greater than any name of them, and no greater than any other that is greater than they are.
    pub fn last(&self) -> DeviceName {
        let above = char::MAX
            .to_string()
            .repeat(EndpointName::MAX_BYTES / 4 + 1);
        let namespace = self.namespace.clone().unwrap_or_default();
        DeviceName(
            namespace
                .qualify(&format!("{}{above}", self.beginning))
                .into(),
        )
    }
}

#[cfg(test)]
mod tests;
