//! Transport security.

use super::{Proof, Rule, test, unit};

const fn dtls(name: &'static str) -> Proof {
    test("dtls", "engine", name)
}

const fn oscore(name: &'static str) -> Proof {
    test("oscore", "layer", name)
}

const fn engine(name: &'static str) -> Proof {
    test("lwm2m-server", "engine", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-70",
        what: "Both suites that are mandatory with a pre-shared key lead to traffic, with identities of up to 128 bytes and keys of up to 64 (Transport §5.2.8.1, RFC 4279 §5.3)",
        proofs: &[
            dtls("suites::every_suite_leads_to_traffic_with_and_without_connection_ids"),
            dtls(
                "handshake::a_key_of_any_length_up_to_64_bytes_and_an_identity_of_128_lead_to_traffic",
            ),
            dtls("handshake::an_identity_that_is_too_long_is_refused"),
        ],
    },
    Rule {
        id: "srv-71",
        what: "Before a valid cookie nothing is kept of a client, and a new handshake from the address of a session leaves that alone until it is complete (RFC 6347 §4.2.1, §4.2.8)",
        proofs: &[
            dtls(
                "handshake::nothing_is_kept_before_a_valid_cookie_and_answers_are_smaller_than_questions",
            ),
            dtls("handshake::a_cookie_is_good_for_one_address_and_two_secrets"),
            dtls("handshake::a_new_handshake_does_not_touch_the_old_session_before_it_is_complete"),
        ],
    },
    Rule {
        id: "srv-72",
        what: "A client that offers a Connection ID, an empty one too, gets one of ours; its address changes with its newest authentic record only; strangers get less than they send (RFC 9146 §3, §6)",
        proofs: &[
            dtls("traffic::connection_ids_appear_as_negotiated_in_both_directions"),
            dtls("traffic::the_address_follows_only_the_newest_authenticated_record"),
            dtls("traffic::a_session_without_connection_id_stays_at_its_address"),
            dtls(
                "handshake::nothing_is_kept_before_a_valid_cookie_and_answers_are_smaller_than_questions",
            ),
        ],
    },
    Rule {
        id: "srv-73",
        what: "Records that are not authentic, replayed or of another epoch are dropped and counted, and an alert that nothing protects ends no session (RFC 6347 §4.1.2.6, §4.1.2.7)",
        proofs: &[
            dtls("hostile::damage_to_a_session_is_dropped"),
            dtls("hostile::bytes_from_nowhere_never_panic_nor_end_a_session"),
            dtls("traffic::records_of_an_unknown_epoch_are_counted_and_dropped"),
            dtls("traffic::the_address_follows_only_the_newest_authenticated_record"),
            dtls("traffic::alerts_that_nobody_vouches_for_do_not_end_a_session"),
        ],
    },
    Rule {
        id: "srv-74",
        what: "The server begins no handshake: what is asked of a device whose session is gone waits until it comes (Transport §5.2)",
        proofs: &[
            dtls("handshake::a_server_without_a_session_sends_nothing_and_begins_no_handshake"),
            engine(
                "operations::a_device_whose_session_is_gone_is_sent_nothing_until_it_comes_back",
            ),
            test(
                "device-state",
                "apply",
                "operation::operations_wait_for_a_device_that_is_gone_until_their_deadline",
            ),
        ],
    },
    Rule {
        id: "srv-75",
        what: "Whoever goes on with a session or context writes with numbers that nobody used before; after a crash a DTLS record can be replayed once, and an OSCORE request not at all (RFC 6347 §4.1, RFC 9146 §6, RFC 8613 §7.2, appendix B.1)",
        proofs: &[
            dtls("export::a_session_goes_on_at_another_server_without_a_handshake"),
            dtls("suites::a_session_of_every_suite_goes_on_at_another_server"),
            dtls("export::after_an_orderly_hand_over_nothing_can_be_replayed"),
            dtls("export::after_a_crash_a_record_can_be_replayed_once_and_no_more"),
            unit(
                "dtls",
                "server::tests::import_guards_generation_presence_and_limit",
            ),
            test("device-state", "apply", "session::one_of_two_claims_wins"),
            oscore("ownership::two_owners_never_use_the_same_nonce_even_for_the_same_request"),
            oscore("ownership::after_a_crash_nothing_recorded_is_accepted"),
        ],
    },
    Rule {
        id: "srv-76",
        what: "A certificate registers the endpoints of its common and alternative names and no other, is judged by the server's clock, and accounts say how a device is to know the server's (Transport §5.2.8.3, §5.2.8.7; RFC 6698 §2.1)",
        proofs: &[
            engine("identity::a_certificate_registers_each_endpoint_that_it_names_and_no_other"),
            engine(
                "identity::a_device_that_does_not_name_itself_is_what_its_certificate_names_first",
            ),
            test(
                "ingress-node",
                "drover-ingress",
                "driver::principal::tests::every_name_in_a_certificate_that_can_be_one_is_an_endpoint",
            ),
            dtls("keys::paths_are_validated"),
            dtls("keys::an_expired_revocation_list_refuses_whom_it_is_about_unless_it_is_trusted"),
            engine("bootstrap::sequence::every_kind_of_account_arrives"),
        ],
    },
    Rule {
        id: "srv-77",
        what: "An observation under OSCORE is one inside and outside; the first request after a restart, whose window is lost, is challenged with an Echo; nobody reads a context from its object (RFC 8613 §4.1.3.5, appendix B.1.2; RFC 9175; Core §6.3)",
        proofs: &[
            oscore("observation::notifications_arrive_and_proxies_see_an_observation"),
            oscore("observation::a_replayed_notification_is_never_fresh_again"),
            oscore("ownership::a_context_of_unknown_history_challenges_the_first_request"),
            oscore("ownership::after_a_crash_nothing_recorded_is_accepted"),
            unit(
                "lwm2m",
                "misuse::tests::nothing_of_a_credential_is_read_at_any_level",
            ),
        ],
    },
];
