// SPDX-License-Identifier: GPL-2.0-or-later

//! Who does ESP for the hosts: the kernel, or charon where it cannot.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// An ESP state as charon makes them.
const STATE: &str = "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000 mode tunnel \
                     auth-trunc 'hmac(sha256)' 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 128 \
                     enc 'cbc(aes)' 0x000102030405060708090a0b0c0d0e0f";

/// Whether the kernel takes an ESP state, in a network namespace that ends with the attempt. This needs root
/// and iproute2.
pub fn kernel_has_esp() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        Command::new("unshare")
            .args(["--net", "sh", "-c", STATE])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("unshare of util-linux starts")
            .success()
    })
}
