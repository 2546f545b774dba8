#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::coap_stream::run(data));
