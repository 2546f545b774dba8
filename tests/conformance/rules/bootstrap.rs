//! Bootstrap.

use super::{Proof, Rule, test};

pub(super) const RULES: &[Rule] = &[Rule {
    id: "srv-68",
    what: "A device that cannot use its pack comes for the sequence of requests, and that is no attack (Core §6.1.3.2)",
    proofs: &[
        test(
            "lwm2m-server",
            "engine",
            "bootstrap::pack::a_pack_holds_all_accounts",
        ),
        test(
            "lwm2m-server",
            "engine",
            "bootstrap::pack::a_device_that_cannot_use_its_pack_comes_for_the_sequence",
        ),
        Proof::Case("1.2-int-12"),
    ],
}];
