// SPDX-License-Identifier: GPL-2.0-or-later

//! The configurations that the client applies.

use serde_json::{json, Value};

/// The secret that client and gateways share.
pub const PSK: &str = "tell-nobody-about-this-lab";

/// The connection `net`, one tunnel to 10.2.0.0/24, over the gateways 192.168.7.`gateways`.
pub fn net(gateways: &[u8]) -> Value {
    let mut config = connection("net", gateways, &[2]);
    config["secrets"] = json!({"ike": [{"id": "segw", "secret": PSK}]});
    config
}

/// A connection without secrets: one CHILD_SA `net<n>` to 10.`n`.0.0/24 for each network.
pub fn connection(name: &str, gateways: &[u8], networks: &[u8]) -> Value {
    let remote_addrs: Vec<_> = gateways
        .iter()
        .map(|number| format!("192.168.7.{number}"))
        .collect();
    let children: serde_json::Map<_, _> = networks
        .iter()
        .map(|network| {
            let child = json!({
                "local_ts": "10.1.0.0/24",
                "remote_ts": format!("10.{network}.0.0/24"),
                "esp_proposals": ["aes128-sha256-modp2048"],
            });
            (format!("net{network}"), child)
        })
        .collect();
    json!({"connections": {name: {
        "version": 2,
        "mobike": false,
        "local_addrs": "192.168.7.1",
        "remote_addrs": remote_addrs.join(","),
        "dpd_delay": "1s",
        "proposals": ["aes128-sha256-modp2048"],
        "local_auth": {"auth": "psk", "id": "client"},
        "remote_auth": {"auth": "psk", "id": "segw"},
        "children": children,
    }}})
}
