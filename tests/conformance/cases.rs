//! The cases, by id, in the order of the specification.

use crate::stage::Stage;
use crate::{bootstrap, firmware, management, objects, registration, reporting, security, servers};

/// A case of the test specification.
pub(crate) struct Case {
    /// The id without `LightweightM2M-` in front; the name of the device that plays it.
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) play: Play,
}

/// How a case is played.
#[derive(Clone, Copy)]
pub(crate) enum Play {
    Short(fn(&Stage, &str)),
    /// It waits for minutes.
    Long(fn(&Stage, &str)),
    Not(Why),
}

/// Why a case is not played.
#[derive(Clone, Copy)]
pub(crate) enum Why {
    /// The specification names it and says nothing more.
    Placeholder,
    /// The specification sends to another case.
    Delegated(&'static str),
    NotRun(&'static str),
}

pub(crate) const fn short(id: &'static str, what: &'static str, play: fn(&Stage, &str)) -> Case {
    let play = Play::Short(play);
    Case { id, what, play }
}

pub(crate) const fn long(id: &'static str, what: &'static str, play: fn(&Stage, &str)) -> Case {
    let play = Play::Long(play);
    Case { id, what, play }
}

pub(crate) const fn not_run(id: &'static str, what: &'static str, why: &'static str) -> Case {
    let play = Play::Not(Why::NotRun(why));
    Case { id, what, play }
}

pub(crate) const fn delegated(id: &'static str, to: &'static str) -> Case {
    Case {
        id,
        what: "",
        play: Play::Not(Why::Delegated(to)),
    }
}

const fn placeholder(id: &'static str) -> Case {
    Case {
        id,
        what: "",
        play: Play::Not(Why::Placeholder),
    }
}

/// Cases that have nothing to play, among them two without a writable resource.
const PLACEHOLDERS: [&str; 31] = [
    "1.1-int-202",
    "1.1-int-210",
    "1.1-int-271",
    "1.1-int-555",
    "1.1-int-560",
    "1.1-int-565",
    "1.1-int-566",
    "1.1-int-656",
    "1.1-int-657",
    "1.1-int-661",
    "1.1-int-670",
    "1.1-int-705",
    "1.1-int-711",
    "1.1-int-720",
    "1.1-int-730",
    "1.1-int-735",
    "1.1-int-780",
    "1.1-int-805",
    "1.1-int-811",
    "1.1-int-820",
    "1.1-int-830",
    "1.1-int-835",
    "1.1-int-911",
    "1.1-int-920",
    "1.1-int-930",
    "1.1-int-935",
    "1.1-int-1600",
    "1.1-int-1605",
    "1.1-int-1610",
    "1.1-int-1611",
    "1.1-int-1620",
];

/// Cases that Leshan's device plays besides the test device: those whose procedure needs nothing of a device but its
/// answers, and no object that it does not have.
const LESHAN: [&str; 19] = [
    "1.1-int-101",
    "1.1-int-201",
    "1.1-int-203",
    "1.1-int-204",
    "1.1-int-211",
    "1.1-int-212",
    "1.1-int-224",
    "1.1-int-225",
    "1.1-int-229",
    "1.1-int-231",
    "1.1-int-232",
    "1.1-int-236",
    "1.1-int-237",
    "1.1-int-261",
    "1.1-int-280",
    "1.1-int-281",
    "1.1-int-301",
    "1.1-int-652",
    "1.1-int-685",
];

/// Whether Leshan's device can play a case.
pub(crate) fn is_for_leshan(id: &str) -> bool {
    LESHAN.contains(&id)
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let mut all = bootstrap::cases();
    all.extend(registration::cases());
    all.extend(management::cases());
    all.extend(reporting::cases());
    all.extend(security::cases());
    all.extend(firmware::cases());
    all.extend(objects::cases());
    all.extend(servers::cases());
    all.extend(PLACEHOLDERS.map(placeholder));
    all.sort_by_key(|case| number(case.id));
    all
}

/// What follows the last `-`.
fn number(id: &str) -> u32 {
    id.rsplit('-').next().unwrap().parse().unwrap()
}
