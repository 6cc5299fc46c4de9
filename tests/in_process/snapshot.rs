// SPDX-License-Identifier: GPL-2.0-or-later

//! Everything that charon's own getters tell of a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_char, c_int, c_void};

use extsock::charon::{sys, PeerCfg};

use super::harness::{items, raw, text};

/// Values by name; what has several has a number in its name.
pub type Snapshot = BTreeMap<String, String>;

/// The difference that charon's `equals` of peer_cfg_t tells.
pub const EQUALS: &str = "equals";
/// The difference that charon's `equals` of ike_cfg_t tells.
pub const IKE_EQUALS: &str = "ike.equals";

/// What differs between two configurations.
pub fn differences(one: &PeerCfg, other: &PeerCfg) -> BTreeSet<String> {
    let (a, b) = (snapshot(one), snapshot(other));
    let mut names: BTreeSet<String> = a
        .keys()
        .chain(b.keys())
        .filter(|name| a.get(*name) != b.get(*name))
        .cloned()
        .collect();
    let (one, other) = (raw(one), raw(other));
    // SAFETY: both are held by the caller.
    unsafe {
        if !call!(one, equals, other) {
            names.insert(EQUALS.into());
        }
        if !call!(call!(one, get_ike_cfg), equals, call!(other, get_ike_cfg)) {
            names.insert(IKE_EQUALS.into());
        }
    }
    names
}

/// Everything about a connection; its children are told by their identity in memory.
pub fn snapshot(config: &PeerCfg) -> Snapshot {
    let this = raw(config);
    let mut values = Snapshot::new();
    let mut set = |name: &str, value: String| {
        assert!(values.insert(name.into(), value).is_none(), "{name} twice");
    };
    // SAFETY: config holds the object; everything that it lends is read at once.
    unsafe {
        let ike = call!(this, get_ike_cfg);
        set("ike.version", call!(ike, get_version).to_string());
        set("ike.local", text(call!(ike, get_my_addr)).unwrap());
        set("ike.remote", text(call!(ike, get_other_addr)).unwrap());
        set("ike.local_port", call!(ike, get_my_port).to_string());
        set("ike.remote_port", call!(ike, get_other_port).to_string());
        set("ike.certreq", call!(ike, send_certreq).to_string());
        #[cfg(strongswan_5_9_14)]
        set(
            "ike.ocsp_certreq",
            call!(ike, send_ocsp_certreq).to_string(),
        );
        set("ike.encap", call!(ike, force_encap).to_string());
        set("ike.fragmentation", call!(ike, fragmentation).to_string());
        set("ike.childless", call!(ike, childless).to_string());
        set("ike.dscp", call!(ike, get_dscp).to_string());
        #[cfg(not(strongswan_6_0_7))]
        let list = call!(ike, get_proposals);
        #[cfg(strongswan_6_0_7)]
        let list = call!(ike, get_proposals, false);
        set("ike.proposals", proposals(list));

        set("name", text(call!(this, get_name)).unwrap());
        set("cert_policy", call!(this, get_cert_policy).to_string());
        #[cfg(strongswan_5_9_14)]
        set("ocsp_policy", call!(this, get_ocsp_policy).to_string());
        set("unique", call!(this, get_unique_policy).to_string());
        set("keyingtries", call!(this, get_keyingtries).to_string());
        set("rekey_time", call!(this, get_rekey_time, false).to_string());
        set(
            "reauth_time",
            call!(this, get_reauth_time, false).to_string(),
        );
        set("over_time", call!(this, get_over_time).to_string());
        set("dpd", call!(this, get_dpd).to_string());
        set("dpd_timeout", call!(this, get_dpd_timeout).to_string());
        set("if_id_in", call!(this, get_if_id, true).to_string());
        set("if_id_out", call!(this, get_if_id, false).to_string());
        set("ppk_id", identity(call!(this, get_ppk_id)));
        #[cfg(not(strongswan_6_0_2))]
        {
            set("mobike", call!(this, use_mobike).to_string());
            set("aggressive", call!(this, use_aggressive).to_string());
            set("pull_mode", call!(this, use_pull_mode).to_string());
            set("ppk_required", call!(this, ppk_required).to_string());
        }
        #[cfg(strongswan_6_0_2)]
        {
            use sys::peer_cfg_option_t as option;
            set(
                "mobike",
                (!call!(this, has_option, option::OPT_NO_MOBIKE)).to_string(),
            );
            set(
                "aggressive",
                call!(this, has_option, option::OPT_IKEV1_AGGRESSIVE).to_string(),
            );
            set(
                "pull_mode",
                (!call!(this, has_option, option::OPT_IKEV1_PUSH_MODE)).to_string(),
            );
            set(
                "ppk_required",
                call!(this, has_option, option::OPT_PPK_REQUIRED).to_string(),
            );
        }
        #[cfg(strongswan_me)]
        {
            set("mediation", call!(this, is_mediation).to_string());
            set(
                "mediated_by",
                text(call!(this, get_mediated_by)).unwrap_or_default(),
            );
            set("peer_id", identity(call!(this, get_peer_id)));
        }

        for (side, local) in [("local", true), ("remote", false)] {
            let rounds: Vec<String> = items(call!(this, create_auth_cfg_enumerator, local))
                .into_iter()
                .map(|auth| round(auth))
                .collect();
            set(side, rounds.join(" + "));
        }
        let vips: Vec<String> = items(call!(this, create_virtual_ip_enumerator))
            .into_iter()
            .map(|vip| host(vip))
            .collect();
        set("vips", vips.join(" "));
        let pools: Vec<String> = items::<c_char>(call!(this, create_pool_enumerator))
            .into_iter()
            .map(|pool| text(pool).unwrap())
            .collect();
        set("pools", pools.join(" "));
        let children: Vec<String> =
            items::<sys::child_cfg_t>(call!(this, create_child_cfg_enumerator))
                .into_iter()
                .map(|child| format!("{child:p}"))
                .collect();
        set("children", children.join(" "));
    }
    values
}

/// Everything about the children of a connection that our configuration can set.
pub fn children(config: &PeerCfg) -> Vec<Snapshot> {
    // SAFETY: config holds the object and its children.
    unsafe {
        items(call!(raw(config), create_child_cfg_enumerator))
            .into_iter()
            .map(|child| child_snapshot(child))
            .collect()
    }
}

/// The rekey time of the first child as charon draws it.
pub fn drawn_rekey_time(config: &PeerCfg) -> u64 {
    // SAFETY: config holds the object and its children; get_lifetime gives a copy from libc's heap.
    unsafe {
        let children = items::<sys::child_cfg_t>(call!(raw(config), create_child_cfg_enumerator));
        let lifetime = call!(children[0], get_lifetime, true);
        let time = (*lifetime).time;
        libc::free(lifetime.cast::<c_void>());
        time.rekey
    }
}

/// # Safety
/// `child` must be valid.
unsafe fn child_snapshot(child: *mut sys::child_cfg_t) -> Snapshot {
    let mut values = Snapshot::new();
    let mut set = |name: &str, value: String| {
        values.insert(name.into(), value);
    };
    // SAFETY: by this function's contract; get_lifetime gives a copy from libc's heap.
    unsafe {
        set("name", text(call!(child, get_name)).unwrap());
        set("mode", call!(child, get_mode).to_string());
        set("start_action", call!(child, get_start_action).to_string());
        set("dpd_action", call!(child, get_dpd_action).to_string());
        set("close_action", call!(child, get_close_action).to_string());
        set("copy_dscp", call!(child, get_copy_dscp).to_string());
        let lifetime = call!(child, get_lifetime, false);
        let time = (*lifetime).time;
        libc::free(lifetime.cast::<c_void>());
        set("rekey_time", time.rekey.to_string());
        set("life_time", time.life.to_string());
        #[cfg(not(strongswan_6_0_7))]
        let list = call!(child, get_proposals, false);
        #[cfg(strongswan_6_0_7)]
        let list = call!(child, get_proposals, false, false);
        set("esp_proposals", proposals(list));
        for (name, local) in [("local_ts", true), ("remote_ts", false)] {
            let none = std::ptr::null_mut();
            #[cfg(not(strongswan_6_0_2))]
            let list = call!(child, get_traffic_selectors, local, none, none, false);
            #[cfg(strongswan_6_0_2)]
            let list = call!(child, get_traffic_selectors, local, none);
            set(name, take(list, |ts| selector(ts)));
        }
    }
    values
}

/// Takes a list of new objects apart.
///
/// # Safety
/// `list` must be a new list of `T`; `tell` must destroy what it gets.
unsafe fn take<T>(list: *mut sys::linked_list_t, tell: impl Fn(*mut T) -> String) -> String {
    let mut texts = Vec::new();
    let mut item: *mut c_void = std::ptr::null_mut();
    // SAFETY: by this function's contract.
    unsafe {
        while call!(list, remove_first, &mut item) == sys::status_t::SUCCESS {
            texts.push(tell(item.cast()));
        }
        call!(list, destroy);
    }
    texts.join(" ")
}

/// # Safety
/// `list` must be a new list of new proposals.
unsafe fn proposals(list: *mut sys::linked_list_t) -> String {
    // SAFETY: by this function's contract.
    unsafe { take(list, |raw| proposal(raw)) }
}

/// # Safety
/// `raw` must be a proposal, and is destroyed.
unsafe fn proposal(raw: *mut sys::proposal_t) -> String {
    use sys::transform_type_t as kind;
    let kinds = [
        kind::ENCRYPTION_ALGORITHM,
        kind::INTEGRITY_ALGORITHM,
        kind::PSEUDO_RANDOM_FUNCTION,
        kind::KEY_EXCHANGE_METHOD,
        kind::EXTENDED_SEQUENCE_NUMBERS,
    ];
    let mut text = String::new();
    // SAFETY: by this function's contract; the enumerator yields two u16.
    unsafe {
        text.push_str(&format!("{}:", call!(raw, get_protocol)));
        for kind in kinds {
            let enumerator = call!(raw, create_enumerator, kind);
            let (mut algorithm, mut bits) = (0u16, 0u16);
            while call!(enumerator, enumerate, &raw mut algorithm, &raw mut bits) {
                text.push_str(&format!("{kind}/{algorithm}/{bits},"));
            }
            call!(enumerator, destroy);
        }
        call!(raw, destroy);
    }
    text
}

/// # Safety
/// `ts` must be a traffic selector, and is destroyed.
unsafe fn selector(ts: *mut sys::traffic_selector_t) -> String {
    // SAFETY: by this function's contract.
    unsafe {
        let mut net = std::ptr::null_mut();
        let mut bits = 0u8;
        let text = if call!(ts, is_dynamic) {
            "dynamic".to_owned()
        } else {
            assert!(call!(ts, to_subnet, &mut net, &mut bits), "a subnet");
            let text = format!("{}/{bits}", host(net));
            call!(net, destroy);
            text
        };
        assert_eq!(
            (call!(ts, get_from_port), call!(ts, get_to_port)),
            (0, u16::MAX)
        );
        call!(ts, destroy);
        text
    }
}

/// # Safety
/// `host` must be valid.
unsafe fn host(host: *mut sys::host_t) -> String {
    // SAFETY: by this function's contract.
    unsafe { bytes(call!(host, get_address)) }
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(".")
}

/// # Safety
/// `chunk` must be valid.
unsafe fn bytes<'a>(chunk: sys::chunk_t) -> &'a [u8] {
    if chunk.len == 0 {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(chunk.ptr, chunk.len) }
}

/// # Safety
/// `id` must be NULL or valid.
unsafe fn identity(id: *mut sys::identification_t) -> String {
    if id.is_null() {
        return String::new();
    }
    // SAFETY: by this function's contract.
    unsafe {
        let encoding = String::from_utf8_lossy(bytes(call!(id, get_encoding))).into_owned();
        format!("{}={encoding}", call!(id, get_type))
    }
}

/// # Safety
/// `auth` must be valid.
unsafe fn round(auth: *mut sys::auth_cfg_t) -> String {
    use sys::auth_rule_t as rule;
    let mut texts = Vec::new();
    let mut kind: rule::Type = 0;
    let mut value: *mut c_void = std::ptr::null_mut();
    // SAFETY: by this function's contract; the enumerator yields a rule and its value.
    unsafe {
        let enumerator = call!(auth, create_enumerator);
        while call!(enumerator, enumerate, &raw mut kind, &raw mut value) {
            let text = match kind {
                rule::AUTH_RULE_IDENTITY
                | rule::AUTH_RULE_CA_IDENTITY
                | rule::AUTH_RULE_AAA_IDENTITY
                | rule::AUTH_RULE_EAP_IDENTITY
                | rule::AUTH_RULE_XAUTH_IDENTITY
                | rule::AUTH_RULE_GROUP => identity(value.cast()),
                rule::AUTH_RULE_XAUTH_BACKEND | rule::AUTH_RULE_CERT_POLICY => {
                    text(value.cast()).unwrap()
                }
                rule::AUTH_RULE_SUBJECT_CERT | rule::AUTH_RULE_CA_CERT => {
                    let certificate: *mut sys::certificate_t = value.cast();
                    identity(call!(certificate, get_subject))
                }
                // charon makes signature_params_t of them.
                rule::AUTH_RULE_SIGNATURE_SCHEME | rule::AUTH_RULE_IKE_SIGNATURE_SCHEME => {
                    (*value.cast::<c_int>()).to_string()
                }
                // The others that are used here are numbers in place of the pointer.
                _ => (value as usize).to_string(),
            };
            texts.push((kind, text));
        }
        call!(enumerator, destroy);
    }
    // charon's order of different rules means nothing, and a copy has another.
    texts.sort_by_key(|(kind, _)| *kind);
    let texts: Vec<String> = texts
        .iter()
        .map(|(kind, text)| format!("{kind}:{text}"))
        .collect();
    texts.join(",")
}
