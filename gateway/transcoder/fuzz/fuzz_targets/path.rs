//! libFuzzer's entry to [`transcoder_fuzz::path`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transcoder_fuzz::path(data));
