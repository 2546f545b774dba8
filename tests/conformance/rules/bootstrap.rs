//! Bootstrap.

use super::{Proof, Rule, test, unit};

/// A test of the bootstrap engine.
const fn engine(name: &'static str) -> Proof {
    test("lwm2m-server", "engine", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-63",
        what: "A bootstrap is driven without a pause, one request after the other, and is given up within EXCHANGE_LIFETIME (Core §6.1.7, RFC 7252 §4.8.2)",
        proofs: &[
            engine("bootstrap::faults::a_device_that_falls_silent_is_given_up_in_time"),
            engine("bootstrap::faults::a_slow_device_is_given_up_in_time"),
            // Its pair asserts of every message that no two requests are under way.
            engine("bootstrap::sequence::loss_duplicates_and_reordering_are_survived"),
            engine("bootstrap::hostile::every_bootstrap_ends_exactly_once"),
        ],
    },
    Rule {
        id: "srv-64",
        what: "A bootstrap begins with Discover, and neither a Delete nor a Write touches the bootstrap account, wherever that lies (Core §6.1.7.6)",
        proofs: &[
            engine("bootstrap::sequence::the_bootstrap_account_stays_wherever_it_is"),
            engine(
                "bootstrap::by_hand::a_delete_of_everything_goes_without_a_path_and_leaves_the_bootstrap_account",
            ),
            unit(
                "lwm2m-server",
                "bootstrap::layout::tests::accounts_make_way_for_the_bootstrap_account",
            ),
        ],
    },
    Rule {
        id: "srv-65",
        what: "Every form of an answer to Discover is read: without `<>` in its first item, without `uri`, with slashes at the end, with objects that have no instance (Core §6.1.7.3)",
        proofs: &[
            unit(
                "lwm2m-server",
                "bootstrap::layout::tests::every_form_of_a_discover_answer_is_read",
            ),
            engine("bootstrap::sequence::the_bootstrap_account_stays_wherever_it_is"),
            unit("lwm2m", "link::tests::sloppy_lists_are_read"),
        ],
    },
    Rule {
        id: "srv-66",
        what: "Only Server and Access Control are read in a bootstrap; a 4.06 to Finish is followed by one correction and another Finish (Core §6.1.7)",
        proofs: &[
            engine("bootstrap::faults::a_plan_that_no_device_could_take_is_not_begun"),
            engine("bootstrap::sequence::access_rights_are_written_and_read_back"),
            engine("bootstrap::faults::inconsistent_accounts_are_corrected_once"),
            engine("bootstrap::faults::accounts_that_stay_inconsistent_are_not_taken_for_good"),
        ],
    },
    Rule {
        id: "srv-67",
        what: "A bootstrap leaves the registration of its device alone, and the device is not told of credentials before they are good for a registration (Core §6.1.3)",
        proofs: &[
            engine("bootstrap::sequence::the_answer_to_the_request_goes_first"),
            engine("bootstrap::registering::a_bootstrapped_device_registers"),
            test(
                "state-node",
                "node",
                "bootstrap::a_bootstrap_makes_its_key_first_and_leaves_the_registration_alone",
            ),
            test(
                "device-state",
                "apply",
                "bootstrap::what_came_of_a_bootstrap_changes_nothing_of_a_registration",
            ),
        ],
    },
    Rule {
        id: "srv-68",
        what: "A pack holds what is planned and is followed by no Finish; without one the answer is 4.05, and a device that cannot use its pack comes for the sequence, which is no attack (Core §6.1.3.2)",
        proofs: &[
            engine("bootstrap::pack::a_pack_holds_all_accounts"),
            engine("bootstrap::pack::a_device_without_a_pack_is_bootstrapped_step_by_step"),
            engine("bootstrap::pack::a_device_that_cannot_use_its_pack_comes_for_the_sequence"),
            engine("bootstrap::pack::a_format_that_cannot_name_objects_is_not_acceptable"),
            engine(
                "bootstrap::faults::a_device_with_an_unknown_preferred_format_comes_again_without_one",
            ),
            Proof::Case("1.2-int-12"),
        ],
    },
    Rule {
        id: "srv-69",
        what: "The answer to the Bootstrap-Request goes before the first operation; the one to Finish may be separate, and the session may end with it (Core §6.1.7, RFC 7252 §5.2.2)",
        proofs: &[
            engine("bootstrap::sequence::the_answer_to_the_request_goes_first"),
            engine(
                "bootstrap::by_hand::a_finish_may_be_answered_separately_and_the_session_may_end_with_it",
            ),
        ],
    },
];
