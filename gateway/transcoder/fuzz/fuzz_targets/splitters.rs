//! libFuzzer's entry to [`transcoder_fuzz::splitters`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| transcoder_fuzz::splitters(data));
