//! libFuzzer's entry to [`transcoder_fuzz::json_to_wire`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transcoder_fuzz::json_to_wire(data));
