//! Notification attributes.

use super::{Proof, Rule, test, unit};

const fn pair(name: &'static str) -> Proof {
    test("lwm2m-client", "server", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-53",
        what: "A pmax below pmin, or of zero, is no error and means nothing (Core §5.1.2)",
        proofs: &[
            unit(
                "lwm2m",
                "attributes::tests::a_useless_maximum_period_is_ignored",
            ),
            pair("attributes::a_maximum_below_the_minimum_or_of_zero_is_written_and_means_nothing"),
        ],
    },
    Rule {
        id: "srv-54",
        what: "Thresholds of one Write-Attributes that contradict each other are not sent, and those of two are left to the device (Core §7.3.2)",
        proofs: &[
            unit(
                "lwm2m",
                "attributes::tests::thresholds_leave_room_for_the_step",
            ),
            pair("attributes::thresholds_that_contradict_each_other_in_one_request_are_not_sent"),
        ],
    },
    Rule {
        id: "srv-55",
        what: "What the attributes of a path make the device report, and when, is what the server keeps, and a change within pmin is not lost (Core §7.3.2)",
        proofs: &[
            pair(
                "attributes::reports_come_by_period_threshold_and_step_and_none_is_lost_to_a_period",
            ),
            Proof::Case("1.1-int-310"),
            Proof::Case("1.2-int-312"),
        ],
    },
    Rule {
        id: "srv-56",
        what: "Attributes of a lower level go before those above, parameters of an Observe before all, and an attribute is only sent to a level that it is for (Core §5.1.2, §6.4.1)",
        proofs: &[
            unit(
                "lwm2m",
                "attributes::tests::value_attributes_belong_to_resources",
            ),
            pair("attributes::an_attribute_at_a_level_that_it_is_not_for_is_not_sent"),
            pair(
                "attributes::what_is_attached_lower_and_what_is_asked_with_an_observe_goes_before",
            ),
            Proof::Case("1.1-int-260"),
            Proof::Case("1.1-int-261"),
            Proof::Case("1.2-int-313"),
        ],
    },
    Rule {
        id: "srv-57",
        what: "Every attribute of 1.2 can be set and unset, and a device that refuses them with an Observe is remembered as one (Core §5.1.2, §6.4.1)",
        proofs: &[
            unit(
                "lwm2m",
                "attributes::tests::every_attribute_is_read_and_written",
            ),
            unit(
                "lwm2m",
                "attributes::tests::an_attribute_without_value_is_cleared",
            ),
            pair("attributes::every_attribute_goes_to_a_device_of_1_2_and_is_taken_away_again"),
            pair(
                "attributes::a_device_that_does_not_know_an_attribute_is_observed_without_and_remembered",
            ),
        ],
    },
    Rule {
        id: "srv-58",
        what: "A depth is asked only of devices of 1.2, and the answer to Discover is taken as deep as it is, also with slashes at the ends (Core §6.3.2)",
        proofs: &[
            unit(
                "lwm2m",
                "operation::tests::attributes_and_depth_are_checked",
            ),
            pair("attributes::a_depth_is_asked_only_of_devices_that_know_it"),
            pair(
                "attributes::a_list_of_links_is_taken_as_deep_as_it_is_and_with_slashes_at_the_ends",
            ),
            Proof::Case("1.2-int-264"),
            Proof::Case("1.2-int-266"),
        ],
    },
];
