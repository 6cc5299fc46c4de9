// SPDX-License-Identifier: GPL-2.0-or-later

//! The gateways of a connection: charon's `remote_addrs` list, parsed once.

use std::fmt;
use std::net::IpAddr;

/// Selects the gateway that follows `current` in a comma separated address list, circularly.
///
/// `current` is found by address value, else by its text; an address that is not in the list counts
/// as the first. None if there are fewer than two gateways to choose from. Ranges, subnets and
/// `%any` cannot be initiated to and are passed over.
///
/// ```
/// use extsock_core::failover::address::select_next_segw;
///
/// let two = "10.0.0.1,10.0.0.2";
/// assert_eq!(select_next_segw(two, "10.0.0.1").as_deref(), Some("10.0.0.2"));
/// assert_eq!(select_next_segw(two, "10.0.0.2").as_deref(), Some("10.0.0.1"));
/// assert_eq!(select_next_segw(two, "192.0.2.9").as_deref(), Some("10.0.0.2"));
///
/// assert_eq!(select_next_segw("10.0.0.1", "10.0.0.1"), None);
///
/// let three = "10.0.0.1, 10.0.0.2, 10.0.0.3";
/// assert_eq!(select_next_segw(three, "10.0.0.2").as_deref(), Some("10.0.0.3"));
/// assert_eq!(select_next_segw(three, "10.0.0.3").as_deref(), Some("10.0.0.1"));
/// ```
pub fn select_next_segw(remote_addrs: &str, current: &str) -> Option<String> {
    let list = AddressList::parse(remote_addrs);
    let position = match current.trim().parse() {
        Ok(ip) => list.position_of(&ip),
        Err(_) => list.position_of_name(current),
    };
    let next = list.next_after(position.unwrap_or(0))?;
    list.get(next).map(Gateway::to_string)
}

/// The addresses of a connection's peer, in the order in which they were configured.
///
/// Positions count the [gateways](Self::gateways) only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList {
    text: String,
    gateways: Vec<Gateway>,
}

impl AddressList {
    /// Parses a comma separated list; blanks around entries and empty entries are dropped.
    pub fn parse(remote_addrs: &str) -> Self {
        [remote_addrs].into_iter().collect()
    }

    /// All entries, those that cannot be initiated to as well, comma separated without blanks.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The entries that can be initiated to, each address once.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// Number of gateways.
    pub fn len(&self) -> usize {
        self.gateways.len()
    }

    /// True if there is no gateway to initiate to.
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }

    /// The gateway at a position.
    pub fn get(&self, position: usize) -> Option<&Gateway> {
        self.gateways.get(position)
    }

    /// Position of the gateway with this IP address, however it was written.
    pub fn position_of(&self, ip: &IpAddr) -> Option<usize> {
        self.gateways.iter().position(|g| g.ip() == Some(*ip))
    }

    /// Position of the gateway with this text; the case of DNS names does not matter.
    pub fn position_of_name(&self, name: &str) -> Option<usize> {
        let name = name.trim();
        self.gateways
            .iter()
            .position(|g| g.text.eq_ignore_ascii_case(name))
    }

    /// Position of the gateway that follows, circularly; None if there is no other gateway.
    pub fn next_after(&self, position: usize) -> Option<usize> {
        (self.len() >= 2).then(|| (position + 1) % self.len())
    }
}

impl<S: AsRef<str>> FromIterator<S> for AddressList {
    /// Joins entries, each of which may be a comma separated list itself.
    fn from_iter<I: IntoIterator<Item = S>>(entries: I) -> Self {
        let mut list = Self::default();
        for entries in entries {
            for entry in entries.as_ref().split(',').map(str::trim) {
                if entry.is_empty() {
                    continue;
                }
                if !list.text.is_empty() {
                    list.text.push(',');
                }
                list.text.push_str(entry);

                let gateway = Gateway::parse(entry);
                if gateway.is_initiable() && !list.gateways.iter().any(|g| g.is_same(&gateway)) {
                    list.gateways.push(gateway);
                }
            }
        }
        list
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One entry of an address list; displayed as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    text: String,
    kind: GatewayKind,
}

/// What charon makes of an address (`parse_addresses()` in its ike_cfg.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayKind {
    /// A single address.
    Ip(IpAddr),
    /// A name that charon looks up in the DNS with every attempt.
    Name,
    /// Matches addresses of peers but cannot be initiated to: `a-b`, `a/n`, `%any`, `0.0.0.0`, `::`.
    Pattern,
}

impl Gateway {
    /// Parses one entry; blanks around it are dropped.
    pub fn parse(entry: &str) -> Self {
        let text = entry.trim();
        let kind = match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => GatewayKind::Pattern,
            Ok(ip) => GatewayKind::Ip(ip),
            Err(_) if text.starts_with('%') || text.contains('/') || is_range(text) => {
                GatewayKind::Pattern
            }
            Err(_) => GatewayKind::Name,
        };
        Self {
            text: text.to_owned(),
            kind,
        }
    }

    /// What kind of address this is.
    pub fn kind(&self) -> GatewayKind {
        self.kind
    }

    /// The address, if it is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.kind {
            GatewayKind::Ip(ip) => Some(ip),
            GatewayKind::Name | GatewayKind::Pattern => None,
        }
    }

    /// The entry as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn is_initiable(&self) -> bool {
        self.kind != GatewayKind::Pattern
    }

    fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.ip().is_some() || self.text.eq_ignore_ascii_case(&other.text))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// DNS names have hyphens too, so both ends must be addresses.
fn is_range(text: &str) -> bool {
    text.split_once('-').is_some_and(|(from, to)| {
        from.trim().parse::<IpAddr>().is_ok() && to.trim().parse::<IpAddr>().is_ok()
    })
}
