// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection is the same in charon whether swanctl.conf or our JSON describes it.

use extsock_lab::Lab;
use serde_json::{json, Value};

/// Its authentication, in both languages; that has tests of its own.
const AUTHENTICATION: &str = "local {\n auth = psk\n id = client\n }
    remote {\n auth = psk\n id = segw\n }";

/// The options of a connection `net`, in both languages. With a life_time a child has a rekey_time, too: without
/// one, swanctl derives it from strongSwan 6 on, where ours stays the default.
const CONNECTIONS: &[(&str, &str)] = &[
    // swanctl's default of the version changed with strongSwan 6.1.0.
    ("version = 0", r#"{"version": 0}"#),
    (
        "version = 2
         local_addrs = 192.168.7.1, fec0::1
         remote_addrs = 192.168.7.11, 192.168.7.12
         proposals = aes256gcm16-prfsha256-ecp256, default
         rekey_time = 1h
         reauth_time = 3h
         dpd_delay = 30s
         children {
           a {
             local_ts = 10.1.0.0/24[tcp/http], 10.1.1.0/24[17/1024-65535]
             remote_ts = 10.2.0.1-10.2.0.9, dynamic[icmp]
             esp_proposals = default
             start_action = none
             dpd_action = trap
             close_action = trap|start
             rekey_time = 10m
             rekey_bytes = 500M
             rekey_packets = 1000000
           }
         }",
        r#"{"version": 2, "local_addrs": ["192.168.7.1", "fec0::1"],
            "remote_addrs": "192.168.7.11,192.168.7.12",
            "proposals": ["aes256gcm16-prfsha256-ecp256", "default"], "rekey_time": "1h",
            "reauth_time": "3h", "dpd_delay": "30s",
            "children": {"a": {"local_ts": ["10.1.0.0/24[tcp/http]", "10.1.1.0/24[17/1024-65535]"],
                "remote_ts": "10.2.0.1-10.2.0.9, dynamic[icmp]", "esp_proposals": "default",
                "start_action": "none", "dpd_action": "trap", "close_action": "trap|start",
                "rekey_time": "10m", "rekey_bytes": "500M", "rekey_packets": 1000000}}}"#,
    ),
    (
        "version = 1
         aggressive = yes
         pull = no
         remote_addrs = gw.example.org, 192.168.0.0/16
         remote_port = 4500
         fragmentation = force
         childless = force
         encap = yes
         dscp = 101110
         mobike = no
         send_cert = always
         send_certreq = no
         keyingtries = 0
         unique = keep
         vips = 0.0.0.0, ::
         pools = one, two
         ppk_id = ppk@example.org
         ppk_required = yes
         if_id_in = 0x10
         if_id_out = %unique
         over_time = 5m
         rand_time = 2m
         dpd_timeout = 2m
         children {
           a {
             ah_proposals = sha256-sha1
             sha256_96 = yes
             mode = transport
             policies = no
             policies_fwd_out = yes
             ipcomp = yes
             hostaccess = yes
             updown = /bin/true
             inactivity = 5m
             reqid = 7
             priority = 9
             interface = eth0
             mark_in = 0x12/0x0f
             mark_in_sa = yes
             mark_out = %unique-dir
             set_mark_in = 5
             set_mark_out = %same/0xff
             if_id_in = %unique-dir
             if_id_out = 6
             tfc_padding = mtu
             replay_window = 64
             hw_offload = auto
             copy_df = no
             copy_ecn = no
             copy_dscp = yes
             label = none
             label_mode = simple
           }
           b {
             mode = pass
             local_ts = 10.9.0.0/24
             remote_ts = 10.9.1.0/24
             rekey_time = 1h
             life_time = 2h
             rand_time = 0
             rekey_bytes = 900M
             life_bytes = 1G
             rand_bytes = 64K
             rekey_packets = 9
             life_packets = 10
             rand_packets = 1
           }
         }",
        r#"{"version": 1, "aggressive": true, "pull": false,
            "remote_addrs": ["gw.example.org", "192.168.0.0/16"], "remote_port": 4500,
            "fragmentation": "force", "childless": "force", "encap": "yes", "dscp": "101110",
            "mobike": false, "send_cert": "always", "send_certreq": "no", "keyingtries": 0,
            "unique": "keep", "vips": ["0.0.0.0", "::"], "pools": ["one", "two"],
            "ppk_id": "ppk@example.org", "ppk_required": true, "if_id_in": "0x10",
            "if_id_out": "%unique", "over_time": 300, "rand_time": "2m", "dpd_timeout": "2m",
            "children": {
              "a": {"ah_proposals": "sha256-sha1", "sha256_96": true, "mode": "transport",
                "policies": false, "policies_fwd_out": true, "ipcomp": true, "hostaccess": true,
                "updown": "/bin/true", "inactivity": "5m", "reqid": 7, "priority": 9,
                "interface": "eth0", "mark_in": "0x12/0x0f", "mark_in_sa": true,
                "mark_out": "%unique-dir", "set_mark_in": 5, "set_mark_out": "%same/0xff",
                "if_id_in": "%unique-dir", "if_id_out": 6, "tfc_padding": "mtu",
                "replay_window": 64, "hw_offload": "auto", "copy_df": false, "copy_ecn": false,
                "copy_dscp": "yes", "label": "none", "label_mode": "simple"},
              "b": {"mode": "pass", "local_ts": "10.9.0.0/24", "remote_ts": "10.9.1.0/24",
                "rekey_time": "1h", "life_time": "2h", "rand_time": 0, "rekey_bytes": "900M",
                "life_bytes": "1G", "rand_bytes": "64K", "rekey_packets": 9, "life_packets": 10,
                "rand_packets": 1}}}"#,
    ),
];

#[test]
fn swanctl_conf_and_json_give_equal_connections() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    for (swanctl_conf, json) in CONNECTIONS {
        client.load(&format!(
            "connections {{\n net {{\n{swanctl_conf}\n{AUTHENTICATION}\n }}\n}}\n"
        ));
        let expected = client.swanctl(&["--list-conns", "--raw"]);
        assert!(expected.contains("net {"), "{expected}");
        client.load("");
        assert_eq!(client.swanctl(&["--list-conns"]), "");

        let mut options: Value = serde_json::from_str(json).unwrap();
        options["local_auth"] = json!({"auth": "psk", "id": "client"});
        options["remote_auth"] = json!({"auth": "psk", "id": "segw"});
        control.apply(&json!({"connections": {"net": options}}));
        let found = client.swanctl(&["--list-conns", "--raw"]);
        assert_eq!(found, expected);
        control.ok("REMOVE_CONFIG net");
    }
}
