//! The message layer of CoAP and Observe.

use super::{Proof, Rule, test, unit};

/// What our server's message layer does, with hand-made messages of a peer.
const fn layer(name: &'static str) -> Proof {
    test("coap", "endpoint", name)
}

/// What our server does with the test device.
const fn pair(name: &'static str) -> Proof {
    test("lwm2m-client", "server", name)
}

const fn cluster(name: &'static str) -> Proof {
    test("tests", "cluster", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-1",
        what: "A message that comes again within 247 s gets the first answer and has no second effect, and an Execute happens once whichever node sends it (RFC 7252 §4.5)",
        proofs: &[
            layer("reliability::a_duplicate_gets_the_stored_reply_for_the_exchange_lifetime"),
            layer(
                "reliability::a_duplicate_of_a_request_in_process_is_acknowledged_without_a_second_event",
            ),
            pair("messages::a_register_that_comes_twice_makes_one_registration_at_one_location"),
            pair("loss_duplicates_and_reordering_are_survived"),
            cluster("kill_ingress::killed_ingress_nodes_lose_nothing_that_was_acknowledged"),
        ],
    },
    Rule {
        id: "srv-2",
        what: "A response is found by its token and its peer, whatever its message id and type, and also where its acknowledgement was lost (RFC 7252 §5.3.2)",
        proofs: &[
            layer(
                "reliability::a_separate_response_is_accepted_when_the_empty_acknowledgement_was_lost",
            ),
            layer(
                "reliability::a_separate_response_may_be_non_confirmable_and_come_without_acknowledgement",
            ),
            layer("reliability::a_response_with_another_token_does_not_match"),
            layer("reliability::a_response_of_another_peer_does_not_match"),
        ],
    },
    Rule {
        id: "srv-3",
        what: "A reset fails the request that it answers, whose late response is rejected, or ends the observation that it answers, and nothing else (RFC 7252 §4.2, RFC 7641 §3.6)",
        proofs: &[
            layer("reliability::a_reset_fails_the_request_confirmable_or_not"),
            layer("reliability::the_late_answer_to_a_request_that_was_reset_is_rejected"),
            layer("observe::a_reset_ends_the_observation_of_its_notification_and_no_other"),
        ],
    },
    Rule {
        id: "srv-4",
        what: "A notification that nobody asked for is reset, confirmable or not, and a node that takes devices over from another keeps their observations alive (RFC 7641 §3.6)",
        proofs: &[
            layer("observe::a_notification_with_an_unknown_token_is_reset_confirmable_or_not"),
            Proof::Case("1.1-int-302"),
            cluster("take_over::killed_ingress_node_costs_no_handshake"),
            cluster("kill_ingress::killed_ingress_nodes_lose_nothing_that_was_acknowledged"),
        ],
    },
    Rule {
        id: "srv-5",
        what: "An Observe that is answered without the Observe option was a read: there is no observation, and whoever asked is told (RFC 7641 §3.1)",
        proofs: &[
            layer("observe::a_response_without_observe_establishes_nothing"),
            pair(
                "observing::a_device_that_answers_an_observe_like_a_read_is_said_not_to_be_observable",
            ),
        ],
    },
    Rule {
        id: "srv-6",
        what: "Notifications are put in order by their 24-bit numbers and by time, from the start for each registration and each refresh (RFC 7641 §3.4)",
        proofs: &[
            unit("coap", "observe::tests::reordered_notifications_are_stale"),
            unit("coap", "observe::tests::the_sequence_wraps_at_24_bits"),
            unit(
                "coap",
                "observe::tests::after_128_seconds_any_number_is_newer",
            ),
            layer("observe::an_observation_that_is_refreshed_takes_its_order_from_the_answer"),
            pair("observing::a_device_that_rebooted_counts_from_the_start_and_is_heard"),
        ],
    },
    Rule {
        id: "srv-7",
        what: "Notifications may be confirmable or not, and what is asked of a device is confirmable (Transport §6.4.5)",
        proofs: &[
            pair("observed_values_reach_the_state"),
            pair("messages::whatever_is_asked_of_a_device_is_confirmable_and_has_no_empty_segment"),
            layer("reliability::a_non_confirmable_request_is_answered_non_confirmable"),
        ],
    },
    Rule {
        id: "srv-7a",
        what: "Each observation that is wanted is asked for once when the device registers and not for an Update; a device that moves is asked by the tokens that it knows, and has none twice (Core §6.4.1)",
        proofs: &[
            pair("observing::a_device_is_asked_to_observe_once_at_each_registration_and_not_after"),
            pair("observing::a_device_that_moves_goes_on_with_the_observations_that_it_has"),
            pair("observing::a_deregistered_device_has_no_observations_left"),
            layer("observe::observations_go_along_with_a_peer_that_is_known_by_another_key"),
            pair("observations_are_established_anew_on_another_connection"),
        ],
    },
    Rule {
        id: "srv-7b",
        what: "An observation with other parameters is another one, made after the former was cancelled (Core §6.4.1)",
        proofs: &[pair(
            "observing::other_parameters_end_the_observation_and_make_another",
        )],
    },
    Rule {
        id: "srv-8",
        what: "What is observed already is observed again by the same token, so that the device never has two observations for one (RFC 7641 §3.3.1)",
        proofs: &[
            pair("observing::an_observation_that_is_asked_for_again_is_refreshed_and_not_doubled"),
            layer(
                "observe::a_notification_in_the_middle_of_a_refresh_is_acknowledged_when_it_is_kept",
            ),
            test(
                "device-state",
                "apply",
                "observation::a_path_is_observed_from_its_first_to_its_last_holder",
            ),
        ],
    },
    Rule {
        id: "srv-9",
        what: "Parameters that a device refuses with an Observe are written to the path instead, and an observation is cancelled by the request that made it, with its token (Core §6.4.1, §6.4.4)",
        proofs: &[
            pair("composite::parameters_of_an_observation_are_written_where_the_device_takes_none"),
            pair("composite::that_a_device_takes_no_parameters_with_an_observe_is_learnt_and_kept"),
            unit(
                "lwm2m",
                "operation::tests::a_composite_observation_takes_only_parameters_that_need_no_value",
            ),
            layer("observe::cancelling_uses_the_same_token_and_swallows_late_notifications"),
            pair("observing::a_composite_observation_is_cancelled_by_the_request_that_made_it"),
            Proof::Case("1.1-int-303"),
            Proof::Case("1.1-int-305"),
        ],
    },
    Rule {
        id: "srv-10",
        what: "The rest of a notification that does not fit into a message is fetched without Observe, from the start if it changes meanwhile (RFC 7959 §3.4)",
        proofs: &[
            layer("observe::the_rest_of_a_large_notification_is_fetched_without_observe"),
            layer(
                "observe::the_rest_of_a_notification_that_changed_meanwhile_is_fetched_from_the_start",
            ),
            layer("observe::a_newer_notification_replaces_a_fetch_that_is_under_way"),
        ],
    },
    Rule {
        id: "srv-11",
        what: "The empty token is a token, and a token of more than eight bytes is a format error (RFC 7252 §3)",
        proofs: &[
            layer("reliability::the_empty_token_is_a_token"),
            layer("reliability::a_token_of_nine_to_fifteen_bytes_is_a_format_error"),
            layer(
                "reliability::a_format_error_in_a_confirmable_message_is_reset_and_otherwise_dropped",
            ),
        ],
    },
    Rule {
        id: "srv-11a",
        what: "No message id is used twice for a device within 247 s: whoever asks faster is told to wait, and others are not shut out (RFC 7252 §4.4)",
        proofs: &[
            layer("bounds::seventy_thousand_reads_of_one_device_never_reuse_a_message_id"),
            unit(
                "coap",
                "message_id::tests::whoever_hurries_never_leaves_a_peer_mute",
            ),
            cluster("one_device::one_device_read_without_pause_keeps_answering"),
        ],
    },
    Rule {
        id: "srv-12",
        what: "An unknown critical option has the message refused, an unknown elective one is ignored (RFC 7252 §5.4.1)",
        proofs: &[
            layer("reliability::an_unknown_critical_option_is_refused_and_an_elective_one_ignored"),
            layer("reliability::a_response_with_an_unknown_critical_option_fails_the_request"),
        ],
    },
    Rule {
        id: "srv-13",
        what: "A path is the list of its segments, empty ones and per-cent signs included, and no request to a device has an empty one (RFC 7252 §6.4)",
        proofs: &[
            layer("reliability::a_path_is_its_segments_also_where_they_are_empty_or_look_encoded"),
            pair("messages::a_path_that_only_looks_like_the_registration_interface_is_none"),
            pair("messages::whatever_is_asked_of_a_device_is_confirmable_and_has_no_empty_segment"),
        ],
    },
    Rule {
        id: "srv-14",
        what: "A 2.03 leaves what is known as it is, and entity tags are equal only byte for byte (RFC 7252 §5.9.1.3, RFC 7959 §2.4)",
        proofs: &[
            pair("observing::a_valid_without_content_leaves_the_value_as_it_is"),
            layer("blockwise::entity_tags_are_the_same_only_byte_for_byte"),
        ],
    },
    Rule {
        id: "srv-15",
        what: "One confirmable request to a device is under way, and is repeated after 2 to 3 s and twice as long each time, at most four times (RFC 7252 §4.2, §4.7)",
        proofs: &[
            layer(
                "reliability::retransmissions_double_from_two_to_three_seconds_and_end_in_a_timeout",
            ),
            layer("reliability::one_request_is_outstanding_and_the_others_wait_up_to_a_bound"),
            pair("messages::one_request_to_a_device_is_under_way_and_the_next_waits_for_it"),
            test(
                "device-state",
                "apply",
                "operation::one_operation_of_a_device_is_in_flight",
            ),
        ],
    },
    Rule {
        id: "srv-16",
        what: "An answer leaves from where its request came to, also where another node handled it (RFC 7252 §4.2)",
        proofs: &[
            test(
                "ingress-node",
                "drover-ingress",
                "udp::tests::an_answer_leaves_from_the_address_that_was_asked",
            ),
            cluster("spray::datagrams_sprayed_over_three_nodes_find_their_owner"),
        ],
    },
];
