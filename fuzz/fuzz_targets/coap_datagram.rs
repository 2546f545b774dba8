#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::coap_datagram::run(data));
