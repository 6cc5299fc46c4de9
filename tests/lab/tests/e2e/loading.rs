// SPDX-License-Identifier: GPL-2.0-or-later

//! How charon gets to the plugin, and which plugin it must not get to.

use std::fs;
use std::path::Path;

use extsock_lab::{net, ClientOptions, Lab, Loading, Vici};

#[test]
fn loads_before_vici() {
    serves(ClientOptions {
        vici: Vici::After,
        ..ClientOptions::default()
    });
}

#[test]
fn loads_after_vici() {
    serves(ClientOptions {
        vici: Vici::Before,
        ..ClientOptions::default()
    });
}

#[test]
fn loads_without_vici() {
    serves(ClientOptions {
        vici: Vici::Absent,
        ..ClientOptions::default()
    });
}

#[test]
fn loads_from_the_plugin_directory() {
    serves(ClientOptions {
        loading: Loading::Directory,
        ..ClientOptions::default()
    });
}

/// Load, run and unload.
fn serves(options: ClientOptions) {
    let lab = Lab::new();
    let _gateway = lab.gateway(11);
    let mut client = lab.client_with(options);
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    client.ping("10.2.0.1");
    let (status, _) = client.stop();
    assert!(status.success(), "{status}");
}

#[test]
fn a_build_for_another_charon_is_refused_in_one_line() {
    let builds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugin-wrong");
    let builds: Vec<_> = fs::read_dir(&builds)
        .unwrap_or_else(|e| panic!("{}: {e}: run `cargo xtask test e2e`", builds.display()))
        .map(|entry| entry.expect("the directory is readable").path())
        .collect();
    assert!(!builds.is_empty(), "no plugin to refuse");
    for build in builds {
        let lab = Lab::new();
        let client = lab.client_with(ClientOptions {
            loading: Loading::Directory,
            plugin: Some(build.join("libstrongswan-extsock.so")),
            ..ClientOptions::default()
        });
        let log = client.log();
        // From strongSwan 6.0.3 on the loader refuses another version, before the plugin can.
        let refusals: Vec<_> = log
            .lines()
            .filter(|line| {
                line.contains("[extsock]")
                    || line.contains("plugin 'extsock': failed to load - plugin version")
            })
            .collect();
        assert_eq!(refusals.len(), 1, "{}: {refusals:#?}", build.display());
        assert!(
            refusals[0].contains(" built for ") || refusals[0].contains(" doesn't match version "),
            "{}",
            refusals[0]
        );
        assert!(!client.socket_path().exists(), "{} serves", build.display());
        // charon itself goes on.
        client.swanctl(&["--stats"]);
    }
}
