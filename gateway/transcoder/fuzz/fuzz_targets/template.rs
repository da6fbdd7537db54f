//! libFuzzer's entry to [`transcoder_fuzz::template`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transcoder_fuzz::template(data));
