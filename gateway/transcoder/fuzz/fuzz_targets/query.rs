//! libFuzzer's entry to [`transcoder_fuzz::query`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transcoder_fuzz::query(data));
