// SPDX-License-Identifier: GPL-2.0-or-later

//! A security gateway: responder, stock charon, configured through swanctl.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;

use crate::charon::{Charon, CharonOptions, Sanitizer};
use crate::config::PSK;
use crate::esp::kernel_has_esp;
use crate::namespace::Namespace;
use crate::{address, address_v6};

/// What a gateway serves.
#[derive(Clone)]
pub struct GatewayOptions {
    /// The third-to-second octets of the /24 networks behind it: `2` is 10.2.0.0/24, in
    /// which the gateway itself is .1. One CHILD_SA each.
    pub networks: Vec<u8>,
    /// Gives virtual IPs of this network to its clients.
    pub pool: Option<&'static str>,
    /// Lines of the connection in its swanctl.conf.
    pub connection: String,
    /// Lines of the section `charon` in strongswan.conf.
    pub settings: String,
    /// What its swanctl.conf has in place of what it would have otherwise: from, to.
    pub edits: Vec<(String, String)>,
    /// Files beside its swanctl.conf, such as `x509/segw.pem`, and what is in them.
    pub files: Vec<(&'static str, String)>,
    /// Sends all its clients to this address as soon as they are authenticated, in its answer to IKE_AUTH.
    pub redirect_to: Option<String>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            networks: vec![2],
            pool: None,
            connection: String::new(),
            settings: String::new(),
            edits: Vec::new(),
            files: Vec::new(),
            redirect_to: None,
        }
    }
}

impl GatewayOptions {
    /// With lines of the section `charon` in strongswan.conf.
    pub fn with_settings(settings: &str) -> Self {
        Self {
            settings: settings.to_owned(),
            ..Self::default()
        }
    }

    /// A gateway that speaks IKEv1.
    pub fn ikev1() -> Self {
        Self::default().edited(&[("version = 2", "version = 1")])
    }

    /// With more [`Self::edits`].
    pub fn edited(mut self, edits: &[(&str, &str)]) -> Self {
        let edits = edits
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        self.edits.extend(edits);
        self
    }

    pub(crate) fn networks(&self) -> Vec<String> {
        self.networks
            .iter()
            .map(|network| format!("10.{network}.0.1/32"))
            .collect()
    }
}

/// A gateway with its charon, which may be dead.
pub struct Gateway {
    charon: Charon,
    address: String,
    address_v6: String,
    options: GatewayOptions,
}

impl Gateway {
    pub(crate) fn start(host: Namespace, number: u8, options: GatewayOptions) -> Self {
        let redirect_to = options.redirect_to.as_deref();
        let preload = redirect_to.map(|gateway| redirecting(&host, gateway));
        let charon = Charon::new(
            host,
            CharonOptions {
                plugins: "vici updown".to_owned(),
                settings: options.settings.clone(),
                preload,
                sanitizer: Sanitizer::None,
                ipsec_conf: None,
                socket: None,
                environment: Vec::new(),
            },
        );
        for (file, content) in &options.files {
            let path = charon.path(&format!("/run/lab/{file}"));
            let path: &Path = path.as_ref();
            fs::create_dir_all(path.parent().expect("a file has a directory"))
                .and_then(|()| fs::write(path, content))
                .expect("the host's /run is writable");
        }
        let mut gateway = Self {
            charon,
            address: address(number),
            address_v6: address_v6(number),
            options,
        };
        gateway.restart();
        gateway
    }

    /// Its address in the segment.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its IPv6 address in the segment.
    pub fn address_v6(&self) -> &str {
        &self.address_v6
    }

    /// Ends it as a power failure would: nobody is told, and what the kernel had of IPsec is gone.
    pub fn kill(&mut self) {
        self.charon.kill();
        if kernel_has_esp() {
            self.ip("xfrm state flush\nxfrm policy flush");
        }
    }

    /// Starts charon again after [`Self::kill`] or [`Charon::stop`].
    #[track_caller]
    pub fn restart(&mut self) {
        self.charon.start();
        self.load(&self.swanctl_conf(PSK));
    }

    /// From now on the gateway answers IKE_AUTH with AUTHENTICATION_FAILED.
    pub fn refuse_authentication(&self) {
        self.load(&self.swanctl_conf("not the client's secret"));
    }

    /// Reverts [`Self::refuse_authentication`] and [`Self::reconfigure`].
    pub fn accept_authentication(&self) {
        self.load(&self.swanctl_conf(PSK));
    }

    /// Loads its swanctl.conf with one text in it replaced by another, until the next restart.
    #[track_caller]
    pub fn reconfigure(&self, text: &str, by: &str) {
        self.load(&edited(self.swanctl_conf(PSK), text, by));
    }

    fn swanctl_conf(&self, secret: &str) -> String {
        let (pools, remote_ts, pool_section) = match self.options.pool {
            Some(network) => (
                "pools = vips",
                "dynamic",
                format!("pools {{\n vips {{\n addrs = {network}\n }}\n }}\n"),
            ),
            None => ("", "10.1.0.0/24", String::new()),
        };
        let children: String = self
            .options
            .networks
            .iter()
            .map(|network| {
                format!(
                    "net{network} {{\n local_ts = 10.{network}.0.0/24\n remote_ts = {remote_ts}\n \
                     esp_proposals = aes128-sha256-modp2048,aes128-sha256\n }}\n"
                )
            })
            .collect();
        let conf = format!(
            "connections {{\n segw {{\n version = 2\n mobike = no\n local_addrs = {address}, {address_v6}\n \
             proposals = aes128-sha256-modp2048\n {pools}\n {connection}\n \
             local {{\n auth = psk\n id = segw\n }}\n remote {{\n auth = psk\n }}\n \
             children {{\n {children} }}\n }}\n }}\n{pool_section}\
             secrets {{\n ike {{\n secret = \"{secret}\"\n }}\n }}\n",
            address = self.address,
            address_v6 = self.address_v6,
            connection = self.options.connection,
        );
        let edits = &self.options.edits;
        edits
            .iter()
            .fold(conf, |conf, (from, to)| edited(conf, from, to))
    }
}

/// Compiles what makes a charon redirect to a gateway, into the host's /run, and returns its path there.
fn redirecting(host: &Namespace, gateway: &str) -> String {
    const LIBRARY: &str = "/run/lab/redirect.so";
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/redirect.c");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"])
        .arg(format!("-DGATEWAY=\"{gateway}\""))
        .arg("-o")
        .arg(host.path(LIBRARY))
        .arg(source)
        .status()
        .expect("there is a C compiler");
    assert!(status.success(), "cc ended with {status}");
    LIBRARY.to_owned()
}

#[track_caller]
fn edited(conf: String, from: &str, to: &str) -> String {
    assert!(conf.contains(from), "nothing to edit, {from:?}, in {conf}");
    conf.replace(from, to)
}

impl Deref for Gateway {
    type Target = Charon;

    fn deref(&self) -> &Charon {
        &self.charon
    }
}

impl DerefMut for Gateway {
    fn deref_mut(&mut self) -> &mut Charon {
        &mut self.charon
    }
}
