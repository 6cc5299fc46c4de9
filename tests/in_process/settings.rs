// SPDX-License-Identifier: GPL-2.0-or-later

//! Options of strongswan.conf.

use std::ffi::CString;
use std::time::Duration;

use extsock::charon::{charon_bool, setting_duration, setting_number, setting_string, sys};

use super::harness::init;

/// Sets an option, each of its own name: the tests share one configuration.
fn set(option: &str, value: &str) {
    init();
    let key = CString::new(format!("charon.plugins.extsock.{option}")).unwrap();
    let value = CString::new(value).unwrap();
    // SAFETY: the settings are there, and copy both.
    unsafe {
        call!(
            (*sys::lib).settings,
            set_str,
            key.as_ptr().cast_mut(),
            value.as_ptr().cast_mut()
        );
    }
}

#[test]
fn an_absent_option_has_its_default() {
    init();
    assert_eq!(setting_string("absent", "unix:///run/%s"), "unix:///run/%s");
    assert_eq!(setting_string("absent", ""), "");
    assert_eq!(setting_number("absent", 2.5), 2.5);
    assert_eq!(
        setting_duration("absent", Duration::from_secs(60)),
        Duration::from_secs(60)
    );
    assert!(charon_bool("absent", true));
    assert!(!charon_bool("absent", false));
}

#[test]
fn a_string_is_read() {
    set("text", "unix:///run/other");
    assert_eq!(setting_string("text", "default"), "unix:///run/other");
}

#[test]
fn a_number_is_read_in_a_section() {
    set("section.number", "1.5");
    assert_eq!(setting_number("section.number", 2.0), 1.5);
    set("section.whole", "7");
    assert_eq!(setting_number("section.whole", 2.0), 7.0);
    set("section.zero", "0");
    assert_eq!(setting_number("section.zero", 2.0), 0.0);
}

#[test]
fn no_sensible_number_counts_as_absent() {
    for (option, value) in [
        ("n1", "-1"),
        ("n2", "nan"),
        ("n3", "inf"),
        ("n4", "many"),
        ("n5", "1e999"),
        ("n6", "3 x"),
    ] {
        set(option, value);
        assert_eq!(setting_number(option, 2.0), 2.0, "{value}");
    }
}

#[test]
fn a_time_is_read_in_all_units() {
    for (option, value, seconds) in [
        ("t1", "30", 30),
        ("t2", "30s", 30),
        ("t3", "5m", 300),
        ("t4", "2h", 7200),
        ("t5", "1d", 86400),
    ] {
        set(option, value);
        assert_eq!(
            setting_duration(option, Duration::ZERO),
            Duration::from_secs(seconds),
            "{value}"
        );
    }
}

#[test]
fn a_time_may_have_a_fraction() {
    for (option, value, millis) in [
        ("fraction", "0.25", 250),
        ("whole_fraction", "2.0", 2000),
        ("with_unit", "1.5s", 1500),
        ("milliseconds", "500ms", 500),
    ] {
        set(option, value);
        assert_eq!(
            setting_duration(option, Duration::ZERO),
            Duration::from_millis(millis),
            "{value}"
        );
    }
}
