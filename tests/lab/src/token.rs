// SPDX-License-Identifier: GPL-2.0-or-later

//! A PKCS#11 token: SoftHSM, with a directory of its own.

use std::fs;
use std::process::Command;

use crate::pki::Pki;

/// Its name in strongswan.conf.
pub const MODULE: &str = "softhsm";
/// Debian's.
pub const LIBRARY: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CONFIGURATION: &str = "softhsm2.conf";

/// A token, whose files are in the directory of certificates and keys that it is given.
pub struct Token<'a> {
    pki: &'a Pki,
    pin: String,
    slot: u32,
}

impl<'a> Token<'a> {
    /// An empty one, the only one of its module.
    pub fn new(pki: &'a Pki, pin: &str) -> Self {
        let directory = pki.path("tokens");
        fs::create_dir(&directory).expect("there is one token");
        pki.write(
            CONFIGURATION,
            &format!("directories.tokendir = {directory}\n"),
        );
        let mut token = Self {
            pki,
            pin: pin.to_owned(),
            slot: 0,
        };
        let line = format!("--init-token --free --label lab --so-pin 12345678 --pin {pin}");
        let output = token.run("softhsm2-util", &line);
        let slot = output
            .split_whitespace()
            .last()
            .and_then(|n| n.parse().ok());
        token.slot = slot.unwrap_or_else(|| panic!("no slot: {output}"));
        token
    }

    /// The number of its slot.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// The variable, and its value, by which a charon finds the token.
    pub fn environment(&self) -> (&'static str, String) {
        ("SOFTHSM2_CONF", self.pki.path(CONFIGURATION))
    }

    /// Lines of the section `charon.plugins` in strongswan.conf. charon takes no certificate by itself.
    pub fn settings() -> String {
        format!("pkcs11 {{\n modules {{\n {MODULE} {{\n path = {LIBRARY}\n load_certs = no\n }}\n }}\n }}")
    }

    /// Writes `name.pem` to it.
    pub fn add_certificate(&self, name: &str, handle: &str) {
        let der = format!("{name}.der");
        let pki = self.pki;
        pki.openssl(&format!("x509 -in {name}.pem -outform DER -out {der}"));
        self.write(&format!("{der} --type cert --id {handle}"));
    }

    /// Writes `name.key` to it. Each signature needs the PIN again.
    pub fn add_key(&self, name: &str, handle: &str) {
        let der = format!("{name}.key.der");
        let pki = self.pki;
        pki.openssl(&format!("pkey -in {name}.key -outform DER -out {der}"));
        self.write(&format!("{der} --type privkey --id {handle} --always-auth"));
    }

    /// Removes a certificate from it.
    pub fn remove_certificate(&self, handle: &str) {
        self.tool(&format!("--delete-object --type cert --id {handle}"));
    }

    fn write(&self, object: &str) {
        self.tool(&format!("--write-object {object}"));
    }

    fn tool(&self, line: &str) {
        let (slot, pin) = (self.slot, &self.pin);
        let line = format!("--module {LIBRARY} --slot {slot} --login --pin {pin} {line}");
        self.run("pkcs11-tool", &line);
    }

    fn run(&self, program: &str, line: &str) -> String {
        let (name, value) = self.environment();
        let output = Command::new(program)
            .args(line.split_whitespace())
            .current_dir(self.pki.path(""))
            .env(name, value)
            .output()
            .unwrap_or_else(|e| panic!("{program}: {e}: `cargo xtask build` installs it"));
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {line}: {problem}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
