// SPDX-License-Identifier: GPL-2.0-or-later

//! CAs, certificates and keys, made by the openssl tool.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

const EXTENSIONS: &str = "[req]\ndistinguished_name = dn\n[dn]\n\
                          [ca]\nbasicConstraints = critical, CA:TRUE\n\
                          keyUsage = critical, keyCertSign, cRLSign\n\
                          subjectKeyIdentifier = hash\n\
                          [host]\nsubjectAltName = DNS:";

/// Of a key, for `openssl genpkey`.
const ECDSA: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// A directory of certificates `NAME.pem` and keys `NAME.key`, removed when dropped.
pub struct Pki {
    directory: PathBuf,
}

impl Default for Pki {
    fn default() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("extsock-pki-{}-{number}", process::id()));
        fs::create_dir(&directory).expect("the directory of temporary files is writable");
        Self { directory }
    }
}

impl Pki {
    /// A CA, and what it needs to issue certificates.
    pub fn with_ca(name: &str) -> Self {
        let pki = Self::default();
        pki.add_ca(name);
        pki
    }

    /// Makes a CA that has signed itself.
    pub fn add_ca(&self, name: &str) {
        self.make_key(name, ECDSA);
        self.write_extensions(name);
        let line = format!(
            "req -x509 -new -key {name}.key -out {name}.pem -subj /CN={name} -days 2 \
             -config {name}.cnf -extensions ca"
        );
        self.openssl(&line);
    }

    /// Makes a CA below another one.
    pub fn add_intermediate(&self, name: &str, issuer: &str) {
        self.make_key(name, ECDSA);
        self.issue(name, issuer, "ca", "2");
    }

    /// Makes a certificate of a host of that name, with an ECDSA key.
    pub fn add_host(&self, name: &str, issuer: &str) {
        self.add_host_with(name, issuer, ECDSA);
    }

    /// As [`Self::add_host`], with a key that `openssl genpkey` makes of these arguments.
    pub fn add_host_with(&self, name: &str, issuer: &str, key: &[&str]) {
        self.make_key(name, key);
        self.issue(name, issuer, "host", "2");
    }

    /// As [`Self::add_host`], with a certificate that has expired.
    pub fn add_expired_host(&self, name: &str, issuer: &str) {
        self.make_key(name, ECDSA);
        self.request(name);
        self.write(
            &format!("{name}.past"),
            &format!(
                "[past]\ndatabase = {name}.index\nnew_certs_dir = .\npolicy = any\n\
                 default_md = sha256\nrand_serial = yes\n[any]\ncommonName = supplied\n"
            ),
        );
        self.write(&format!("{name}.index"), "");
        // Only this command takes dates of the past in all versions of openssl.
        self.openssl(&format!(
            "ca -batch -notext -config {name}.past -name past -startdate 20200101000000Z \
             -enddate 20200102000000Z -cert {issuer}.pem -keyfile {issuer}.key \
             -in {name}.csr -out {name}.pem -extfile {name}.cnf -extensions host"
        ));
    }

    /// Makes another certificate of a host, for the same key.
    pub fn renew(&self, name: &str, issuer: &str) {
        self.issue(name, issuer, "host", "3");
    }

    /// Runs the openssl tool in the directory.
    pub fn openssl(&self, line: &str) {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(&self.directory)
            .output()
            .expect("openssl is installed: `cargo xtask build` does that");
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {problem}");
    }

    /// The absolute path of a file.
    pub fn path(&self, file: &str) -> String {
        let path = self.directory.join(file);
        path.to_str().expect("the path is UTF-8").to_owned()
    }

    /// What is in a file.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).expect(file)
    }

    /// Makes a file.
    pub fn write(&self, file: &str, content: &str) {
        fs::write(self.directory.join(file), content).expect("the directory is writable");
    }

    fn make_key(&self, name: &str, arguments: &[&str]) {
        let arguments = arguments.join(" ");
        self.openssl(&format!("genpkey {arguments} -out {name}.key"));
    }

    fn issue(&self, name: &str, issuer: &str, section: &str, days: &str) {
        self.request(name);
        self.openssl(&format!(
            "x509 -req -in {name}.csr -out {name}.pem -CA {issuer}.pem -CAkey {issuer}.key \
             -CAcreateserial -days {days} -extfile {name}.cnf -extensions {section}"
        ));
    }

    fn request(&self, name: &str) {
        self.write_extensions(name);
        self.openssl(&format!(
            "req -new -key {name}.key -out {name}.csr -subj /CN={name} -config {name}.cnf"
        ));
    }

    fn write_extensions(&self, name: &str) {
        self.write(&format!("{name}.cnf"), &format!("{EXTENSIONS}{name}\n"));
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        // What is left over is in the way of nothing.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
