//! Block-wise transfers.

use super::{Proof, Rule, test, unit};

const fn layer(name: &'static str) -> Proof {
    test("coap", "endpoint", name)
}

const fn pair(name: &'static str) -> Proof {
    test("lwm2m-client", "server", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-17",
        what: "A device that asks for smaller blocks gets them from where the transfer is, counted in the new size (RFC 7959 §2.3)",
        proofs: &[
            layer("blockwise::a_smaller_size_in_a_continue_scales_the_number"),
            layer("blockwise::the_requester_chooses_smaller_blocks_also_in_the_middle"),
        ],
    },
    Rule {
        id: "srv-18",
        what: "A transfer of which a block is missed begins again once, and one that is too large is tried once in blocks of the size that the refusal names (RFC 7959 §2.9)",
        proofs: &[
            layer("blockwise::a_4_08_restarts_the_upload_once"),
            layer("blockwise::a_4_13_with_a_smaller_block_is_retried_once"),
            layer("blockwise::a_4_13_with_a_size_is_retried_with_blocks_of_that_size"),
        ],
    },
    Rule {
        id: "srv-19",
        what: "The first block of a request tells the size of the whole, and who asks for the size of a response is told (RFC 7959 §4)",
        proofs: &[
            layer("blockwise::a_large_request_is_sent_in_blocks_with_its_size_in_the_first"),
            layer("blockwise::a_large_response_is_served_in_blocks_with_an_entity_tag"),
        ],
    },
    Rule {
        id: "srv-20",
        what: "A body may have more than 65,536 blocks, in every direction (RFC 7959 §2.2)",
        proofs: &[
            unit(
                "coap",
                "blockwise::tests::block_numbers_go_up_to_twenty_bits",
            ),
            layer("blockwise::a_body_of_more_than_65_536_blocks_arrives_and_is_sent"),
            layer("blockwise::nothing_is_kept_of_a_shared_body"),
        ],
    },
    Rule {
        id: "srv-21",
        what: "A device is answered in the middle of a transfer, and requests for the same path do not get mixed up with it (RFC 7959 §2.5)",
        proofs: &[
            pair("transfers::a_device_is_answered_in_the_middle_of_a_transfer_to_it"),
            layer("blockwise::unrelated_requests_are_answered_in_the_middle_of_transfers"),
            layer("blockwise::transfers_take_turns_and_go_before_what_has_not_begun"),
            unit(
                "coap",
                "blockwise::tests::a_displaced_transfer_cannot_add_to_the_new_one",
            ),
        ],
    },
    Rule {
        id: "srv-22",
        what: "A Register or Send may come in blocks, joined by peer, path and query whatever their tokens, up to a bound that the 4.13 tells (RFC 7959 §2.3, §2.9.3)",
        proofs: &[
            pair("transfers::a_register_that_is_larger_than_a_block_arrives_whole"),
            pair("transfers::a_send_that_is_larger_than_a_block_arrives_whole"),
            layer("blockwise::blocks_of_a_request_are_joined_whatever_their_tokens"),
            layer("blockwise::blocks_for_other_queries_are_other_bodies"),
            layer("blockwise::a_body_above_the_bound_is_4_13_with_the_bound"),
        ],
    },
    Rule {
        id: "srv-23",
        what: "A transfer may take as long as it likes while each of its blocks comes in time (RFC 7959 §2.4)",
        proofs: &[
            layer("blockwise::progress_resets_the_timers_of_a_transfer"),
            layer("blockwise::a_transfer_may_take_long_if_only_it_goes_on"),
        ],
    },
    Rule {
        id: "srv-25",
        what: "Blocks of two versions of a body are never put together: each version has an entity tag, and a change of it begins the transfer again (RFC 7959 §2.4)",
        proofs: &[
            layer("blockwise::a_changed_entity_tag_restarts_the_fetch_once_and_then_fails"),
            layer("blockwise::a_body_that_is_replaced_while_it_is_fetched_has_another_entity_tag"),
        ],
    },
];
