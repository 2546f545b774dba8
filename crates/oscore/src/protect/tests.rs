//! The test vectors of RFC 8613 appendix C. C.1 to C.3 are keys, C.4 to C.6 requests, C.7 and C.8
//! responses.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;
use crate::algorithm::Algorithm;
use crate::context::Secrets;

const SALT: &str = "9e7ca92223786340";
const ID_CONTEXT: &str = "37cbf3210017a2d3";

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// Salt, ID Context, Sender ID and Recipient ID of the client.
type Inputs = (
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
);

const C1: Inputs = (SALT, None, "", "01");
const C2: Inputs = ("", None, "00", "01");
const C3: Inputs = (SALT, Some(ID_CONTEXT), "", "01");

fn derive(salt: &str, id_context: Option<&str>, sender: &str, recipient: &str) -> SecurityContext {
    SecurityContext::derive(&Secrets {
        algorithm: Algorithm::AesCcm16_64_128,
        master_secret: &hex("0102030405060708090a0b0c0d0e0f10"),
        master_salt: &hex(salt),
        id_context: id_context.map(hex).as_deref(),
        sender_id: &hex(sender),
        recipient_id: &hex(recipient),
    })
    .unwrap()
}

fn client((salt, id_context, sender, recipient): Inputs) -> SecurityContext {
    derive(salt, id_context, sender, recipient)
}

fn server((salt, id_context, sender, recipient): Inputs) -> SecurityContext {
    derive(salt, id_context, recipient, sender)
}

#[test]
fn keys_are_those_of_c1_to_c3() {
    for (inputs, sender, recipient, common_iv, client_nonce, server_nonce) in [
        (
            C1,
            "f0910ed7295e6ad4b54fc793154302ff",
            "ffb14e093c94c9cac9471648b4f98710",
            "4622d4dd6d944168eefb54987c",
            "4622d4dd6d944168eefb54987c",
            "4722d4dd6d944169eefb54987c",
        ),
        (
            C2,
            "321b26943253c7ffb6003b0b64d74041",
            "e57b5635815177cd679ab4bcec9d7dda",
            "be35ae297d2dace910c52e99f9",
            "bf35ae297d2dace910c52e99f9",
            "bf35ae297d2dace810c52e99f9",
        ),
        (
            C3,
            "af2a1300a5e95788b356336eeecd2b92",
            "e39a0c7c77b43f03b4b39ab9a268699f",
            "2ca58fb85ff1b81c0b7181b85e",
            "2ca58fb85ff1b81c0b7181b85e",
            "2da58fb85ff1b81d0b7181b85e",
        ),
    ] {
        let (client, server) = (client(inputs).material, server(inputs).material);
        assert_eq!(client.keys.sender, *hex(sender));
        assert_eq!(client.keys.recipient, *hex(recipient));
        assert_eq!(client.keys.common_iv, *hex(common_iv));
        assert_eq!(server.keys.sender, client.keys.recipient);
        assert_eq!(server.keys.recipient, client.keys.sender);
        assert_eq!(server.keys.common_iv, client.keys.common_iv);
        let zero = PartialIv::new(0).unwrap();
        assert_eq!(client.nonce(client.sender_id, zero).0, *hex(client_nonce));
        assert_eq!(server.nonce(server.sender_id, zero).0, *hex(server_nonce));
    }
}

#[test]
fn info_and_additional_data_are_those_of_c1_to_c6() {
    for (id, context, kind, length, info) in [
        ("", None, "Key", 16, "8540f60a634b657910"),
        ("01", None, "Key", 16, "854101f60a634b657910"),
        ("", None, "IV", 13, "8540f60a6249560d"),
        (
            "",
            Some(ID_CONTEXT),
            "Key",
            16,
            "85404837cbf3210017a2d30a634b657910",
        ),
        (
            "01",
            Some(ID_CONTEXT),
            "Key",
            16,
            "8541014837cbf3210017a2d30a634b657910",
        ),
        (
            "",
            Some(ID_CONTEXT),
            "IV",
            13,
            "85404837cbf3210017a2d30a6249560d",
        ),
    ] {
        let context = context.map(hex);
        let made = cbor::info(&hex(id), context.as_deref(), 10, kind, length);
        assert_eq!(made, hex(info));
    }
    for (kid, additional) in [
        ("", "8368456e63727970743040488501810a40411440"),
        ("00", "8368456e63727970743040498501810a4100411440"),
    ] {
        assert_eq!(
            cbor::additional_data(10, &hex(kid), &[0x14]),
            hex(additional)
        );
    }
}

#[test]
fn requests_are_those_of_c4_to_c6() {
    for (inputs, plain, protected) in [
        (
            C1,
            "44015d1f00003974396c6f63616c686f737483747631",
            "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e",
        ),
        (
            C2,
            "440171c30000b932396c6f63616c686f737483747631",
            "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0",
        ),
        (
            C3,
            "44012f8eef9bbf7a396c6f63616c686f737483747631",
            "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff\
             72cd7273fd331ac45cffbe55c3",
        ),
    ] {
        let mut client = client(inputs);
        client.sequence.skip_to(20);
        let request = coap::decode(&hex(plain)).unwrap();
        let (outer, _) = client.protect_request(&request).unwrap();
        assert_eq!(hex::encode(outer.to_datagram()), protected);
        let (inner, binding) = server(inputs).unprotect_request(&outer).unwrap();
        assert_eq!(inner, request);
        assert_eq!(binding.partial_iv().number(), 20);
    }
}

#[test]
fn responses_are_those_of_c7_and_c8() {
    let response = coap::decode(&hex("64455d1f00003974ff48656c6c6f20576f726c6421")).unwrap();
    let mut client = client(C1);
    client.sequence.skip_to(20);
    let request = coap::decode(&hex("44015d1f00003974396c6f63616c686f737483747631")).unwrap();
    let (outer, mut sent) = client.protect_request(&request).unwrap();
    let mut server = server(C1);
    let (_, mut received) = server.unprotect_request(&outer).unwrap();
    // The first takes the request's nonce, the next one a number of its own, which is 0.
    for protected in [
        "64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106",
        "64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e",
    ] {
        let outer = server.protect_response(&response, &mut received).unwrap();
        assert_eq!(hex::encode(outer.to_datagram()), protected);
        assert_eq!(
            client.unprotect_response(&outer, &mut sent),
            Ok(response.clone())
        );
    }
}
