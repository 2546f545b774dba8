//! Firmware objects and gateways.

use super::{Proof, Rule, test, unit};

const fn engine(name: &'static str) -> Proof {
    test("lwm2m-server", "engine", name)
}

/// A test of the engine with the device of this project.
const fn pair(name: &'static str) -> Proof {
    test("lwm2m-client", "server", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-78",
        what: "An update is reset by one zero byte as its package or by an empty address, and either arrives as it is (Core appendix E.6)",
        proofs: &[
            engine(
                "operations::what_resets_an_update_is_sent_as_one_zero_byte_or_as_an_empty_address",
            ),
            pair("firmware::an_update_is_reset_by_one_zero_byte_or_by_an_empty_address"),
            Proof::Case("1.1-int-755"),
        ],
    },
    Rule {
        id: "srv-79",
        what: "An update that the device refuses with 4.05 is told as that and not repeated, and its state and result tell what goes on (Core appendix E.6)",
        proofs: &[
            engine("operations::a_refused_update_is_told_with_its_code_and_the_state_can_be_read"),
            pair(
                "firmware::an_update_in_another_state_than_downloaded_is_refused_and_the_state_says_what_goes_on",
            ),
            Proof::Case("1.1-int-772"),
        ],
    },
    Rule {
        id: "srv-80",
        what: "A device that registers after its update is observed again, and its version and result are read from it then (Core §6.4.1, appendix E.6)",
        proofs: &[
            pair(
                "firmware::after_its_reboot_a_device_is_observed_again_and_tells_its_result_and_its_version",
            ),
            pair("firmware::a_failed_update_keeps_the_version_and_tells_why"),
            Proof::Case("1.1-int-770"),
            Proof::Case("1.1-int-779"),
        ],
    },
    Rule {
        id: "srv-81",
        what: "State and result are reported as the device has them, whichever state it returns to and whichever results its object knows (Core appendix E.6)",
        proofs: &[
            engine(
                "operations::the_state_and_the_result_of_an_update_are_reported_whatever_a_client_makes_of_them",
            ),
            Proof::Case("1.1-int-773"),
            Proof::Case("1.1-int-776"),
        ],
    },
    Rule {
        id: "srv-82",
        what: "An Execute carries the links of the instances to update together, quoted, and no argument that would end the quotes early (Core §6.3.6; /33629 of AVSystem)",
        proofs: &[engine(
            "operations::an_execute_carries_the_links_of_the_instances_to_update_together",
        )],
    },
    Rule {
        id: "srv-83",
        what: "Devices behind a gateway are found by its object 25 and come and go with its notifications; an operation on one has its prefix, a segment that is no number, in front of the path, its answer is of paths below it, and what gateways do not do for it is refused; what is observed of one is reported as that one's, and asked for again when the gateway registers (Gateway 1.1 §5, §6)",
        proofs: &[
            unit(
                "lwm2m",
                "gateway::tests::a_prefix_is_one_segment_that_is_no_number",
            ),
            unit(
                "lwm2m",
                "gateway::tests::children_are_read_from_the_gateway_with_their_objects",
            ),
            unit(
                "lwm2m",
                "gateway::tests::a_child_that_could_not_be_asked_is_told_with_the_reason",
            ),
            engine(
                "gateway::the_children_of_a_gateway_are_found_by_a_read_of_it_and_come_and_go_with_its_notifications",
            ),
            engine("gateway::an_operation_on_a_child_has_its_prefix_in_front_of_the_path"),
            engine(
                "gateway::what_a_child_answers_lies_below_it_whether_the_gateway_names_it_or_not",
            ),
            engine("gateway::a_write_to_a_child_names_it_in_the_formats_that_name_whole_paths"),
            engine("gateway::a_discover_of_a_child_lists_paths_below_it"),
            engine("gateway::a_child_that_vanished_is_told_with_the_code_of_the_gateway"),
            engine(
                "gateway::what_a_gateway_does_not_do_for_its_children_is_refused_before_it_is_sent",
            ),
            engine("gateway::what_a_child_notifies_is_kept_as_its_own_and_not_as_the_gateways"),
            engine("gateway::the_same_path_of_a_gateway_and_of_its_child_is_observed_apart"),
            engine(
                "gateway::a_child_is_observed_again_when_its_gateway_registers_until_nobody_wants_it",
            ),
        ],
    },
];
