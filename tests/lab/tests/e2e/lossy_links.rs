// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's liveness check where packets are lost on the way. Needs nft of nftables.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use extsock_lab::{wait, Client, ClientOptions, Lab};
use serde_json::json;

use crate::policy::net_with;

/// Has the client's host drop packets of IKE, which on port 4500 begin with zeros in place of an SPI.
/// `which` of them: all if it is empty.
#[track_caller]
fn lose_ike(client: &Client, which: &str) {
    let chain = |hook: &str, port: &str| {
        format!(
            "chain {hook} {{\n type filter hook {hook} priority 0;\n \
             udp {port} 500 {which} drop\n udp {port} 4500 @th,64,32 0 {which} drop\n }}\n"
        )
    };
    let (input, output) = (chain("input", "sport"), chain("output", "dport"));
    nft(client, &format!("table inet loss {{\n {input} {output} }}"));
}

/// Has the client's host drop what comes in of ESP.
#[track_caller]
pub(crate) fn lose_inbound_esp(client: &Client) {
    nft(
        client,
        "table inet loss {\n chain input {\n type filter hook input priority 0;\n \
         udp sport 4500 @th,64,32 != 0 drop\n meta l4proto esp drop\n }\n }",
    );
}

#[track_caller]
fn lose_nothing(client: &Client) {
    nft(client, "delete table inet loss");
}

/// Has the client's host take these rules.
#[track_caller]
pub(crate) fn nft(client: &Client, rules: &str) {
    let mut nft = client
        .command("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nsenter of util-linux starts");
    let mut stdin = nft.stdin.take().expect("stdin is piped");
    stdin.write_all(rules.as_bytes()).expect("nft reads");
    drop(stdin);
    let status = nft.wait().expect("nft ends");
    assert!(status.success(), "nft, of nftables: {rules}");
}

/// How many IKE messages charon has sent.
fn sent(client: &Client) -> usize {
    client.log().matches("sending packet: from").count()
}

#[test]
fn ike_messages_are_lost_while_esp_proves_the_gateway_alive() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    // charon by itself gives a request up after 51 s.
    let client = lab.client_with(ClientOptions {
        settings: "retransmit_tries = 5\n retransmit_timeout = 4\n retransmit_base = 1.3\n".into(),
        ..ClientOptions::default()
    });
    let mut control = client.connect();
    control.apply(&net_with(
        &json!({"dpd_delay": 0}),
        &json!({"liveness_interval": "1s", "liveness_timeout": "6s"}),
    ));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    let before = sent(&client);
    lose_ike(&client, "");
    // Often enough to be heard within the timeout, and too seldom for the gateway not to be asked.
    let pings = client.pings_every(Duration::from_millis(1700), "10.2.0.1");
    wait::holds_for(Duration::from_secs(35), "no failover", || {
        let started = control.events_named("failover_started");
        (!started.is_empty()).then(|| format!("{started:?}\n{}", client.log()))
    });
    assert!(sent(&client) > before + 2, "the gateway was asked again");
    lose_nothing(&client);
    let answered = pings.answered();
    wait::until("ESP goes on", || {
        (pings.answered() > answered).then_some(())
    });
    client.wait_log("parsed INFORMATIONAL response");
    assert_eq!(control.events_named("failover_started").len(), 0);
}

#[test]
fn every_third_ike_message_is_lost_each_way() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    // charon by itself sends nothing again in time.
    let client = lab.client_with(ClientOptions {
        settings: "retransmit_tries = 5\n retransmit_timeout = 60\n".into(),
        ..ClientOptions::default()
    });
    let mut control = client.connect();
    control.apply(&net_with(
        &json!({"dpd_delay": 0}),
        &json!({"liveness_interval": "0.5s", "liveness_timeout": "3s"}),
    ));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    // Two tries fail in a row at most: a request is lost, then the answer to the next one.
    lose_ike(&client, "numgen inc mod 3 0");
    let answers = |client: &Client| {
        let log = client.log();
        log.matches("parsed INFORMATIONAL response").count()
    };
    let before = answers(&client);
    wait::until("ten requests are answered", || {
        let started = control.events_named("failover_started");
        assert!(started.is_empty(), "{started:?}\n{}", client.log());
        (answers(&client) >= before + 10).then_some(())
    });
    assert!(!client.log().contains("retransmit 1 of request"));
}
