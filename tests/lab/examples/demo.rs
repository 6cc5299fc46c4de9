// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo xtask demo`: a client loses its gateway, goes to the next one, and comes back.

use std::cell::Cell;
use std::time::Instant;

use extsock_lab::{net, wait, Charon, Event, Extsock, Lab};

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
    timeline.show(&plugin_lines(&client));
    let mut control = timeline.step(
        "Connecting to the plugin's socket /run/charon.extsock",
        || client.connect(),
    );

    let config = net(&[11, 12]);
    timeline.step("Sending the configuration", || {
        timeline.show(&format!("> APPLY_CONFIG {config:#}"));
        let reply = control.apply(&config);
        timeline.show(&format!("< {reply}"));
    });
    timeline.step("Asking for the tunnel", || {
        timeline.show("> INITIATE net");
        let reply = control.ok("INITIATE net");
        timeline.show(&format!("< {reply}"));
        timeline.until(&mut control, "tunnel_up");
    });
    timeline.step("Ping through the tunnel to 10.2.0.1", || {
        client.ping("10.2.0.1");
        timeline.show("answered, by gateway 192.168.7.11");
    });

    timeline.step("Killing gateway 192.168.7.11", || {
        gateway_1.kill();
        timeline.until(&mut control, "failover_established");
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
            timeline.until(&mut control, "failover_established");
            expect_active(&mut control, "192.168.7.11");
        },
    );
    timeline.step("Ping through the tunnel to 10.2.0.1", || {
        client.ping("10.2.0.1");
        timeline.show("answered, by gateway 192.168.7.11");
    });
    timeline.line("The connection is back where it began.");
}

/// What the plugin says when it is loaded.
fn plugin_lines(client: &Charon) -> String {
    let log = client.log();
    let lines: Vec<_> = log.lines().filter(|l| l.contains("[extsock]")).collect();
    lines.join("\n")
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

    /// Shows events as they come, up to the one called `name`.
    fn until(&self, control: &mut Extsock, name: &str) {
        loop {
            let event: Event = control.wait_event_where(name, |_| true);
            self.line_at(event.at, &format!("  event {}", event.json));
            if event.name() == name {
                return;
            }
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
