//! libFuzzer's entry to [`gateway_fuzz::listener`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway_fuzz::listener(data));
