//! Registration.

use super::{Proof, Rule, test, unit};

/// A test of the engine with a state tier in memory.
const fn engine(name: &'static str) -> Proof {
    test("lwm2m-server", "engine", name)
}

/// A test of the engine with the device library.
const fn pair(name: &'static str) -> Proof {
    test("lwm2m-client", "server", name)
}

/// A test of the state machine.
const fn state(name: &'static str) -> Proof {
    test("device-state", "apply", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-26",
        what: "The credential names the endpoint where a Register does not; a name alone is never believed, and one that is not the credential's is answered 4.03 (Core §6.2.1, §7.3.1)",
        proofs: &[
            engine(
                "registering::the_name_may_be_left_out_where_the_credential_tells_it_and_may_be_no_other",
            ),
            engine("registering::a_name_alone_does_not_take_a_secured_device_over"),
            test(
                "tests",
                "cluster",
                "transports::an_endpoint_with_a_credential_is_not_registered_without",
            ),
        ],
    },
    Rule {
        id: "srv-27",
        what: "A Register without `lt` or without `lwm2m` is answered 4.00, and parameters of vendors are passed over (Core §6.2.1)",
        proofs: &[
            engine(
                "registering::a_register_without_lifetime_or_release_is_a_bad_request_and_one_with_a_vendors_parameter_is_not",
            ),
            unit(
                "lwm2m",
                "registration::tests::each_defect_of_a_register_has_its_own_error",
            ),
        ],
    },
    Rule {
        id: "srv-28",
        what: "A release that is not spoken here is answered 4.12, so that the device tries an older one; only the exact numbers count (Core §6.2.1)",
        proofs: &[
            engine("registering::a_device_of_an_unknown_release_is_told_to_step_down"),
            unit(
                "lwm2m",
                "names::tests::only_released_versions_are_supported",
            ),
        ],
    },
    Rule {
        id: "srv-29",
        what: "A location is `/rd` and one segment of at most 32 bytes, without a query, that nobody can guess and that serves no other identity (Core §6.2.1, Transport §6.4.3)",
        proofs: &[
            engine("registering::a_location_is_short_and_cannot_be_guessed"),
            engine("registering::another_identity_cannot_tell_a_registration_from_none"),
            unit(
                "lwm2m",
                "names::tests::registration_ids_fit_one_path_segment",
            ),
        ],
    },
    Rule {
        id: "srv-30",
        what: "A Register ends the registration that the device had with its observations, whose location is 4.04 from then on; a repetition of the same message does not (Core §6.2.1, RFC 7252 §4.5)",
        proofs: &[
            engine("registering::a_new_register_ends_the_old_registration_and_its_observations"),
            engine(
                "registering::a_register_that_is_repeated_is_answered_again_and_replaces_nothing",
            ),
            state("registration::a_new_registration_replaces_the_old_one"),
            Proof::Case("1.1-int-105"),
        ],
    },
    Rule {
        id: "srv-31",
        what: "An Update renews the lifetime and changes what it names and nothing else: a list is the whole list, and the queue mode stays where `b` has no `Q` (Core §6.2.2)",
        proofs: &[
            engine("registering::an_update_renews_the_lifetime_and_changes_only_what_it_names"),
            engine("registering::an_update_may_turn_the_queue_mode_on_and_in_1_0_off"),
            state("registration::an_update_extends_the_lifetime_and_changes_what_it_names"),
            state("registration::an_update_that_names_transports_leaves_the_queue_mode_on"),
            unit(
                "lwm2m",
                "registration::tests::an_update_names_only_what_changes",
            ),
            Proof::Case("1.1-int-104"),
        ],
    },
    Rule {
        id: "srv-32",
        what: "An Update may come from another address or session of the same identity, and of another identity it is answered as if there were no such registration (Core §6.2.2, RFC 7252 §9.1)",
        proofs: &[
            engine("registering::an_update_from_elsewhere_moves_the_device_there"),
            engine("registering::another_identity_cannot_tell_a_registration_from_none"),
            state("registration::an_update_names_the_observations_that_are_wanted"),
            state("registration::another_identity_learns_nothing_about_a_registration"),
        ],
    },
    Rule {
        id: "srv-33",
        what: "A lifetime that is written holds at once; one that ends takes the registration and its observations along, but not before a late Update had its time; 0 never ends, and none is a day (Core §6.2.1, §6.2.2)",
        proofs: &[
            state("registration::a_written_lifetime_holds_at_once_and_ends_nothing_early"),
            pair("a_written_lifetime_holds_before_the_next_update"),
            state("registration::a_registration_ends_after_its_lifetime_and_its_grace"),
            engine("registering::a_lifetime_that_ends_takes_the_observations_along"),
            state("registration::an_infinite_lifetime_never_ends"),
            engine("registering::a_device_of_1_0_that_names_no_lifetime_lives_for_a_day"),
            Proof::Case("1.1-int-102"),
            Proof::Case("1.1-int-107"),
        ],
    },
    Rule {
        id: "srv-34",
        what: "Nothing is asked of a device before the 2.01 to its Register has been sent (Core §6.2.1)",
        proofs: &[engine(
            "registering::nothing_is_asked_of_a_device_before_its_register_is_answered",
        )],
    },
    Rule {
        id: "srv-34a",
        what: "A request that reached the device before its 2.01 did, and was ignored, is repeated until the device takes requests (Core §6.2.1, RFC 7252 §4.2)",
        proofs: &[
            pair("a_read_outlives_the_loss_of_the_answer_to_a_register"),
            pair("loss_duplicates_and_reordering_are_survived"),
        ],
    },
    Rule {
        id: "srv-35",
        what: "Every form of the list that clients have is read, with versions and formats where they stand; Security, OSCORE and COSE in it are passed over (Core §6.2.1, RFC 6690)",
        proofs: &[
            unit("lwm2m", "link::tests::a_plain_list_is_read"),
            unit("lwm2m", "link::tests::sloppy_lists_are_read"),
            unit(
                "lwm2m",
                "link::tests::versions_are_found_on_objects_and_instances",
            ),
            engine("registering::credentials_in_a_list_are_passed_over"),
        ],
    },
    Rule {
        id: "srv-36",
        what: "Where a device announces an alternate path, every request to it begins with that; none of a bootstrap does (Core §6.2.1, §6.1.7)",
        proofs: &[
            engine("registering::every_operation_carries_the_alternate_path"),
            unit("lwm2m", "link::tests::an_alternate_path_is_taken_off"),
            engine("bootstrap::by_hand::a_bootstrap_carries_no_alternate_path"),
        ],
    },
    Rule {
        id: "srv-37",
        what: "Bindings of all releases are understood, and the old `UQ` in a new one (Core 1.0 §5.3.1.1, Core §6.2.1)",
        proofs: &[
            unit(
                "lwm2m",
                "binding::tests::both_generations_of_bindings_are_read",
            ),
            unit(
                "lwm2m",
                "registration::tests::a_queue_mode_of_the_old_form_is_understood_in_new_releases",
            ),
            Proof::Case("1.1-int-108"),
        ],
    },
    Rule {
        id: "srv-38",
        what: "A profile id that is known stands for its objects, besides those that the device lists; where the objects cannot be told the answer is 4.00, and the device comes with all of them (Core §6.2.1)",
        proofs: &[
            engine(
                "profiles::a_known_profile_stands_for_its_list_and_is_united_with_that_of_the_device",
            ),
            engine("profiles::a_device_whose_objects_cannot_be_told_has_to_list_them"),
            engine("profiles::an_update_with_another_profile_takes_away_what_the_former_one_added"),
            engine("profiles::an_update_from_which_the_objects_cannot_be_told_changes_nothing"),
            pair("a_device_that_registers_by_a_profile_is_asked_for_its_objects"),
            pair("what_a_device_lists_besides_an_unknown_profile_is_taken"),
            Proof::Case("1.2-int-110"),
            Proof::Case("1.2-int-111"),
        ],
    },
    Rule {
        id: "srv-38a",
        what: "Accounts say how to try again, spread over the fleet, so that an outage neither silences devices for a day nor sends all of them to the bootstrap server; and that one bears a crowd (Core §E.2, `/1/x/13` to `/1/x/20`)",
        proofs: &[
            engine("bootstrap::accounts::an_outage_does_not_silence_a_device"),
            engine("bootstrap::accounts::devices_do_not_come_back_in_step"),
            engine("bootstrap::crowd::a_crowd_is_bootstrapped_at_the_pace_that_there_is_room_for"),
        ],
    },
    Rule {
        id: "srv-39",
        what: "What cannot be done now is answered 5.03 with a Max-Age, and with no 4.xx (Core §6.2.1, RFC 7252 §5.9.3.4)",
        proofs: &[
            engine("registering::overload_is_a_5_03_that_says_when_to_come_back"),
            engine("storm::a_hundred_thousand_devices_come_back_at_the_pace_of_the_state_tier"),
            pair("an_unavailable_state_tier_only_delays_a_registration"),
        ],
    },
    Rule {
        id: "srv-40",
        what: "An object without `ver` has the version that the device's release gives it, and 1.0 where no release does (Core §6.2.1, §7.2)",
        proofs: &[
            unit(
                "lwm2m",
                "link::tests::an_object_without_a_version_has_that_of_the_release",
            ),
            unit(
                "lwm2m",
                "registry::tests::unnamed_versions_depend_on_the_release",
            ),
        ],
    },
];
