//! Operations and formats.

use super::{Proof, Rule, test, unit};

const fn engine(name: &'static str) -> Proof {
    test("lwm2m-server", "engine", name)
}

/// A test of the engine with the device of this project.
const fn pair(name: &'static str) -> Proof {
    test("lwm2m-client", "server", name)
}

const fn format(name: &'static str) -> Proof {
    unit("lwm2m", name)
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "srv-41",
        what: "The method, the depth of the path, the payload and its format tell an operation from the others: a POST creates in an object, merges into an instance or a resource of several values, and executes without a format; a PUT replaces, or writes attributes without a payload (Transport §6.4.4, Core §6.3.3)",
        proofs: &[
            engine(
                "operations::each_operation_has_the_method_by_which_a_client_tells_it_from_the_others",
            ),
            pair("an_update_of_a_resource_keeps_its_instances_and_a_replace_drops_them"),
            Proof::Case("1.1-int-226"),
            Proof::Case("1.1-int-227"),
        ],
    },
    Rule {
        id: "srv-42",
        what: "A Create names the instance or leaves that to the device; an answer without Location names none, and a Discover finds it, whether or not an Update comes; an instance that exists is refused with 4.00 or 4.06 and stays as it was; a single-instance object has instance 0; first values may be of resources that are only read afterwards (Core §6.3.5, §7.2)",
        proofs: &[
            pair("an_instance_without_an_id_gets_one_from_the_device"),
            pair("objects_are_created_discovered_and_deleted"),
            engine(
                "operations::a_created_instance_that_the_device_does_not_name_is_not_guessed_and_can_be_discovered",
            ),
            engine(
                "operations::a_create_of_what_exists_is_refused_in_either_way_and_is_not_made_another_operation",
            ),
            pair("a_create_of_what_exists_changes_nothing_of_it"),
            format("misuse::tests::an_object_with_one_instance_has_instance_0"),
            format("misuse::tests::a_new_instance_may_be_given_values_that_can_only_be_read"),
        ],
    },
    Rule {
        id: "srv-43",
        what: "TLV is read with ids and lengths of every size, with and without the wrapper of the instance, with values of every type and width, and nothing but exact lengths (Core §7.4.3)",
        proofs: &[
            format("format::tests::tlv::the_device_example_is_read_and_written"),
            format("format::tests::tlv::the_device_example_may_be_wrapped"),
            format("format::tests::tlv::access_control_instances_are_read"),
            format("format::tests::tlv::empty_instances_hold_nothing"),
            format("format::tests::tlv::all_forms_of_length_and_id_are_read"),
            format("format::tests::tlv::values_of_every_type_are_read"),
            format("format::tests::tlv::a_resource_instance_is_read_in_every_wrapping"),
            format("format::tests::tlv::structure_and_lengths_must_be_exact"),
            format("format::tests::tlv::values_must_fit_their_type_and_place"),
        ],
    },
    Rule {
        id: "srv-44",
        what: "Text is read as clients write it (exponents, a plus sign, Base64 with or without padding, links of which 65535:65535 is none) and written in one form (Core §7.4.1, appendix C)",
        proofs: &[
            format("value::tests::texts_are_canonical"),
            format("value::tests::reading_is_liberal_where_clients_differ"),
            format("value::tests::texts_of_the_wrong_type_are_refused"),
            format("format::tests::single::texts_take_the_type_of_their_resource"),
            format("format::tests::single::texts_are_written_canonically"),
        ],
    },
    Rule {
        id: "srv-45",
        what: "SenML keeps base names and times until others come, joins names to whole paths, takes small times for relative ones, has a text for the label of object links in CBOR too, and bytes as base64url in JSON (RFC 8428 §4, §6; Core §7.4.4, §7.4.5)",
        proofs: &[
            format("format::tests::senml::a_json_pack_is_read"),
            format("format::tests::senml::a_cbor_pack_is_read"),
            format("format::tests::senml::base_fields_hold_until_they_are_overridden"),
            format("format::tests::senml::names_must_be_resources_below_the_base"),
            format("format::tests::senml::a_missing_name_is_the_base_name"),
            format("format::tests::senml::small_times_are_relative_to_now"),
            format("format::tests::senml::times_add_up_and_persist_in_cbor"),
            format("format::tests::senml::object_links_are_written_behind_a_text_label"),
            format(
                "format::tests::senml::bytes_are_read_in_either_alphabet_with_or_without_padding",
            ),
            format("format::tests::composite::paths_are_written_as_records_without_value"),
            Proof::Case("1.1-int-233"),
        ],
    },
    Rule {
        id: "srv-46",
        what: "SenML CBOR is read with lengths told and untold, with numbers in every width and as floats, and times with their tag, and written with lengths told (RFC 8428 §6, RFC 8949 §3.2.2; OMA_LwM2M_for_Developers#448)",
        proofs: &[
            format("format::tests::senml::a_cbor_pack_is_read"),
            format("format::tests::senml::numbers_are_read_in_every_encoding"),
            format("format::tests::senml::packs_are_written_definite_and_short"),
            format("format::tests::single::cbor_values_are_read_in_every_encoding"),
            format("format::tests::single::cbor_times_are_written_with_their_tag"),
        ],
    },
    Rule {
        id: "srv-47",
        what: "LwM2M CBOR means the same by nested maps, by arrays as keys and by both mixed, with lengths told or untold, and by keys that go on from the path of the request (Core §7.4.6)",
        proofs: &[
            format("format::tests::lwm2m_cbor::keys_nest_in_every_way"),
            format("format::tests::lwm2m_cbor::mixed_nesting_is_read_in_order"),
            format("format::tests::lwm2m_cbor::short_keys_continue_the_path_of_the_request"),
            format("format::tests::lwm2m_cbor::values_take_the_type_of_their_resource"),
            format("format::tests::lwm2m_cbor::payloads_are_written_as_nested_maps"),
            format("format::tests::lwm2m_cbor::paths_must_be_resources_below_the_base"),
        ],
    },
    Rule {
        id: "srv-48",
        what: "The body of a composite operation goes in SenML or SenML-ETCH, what the device announced first, and a 4.15 leads to the other (Core §6.3.8, §6.3.9; RFC 8790)",
        proofs: &[
            engine(
                "formats::the_body_of_a_composite_operation_is_senml_or_senml_etch_as_the_device_takes_it",
            ),
            engine("formats::a_format_that_the_device_announced_is_tried_first"),
        ],
    },
    Rule {
        id: "srv-49",
        what: "An answer is read in whatever format it has, the numbers of the drafts included; 4.06 and 4.15 both lead to the next format (Core §7.4, Transport §6.4.4)",
        proofs: &[
            engine("formats::without_accept_a_device_may_answer_in_any_format_that_there_is"),
            engine(
                "formats::a_refused_accept_or_format_leads_to_the_next_one_and_in_the_end_to_the_refusal",
            ),
            pair("composite::a_format_that_is_labelled_wrongly_is_recognised_and_kept"),
            Proof::Case("1.1-int-237"),
        ],
    },
    Rule {
        id: "srv-50",
        what: "A device that refuses a composite read or observation, or acknowledges it and says no more, is asked for one path after the other, and that is remembered; what does not exist is left out; a composite write is all or nothing and never taken apart (Core §6.3.8, §6.3.9, §6.4.2)",
        proofs: &[
            pair("composite::that_a_device_has_no_composite_operations_is_learnt_and_kept"),
            pair("composite::that_a_device_never_answers_composite_operations_is_learnt_and_kept"),
            engine(
                "silence::a_composite_read_without_an_answer_is_made_of_single_reads_and_remembered",
            ),
            engine(
                "silence::a_composite_observation_without_an_answer_is_made_of_single_ones_and_remembered",
            ),
            engine(
                "silence::a_composite_write_without_an_answer_is_not_made_of_pieces_and_remembered",
            ),
            engine("silence::a_composite_write_that_its_caller_gave_up_is_remembered_too"),
            engine(
                "silence::a_device_that_answers_single_reads_neither_is_not_thought_to_lack_composite_ones",
            ),
            pair(
                "composite::several_paths_are_read_one_by_one_where_the_device_knows_no_other_way",
            ),
            pair(
                "composite::several_paths_are_read_observed_and_written_in_one_request_where_the_device_can",
            ),
            pair("composite::several_paths_are_not_written_one_by_one"),
            Proof::Case("1.1-int-235"),
            Proof::Case("1.1-int-236"),
        ],
    },
    Rule {
        id: "srv-51",
        what: "A Send is taken in SenML JSON, SenML CBOR and LwM2M CBOR, of registered objects only, with its times, and is answered once its values are kept; refusals say why by their code (Core §6.4.6, Transport §6.4.5)",
        proofs: &[
            engine("sends::a_send_is_taken_in_each_format_that_names_whole_paths"),
            engine("sends::a_send_that_cannot_be_taken_is_refused_with_the_code_for_its_reason"),
            engine("sends::a_send_is_answered_once_its_values_are_kept_and_not_before"),
            engine("sends::the_times_of_a_send_are_kept"),
            Proof::Case("1.1-int-306"),
            Proof::Case("1.1-int-307"),
        ],
    },
    Rule {
        id: "srv-52",
        what: "A composite write removes an instance of a resource by a null, in formats that have one (Core §6.3.9; RFC 8790 §3.2)",
        proofs: &[
            pair(
                "composite::a_resource_instance_is_removed_by_a_composite_write_beside_what_it_sets",
            ),
            format("format::tests::composite::patches_set_and_remove"),
            format("format::tests::composite::plain_senml_sets_but_does_not_remove"),
            format("format::tests::lwm2m_cbor::patches_remove_with_null"),
        ],
    },
];
