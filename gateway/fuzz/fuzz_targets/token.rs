//! libFuzzer's entry to [`gateway_fuzz::token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway_fuzz::token(data));
