//! Which devices, and which operations, somebody wants to see.

use std::cmp::Ordering;

use crate::id::Timestamp;
use crate::index::Indexed;
use crate::label::LabelKey;

/// A condition made of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition<T> {
    /// Without any: everything.
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(T),
}

impl<T> Condition<T> {
    /// The condition that everything meets.
    pub const fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// Whether it holds, if the tests come out as `test` says.
    pub fn holds(&self, test: &mut impl FnMut(&T) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(test)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(test)),
            Self::Not(inner) => !inner.holds(test),
            Self::Test(one) => test(one),
        }
    }

    /// Whether it has a test that is as `such` says.
    pub fn has(&self, such: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.has(such)),
            Self::Not(inner) => inner.has(such),
            Self::Test(one) => such(one),
        }
    }

    /// What has to hold in any case: the parts of the outermost conjunctions.
    pub fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::All(parts) => parts.iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }
}

/// A text, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    Whole(String),
    Beginning(String),
}

impl Pattern {
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Whole(whole) => whole == text,
            Self::Beginning(beginning) => text.starts_with(beginning),
        }
    }
}

/// How a text is compared. What is not there meets neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextTest {
    Is(Pattern),
    IsNot(Pattern),
}

impl TextTest {
    pub fn holds(&self, text: Option<&str>) -> bool {
        let Some(text) = text else {
            return false;
        };
        match self {
            Self::Is(pattern) => pattern.fits(text),
            Self::IsNot(pattern) => !pattern.fits(text),
        }
    }
}

/// How something that has an order is compared. What is not there meets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderTest<V> {
    pub is: Order,
    pub than: V,
}

/// The outcomes of a comparison that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Equal,
    Other,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl<V: Ord> OrderTest<V> {
    pub fn holds(&self, value: Option<V>) -> bool {
        let Some(value) = value else {
            return false;
        };
        let found = value.cmp(&self.than);
        match self.is {
            Order::Equal => found == Ordering::Equal,
            Order::Other => found != Ordering::Equal,
            Order::Less => found == Ordering::Less,
            Order::AtMost => found != Ordering::Greater,
            Order::Greater => found == Ordering::Greater,
            Order::AtLeast => found != Ordering::Less,
        }
    }
}

/// A test of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceTest {
    Endpoint(TextTest),
    Label(LabelKey, TextTest),
    HasLabel(LabelKey),
    Registered,
    Version(OrderTest<lwm2m::LwM2mVersion>),
    Binding(TextTest),
    Transport(TextTest),
    /// By the name that nodes have in texts.
    IngressNode(TextTest),
    /// The policy that it is registered by.
    EnrollmentPolicy(TextTest),
    /// It is registered and in quarantine.
    Quarantined,
    RegisteredAt(OrderTest<Timestamp>),
    UpdatedAt(OrderTest<Timestamp>),
    /// One whose registration never expires meets none.
    ExpiresAt(OrderTest<Timestamp>),
    /// It registered with this object, or this instance of it.
    Object(u16, Option<u16>),
    /// Of the values that are known of it.
    Value(Indexed, TextTest),
}

impl DeviceTest {
    /// Whether it is about how the device is enrolled.
    pub(crate) const fn is_of_enrollment(&self) -> bool {
        matches!(self, Self::EnrollmentPolicy(_) | Self::Quarantined)
    }
}

/// A test of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationTest {
    State(Stage),
    Name(TextTest),
    Path(TextTest),
    EnqueuedAt(OrderTest<Timestamp>),
}

/// Where an operation is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Pending,
    InFlight,
    Delivered,
    Rejected,
    Expired,
    Cancelled,
    Superseded,
}

/// What devices to look for.
pub type DeviceFilter = Condition<DeviceTest>;

/// What operations to look for.
pub type OperationFilter = Condition<OperationTest>;
