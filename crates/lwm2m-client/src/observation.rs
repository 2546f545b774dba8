//! The observations of the server: when a notification is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::{NotificationId, Reliability, Token};
use lwm2m::attributes::Confirmation;
use lwm2m::{ChildPrefix, Edge, NotificationAttributes, Path, Value};

/// RFC 7641 §4.5: a confirmable notification at least every 24 hours.
const CONFIRM_PERIOD: Duration = Duration::from_hours(24);

/// What an observation is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    One(Path),
    /// Of an Observe-Composite: in order, and none twice.
    Several(Arc<[Path]>),
    /// At a device behind the gateway (OMA LwM2M Gateway 1.1).
    OfChild(ChildPrefix, Path),
}

impl Target {
    /// How events name it: the root stands for several paths, it is never observed itself. Events
    /// tell nothing of the devices behind a gateway.
    pub(crate) fn event_path(&self) -> Option<Path> {
        match self {
            Self::One(path) => Some(*path),
            Self::Several(_) => Some(Path::Root),
            Self::OfChild(..) => None,
        }
    }

    /// Whether any of these changes, which a device behind the gateway or else the gateway itself
    /// has seen, lies within, or took away what was within.
    pub(crate) fn is_touched_by(&self, child: Option<&ChildPrefix>, changed: &[Path]) -> bool {
        let (of, paths) = match self {
            Self::One(path) => (None, std::slice::from_ref(path)),
            Self::Several(paths) => (None, &**paths),
            Self::OfChild(of, path) => (Some(of), std::slice::from_ref(path)),
        };
        if of != child {
            return false;
        }
        let related = |at: &Path, path: &Path| at.starts_with(*path) || path.starts_with(*at);
        changed
            .iter()
            .any(|at| paths.iter().any(|path| related(at, path)))
    }
}

/// One observation.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) token: Token,
    pub(crate) target: Target,
    /// Accept of the request, which every notification honours.
    pub(crate) accept: Option<u16>,
    /// What the Observe itself asked for; it overrides what is written to the path.
    pub(crate) parameters: NotificationAttributes,
    /// What holds: written attributes, parameters and the defaults of the server object.
    pub(crate) effective: NotificationAttributes,
    pub(crate) phase: Phase,
    /// The value as last reported, of a single resource.
    pub(crate) reported: Option<Value>,
    pub(crate) sent_at: Instant,
    pub(crate) confirmed_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The server knows all there is to know.
    Quiet,
    /// There is something to report, not before this point.
    Changed { not_before: Instant },
    /// A confirmable notification is under way.
    InFlight(NotificationId),
    /// As above, and the value has changed again.
    Outdated(NotificationId),
}

impl Observation {
    pub(crate) fn new(now: Instant, token: Token, target: Target) -> Self {
        Self {
            token,
            target,
            accept: None,
            parameters: NotificationAttributes::default(),
            effective: NotificationAttributes::default(),
            phase: Phase::Quiet,
            reported: None,
            sent_at: now,
            confirmed_at: now,
        }
    }

    /// When the next notification is due, if one is.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Quiet => {
                let pmax = self.effective.effective_pmax()?;
                self.sent_at.checked_add(seconds(pmax))
            }
            Phase::Changed { not_before } => {
                let pmin = self.effective.pmin.value().unwrap_or(0);
                let earliest = self.sent_at.checked_add(seconds(pmin))?;
                Some(earliest.max(not_before))
            }
            Phase::InFlight(_) | Phase::Outdated(_) => None,
        }
    }

    /// Something at or below the path has changed; `value` is what a single resource holds now.
    pub(crate) fn changed(&mut self, now: Instant, value: Option<&Value>) {
        if !is_worth_reporting(&self.effective, self.reported.as_ref(), value) {
            return;
        }
        self.phase = match self.phase {
            Phase::Quiet => Phase::Changed { not_before: now },
            Phase::Changed { not_before } => Phase::Changed { not_before },
            Phase::InFlight(id) | Phase::Outdated(id) => Phase::Outdated(id),
        };
    }

    /// How the next notification travels.
    pub(crate) fn reliability(&self, now: Instant, default: Reliability) -> Reliability {
        let asked = match self.effective.con.value() {
            Some(Confirmation::Confirmable) => Reliability::Confirmable,
            Some(Confirmation::NonConfirmable) => Reliability::NonConfirmable,
            None => default,
        };
        if now.saturating_duration_since(self.confirmed_at) >= CONFIRM_PERIOD {
            return Reliability::Confirmable;
        }
        asked
    }

    /// What the last notification said of a single resource.
    pub(crate) fn reported(&self) -> Option<&Value> {
        self.reported.as_ref()
    }

    /// A notification left.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        id: NotificationId,
        reliability: Reliability,
        value: Option<Value>,
    ) {
        self.sent_at = now;
        self.reported = value;
        self.phase = match reliability {
            Reliability::Confirmable => Phase::InFlight(id),
            Reliability::NonConfirmable => Phase::Quiet,
        };
    }

    /// A confirmable notification arrived.
    pub(crate) fn delivered(&mut self, now: Instant, delivered: NotificationId) -> bool {
        match self.phase {
            Phase::InFlight(id) if id == delivered => self.phase = Phase::Quiet,
            Phase::Outdated(id) if id == delivered => {
                self.phase = Phase::Changed { not_before: now };
            }
            _ => return false,
        }
        self.confirmed_at = now;
        true
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// LwM2M Core 1.2 §7.3.2: with any of `gt`, `lt`, `st` and `edge`, only the changes that they name
/// are reported; thresholds count when they are crossed, in either direction.
fn is_worth_reporting(
    attributes: &NotificationAttributes,
    reported: Option<&Value>,
    value: Option<&Value>,
) -> bool {
    let (Some(reported), Some(value)) = (reported, value) else {
        return true;
    };
    if let (Value::Boolean(before), Value::Boolean(after)) = (reported, value)
        && let Some(edge) = attributes.edge.value()
    {
        return before != after && *after == (edge == Edge::Rising);
    }
    let thresholds = [attributes.gt.value(), attributes.lt.value()];
    let step = attributes.st.value();
    let (Some(before), Some(after)) = (number(reported), number(value)) else {
        return reported != value;
    };
    if step.is_none() && thresholds.iter().all(Option::is_none) {
        return reported != value;
    }
    let crossed = thresholds
        .into_iter()
        .flatten()
        .any(|threshold| (before > threshold) != (after > threshold));
    crossed || step.is_some_and(|step| (after - before).abs() >= step)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) | Value::Time(number) => Some(*number as f64),
        Value::Unsigned(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn worth(query: &[&str], before: f64, after: f64) -> bool {
        let attributes = NotificationAttributes::parse_query(query).unwrap();
        let (before, after) = (Value::Float(before), Value::Float(after));
        is_worth_reporting(&attributes, Some(&before), Some(&after))
    }

    #[test]
    fn any_change_counts_without_attributes() {
        assert!(worth(&[], 20.0, 20.1));
        assert!(!worth(&[], 20.0, 20.0));
        assert!(worth(&["pmin=5", "pmax=10"], 20.0, 20.1));
    }

    #[test]
    fn thresholds_count_when_they_are_crossed() {
        assert!(worth(&["gt=25"], 24.0, 26.0));
        assert!(worth(&["gt=25"], 26.0, 24.0));
        assert!(!worth(&["gt=25"], 26.0, 27.0));
        assert!(worth(&["lt=10"], 11.0, 9.0));
        assert!(!worth(&["lt=10", "gt=25"], 15.0, 20.0));
    }

    #[test]
    fn steps_count_from_the_last_report() {
        assert!(!worth(&["st=1"], 20.0, 20.9));
        assert!(worth(&["st=1"], 20.0, 21.0));
        assert!(worth(&["st=1"], 20.0, 19.0));
    }

    #[test]
    fn edges_count_in_their_direction() {
        let rising = NotificationAttributes::parse_query(&["edge=1"]).unwrap();
        let change = |before, after| {
            is_worth_reporting(
                &rising,
                Some(&Value::Boolean(before)),
                Some(&Value::Boolean(after)),
            )
        };
        assert!(change(false, true));
        assert!(!change(true, false) && !change(true, true));
    }

    #[test]
    fn reports_keep_their_distance() {
        let now = Instant::now();
        let target = Target::One(Path::Resource(3303, 0, 5700));
        let mut observation = Observation::new(now, Token::EMPTY, target);
        observation.effective =
            NotificationAttributes::parse_query(&["pmin=10", "pmax=60"]).unwrap();
        assert_eq!(observation.due(), Some(now + Duration::from_mins(1)));
        observation.changed(now + Duration::from_secs(1), None);
        assert_eq!(observation.due(), Some(now + Duration::from_secs(10)));
    }
}
