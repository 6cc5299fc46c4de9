// SPDX-License-Identifier: GPL-2.0-or-later

//! Traffic selectors as swanctl.conf has them: `address[protocol/port]`.

use std::fs;
use std::net::IpAddr;

use crate::charon::TrafficSelector;

/// Protocol 0 is any; ports from and to.
type Ports = (u8, u16, u16);

/// None if it cannot be read, as when a name is in neither `/etc/protocols` nor `/etc/services`.
pub(super) fn parse(text: &str) -> Option<TrafficSelector> {
    let (address, rest) = match text.split_once('[') {
        Some((address, rest)) => (address, rest.strip_suffix(']')?),
        None => (text, ""),
    };
    let (protocol, port) = rest.split_once('/').unwrap_or((rest, ""));
    let (from, to) = ports(port)?;
    let ports = (self::protocol(protocol)?, from, to);
    selector(address, ports)
}

fn selector(address: &str, (protocol, from, to): Ports) -> Option<TrafficSelector> {
    if address == "dynamic" {
        return Some(TrafficSelector::dynamic(protocol, from, to));
    }
    if let Some((first, last)) = address.split_once('-') {
        let range: (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return TrafficSelector::from_range(range, protocol, from, to);
    }
    TrafficSelector::from_cidr(address, protocol, from, to)
}

fn protocol(text: &str) -> Option<u8> {
    match text {
        "" | "any" => Some(0),
        name => number(name).or_else(|| {
            let number = look_up("/etc/protocols", name)?;
            number.parse().ok()
        }),
    }
}

fn ports(text: &str) -> Option<(u16, u16)> {
    match text {
        "" | "any" => return Some((0, u16::MAX)),
        // No port at all, of packets in which it cannot be seen.
        "opaque" => return Some((u16::MAX, 0)),
        _ => {}
    }
    if let Some(port) = number(text) {
        return Some((port, port));
    }
    if let Some((from, to)) = text.split_once('-') {
        if let (Some(from), Some(to)) = (number(from), number(to)) {
            return (from <= to).then_some((from, to));
        }
    }
    let entry = look_up("/etc/services", text)?;
    let port = entry.split('/').next()?.parse().ok()?;
    Some((port, port))
}

/// As C reads it: hexadecimal after `0x`, octal after `0`.
fn number<T: TryFrom<u32>>(text: &str) -> Option<T> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_plain = digits.bytes().all(|b| b.is_ascii_alphanumeric());
    let number = u32::from_str_radix(digits, radix).ok();
    number.filter(|_| is_plain)?.try_into().ok()
}

/// The second column of the line with that name or alias. Not by the C library, whose functions for it
/// share a buffer among all threads of charon.
fn look_up(file: &str, wanted: &str) -> Option<String> {
    let table = fs::read_to_string(file).ok()?;
    table.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut columns = line.split_whitespace();
        let (name, value) = (columns.next()?, columns.next()?);
        let matches = name == wanted || columns.any(|alias| alias == wanted);
        matches.then(|| value.to_owned())
    })
}
