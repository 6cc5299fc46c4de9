// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin leaves in charon's log.

use extsock_lab::PSK;

use crate::{expect_failover, Tunnel};

#[test]
fn a_life_without_faults_logs_no_error_and_never_the_secret() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    tunnel.control.ok("REMOVE_CONFIG net");
    let (status, _) = tunnel.client.stop();
    assert!(status.success(), "{status}");

    let log = tunnel.client.log();
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.contains("extsock"))
        .filter(|line| {
            ["error", "panick", "unable", "could not"]
                .iter()
                .any(|word| line.to_lowercase().contains(word))
        })
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(log.contains("[extsock]"), "the plugin logs");

    let everything = tunnel.client.full_log();
    assert!(everything.len() > log.len(), "level 4 logs more");
    let leaks: Vec<_> = everything
        .lines()
        .filter(|line| line.contains(PSK))
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(
        !contains(&dumped_bytes(&everything), PSK.as_bytes()),
        "the secret is in a hex dump"
    );
}

/// The bytes of charon's hex dumps, "   0: 74 65 6C 6C ...  tell", in their order.
fn dumped_bytes(log: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in log.lines() {
        for word in line.split(' ') {
            if word.len() == 2 {
                bytes.extend(u8::from_str_radix(word, 16));
            }
        }
    }
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
