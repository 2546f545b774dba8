//! When an object is to be looked at again.

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Something goes on by itself.
    Running,
    /// Something else has to happen, which nobody tells.
    Waiting,
    /// Devices come and go, and are to be counted.
    Counting,
    /// Nothing more happens unless somebody changes something.
    Resting,
}
