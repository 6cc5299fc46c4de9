// SPDX-License-Identifier: GPL-2.0-or-later

//! Times as people write them, with fractions of a second.

use std::time::Duration;

/// Seconds, such as `0.5`, or a number with a unit: `250ms`, `1.5s`, `5m`, `1h`, `1d`.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 60.0 * 60.0,
        "d" => 24.0 * 60.0 * 60.0,
        _ => return None,
    };
    from_seconds(parse_decimal(digits.trim_end())? * unit)
}

/// At most 2^32 seconds.
pub(crate) fn from_seconds(seconds: f64) -> Option<Duration> {
    let fits = (0.0..=f64::from(u32::MAX)).contains(&seconds);
    fits.then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// Unlike `str::parse` without a sign, an exponent, or `inf`.
pub(crate) fn parse_decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_plain.then(|| text.parse().ok()).flatten()
}
