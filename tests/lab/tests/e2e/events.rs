// SPDX-License-Identifier: GPL-2.0-or-later

//! What events carry beside the fields of the existing plugin.

use extsock_lab::{net, wait, Event, GatewayOptions};
use serde_json::json;

use crate::{Hosts, Tunnel};

/// The SPIs of the CHILD_SA and of the IKE_SA stand in swanctl's list.
#[track_caller]
fn assert_listed(tunnel: &Tunnel, text: &str) {
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert!(sas.contains(text), "{text}: {sas}");
}

fn spi(event: &Event, key: &str) -> String {
    let spi = event[key].as_u64().expect("an SPI is a number");
    format!("{spi:08x}")
}

#[test]
fn events_carry_their_time_and_a_number_without_gaps() {
    let mut tunnel = Tunnel::up();
    tunnel.control.ok("TERMINATE net");
    tunnel.control.wait_event("ike_sa_down");
    let events = tunnel.control.events();
    assert!(events.len() >= 4, "{events:?}");
    for (event, next) in events.iter().zip(&events[1..]) {
        let number = |event: &Event| event["seq"].as_u64().expect("seq is a number");
        assert_eq!(number(event) + 1, number(next), "{next:?}");
        let time = |event: &Event| event["time"].as_str().unwrap_or_default().to_owned();
        assert!(time(event) <= time(next), "{event:?} {next:?}");
        assert!(event.line.ends_with(&format!(
            ",\"time\":\"{}\",\"seq\":{}}}",
            time(event),
            number(event)
        )));
    }
}

#[test]
fn tunnel_up_has_both_spis_ids_marks_and_the_exact_selectors() {
    let gateways = GatewayOptions::default().edited(&[(
        "local_ts = 10.2.0.0/24",
        "local_ts = 10.2.0.1-10.2.0.9[udp/53]",
    )]);
    let mut tunnel = Tunnel::loaded_at(Hosts::with_gateways(gateways), &net(&[11, 12]));
    tunnel.initiate_untested();
    let up = &tunnel.control.events_named("tunnel_up")[0];
    assert_eq!(up["spi_in"], up["spi"]);
    assert_listed(&tunnel, &format!("in  {}", spi(up, "spi_in")));
    assert_listed(&tunnel, &format!("out {}", spi(up, "spi_out")));
    assert_listed(&tunnel, &format!("reqid {}", up["reqid"]));
    assert_listed(&tunnel, &format!("net2: #{}", up["uniqueid"]));
    assert_listed(&tunnel, &format!("net: #{}", up["ike_sa_uniqueid"]));
    for none in [
        "if_id_in",
        "if_id_out",
        "mark_in",
        "mark_mask_in",
        "mark_out",
        "mark_mask_out",
    ] {
        assert_eq!(up[none], 0, "{none}");
    }
    assert_eq!(
        up["remote_selectors"],
        json!([{
            "start": "10.2.0.1", "end": "10.2.0.9",
            "protocol": 17, "start_port": 53, "end_port": 53,
        }])
    );
    assert_eq!(
        up["local_selectors"],
        json!([{
            "start": "10.1.0.0", "end": "10.1.0.255",
            "protocol": 0, "start_port": 0, "end_port": 65535,
        }])
    );
}

#[test]
fn rekeying_tells_the_ids_and_spis_of_both() {
    let mut tunnel = Tunnel::up();
    let up = tunnel.control.events_named("tunnel_up").remove(0);
    tunnel.client.swanctl(&["--rekey", "--child", "net2"]);
    let rekeyed = tunnel.control.wait_event("child_rekey");
    assert_eq!(rekeyed["connection"], "net");
    for (old, key) in [
        ("old_spi_in", "spi_in"),
        ("old_spi_out", "spi_out"),
        ("old_uniqueid", "uniqueid"),
        ("ike_sa_uniqueid", "ike_sa_uniqueid"),
    ] {
        assert_eq!(rekeyed[old], up[key], "{old}");
    }
    let successor = tunnel.control.wait_event("tunnel_up");
    for (new, key) in [
        ("new_spi_in", "spi_in"),
        ("new_spi_out", "spi_out"),
        ("new_uniqueid", "uniqueid"),
    ] {
        assert_eq!(rekeyed[new], successor[key], "{new}");
        assert_ne!(rekeyed[new], up[key], "{new}");
    }

    let before = crate::ike_sa(&tunnel.client, "net");
    tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
    let rekeyed = tunnel.control.wait_event("ike_rekey");
    assert_eq!(rekeyed["connection"], "net");
    let text = |key: &str| rekeyed[key].as_str().unwrap_or_default().to_owned();
    for old in ["old_initiator_spi", "old_responder_spi"] {
        assert!(before.contains(&text(old)), "{old}: {before}");
    }
    let after = wait::until("the old IKE_SA is gone", || {
        let sas = tunnel.client.ike_sas();
        (sas.len() == 1).then(|| sas[0].clone())
    });
    for new in ["new_initiator_spi", "new_responder_spi"] {
        assert!(after.contains(&text(new)), "{new}: {after}");
    }
    assert!(
        before.contains(&format!("#{}", rekeyed["old_uniqueid"])),
        "{before}"
    );
    assert!(
        after.contains(&format!("#{}", rekeyed["new_uniqueid"])),
        "{after}"
    );
}
