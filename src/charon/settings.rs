// SPDX-License-Identifier: GPL-2.0-or-later

//! strongswan.conf: the options under `charon.plugins.extsock`.

use std::ffi::{CStr, CString};
use std::time::Duration;

use extsock_core::domain::time;

use super::enumerate::{c_string, string};
use super::sys;

/// A string option.
pub fn setting_string(option: &str, default: &str) -> String {
    text(&key(option), default)
}

/// As [`setting_string`], an option of charon's own.
pub fn charon_string(option: &str, default: &str) -> String {
    text(&c_string(&format!("%s.{option}")), default)
}

fn text(key: &CStr, default: &str) -> String {
    let default = c_string(default);
    // SAFETY: the settings outlive the plugin; %s in the key takes the namespace, which charon owns;
    // the result is the default or owned by the settings, and copied at once.
    unsafe {
        string(call!(
            (*sys::lib).settings,
            get_str,
            key.as_ptr().cast_mut(),
            default.as_ptr().cast_mut(),
            (*sys::lib).ns,
        ))
    }
}

/// A number; what is negative, infinite or no number counts as absent.
pub fn setting_number(option: &str, default: f64) -> f64 {
    number(&key(option), default)
}

/// As [`setting_number`], an option of charon's own.
pub fn charon_number(option: &str, default: f64) -> f64 {
    number(&c_string(&format!("%s.{option}")), default)
}

fn number(key: &CStr, default: f64) -> f64 {
    // SAFETY: as in setting_string().
    let value = unsafe {
        call!(
            (*sys::lib).settings,
            get_double,
            key.as_ptr().cast_mut(),
            default,
            (*sys::lib).ns,
        )
    };
    if value.is_finite() && value >= 0.0 {
        value
    } else {
        default
    }
}

/// A switch of charon's own, below `charon`.
pub fn charon_bool(option: &str, default: bool) -> bool {
    let key = c_string(&format!("%s.{option}"));
    // SAFETY: as in setting_string().
    unsafe {
        call!(
            (*sys::lib).settings,
            get_bool,
            key.as_ptr().cast_mut(),
            default.into(),
            (*sys::lib).ns
        )
    }
}

/// A time: seconds, also `0.5`, or with a unit: `250ms`, `30s`, `5m`, `1h`, `1d`.
pub fn setting_duration(option: &str, default: Duration) -> Duration {
    let text = setting_string(option, "");
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).unwrap_or(default);
    }
    if text.is_empty() {
        return default;
    }
    // charon knows no milliseconds: it takes the m of "500ms" for minutes.
    if let Some(time) = time::parse(&text) {
        return time;
    }
    let key = key(option);
    let seconds = u32::try_from(default.as_secs()).unwrap_or(u32::MAX);
    // SAFETY: as in setting_string().
    let value = unsafe {
        call!(
            (*sys::lib).settings,
            get_time,
            key.as_ptr().cast_mut(),
            seconds,
            (*sys::lib).ns
        )
    };
    Duration::from_secs(value.into())
}

fn key(option: &str) -> CString {
    c_string(&format!("%s.plugins.extsock.{option}"))
}
