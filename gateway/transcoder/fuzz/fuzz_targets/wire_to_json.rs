//! libFuzzer's entry to [`transcoder_fuzz::wire_to_json`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transcoder_fuzz::wire_to_json(data));
