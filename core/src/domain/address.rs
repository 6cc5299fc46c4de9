// SPDX-License-Identifier: GPL-2.0-or-later

//! The gateways of a connection: charon's `remote_addrs` list, parsed once.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

/// Selects the gateway that follows `current` in a comma separated address list, circularly.
///
/// `current` is found by address value, else by its text; an address that is not in the list counts
/// as the first. None if there are fewer than two gateways to choose from. Ranges, subnets and
/// `%any` cannot be initiated to and are passed over.
///
/// ```
/// use extsock_core::domain::address::select_next_segw;
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

    /// Whether this gateway is the first of all entries: the one that charon tries by itself. It takes the
    /// first that is a host, also `%any`, to which it cannot initiate (`ike_cfg.c`, `resolve()`).
    pub fn is_first_entry(&self, gateway: &str) -> bool {
        self.text.split(',').next() == Some(gateway)
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
        let mut seen = HashSet::new();
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
                if gateway.is_initiable() && seen.insert(gateway.key()) {
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
    /// None of these; no lookup can succeed.
    Unusable,
}

impl Gateway {
    /// Parses one entry; blanks around it are dropped.
    pub fn parse(entry: &str) -> Self {
        let text = entry.trim();
        let kind = match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => GatewayKind::Pattern,
            Ok(ip) => GatewayKind::Ip(ip),
            Err(_) if is_any(text) || is_range(text) || is_subnet(text) => GatewayKind::Pattern,
            Err(_) if is_dns_name(text) => GatewayKind::Name,
            Err(_) => GatewayKind::Unusable,
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
            GatewayKind::Name | GatewayKind::Pattern | GatewayKind::Unusable => None,
        }
    }

    /// The entry as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn is_initiable(&self) -> bool {
        matches!(self.kind, GatewayKind::Ip(_) | GatewayKind::Name)
    }

    /// The same for two gateways that are the same one.
    fn key(&self) -> String {
        match self.kind {
            GatewayKind::Ip(ip) => ip.to_string(),
            _ => self.text.to_ascii_lowercase(),
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// charon's notations of an undetermined address.
pub(crate) fn is_any(text: &str) -> bool {
    matches!(text, "%any" | "%any4" | "%any6")
}

/// DNS names have hyphens too, so both ends must be addresses.
fn is_range(text: &str) -> bool {
    let Some((from, to)) = text.split_once('-') else {
        return false;
    };
    match (from.trim().parse::<IpAddr>(), to.trim().parse::<IpAddr>()) {
        (Ok(from), Ok(to)) => from.is_ipv4() == to.is_ipv4(),
        _ => false,
    }
}

fn is_subnet(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(address), Ok(bits)) => bits <= if address.is_ipv4() { 32 } else { 128 },
        _ => false,
    }
}

/// A name that ends in a number is a mistyped address; no top-level domain looks like that.
fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or(name);
    name.split('.').all(is_dns_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

fn is_dns_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !label.is_empty() && label.bytes().all(allowed)
}

/// The own address that charon takes for an IKE_SA to `remote`, of a configuration with these local addresses: the first
/// entry of its family that can be an address at all (config/ike_cfg.c). None if that is not known, or any will do.
pub fn own_address(local_addrs: &str, remote: IpAddr) -> Option<IpAddr> {
    let mut entries = local_addrs.split(',').map(|entry| entry.trim());
    let is_skipped = |entry: &&str| match entry.parse::<IpAddr>() {
        Ok(own) => own.is_ipv4() != remote.is_ipv4(),
        Err(_) => is_range(entry) || is_subnet(entry),
    };
    let first = entries.find(|entry| !is_skipped(entry))?;
    let own = first.parse::<IpAddr>().ok()?;
    (!own.is_unspecified()).then_some(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(list: &AddressList) -> Vec<&str> {
        list.gateways().iter().map(Gateway::as_str).collect()
    }

    #[test]
    fn two_gateways_alternate() {
        let list = "10.0.0.1,10.0.0.2";
        assert_eq!(
            select_next_segw(list, "10.0.0.1").as_deref(),
            Some("10.0.0.2")
        );
        assert_eq!(
            select_next_segw(list, "10.0.0.2").as_deref(),
            Some("10.0.0.1")
        );
    }

    #[test]
    fn what_charon_tries_by_itself() {
        assert!(AddressList::parse("10.0.0.1, 10.0.0.2").is_first_entry("10.0.0.1"));
        for list in ["%any,10.0.0.1", "::,10.0.0.1", "10.0.0.2,10.0.0.1"] {
            assert!(
                !AddressList::parse(list).is_first_entry("10.0.0.1"),
                "{list}"
            );
        }
    }

    #[test]
    fn a_lone_gateway_has_no_successor() {
        for list in [
            "",
            ",",
            "10.0.0.1",
            "10.0.0.1,",
            " 10.0.0.1 , ",
            "10.0.0.1,10.0.0.1",
        ] {
            assert_eq!(select_next_segw(list, "10.0.0.1"), None, "{list:?}");
        }
    }

    #[test]
    fn blanks_and_empty_items_do_not_count() {
        let list = " 10.0.0.1 ,, 10.0.0.2\t,";
        assert_eq!(
            select_next_segw(list, " 10.0.0.1 ").as_deref(),
            Some("10.0.0.2")
        );
        assert_eq!(AddressList::parse(list).as_str(), "10.0.0.1,10.0.0.2");
    }

    #[test]
    fn an_unknown_current_gateway_counts_as_the_first() {
        for current in ["", "192.0.2.1", "elsewhere.example", "%any"] {
            assert_eq!(
                select_next_segw("10.0.0.1,10.0.0.2,10.0.0.3", current).as_deref(),
                Some("10.0.0.2")
            );
        }
    }

    #[test]
    fn the_current_gateway_is_found_by_value() {
        let list = "2001:DB8:0::1, 2001:db8::2, gw-3.Example.org";
        assert_eq!(
            select_next_segw(list, "2001:db8::1").as_deref(),
            Some("2001:db8::2")
        );
        assert_eq!(
            select_next_segw(list, "2001:db8:0:0::2").as_deref(),
            Some("gw-3.Example.org")
        );
        assert_eq!(
            select_next_segw(list, "GW-3.example.org").as_deref(),
            Some("2001:DB8:0::1")
        );
        let mapped = AddressList::parse("10.0.0.1,10.0.0.2");
        assert_eq!(
            mapped.position_of(&"::ffff:10.0.0.2".parse().unwrap()),
            None
        );
    }

    #[test]
    fn entries_are_classified_as_charon_does() {
        let ip = |text: &str| GatewayKind::Ip(text.parse().unwrap());
        for (text, kind) in [
            ("10.0.0.1", ip("10.0.0.1")),
            ("2001:DB8::1", ip("2001:db8::1")),
            ("gw.example.org", GatewayKind::Name),
            ("gw.example.org.", GatewayKind::Name),
            ("gw-1", GatewayKind::Name),
            ("10-0-0-1.example.org", GatewayKind::Name),
            ("1.2.3.4-x.example", GatewayKind::Name),
            ("10.0.0.1-10.0.0.9", GatewayKind::Pattern),
            ("10.0.0.1 - 10.0.0.9", GatewayKind::Pattern),
            ("2001:db8::1-2001:db8::9", GatewayKind::Pattern),
            ("10.0.0.0/24", GatewayKind::Pattern),
            ("2001:db8::/32", GatewayKind::Pattern),
            ("0.0.0.0", GatewayKind::Pattern),
            ("::", GatewayKind::Pattern),
            ("0.0.0.0/0", GatewayKind::Pattern),
            ("%any", GatewayKind::Pattern),
            ("%any4", GatewayKind::Pattern),
            ("%any6", GatewayKind::Pattern),
            ("10.0.0.300", GatewayKind::Unusable),
            ("10.0.0.1:500", GatewayKind::Unusable),
            ("10.0.0.0/33", GatewayKind::Unusable),
            ("gw.example/24", GatewayKind::Unusable),
            ("10.0.0.1-2001:db8::9", GatewayKind::Unusable),
            ("%gw.example.org", GatewayKind::Unusable),
            ("gw..example", GatewayKind::Unusable),
            ("10.0.0.1 10.0.0.2", GatewayKind::Unusable),
            ("", GatewayKind::Unusable),
        ] {
            assert_eq!(Gateway::parse(text).kind(), kind, "{text:?}");
        }
    }

    #[test]
    fn only_gateways_that_can_be_initiated_to_are_chosen() {
        let text = "10.0.0.0/24,10.0.0.1,%any,10.0.0.5-10.0.0.9,gw.example,0.0.0.0";
        let list = AddressList::parse(text);
        assert_eq!(list.to_string(), text);
        assert_eq!(texts(&list), ["10.0.0.1", "gw.example"]);
        assert_eq!(
            select_next_segw(text, "gw.example").as_deref(),
            Some("10.0.0.1")
        );
    }

    #[test]
    fn an_address_given_twice_is_one_gateway() {
        let list = AddressList::parse("2001:db8::1,10.0.0.1,2001:DB8:0::1,GW.example,gw.example");
        assert_eq!(texts(&list), ["2001:db8::1", "10.0.0.1", "GW.example"]);
    }

    #[test]
    fn entries_can_be_given_as_an_array() {
        let list: AddressList = ["10.0.0.1", "10.0.0.2, 10.0.0.3"].into_iter().collect();
        assert_eq!(list, AddressList::parse("10.0.0.1,10.0.0.2,10.0.0.3"));
        assert_eq!((list.len(), list.is_empty()), (3, false));
        assert!(AddressList::default().is_empty());
    }

    /// Distinct gateways and things that are none, in any order.
    fn entries() -> impl Strategy<Value = Vec<String>> {
        let entry = prop_oneof![
            any::<u32>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
            any::<u128>().prop_map(|ip| std::net::Ipv6Addr::from(ip).to_string()),
            "[a-z][a-z0-9-]{0,8}\\.example",
            Just("%any".to_owned()),
            Just("10.0.0.0/8".to_owned()),
            Just("10.0.0.1-10.0.0.9".to_owned()),
            Just("10.0.0.999".to_owned()),
            Just(String::new()),
        ];
        prop::collection::vec(entry, 0..12)
    }

    proptest! {
        #[test]
        fn as_many_steps_as_gateways_go_round(entries in entries()) {
            let text = entries.join(" , ");
            let list = AddressList::parse(&text);
            if list.len() < 2 {
                prop_assert_eq!(select_next_segw(&text, ""), None);
                return Ok(());
            }
            let first = list.get(0).unwrap().to_string();
            let mut current = first.clone();
            let mut seen = Vec::new();
            for _ in 0..list.len() {
                let next = select_next_segw(&text, &current).unwrap();
                prop_assert_ne!(&next, &current);
                let kind = Gateway::parse(&next).kind();
                prop_assert!(matches!(kind, GatewayKind::Ip(_) | GatewayKind::Name));
                prop_assert!(!seen.contains(&next));
                seen.push(next.clone());
                current = next;
            }
            prop_assert_eq!(current, first);
        }

        #[test]
        fn any_text_can_be_parsed_and_normalised(text in ".*", current in ".*") {
            let list = AddressList::parse(&text);
            prop_assert_eq!(&AddressList::parse(list.as_str()), &list);
            let _ = select_next_segw(&text, &current);
        }
    }

    #[test]
    fn the_own_address_is_the_first_one_of_the_family() {
        let v4: IpAddr = [192, 0, 2, 1].into();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let own = |list, remote| own_address(list, remote).map(|own| own.to_string());
        assert_eq!(own("10.0.0.1", v4).as_deref(), Some("10.0.0.1"));
        assert_eq!(own("10.0.0.1", v6), None);
        assert_eq!(
            own("10.0.0.0/8, fd00::1,10.0.0.1-10.0.0.9 , 10.0.0.2", v4).as_deref(),
            Some("10.0.0.2")
        );
        assert_eq!(own("10.0.0.1,fd00::1", v6).as_deref(), Some("fd00::1"));
        for any in [
            "%any",
            "0.0.0.0,10.0.0.1",
            "%any,10.0.0.1",
            "me.example,10.0.0.1",
            "",
        ] {
            assert_eq!(own(any, v4), None, "{any}");
        }
    }
}
