// SPDX-License-Identifier: GPL-2.0-or-later
//! The lab itself, without the plugin.

use extsock_lab::{ClientOptions, Lab, Loading, PSK};

#[test]
fn stock_charons_build_a_tunnel_that_carries_packets() {
    let lab = Lab::new();
    let gateway = lab.gateway(11);
    let client = lab.client_with(ClientOptions {
        loading: Loading::Absent,
        ..ClientOptions::default()
    });
    client.load(&format!(
        "connections {{\n net {{\n version = 2\n mobike = no\n local_addrs = 192.168.7.1\n \
         remote_addrs = {}\n proposals = aes128-sha256-modp2048\n \
         local {{\n auth = psk\n id = client\n }}\n remote {{\n auth = psk\n id = segw\n }}\n \
         children {{\n net2 {{\n local_ts = 10.1.0.0/24\n remote_ts = 10.2.0.0/24\n \
         esp_proposals = aes128-sha256-modp2048\n }}\n }}\n }}\n }}\n\
         secrets {{\n ike {{\n secret = \"{PSK}\"\n }}\n }}\n",
        gateway.address()
    ));
    assert!(!client.ping_once("10.2.0.1"), "a ping without a tunnel");
    client.swanctl(&["--initiate", "--child", "net2", "--timeout", "20"]);
    client.ping("10.2.0.1");
}
