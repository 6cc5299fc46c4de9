// SPDX-License-Identifier: GPL-2.0-or-later

//! cargo-fuzz's entry.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| extsock_fuzz::framer(data));
