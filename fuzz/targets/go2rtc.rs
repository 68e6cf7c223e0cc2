#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sightline_relay::fuzz::go2rtc(data));
