// SPDX-License-Identifier: GPL-2.0-or-later

//! A security gateway: responder, stock charon, configured through swanctl.

use std::ops::{Deref, DerefMut};

use crate::charon::{Charon, CharonOptions, Sanitizer};
use crate::config::PSK;
use crate::namespace::Namespace;

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
    /// Lines of the section `charon` in its strongswan.conf.
    pub settings: String,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            networks: vec![2],
            pool: None,
            connection: String::new(),
            settings: String::new(),
        }
    }
}

impl GatewayOptions {
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
    options: GatewayOptions,
}

impl Gateway {
    pub(crate) fn start(host: Namespace, address: String, options: GatewayOptions) -> Self {
        let charon = Charon::new(
            host,
            CharonOptions {
                plugins: "vici updown".to_owned(),
                settings: options.settings.clone(),
                preload: None,
                sanitizer: Sanitizer::None,
            },
        );
        let mut gateway = Self {
            charon,
            address,
            options,
        };
        gateway.restart();
        gateway
    }

    /// Its address in the segment.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts charon again after [`Charon::kill`] or [`Charon::stop`].
    #[track_caller]
    pub fn restart(&mut self) {
        self.charon.start();
        self.load(&self.swanctl_conf(PSK));
    }

    /// From now on the gateway answers IKE_AUTH with AUTHENTICATION_FAILED.
    pub fn refuse_authentication(&self) {
        self.load(&self.swanctl_conf("not the client's secret"));
    }

    /// Reverts [`Self::refuse_authentication`].
    pub fn accept_authentication(&self) {
        self.load(&self.swanctl_conf(PSK));
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
        format!(
            "connections {{\n segw {{\n version = 2\n mobike = no\n local_addrs = {address}\n \
             proposals = aes128-sha256-modp2048\n {pools}\n {connection}\n \
             local {{\n auth = psk\n id = segw\n }}\n remote {{\n auth = psk\n }}\n \
             children {{\n {children} }}\n }}\n }}\n{pool_section}\
             secrets {{\n ike {{\n secret = \"{secret}\"\n }}\n }}\n",
            address = self.address,
            connection = self.options.connection,
        )
    }
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
