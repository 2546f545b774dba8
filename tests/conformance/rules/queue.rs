//! Queue mode.

use super::{Proof, Rule, test, unit};

const fn engine(name: &'static str) -> Proof {
    test("lwm2m-server", "engine", name)
}

const fn state(name: &'static str) -> Proof {
    test("device-state", "apply", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-59",
        what: "Whatever a sleeping device sends opens its window; what waits then goes out after the answer to it, one at a time, by priority and age, and each exchange keeps the window open (Transport §5.4)",
        proofs: &[
            engine("queue::any_message_of_a_sleeping_device_opens_its_window"),
            engine(
                "queue::what_waits_for_a_sleeping_device_is_sent_after_the_answer_to_its_message",
            ),
            engine("queue::one_request_at_a_time_is_under_way_to_a_device"),
            engine("queue::a_window_is_open_for_93_seconds_after_the_last_message"),
            state("operation::one_operation_of_a_device_is_in_flight"),
            state("operation::the_highest_priority_goes_first_and_among_equals_the_oldest"),
            Proof::Case("1.1-int-109"),
        ],
    },
    Rule {
        id: "srv-60",
        what: "A window ends MAX_TRANSMIT_WAIT after the last message and nothing is sent into a closed one; what was not acknowledged goes back to its queue until its deadline (Transport §5.4, RFC 7252 §4.8.2)",
        proofs: &[
            engine("queue::a_window_is_open_for_93_seconds_after_the_last_message"),
            state("operation::a_lost_exchange_is_repeated_unless_it_may_happen_once"),
            state("operation::an_operation_that_is_not_delivered_by_its_deadline_expires"),
            state("operation::an_exchange_in_flight_may_outlast_the_deadline"),
        ],
    },
    Rule {
        id: "srv-61",
        what: "A request that the device fell asleep over is lost and not refused: it waits again, and how it ends in the end is told to whoever asked (Transport §5.4)",
        proofs: &[
            engine("queue::a_request_that_a_device_slept_through_is_lost_and_not_refused"),
            state("operation::a_lost_exchange_is_repeated_unless_it_may_happen_once"),
            state("operation::an_operation_ends_once_and_its_end_is_an_event"),
            test(
                "state-node",
                "node",
                "a_write_waits_for_a_device_that_is_away_and_is_delivered_once",
            ),
            test(
                "state-node",
                "node",
                "an_execute_whose_answer_is_lost_is_not_sent_again",
            ),
        ],
    },
    Rule {
        id: "srv-62",
        what: "A queued write takes the place of an earlier one only where its caller asks for that, and Execute and Create take no place and give none (Core §6.3)",
        proofs: &[
            state(
                "operation::a_write_takes_the_place_of_those_that_it_leaves_nothing_of_if_it_is_asked_to",
            ),
            unit(
                "lwm2m",
                "operation::tests::what_happens_once_makes_nothing_obsolete_and_is_made_obsolete_by_nothing",
            ),
        ],
    },
];
