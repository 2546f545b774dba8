//! Notification attributes: when a device reports an observed path.
//!
//! A server attaches them with Write-Attributes (or as Observe parameters), a device shows them in
//! its answer to Discover. The two readers differ: a query that names an unknown attribute is
//! refused, a link that carries one is not.

use std::fmt;

use thiserror::Error;

use crate::link::Link;
use crate::path::Path;
use crate::value::{float_text, parse_float};

/// What one Write-Attributes does to one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Setting<T> {
    /// The attribute is not named: it stays what it is.
    #[default]
    Unchanged,
    /// The attribute is named without value: the device forgets it.
    Cleared,
    /// The attribute gets this value.
    To(T),
}

impl<T: Copy> Setting<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::To(value) => Some(value),
            Self::Unchanged | Self::Cleared => None,
        }
    }

    const fn is_unchanged(self) -> bool {
        matches!(self, Self::Unchanged)
    }

    /// This setting after `later` was written.
    fn then(self, later: Self) -> Self {
        match later {
            Self::Unchanged => self,
            Self::Cleared | Self::To(_) => later,
        }
    }
}

impl<T> From<Option<T>> for Setting<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unchanged, Self::To)
    }
}

/// Which change of a Boolean resource is reported (`edge`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// `0`: from true to false.
    Falling,
    /// `1`: from false to true.
    Rising,
}

/// How notifications are carried (`con`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// `0`: non-confirmable.
    NonConfirmable,
    /// `1`: confirmable.
    Confirmable,
}

/// The notification attributes of one path.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NotificationAttributes {
    /// Seconds that must pass between two notifications.
    pub pmin: Setting<u32>,
    /// Seconds after which a notification is due without any change; 0 is none.
    pub pmax: Setting<u32>,
    /// A notification is due when the value crosses this upper threshold.
    pub gt: Setting<f64>,
    /// A notification is due when the value crosses this lower threshold.
    pub lt: Setting<f64>,
    /// A notification is due when the value has changed by at least this step.
    pub st: Setting<f64>,
    /// Seconds that must pass between two evaluations of the value.
    pub epmin: Setting<u32>,
    /// Seconds after which the value must have been evaluated.
    pub epmax: Setting<u32>,
    /// The change of a Boolean value that is reported.
    pub edge: Setting<Edge>,
    /// How notifications are carried.
    pub con: Setting<Confirmation>,
    /// How many notifications the device keeps while the server cannot be reached.
    pub hqmax: Setting<u32>,
}

/// The name of a notification attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeName {
    /// Minimum period.
    Pmin,
    /// Maximum period.
    Pmax,
    /// Greater than.
    Gt,
    /// Less than.
    Lt,
    /// Step.
    St,
    /// Minimum evaluation period.
    Epmin,
    /// Maximum evaluation period.
    Epmax,
    /// Edge.
    Edge,
    /// Confirmable notification.
    Con,
    /// Maximum historical queue.
    Hqmax,
}

impl AttributeName {
    /// Every attribute in the order it is written.
    pub const ALL: [Self; 10] = [
        Self::Pmin,
        Self::Pmax,
        Self::Gt,
        Self::Lt,
        Self::St,
        Self::Epmin,
        Self::Epmax,
        Self::Edge,
        Self::Con,
        Self::Hqmax,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pmin => "pmin",
            Self::Pmax => "pmax",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::St => "st",
            Self::Epmin => "epmin",
            Self::Epmax => "epmax",
            Self::Edge => "edge",
            Self::Con => "con",
            Self::Hqmax => "hqmax",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// Whether the attribute makes sense for one value only.
    // LwM2M-Core 1.2 §5.1.2, table of NOTIFICATION attributes: the assignation level of gt, lt, st
    // and edge is the resource and the resource instance.
    const fn needs_a_value(self) -> bool {
        matches!(self, Self::Gt | Self::Lt | Self::St | Self::Edge)
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why attributes cannot be read or must not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AttributeError {
    /// A query parameter is not an attribute; the number is its place, counted from 0.
    #[error("query parameter {0} is not a notification attribute")]
    Unknown(usize),
    /// An attribute is named more than once.
    #[error("attribute {0} is repeated")]
    Repeated(AttributeName),
    /// An attribute has a value it cannot have.
    #[error("attribute {0} has an invalid value")]
    InvalidValue(AttributeName),
    /// `lt` must be below `gt`.
    #[error("attribute lt is not below gt")]
    ThresholdsCross,
    /// `lt + 2·st` must be below `gt`.
    #[error("attribute st does not fit between lt and gt")]
    StepTooWide,
    /// The attribute belongs to a resource or resource instance.
    #[error("attribute {0} needs the path of a resource")]
    NeedsResource(AttributeName),
    /// The path is the root, which has no attributes.
    #[error("attributes need the path of an object or deeper")]
    NeedsObject,
}

impl NotificationAttributes {
    /// Reads the query of a Write-Attributes (`pmin=10`, `pmax`, …).
    pub fn parse_query(query: &[impl AsRef<str>]) -> Result<Self, AttributeError> {
        let mut attributes = Self::default();
        for (index, parameter) in query.iter().enumerate() {
            let parameter = parameter.as_ref();
            let (key, value) = match parameter.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (parameter, None),
            };
            let name = AttributeName::parse(key).ok_or(AttributeError::Unknown(index))?;
            if attributes.names(name) {
                return Err(AttributeError::Repeated(name));
            }
            attributes
                .assign(name, value)
                .ok_or(AttributeError::InvalidValue(name))?;
        }
        Ok(attributes)
    }

    /// The attributes a link of a Discover answer shows; anything else on the link, and
    /// attributes with a value they cannot have, are passed over.
    pub fn from_link(link: &Link) -> Self {
        let mut attributes = Self::default();
        for name in AttributeName::ALL {
            if let Some(value) = link.attribute(name.as_str()) {
                // A malformed value leaves the attribute unchanged: the link is only a report.
                let _ = attributes.assign(name, Some(value));
            }
        }
        attributes
    }

    /// The query parameters that write these attributes.
    pub fn to_query(self) -> Vec<String> {
        AttributeName::ALL
            .into_iter()
            .filter_map(|name| match self.text(name) {
                Setting::Unchanged => None,
                Setting::Cleared => Some(name.as_str().to_owned()),
                Setting::To(value) => Some(format!("{name}={value}")),
            })
            .collect()
    }

    /// Whether no attribute is named.
    pub fn is_empty(self) -> bool {
        AttributeName::ALL.into_iter().all(|name| !self.names(name))
    }

    /// These attributes after `later` was written to the same path.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            pmin: self.pmin.then(later.pmin),
            pmax: self.pmax.then(later.pmax),
            gt: self.gt.then(later.gt),
            lt: self.lt.then(later.lt),
            st: self.st.then(later.st),
            epmin: self.epmin.then(later.epmin),
            epmax: self.epmax.then(later.epmax),
            edge: self.edge.then(later.edge),
            con: self.con.then(later.con),
            hqmax: self.hqmax.then(later.hqmax),
        }
    }

    /// The seconds after which the device reports without a change, if it does at all.
    // LwM2M-Core 1.2 §5.1.2: a pmax that is 0 or below pmin is ignored, not an error.
    pub fn effective_pmax(self) -> Option<u32> {
        let pmin = self.pmin.value().unwrap_or(0);
        self.pmax.value().filter(|pmax| *pmax != 0 && *pmax >= pmin)
    }

    /// Whether a device must accept these attributes for `path` in one Write-Attributes.
    pub fn validate(self, path: Path) -> Result<(), AttributeError> {
        if path == Path::Root {
            return Err(AttributeError::NeedsObject);
        }
        let misplaced = |name: &AttributeName| name.needs_a_value() && self.names(*name);
        if let Some(name) = AttributeName::ALL.into_iter().find(misplaced)
            && path.resource_id().is_none()
        {
            return Err(AttributeError::NeedsResource(name));
        }
        self.validate_thresholds()
    }

    /// Whether `lt`, `gt` and `st` leave room for each other; a device does not report on any of
    /// them otherwise.
    // LwM2M-Core 1.2 §7.3.2: "lt" value < "gt" value, and "lt" value + 2*"st" value < "gt" value.
    pub fn validate_thresholds(self) -> Result<(), AttributeError> {
        for (name, value) in [
            (AttributeName::Gt, self.gt),
            (AttributeName::Lt, self.lt),
            (AttributeName::St, self.st),
        ] {
            if value.value().is_some_and(|number| !number.is_finite()) {
                return Err(AttributeError::InvalidValue(name));
            }
        }
        let step = self.st.value().unwrap_or(0.0);
        if step < 0.0 {
            return Err(AttributeError::InvalidValue(AttributeName::St));
        }
        match (self.lt.value(), self.gt.value()) {
            (Some(lt), Some(gt)) if lt >= gt => Err(AttributeError::ThresholdsCross),
            (Some(lt), Some(gt)) if lt + 2.0 * step >= gt => Err(AttributeError::StepTooWide),
            _ => Ok(()),
        }
    }

    fn names(self, name: AttributeName) -> bool {
        match name {
            AttributeName::Pmin => !self.pmin.is_unchanged(),
            AttributeName::Pmax => !self.pmax.is_unchanged(),
            AttributeName::Gt => !self.gt.is_unchanged(),
            AttributeName::Lt => !self.lt.is_unchanged(),
            AttributeName::St => !self.st.is_unchanged(),
            AttributeName::Epmin => !self.epmin.is_unchanged(),
            AttributeName::Epmax => !self.epmax.is_unchanged(),
            AttributeName::Edge => !self.edge.is_unchanged(),
            AttributeName::Con => !self.con.is_unchanged(),
            AttributeName::Hqmax => !self.hqmax.is_unchanged(),
        }
    }

    fn assign(&mut self, name: AttributeName, value: Option<&str>) -> Option<()> {
        match name {
            AttributeName::Pmin => self.pmin = read(value, |text| text.parse().ok())?,
            AttributeName::Pmax => self.pmax = read(value, |text| text.parse().ok())?,
            AttributeName::Gt => self.gt = read(value, parse_float)?,
            AttributeName::Lt => self.lt = read(value, parse_float)?,
            AttributeName::St => self.st = read(value, parse_step)?,
            AttributeName::Epmin => self.epmin = read(value, |text| text.parse().ok())?,
            AttributeName::Epmax => self.epmax = read(value, |text| text.parse().ok())?,
            AttributeName::Edge => self.edge = read(value, parse_edge)?,
            AttributeName::Con => self.con = read(value, parse_confirmation)?,
            AttributeName::Hqmax => self.hqmax = read(value, |text| text.parse().ok())?,
        }
        Some(())
    }

    fn text(self, name: AttributeName) -> Setting<String> {
        match name {
            AttributeName::Pmin => print(self.pmin, |n| n.to_string()),
            AttributeName::Pmax => print(self.pmax, |n| n.to_string()),
            AttributeName::Gt => print(self.gt, threshold_text),
            AttributeName::Lt => print(self.lt, threshold_text),
            AttributeName::St => print(self.st, threshold_text),
            AttributeName::Epmin => print(self.epmin, |n| n.to_string()),
            AttributeName::Epmax => print(self.epmax, |n| n.to_string()),
            AttributeName::Edge => print(self.edge, |edge| bit_text(edge == Edge::Rising)),
            AttributeName::Con => print(self.con, |con| bit_text(con == Confirmation::Confirmable)),
            AttributeName::Hqmax => print(self.hqmax, |n| n.to_string()),
        }
    }
}

fn read<T>(value: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Option<Setting<T>> {
    match value {
        None => Some(Setting::Cleared),
        Some(text) => parse(text).map(Setting::To),
    }
}

fn print<T>(setting: Setting<T>, format: impl Fn(T) -> String) -> Setting<String> {
    match setting {
        Setting::Unchanged => Setting::Unchanged,
        Setting::Cleared => Setting::Cleared,
        Setting::To(value) => Setting::To(format(value)),
    }
}

fn parse_step(text: &str) -> Option<f64> {
    parse_float(text).filter(|step| *step >= 0.0)
}

fn parse_edge(text: &str) -> Option<Edge> {
    match text {
        "0" => Some(Edge::Falling),
        "1" => Some(Edge::Rising),
        _ => None,
    }
}

fn parse_confirmation(text: &str) -> Option<Confirmation> {
    match text {
        "0" => Some(Confirmation::NonConfirmable),
        "1" => Some(Confirmation::Confirmable),
        _ => None,
    }
}

/// Whole thresholds are written without fraction: the ABNF makes the fraction optional.
fn threshold_text(number: f64) -> String {
    let text = float_text(number);
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn bit_text(bit: bool) -> String {
    if bit { "1" } else { "0" }.to_owned()
}

#[cfg(test)]
mod tests;
