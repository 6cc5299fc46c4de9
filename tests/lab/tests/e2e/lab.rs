// SPDX-License-Identifier: GPL-2.0-or-later

//! The lab itself, without the plugin.

use extsock_lab::{Client, ClientOptions, Lab, Loading, Sanitizer, PSK};

#[test]
fn stock_charons_build_a_tunnel_that_carries_packets() {
    let lab = Lab::new();
    let _gateway = lab.gateway(11);
    let client = stock_client(&lab, Sanitizer::None);
    assert!(!client.ping_once("10.2.0.1"), "a ping without a tunnel");
    assert_eq!(initiate(&client), Ok(()));
    client.ping("10.2.0.1");
}

#[test]
fn a_gateway_refuses_dies_and_comes_back_when_told_to() {
    let lab = Lab::new();
    let mut gateway = lab.gateway(11);
    let client = stock_client(&lab, Sanitizer::None);
    gateway.refuse_authentication();
    let refused = initiate(&client).expect_err("the secret is another one");
    assert!(refused.contains("AUTHENTICATION_FAILED"), "{refused}");

    gateway.kill();
    let unanswered = initiate(&client).expect_err("there is nobody");
    assert!(unanswered.contains("giving up"), "{unanswered}");

    gateway.restart();
    assert_eq!(initiate(&client), Ok(()));
    let (status, _) = gateway.stop();
    assert!(status.success(), "{status}");
    client.wait_log("received DELETE for IKE_SA net");
}

#[test]
fn valgrind_has_no_invalid_access_to_report_of_stock_charon() {
    let lab = Lab::new();
    let _gateway = lab.gateway(11);
    let mut client = stock_client(&lab, Sanitizer::Valgrind);
    assert_eq!(initiate(&client), Ok(()));
    client.ping("10.2.0.1");
    let (status, _) = client.stop();
    assert!(status.success(), "{status}");
    let report = client.report();
    assert!(report.contains("ERROR SUMMARY"), "{report}");
    assert!(!report.contains("Invalid "), "{report}");
}

fn stock_client(lab: &Lab, sanitizer: Sanitizer) -> Client {
    let client = lab.client_with(ClientOptions {
        loading: Loading::Absent,
        sanitizer,
        ..ClientOptions::default()
    });
    client.load(&format!(
        "connections {{\n net {{\n version = 2\n mobike = no\n local_addrs = 192.168.7.1\n \
         remote_addrs = 192.168.7.11\n proposals = aes128-sha256-modp2048\n \
         local {{\n auth = psk\n id = client\n }}\n remote {{\n auth = psk\n id = segw\n }}\n \
         children {{\n net2 {{\n local_ts = 10.1.0.0/24\n remote_ts = 10.2.0.0/24\n \
         esp_proposals = aes128-sha256-modp2048\n }}\n }}\n }}\n }}\n\
         secrets {{\n ike {{\n secret = \"{PSK}\"\n }}\n }}\n",
    ));
    client
}

fn initiate(client: &Client) -> Result<(), String> {
    let initiated = client.try_swanctl(&["--initiate", "--child", "net2", "--timeout", "20"]);
    initiated.map(drop)
}
