//! What is wrong with a device, in words.
//!
//! [`diagnose`] looks at what is stored of a device and at what it answered just now, and tells what a person should know,
//! the worst first, each with the evidence for it and what to do. It asks nobody and knows no clock: what there is to
//! know is in [`Facts`].
//!
//! ```
//! use device_state::query;
//! use device_state::{DeviceName, MemoryTables, Timestamp};
//! use diagnosis::{Facts, diagnose};
//!
//! let endpoint = DeviceName::parse("meter-7")?;
//! let view = query::device(&MemoryTables::new(), &endpoint);
//! let now = Timestamp(0);
//! let findings = diagnose(&Facts { now, view: &view, asked: &[], contact: None, refused: &[] });
//! assert_eq!(findings[0].summary, "The device is not registered.");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contact;
mod health;
mod observation;
mod presence;

use std::time::Duration;

use device_state::query::DeviceView;
use device_state::{Contact, RefusedAttempt, Timestamp};
use lwm2m::{Path, Value};

/// What ended badly, or was refused, is of interest for so long.
const LATELY: Duration = Duration::from_hours(24);

/// What there is to know.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub now: Timestamp,
    /// What is stored of the device.
    pub view: &'a DeviceView,
    /// What it was asked just now.
    pub asked: &'a [Asked],
    /// How the exchange of messages with it goes, if an ingress node holds it.
    pub contact: Option<&'a Contact>,
    /// What somebody was refused who claimed to be the device.
    pub refused: &'a [RefusedAttempt],
}

/// A read of the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// An object instance.
    pub path: Path,
    pub answer: Answer,
    /// From the request to the end.
    pub took: Duration,
}

/// How a read ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Values(Vec<(Path, Value)>),
    /// By the device; in words.
    Refused(String),
    /// The cluster could not ask it, or could not read what it said; in words.
    Unreachable(String),
    /// No answer came.
    Silence,
    /// The device is asleep: nothing was sent.
    Asleep,
}

/// How much a finding matters, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The device cannot do its work, or cannot be managed.
    Problem,
    /// It will come to that.
    Warning,
    /// Good to know.
    Notice,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
    /// What it was seen by.
    pub evidence: String,
    /// What to do; empty if there is nothing.
    pub advice: String,
}

impl Finding {
    fn new(severity: Severity, summary: &str, evidence: String, advice: &str) -> Self {
        Self {
            severity,
            summary: summary.to_owned(),
            evidence,
            advice: advice.to_owned(),
        }
    }
}

/// Object instances that tell how a device is, in the order in which it is best asked for them.
pub const VITAL: [Path; 7] = [
    Path::ObjectInstance(3, 0),
    Path::ObjectInstance(4, 0),
    Path::ObjectInstance(5, 0),
    Path::ObjectInstance(7, 0),
    Path::ObjectInstance(1, 0),
    Path::ObjectInstance(6, 0),
    Path::ObjectInstance(20, 0),
];

/// What a person should know, the worst first.
pub fn diagnose(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = presence::findings(facts);
    findings.extend(contact::findings(facts));
    findings.extend(observation::finding(facts));
    findings.extend(health::findings(facts));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

impl Facts<'_> {
    /// What the device answered for a resource.
    fn answered(&self, path: Path) -> Option<&Value> {
        self.answers(path).next().map(|(_, value)| value)
    }

    /// What it answered at and below a path.
    fn answers(&self, path: Path) -> impl Iterator<Item = (Path, &Value)> {
        let values = self.asked.iter().filter_map(|asked| match &asked.answer {
            Answer::Values(values) => Some(values),
            _ => None,
        });
        values
            .flatten()
            .filter(move |(at, _)| at.starts_with(path))
            .map(|(at, value)| (*at, value))
    }

    fn integer(&self, path: Path) -> Option<i64> {
        match self.answered(path)? {
            Value::Integer(number) => Some(*number),
            Value::Unsigned(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// A span of time for people: `4 h 30 min`.
fn spoken(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// From one point in time to a later one.
fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(to.0.saturating_sub(from.0))
}

#[cfg(test)]
mod tests;
