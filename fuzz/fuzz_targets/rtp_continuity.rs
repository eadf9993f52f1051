#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wallcast_ingest::fuzzing::run("rtp_continuity", data));
