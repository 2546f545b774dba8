//! Registration.

use super::{Rule, unit};

pub(super) const RULES: &[Rule] = &[Rule {
    id: "srv-27",
    what: "A Register without `lt` or without `lwm2m` is answered 4.00 (Core §6.2.1)",
    proofs: &[unit(
        "lwm2m",
        "registration::tests::each_defect_of_a_register_has_its_own_error",
    )],
}];
