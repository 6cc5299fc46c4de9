// SPDX-License-Identifier: GPL-2.0-or-later

//! Connections of ipsec.conf, which starter and the stroke plugin load: nothing is told to extsock.

use std::time::Duration;

use extsock_lab::{wait, Client, ClientOptions, Extsock, Gateway, GatewayOptions, Lab};
use serde_json::json;

use crate::ike_sas;
use crate::no_failover::failover_after;

/// Connection `net` over the gateways, with lines of its own.
fn ipsec_conf(gateways: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!(
        "config setup\n\n\
         conn %default\n  mobike=no\n  authby=secret\n  dpddelay=1s\n  dpdaction=clear\n  \
         ike=aes128-sha256-modp2048!\n  esp=aes128-sha256-modp2048!\n  \
         left=192.168.7.1\n  leftid=client\n  leftsubnet=10.1.0.0/24\n  \
         right={gateways}\n  rightid=segw\n\n\
         conn net\n  rightsubnet=10.2.0.0/24\n  auto=add\n{lines}\n"
    )
}

const GATEWAYS: &str = "192.168.7.11,192.168.7.12";

/// Gateways 11 and 12, and a client with connection `net`.
struct Net {
    control: Extsock,
    client: Client,
    gateway_1: Gateway,
    gateway_2: Gateway,
    _lab: Lab,
}

impl Net {
    fn loaded(lines: &[&str]) -> Self {
        Self::start(
            GatewayOptions::default(),
            &ipsec_conf(GATEWAYS, lines),
            ClientOptions::default(),
        )
    }

    fn start(gateways: GatewayOptions, ipsec_conf: &str, options: ClientOptions) -> Self {
        let lab = Lab::new();
        let gateway_1 = lab.gateway_with(11, gateways.clone());
        let gateway_2 = lab.gateway_with(12, gateways);
        let client = lab.client_with(ClientOptions {
            ipsec_conf: Some(ipsec_conf.to_owned()),
            ..options
        });
        client.wait_log("added configuration 'net'");
        let control = client.connect();
        Self {
            control,
            client,
            gateway_1,
            gateway_2,
            _lab: lab,
        }
    }

    fn up(lines: &[&str]) -> Self {
        let mut net = Self::loaded(lines);
        let output = net.client.stroke(&["up", "net"]);
        assert!(output.contains("established successfully"), "{output}");
        net.client.ping("10.2.0.1");
        net.settled_on(11);
        net
    }

    /// Waits for the next failover to be complete.
    #[track_caller]
    fn fails_over(&mut self, from: u8, to: u8, reason: &str) {
        let started = self.control.wait_event("failover_started");
        assert_eq!(started["connection"], "net");
        assert_eq!(started["from"], format!("192.168.7.{from}"), "{started:?}");
        assert_eq!(started["to"], format!("192.168.7.{to}"), "{started:?}");
        assert_eq!(started["reason"], reason, "{started:?}");
        let established = self.control.wait_event("failover_established");
        assert_eq!(established["connection"], "net");
        assert_eq!(established["attempts"], 1, "{established:?}");
        self.settled_on(to);
    }

    /// One IKE_SA, of the connection's name, with packets through it.
    #[track_caller]
    fn settled_on(&mut self, gateway: u8) {
        self.client.ping("10.2.0.1");
        wait::until("one IKE_SA is left", || {
            (ike_sas(&self.client) == 1).then_some(())
        });
        let status = self.client.stroke(&["status", "net"]);
        // strongSwan 6.1.0 says `1 total`.
        let up = ["(1 up, 0 connecting)", "(1 total, 0 connecting)"];
        assert!(up.iter().any(|up| status.contains(up)), "{status}");
        assert!(status.contains("net["), "{status}");
        let peer = format!("192.168.7.{gateway}[segw]");
        assert!(status.contains(&peer), "{status}");
    }

    /// There is no failover, and nothing is left of the connection.
    #[track_caller]
    fn nothing_more(&mut self, failovers: usize) {
        wait::holds_for(Duration::from_secs(3), "no failover", || {
            let started = self.control.events_named("failover_started");
            (started.len() > failovers).then(|| format!("{started:?}"))
        });
        assert_eq!(self.client.swanctl(&["--list-sas"]), "");
        assert_eq!(self.control.ok("LIST")["connections"], json!([]));
    }
}

fn fails_over_and_back(lines: &[&str]) {
    let mut net = Net::up(lines);
    net.gateway_1.kill();
    net.fails_over(11, 12, "dpd_timeout");
    net.gateway_1.restart();
    net.gateway_2.kill();
    net.fails_over(12, 11, "dpd_timeout");
}

#[test]
fn a_connection_fails_over_and_back() {
    fails_over_and_back(&[]);
}

#[test]
fn a_connection_fails_over_and_back_with_dpdaction_restart() {
    fails_over_and_back(&["dpdaction=restart"]);
}

#[test]
fn a_connection_fails_over_and_back_with_keyingtries_1() {
    fails_over_and_back(&["keyingtries=1"]);
}

/// Without a dpdaction there is no DPD, whatever the dpddelay.
#[test]
fn a_connection_without_dpdaction_has_its_liveness_checked() {
    let mut net = Net::start(
        GatewayOptions::default(),
        &ipsec_conf(GATEWAYS, &["dpdaction=none"]),
        ClientOptions::with_failover("liveness_interval = 0.5\n liveness_timeout = 0.5"),
    );
    net.client.stroke(&["up", "net"]);
    net.settled_on(11);
    net.gateway_1.kill();
    net.fails_over(11, 12, "liveness_timeout");
}

#[test]
fn an_ikev1_connection_fails_over_and_back() {
    let lines = ["keyexchange=ikev1", "dpdtimeout=2s", "dpdaction=restart"];
    let mut net = Net::start(
        GatewayOptions::ikev1(),
        &ipsec_conf(GATEWAYS, &lines),
        ClientOptions::default(),
    );
    net.client.stroke(&["up", "net"]);
    net.gateway_1.kill();
    net.fails_over(11, 12, "dpd_timeout");
    net.gateway_1.restart();
    net.gateway_2.kill();
    net.fails_over(12, 11, "dpd_timeout");
}

#[test]
fn gateway_1_is_down_when_charon_starts_the_connection() {
    for keyingtries in ["keyingtries=1", "keyingtries=%forever"] {
        let lab = Lab::new();
        let _gateway_2 = lab.gateway(12);
        let client = lab.client_with(ClientOptions {
            ipsec_conf: Some(ipsec_conf(GATEWAYS, &["auto=start", keyingtries])),
            ..ClientOptions::default()
        });
        client.ping("10.2.0.1");
        wait::until("one IKE_SA is left", || {
            (ike_sas(&client) == 1).then_some(())
        });
        let status = client.stroke(&["status", "net"]);
        assert!(status.contains("192.168.7.12[segw]"), "{status}");
    }
}

#[test]
fn gateway_shuts_down() {
    let mut net = Net::up(&[]);
    net.gateway_1.stop();
    net.fails_over(11, 12, "peer_deleted");
}

#[test]
fn a_routed_connection_fails_over_and_stays_routed() {
    let mut net = Net::loaded(&["auto=route", "dpdaction=hold"]);
    let routed = net.client.stroke(&["status", "net"]);
    assert!(routed.contains("Routed Connections"), "{routed}");
    net.client.stroke(&["up", "net"]);
    net.gateway_1.kill();
    net.fails_over(11, 12, "dpd_timeout");
    let routed = net.client.stroke(&["status", "net"]);
    assert!(routed.contains("Routed Connections"), "{routed}");
}

#[test]
fn up_means_the_ike_sa_on_the_next_gateway() {
    let mut net = Net::up(&[]);
    net.gateway_1.kill();
    net.fails_over(11, 12, "dpd_timeout");
    let before = net.client.swanctl(&["--list-sas", "--ike", "net"]);
    let before = before.lines().next().expect("the IKE_SA").to_owned();
    net.client.stroke(&["up", "net"]);
    let after = net.client.swanctl(&["--list-sas", "--ike", "net"]);
    assert!(after.starts_with(&before), "{after}");
    assert_eq!(ike_sas(&net.client), 1);
}

#[test]
fn the_child_sas_of_sections_that_share_the_ike_sa_come_back() {
    let two_networks = GatewayOptions {
        networks: vec![2, 3],
        ..GatewayOptions::default()
    };
    let mut conf = ipsec_conf(GATEWAYS, &[]);
    conf.push_str("conn other\n  rightsubnet=10.3.0.0/24\n  auto=add\n");
    let mut net = Net::start(two_networks, &conf, ClientOptions::default());
    net.client
        .wait_log("added child to existing configuration 'net'");
    for section in ["net", "other"] {
        net.client.stroke(&["up", section]);
    }
    net.client.ping("10.3.0.1");
    net.gateway_1.kill();
    net.fails_over(11, 12, "dpd_timeout");
    net.client.ping("10.3.0.1");
}

#[test]
fn down() {
    let mut net = Net::up(&[]);
    net.client.stroke(&["down", "net"]);
    net.control.wait_event("ike_sa_down");
    net.nothing_more(0);
}

#[test]
fn down_when_the_gateway_is_dead() {
    let mut net = Net::up(&["dpddelay=30s"]);
    net.gateway_1.kill();
    net.client.stroke(&["down", "net"]);
    net.client.wait_log("proper IKE_SA delete failed");
    net.control.wait_event("ike_sa_down");
    net.nothing_more(0);
}

#[test]
fn down_on_the_next_gateway() {
    let mut net = Net::up(&[]);
    net.gateway_1.kill();
    net.fails_over(11, 12, "dpd_timeout");
    net.client.stroke(&["down", "net"]);
    net.nothing_more(1);
}

#[test]
fn down_while_the_next_gateway_is_tried() {
    let mut net = Net::up(&[]);
    net.gateway_1.kill();
    net.gateway_2.kill();
    net.control.wait_event("failover_started");
    wait::until("the next gateway is being tried", || {
        net.client
            .stroke(&["status", "net"])
            .contains(", 1 connecting)")
            .then_some(())
    });
    net.client.stroke(&["down", "net"]);
    net.nothing_more(1);
}

/// The connection is removed in this way while the gateways fail in turn.
fn removed(remove: impl FnOnce(&Client)) {
    let options = ClientOptions::with_failover("base_delay = 2\n max_retries = 0");
    let conf = ipsec_conf(GATEWAYS, &["keyingtries=1"]);
    let mut net = Net::start(GatewayOptions::default(), &conf, options);
    net.gateway_1.kill();
    net.gateway_2.kill();
    net.client.stroke(&["up", "net"]);
    wait::until("the next round is waited for", || {
        (net.control.connection("net")["state"] == "waiting").then_some(())
    });
    let tried = net.control.events_named("failover_started").len();
    remove(&net.client);
    net.client.wait_log("deleted connection 'net'");
    net.client
        .wait_log("its configuration is gone, and its failover ends");
    net.nothing_more(tried);
}

#[test]
fn a_deleted_connections_failover_ends() {
    removed(|client| {
        client.stroke(&["delete", "net"]);
    });
}

#[test]
fn a_failover_ends_with_the_connections_section() {
    removed(|client| client.load_ipsec_conf("config setup\n"));
}

/// Returns when gateway 1, which is dead, has been found to be.
fn deleted_while_it_is_up(lines: &[&str]) -> Net {
    let mut net = Net::up(lines);
    net.client.stroke(&["delete", "net"]);
    net.client.wait_log("deleted connection 'net'");
    net.settled_on(11);
    net.gateway_1.kill();
    net.control.wait_event("ike_sa_down");
    net
}

#[test]
fn a_deleted_connection_does_not_fail_over() {
    let mut net = deleted_while_it_is_up(&[]);
    wait::holds_for(Duration::from_secs(3), "no IKE_SA", || {
        let sas = net.client.swanctl(&["--list-sas"]);
        (!sas.is_empty()).then_some(sas)
    });
    let initiated = net.client.log().matches("initiating IKE_SA").count();
    assert_eq!(initiated, 1, "the one that was up");
    assert_eq!(net.control.ok("LIST")["connections"], json!([]));
}

/// charon itself goes on, and is stopped.
#[test]
fn a_deleted_connection_does_not_fail_over_with_dpdaction_restart() {
    let mut net = deleted_while_it_is_up(&["dpdaction=restart", "keyingtries=1"]);
    wait::until("no IKE_SA is left", || {
        let sas = net.client.swanctl(&["--list-sas"]);
        sas.is_empty().then_some(())
    });
    net.nothing_more(0);
}

#[test]
fn an_edited_section_counts_at_the_next_failover() {
    let mut net = Net::up(&[]);
    net.client
        .load_ipsec_conf(&ipsec_conf("192.168.7.14,192.168.7.12", &[]));
    wait::until("the edited section is loaded", || {
        net.client
            .stroke(&["statusall", "net"])
            .contains("...192.168.7.14,192.168.7.12")
            .then_some(())
    });
    assert_eq!(failover_after(&net.control, 0), None);
    net.gateway_1.kill();
    let established = net.control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.12");
    net.settled_on(12);
}
