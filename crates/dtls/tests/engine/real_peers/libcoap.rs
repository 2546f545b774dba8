//! The clients of libcoap over either of its libraries.

use dtls::CipherSuite;

use super::{Process, beside_server, fixture, identity, is_installed};
use crate::pair::KEY;

/// A CoAP server that answers every request with 2.05 and "over dtls".
fn coap_answer(request: &[u8]) -> Vec<u8> {
    let token_length = usize::from(request[0] & 0x0F);
    let mut response = vec![0x60 | request[0] & 0x0F, 0x45, request[2], request[3]];
    response.extend(&request[4..4 + token_length]);
    response.push(0xFF);
    response.extend(b"over dtls\n");
    response
}

fn get(program: &str, suite: CipherSuite, arguments: &[&str]) {
    let output = beside_server(suite, coap_answer, |address| {
        let uri = format!("coaps://{address}/path");
        let all = [&["-B", "8"], arguments, &[uri.as_str()]].concat();
        Process::start(program, &all).read_until("over dtls")
    });
    assert!(
        output.contains("over dtls"),
        "{program} {suite:?}: {output:?}"
    );
}

#[test]
fn libcoap_connects_to_our_server() {
    for program in ["coap-client-openssl", "coap-client-gnutls"] {
        if !is_installed(program) {
            continue;
        }
        let key = std::str::from_utf8(KEY).unwrap();
        let psk = ["-u", identity(), "-k", key];
        get(program, CipherSuite::PskAes128Ccm8, &psk);
        let (chain, key, ca) = (
            fixture("device-chain.pem"),
            fixture("device-key.pem"),
            fixture("ca.pem"),
        );
        let certified = ["-c", &chain, "-j", &key, "-R", &ca];
        get(program, CipherSuite::EcdheEcdsaAes128GcmSha256, &certified);
    }
    if is_installed("coap-client-gnutls") {
        let raw = fixture("device-raw.pem");
        let suite = CipherSuite::EcdheEcdsaAes128GcmSha256;
        get("coap-client-gnutls", suite, &["-n", "-M", &raw]);
    }
}
