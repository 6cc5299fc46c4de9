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
    // charon itself dumps the secret at this level while it computes the PSK authentication;
    // no other dump may have it.
    let dumps = dumps(&everything);
    assert!(!dumps.is_empty(), "level 4 dumps bytes");
    let leaks: Vec<_> = dumps
        .iter()
        .filter(|(heading, bytes)| {
            contains(bytes, PSK.as_bytes()) && !heading.contains("[IKE] secret => ")
        })
        .map(|(heading, _)| heading)
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// charon's hex dumps: the line that announces the bytes, and the bytes.
fn dumps(log: &str) -> Vec<(&str, Vec<u8>)> {
    let mut dumps: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in log.lines() {
        if line.contains(" bytes @ ") {
            dumps.push((line, Vec::new()));
        } else if let (Some((_, bytes)), Some(words)) = (dumps.last_mut(), dumped(line)) {
            bytes.extend(words.filter_map(|word| u8::from_str_radix(word, 16).ok()));
        }
    }
    dumps
}

/// The words after the offset in "16[IKE]   16: 74 2D 74 68  t-th", of which those of two digits
/// before the first gap are the bytes.
fn dumped(line: &str) -> Option<impl Iterator<Item = &str>> {
    let (prefix, rest) = line.split_once(": ")?;
    let offset = prefix.rsplit(' ').next()?;
    offset.parse::<u32>().ok()?;
    let bytes = rest.split("  ").next()?;
    Some(bytes.split(' '))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
