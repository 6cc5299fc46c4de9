// SPDX-License-Identifier: GPL-2.0-or-later

//! The notations of values in texts, as swanctl.conf has them.

use std::net::IpAddr;

/// The parts between commas, without empty ones.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|p| !p.is_empty())
}

/// By the rules of charon (libstrongswan, utils/identification.c).
pub(super) fn is_regular_expression(identity: &str) -> bool {
    const TYPES: [&str; 6] = ["rfc822", "email", "userfqdn", "fqdn", "dns", "asn1dn"];
    let Some((prefix, rest)) = identity.split_once(':') else {
        return false;
    };
    let known = TYPES.iter().any(|name| name.eq_ignore_ascii_case(prefix));
    known && rest.starts_with('^') && rest.ends_with('$')
}

pub(super) fn is_traffic_selector(text: &str) -> bool {
    let (address, rest) = match text.split_once('[') {
        Some((address, rest)) => (address, Some(rest)),
        None => (text, None),
    };
    rest.is_none_or(|rest| rest.strip_suffix(']').is_some_and(is_protocol_and_port))
        && (address == "dynamic" || is_subnet(address) || is_range(address))
}

fn is_protocol_and_port(text: &str) -> bool {
    let (protocol, port) = text.split_once('/').unwrap_or((text, ""));
    let is_name = |name: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
        name.is_empty() || name.chars().all(is_plain)
    };
    is_name(protocol)
        && is_name(port)
        && parse_digits(protocol).is_none_or(|number| number <= 0xff)
        && port.split_once('-').is_none_or(|(from, to)| {
            let number = |text| parse_digits(text).filter(|port| *port <= 0xffff);
            // Names of services may have a hyphen too.
            !from.starts_with(|c: char| c.is_ascii_digit())
                || number(from)
                    .zip(number(to))
                    .is_some_and(|(from, to)| from <= to)
        })
        && parse_digits(port).is_none_or(|number| number <= 0xffff)
}

/// An address, with or without a prefix length. Unlike charon, this refuses a prefix length with a sign and one
/// that is longer than the address.
fn is_subnet(text: &str) -> bool {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| {
        prefix.bytes().all(|b| b.is_ascii_digit())
            && prefix.parse().is_ok_and(|bits: u8| bits <= longest)
    })
}

fn is_range(text: &str) -> bool {
    text.split_once('-').is_some_and(
        |(from, to)| match (from.trim().parse(), to.trim().parse()) {
            (Ok(IpAddr::V4(from)), Ok(IpAddr::V4(to))) => from <= to,
            (Ok(IpAddr::V6(from)), Ok(IpAddr::V6(to))) => from <= to,
            _ => false,
        },
    )
}

pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    parse_digits(digits.trim_end())?.checked_mul(unit)
}

pub(super) fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(['s', 'S', 'm', 'M', 'h', 'H', 'd', 'D']);
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    parse_digits(digits.trim_end())?.checked_mul(unit)
}

/// As in swanctl.conf, hexadecimal after `0x` and octal after `0`. Unlike `str::parse`, this refuses a sign.
pub(super) fn parse_digits(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_plain = digits.bytes().all(|b| b.is_ascii_alphanumeric());
    is_plain
        .then(|| u64::from_str_radix(digits, radix).ok())
        .flatten()
}
