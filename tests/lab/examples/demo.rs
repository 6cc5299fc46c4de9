// SPDX-License-Identifier: GPL-2.0-or-later

//! `cargo xtask demo`: a client loses its gateway, goes to the next one, and comes back.

use std::cell::Cell;
use std::time::Instant;

use extsock_lab::{wait, Extsock, Lab};

/// The connection: two gateways, separated by a comma, are all that a failover needs.
const CONFIG: &str = r#"{
  "connections": {
    "net": {
      "version": 2,
      "local_addrs": "192.168.7.1",
      "remote_addrs": "192.168.7.11,192.168.7.12",
      "dpd_delay": "1s",
      "proposals": ["aes128-sha256-modp2048"],
      "local_auth": {"auth": "psk", "id": "client"},
      "remote_auth": {"auth": "psk", "id": "segw"},
      "children": {
        "data": {
          "local_ts": "10.1.0.0/24",
          "remote_ts": "10.2.0.0/24",
          "esp_proposals": ["aes128-sha256-modp2048"]
        }
      }
    }
  },
  "secrets": {"ike": [{"id": "segw", "secret": "tell-nobody-about-this-lab"}]}
}"#;

fn main() {
    let timeline = Timeline::default();
    let lab = timeline.step(
        "Making a network of three hosts: client 192.168.7.1, gateways 192.168.7.11 and .12",
        Lab::new,
    );
    let [mut gateway_1, mut gateway_2] = [11, 12].map(|number| {
        timeline.step(
            &format!("Gateway 192.168.7.{number}: charon starts; behind it is 10.2.0.1"),
            || lab.gateway(number),
        )
    });
    let client = timeline.step(
        "Client: charon starts with the plugin (LD_PRELOAD); behind it is 10.1.0.1",
        || lab.client(),
    );
    let mut control = timeline.step(
        "Connecting to the plugin's socket /run/charon.extsock",
        || client.connect(),
    );

    timeline.step("Sending the configuration", || {
        timeline.request(&mut control, &format!("APPLY_CONFIG {CONFIG}"));
    });
    timeline.step("Asking for the tunnel", || {
        timeline.request(&mut control, "INITIATE net");
        timeline.events(&mut control, &["tunnel_up"]);
    });
    timeline.step("Ping through the tunnel to 10.2.0.1", || {
        client.ping("10.2.0.1");
        timeline.show("answered, by gateway 192.168.7.11");
    });

    timeline.step("Killing gateway 192.168.7.11", || {
        gateway_1.kill();
        timeline.events(&mut control, &["failover_established", "tunnel_up"]);
        expect_active(&mut control, "192.168.7.12");
    });
    timeline.step("Ping through the tunnel to 10.2.0.1", || {
        client.ping("10.2.0.1");
        timeline.show("answered, by gateway 192.168.7.12");
    });

    timeline.step(
        "Starting gateway 192.168.7.11 again, killing gateway 192.168.7.12",
        || {
            gateway_1.restart();
            gateway_2.kill();
            timeline.events(&mut control, &["failover_established", "tunnel_up"]);
            expect_active(&mut control, "192.168.7.11");
        },
    );
    timeline.step("Ping through the tunnel to 10.2.0.1", || {
        client.ping("10.2.0.1");
        timeline.show("answered, by gateway 192.168.7.11");
    });
    timeline.line("The connection is back where it began.");
}

fn expect_active(control: &mut Extsock, gateway: &str) {
    wait::until(&format!("gateway {gateway} is the active one"), || {
        let connection = control.connection("net");
        (connection["active_gateway"] == gateway).then_some(())
    });
}

/// Prints what happens and when; names the step in which something went wrong.
struct Timeline {
    begin: Instant,
    step: Cell<String>,
    done: Cell<bool>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            step: Cell::default(),
            done: Cell::new(true),
        }
    }
}

impl Timeline {
    fn step<T>(&self, what: &str, run: impl FnOnce() -> T) -> T {
        self.line(what);
        self.step.set(what.to_owned());
        self.done.set(false);
        let result = run();
        self.done.set(true);
        result
    }

    fn line(&self, text: &str) {
        self.line_at(Instant::now(), text);
    }

    fn line_at(&self, at: Instant, text: &str) {
        let elapsed = at.saturating_duration_since(self.begin);
        println!("{:7.3} s  {text}", elapsed.as_secs_f64());
    }

    fn show(&self, text: &str) {
        for line in text.lines() {
            println!("           | {line}");
        }
    }

    /// Shows a request and its reply.
    fn request(&self, control: &mut Extsock, request: &str) {
        self.show(&format!("> {request}"));
        control.send(format!("{request}\n").as_bytes());
        let reply = control.reply_line();
        self.show(&format!("< {reply}"));
        assert!(reply.contains("\"ok\":true"), "the request failed");
    }

    /// Shows events as they come, until each of `names` has come.
    fn events(&self, control: &mut Extsock, names: &[&str]) {
        let mut missing = names.to_vec();
        while !missing.is_empty() {
            let event = control.wait_event_where(&missing.join(", "), |_| true);
            self.line_at(event.at, &format!("  event {}", event.line));
            missing.retain(|name| *name != event.name());
        }
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        if !self.done.get() {
            // The hosts, dropped before, have shown their logs.
            eprintln!("The demonstration failed at: {}", self.step.take());
        }
    }
}
