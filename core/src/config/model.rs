// SPDX-License-Identifier: GPL-2.0-or-later

//! What a configuration says, in the terms and with the defaults of swanctl.conf.
//!
//! Except for those of `failover`, times are whole seconds, below 2^32 of them.

use std::time::Duration;

use super::locations::Locations;
use super::secret::Secret;
use crate::domain::address::AddressList;
use crate::domain::child_failure::ChildFailure;
use crate::domain::failover_options::failover_options;
use crate::domain::policy::FailoverPolicy;

/// The argument of one APPLY_CONFIG.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// Connections, in the order of the document; their names are unique.
    pub connections: Vec<ConnectionConfig>,
    /// Shared secrets, from `secrets` and from the `secret` of authentication rounds.
    pub secrets: Vec<SharedSecret>,
    /// Private keys from `secrets`; their `option` is the path from the root of the document.
    pub private_keys: Vec<PrivateKey>,
    /// PKCS#12 containers from `secrets`, otherwise like `private_keys`.
    pub containers: Vec<PrivateKey>,
    /// Private keys on tokens, from `secrets`; their `section` is the path from the root of the document.
    pub token_keys: Vec<TokenKey>,
    /// Certification authorities, from `authorities`.
    pub authorities: Vec<Authority>,
    /// Line and column of each value in the document.
    pub locations: Locations,
}

/// A connection: charon's peer_cfg and ike_cfg.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// Name of the peer_cfg, unique, without control characters.
    pub name: String,
    /// Local addresses; default `%any`.
    pub local_addrs: Vec<String>,
    /// Addresses of the security gateways, in the order of preference; default `%any`.
    pub remote_addrs: AddressList,
    /// Those gateways that have a port, an identity or certificates of their own; default none.
    pub gateways: Vec<GatewaySettings>,
    /// Local UDP port; 0, the default, for that of charon's socket.
    pub local_port: u16,
    /// UDP port of the gateways; default 500.
    pub remote_port: u16,
    /// IKE version to initiate with and to accept; default Any, but V2 for strongSwan 6.1.0 and later.
    pub version: IkeVersion,
    /// IKE proposals as charon reads them; empty for charon's defaults.
    pub proposals: Vec<String>,
    /// DSCP of IKE packets, 0 to 63; default 0.
    pub dscp: u8,
    /// Whether to force UDP encapsulation of ESP; default false.
    pub encap: bool,
    /// Whether to ask for certificates; default true.
    pub send_certreq: bool,
    /// When to send certificates.
    pub send_cert: SendCert,
    /// When to ask for and to send OCSP responses; None for charon's default, as only charon 5.9.14 and
    /// later have it.
    pub ocsp: Option<Ocsp>,
    /// IKE fragmentation.
    pub fragmentation: Fragmentation,
    /// Whether IKE_SAs may be established without a CHILD_SA (RFC 6023).
    pub childless: Childless,
    /// IKEv1 only: aggressive mode; default false.
    pub aggressive: bool,
    /// IKEv1 only: whether the configuration of virtual IPs is pulled rather than pushed; default true.
    pub pull: bool,
    /// Identity of the postquantum preshared key; default none.
    pub ppk_id: Option<String>,
    /// Whether that key is needed; default false.
    pub ppk_required: bool,
    /// Interface ID of inbound policies and SAs, 0 for none, [`UNIQUE`] or [`UNIQUE_DIR`]; default 0.
    pub if_id_in: u32,
    /// The same of outbound ones.
    pub if_id_out: u32,
    /// Whether the peer is a mediation server; default false.
    pub mediation: bool,
    /// The connection to the server that mediates this one; default none.
    pub mediated_by: Option<String>,
    /// Identity of the peer at that server; default that of the first round of the peer.
    pub mediation_peer: Option<String>,
    /// MOBIKE; default true, but false in the formats of the existing plugin.
    pub mobike: bool,
    /// Attempts per initiation, 0 for no limit; default 1.
    pub keyingtries: u32,
    /// What to do about other IKE_SAs with the same identities.
    pub unique: Unique,
    /// Interval of dead peer detection, zero for none; default 0.
    pub dpd_delay: Duration,
    /// IKEv1 only: timeout of dead peer detection, zero for charon's own; default 0.
    pub dpd_timeout: Duration,
    /// Time to IKE rekeying, zero for none; default 4 hours, or 0 if reauth_time is given.
    pub rekey_time: Duration,
    /// Time to reauthentication, zero for none; default 0.
    pub reauth_time: Duration,
    /// Time that rekeying may take until the IKE_SA is closed; default 10 % of the longer of rekey_time and
    /// reauth_time.
    pub over_time: Duration,
    /// Upper bound of the random time by which rekeying is advanced; default over_time, at most half of
    /// rekey_time or reauth_time.
    pub rand_time: Duration,
    /// Virtual IPs to request; default none.
    pub vips: Vec<String>,
    /// Names of the pools that virtual IPs of peers are taken from; default none.
    pub pools: Vec<String>,
    /// Authentication rounds of the client.
    pub local: Vec<Auth>,
    /// Authentication rounds of the gateway.
    pub remote: Vec<Auth>,
    /// CHILD_SAs, in the order of the document; their names are unique in the connection.
    pub children: Vec<Child>,
    /// The options of failover that it sets; strongswan.conf has the others.
    pub failover: Failover,
}

impl ConnectionConfig {
    /// The settings of the first gateway of the list, if it has its own: charon tries only that one by itself.
    pub fn first_gateway(&self) -> Option<&GatewaySettings> {
        let mut gateways = self.gateways.iter();
        gateways.find(|own| self.remote_addrs.is_first_entry(&own.addr))
    }
}

/// What replaces the options of the connection for one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Its entry in `remote_addrs`.
    pub addr: String,
    /// Its UDP port.
    pub port: u16,
    /// Its first authentication round.
    pub remote: Auth,
}

macro_rules! make {
    ($($name:ident: $type:ty, $kind:ident, $default:literal, $about:literal;)*) => {
        /// The `failover` of a connection; for options that are None, strongswan.conf applies. Zero switches a
        /// deadline off.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct Failover {
            $(#[doc = $about] pub $name: Option<$type>,)*
        }

        impl Failover {
            /// The policy of a connection with these options, where `default` is the policy of strongswan.conf.
            pub fn over(&self, default: &FailoverPolicy) -> FailoverPolicy {
                FailoverPolicy {
                    $($name: self.$name.unwrap_or(default.$name),)*
                }
            }
        }
    };
}

failover_options!(make);

/// `version`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IkeVersion {
    /// Accept both, initiate IKEv2.
    #[default]
    Any,
    /// IKEv1
    V1,
    /// IKEv2
    V2,
}

/// `unique`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unique {
    /// Keep others, unless the peer says INITIAL_CONTACT.
    #[default]
    No,
    /// Keep others even then.
    Never,
    /// Refuse the new one.
    Keep,
    /// Delete the old one.
    Replace,
}

/// One authentication round; identities are texts as charon reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Its path in the connection, such as `local`, `remote-1` or `local[0]`; empty for a default round.
    pub section: String,
    /// How to authenticate.
    pub method: AuthMethod,
    /// IKE identity; None for the address (own) or any identity (gateway).
    pub id: Option<String>,
    /// Subject of a CA that must be in the gateway's trust chain; default none.
    pub ca_id: Option<String>,
    /// Identity of the EAP server behind the gateway; default the gateway's.
    pub aaa_id: Option<String>,
    /// Identity in EAP; default `id`.
    pub eap_id: Option<String>,
    /// User name in XAuth; default `id`.
    pub xauth_id: Option<String>,
    /// Groups; the gateway must be in one of them; default none.
    pub groups: Vec<String>,
    /// OIDs of certificate policies that the trust chain must have; default none.
    pub cert_policy: Vec<String>,
    /// How strictly revocation is checked.
    pub revocation: Revocation,
    /// In a round of the client, its own certificate, then others that it may use; in a round of the gateway,
    /// certificates of which it must have one.
    pub certs: Vec<CertificateSource>,
    /// CAs to trust; in a round of the gateway, its certificate must be issued by one of them.
    pub cacerts: Vec<CertificateSource>,
    /// Intermediate CAs, which are only trusted if a trusted CA has signed them.
    pub intermediates: Vec<CredentialFile>,
    /// Raw public keys, otherwise like `certs`.
    pub pubkeys: Vec<CredentialFile>,
    /// Private key of the client.
    pub private_key: Option<PrivateKey>,
    /// `enable_ocsp` and `enable_crl`, if they are false. charon has these options only for all connections
    /// together, so this is only logged.
    pub disabled: Vec<String>,
}

/// A file of a certificate or key, in PEM or DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFile {
    /// The option of the round that names it, such as `ca_chain.root_ca` or `certs[1]`.
    pub option: String,
    /// Absolute, or relative to swanctl's directory of its kind.
    pub path: String,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// In a file.
    File(CredentialFile),
    /// On a token.
    Token(TokenObject),
}

impl CertificateSource {
    /// The option that names it, see [`CredentialFile::option`].
    pub fn option(&self) -> String {
        match self {
            Self::File(file) => file.option.clone(),
            Self::Token(object) => object.option("handle"),
        }
    }

    /// Its path or its handle.
    pub fn name(&self) -> String {
        match self {
            Self::File(file) => file.path.clone(),
            Self::Token(object) => object.handle_hex(),
        }
    }
}

/// A certificate or a private key on a PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenObject {
    /// The section that describes it, such as `cert-1`; empty if its options belong to the surrounding section.
    pub section: String,
    /// CKA_ID of the object; never empty.
    pub handle: Vec<u8>,
    /// Number of the token's slot, at most `i32::MAX`; None for any.
    pub slot: Option<u32>,
    /// Name of the PKCS#11 module in strongswan.conf; None for any.
    pub module: Option<String>,
}

impl TokenObject {
    /// The path of one of its options.
    pub fn option(&self, name: &str) -> String {
        match self.section.as_str() {
            "" => name.to_owned(),
            section => format!("{section}.{name}"),
        }
    }

    /// The handle in hex digits.
    pub fn handle_hex(&self) -> String {
        self.handle
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// A private key that stays on its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The key.
    pub object: TokenObject,
    /// PIN of the token; None if none is needed, or charon has it from elsewhere.
    pub pin: Option<Secret>,
}

/// A certification authority: its certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its name in the document.
    pub name: String,
    /// Its certificate.
    pub certificate: CertificateSource,
    /// Where its CRLs are.
    pub crl_uris: Vec<String>,
    /// Its OCSP responders.
    pub ocsp_uris: Vec<String>,
    /// The beginning of URLs for Hash and URL (RFC 7296, section 3.6).
    pub cert_uri_base: Option<String>,
}

/// A private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKey {
    /// The key.
    pub file: CredentialFile,
    /// swanctl's directory of such keys.
    pub directory: &'static str,
    /// Passphrase that decrypts it.
    pub passphrase: Option<Secret>,
}

/// `auth`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthMethod {
    /// charon's AUTH_CLASS_ANY.
    #[default]
    Any,
    /// Pre-shared key.
    Psk,
    /// A key pair, mostly with a certificate.
    Pubkey {
        /// Types, strengths and hashes, such as `ike:rsa-2048-sha256`; `pubkey` for none.
        constraints: String,
    },
    /// EAP (IKEv2).
    Eap {
        /// The method, such as `md5`; None to let the peer choose it.
        method: Option<String>,
        /// Like those of Pubkey, for methods with certificates.
        constraints: Option<String>,
    },
    /// XAuth (IKEv1).
    Xauth {
        /// The backend, such as `pam`; None for any.
        backend: Option<String>,
    },
}

/// `revocation`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revocation {
    /// Refuse a certificate only if it is known to be revoked.
    #[default]
    Relaxed,
    /// Refuse it also if it has URIs to ask and none of them answers.
    IfUri,
    /// Refuse it unless it is known not to be revoked.
    Strict,
}

/// A CHILD_SA: charon's child_cfg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Name, unique in the connection, without control characters.
    pub name: String,
    /// IPsec mode.
    pub mode: Mode,
    /// What to do when the configuration is applied.
    pub start_action: ChildAction,
    /// What to do when the gateway is found dead.
    pub dpd_action: ChildAction,
    /// What to do when the gateway closes the CHILD_SA.
    pub close_action: ChildAction,
    /// In which direction the DSCP is copied between inner and outer header.
    pub copy_dscp: CopyDscp,
    /// Local traffic selectors; default `dynamic`.
    pub local_ts: Vec<String>,
    /// Traffic selectors of the gateway; default `dynamic`.
    pub remote_ts: Vec<String>,
    /// ESP proposals as charon reads them; empty, without AH proposals, for charon's defaults.
    pub esp_proposals: Vec<String>,
    /// AH proposals as charon reads them, preferred less than those of ESP; default none.
    pub ah_proposals: Vec<String>,
    /// Whether to truncate HMAC-SHA-256 to 96 bits; default false.
    pub sha256_96: bool,
    /// Time to rekeying, zero for none; default 1 hour, or, for strongSwan 6.0.0 and later, life_time / 1.1 if
    /// that is given.
    pub rekey_time: Duration,
    /// Time to the hard expiry, zero for none; default rekey_time and 10 %.
    pub life_time: Duration,
    /// Upper bound of the random time by which rekeying is advanced; default life_time less rekey_time.
    pub rand_time: Duration,
    /// Bytes until rekeying and hard expiry, and random part; default none, derived like the times.
    pub bytes: Volume,
    /// The same in packets.
    pub packets: Volume,
    /// Time without traffic after which it is closed, zero for never; default 0.
    pub inactivity: Duration,
    /// Script or command that charon runs when it comes up and goes down; default none.
    pub updown: Option<String>,
    /// Whether that script lets in traffic to the host itself; default false.
    pub hostaccess: bool,
    /// Whether IPsec policies are installed; default true.
    pub policies: bool,
    /// Whether outbound forward policies are installed; default false.
    pub policies_fwd_out: bool,
    /// Whether to offer IPComp; default false.
    pub ipcomp: bool,
    /// Fixed request ID, 0 to let charon allocate one; default 0.
    pub reqid: u32,
    /// Fixed priority of the policies, 0 for a computed one; default 0.
    pub priority: u32,
    /// Network interface that the policies are bound to; default none.
    pub interface: Option<String>,
    /// Mark of inbound policies, and with mark_in_sa of inbound SAs.
    pub mark_in: Mark,
    /// Whether inbound SAs have the mark too; default false.
    pub mark_in_sa: bool,
    /// Mark of outbound policies and SAs.
    pub mark_out: Mark,
    /// Mark that inbound SAs set on packets, [`UNIQUE`] for that of the SA.
    pub set_mark_in: Mark,
    /// Mark that outbound SAs set on packets, [`UNIQUE`] for that of the SA.
    pub set_mark_out: Mark,
    /// Interface ID of inbound policies and SAs, as that of the connection; default 0.
    pub if_id_in: u32,
    /// The same of outbound ones.
    pub if_id_out: u32,
    /// Security label; default none.
    pub label: Option<String>,
    /// How the label is used.
    pub label_mode: LabelMode,
    /// Bytes to which packets are padded, 0 for no padding, `u32::MAX` for the path MTU; default 0.
    pub tfc_padding: u32,
    /// Packets in the replay window; None for that of strongswan.conf.
    pub replay_window: Option<u32>,
    /// Whether IPsec is offloaded to the network device.
    pub hw_offload: HwOffload,
    /// Whether the DF bit is copied to the outer header; default true.
    pub copy_df: bool,
    /// Whether the ECN field is copied to and from the outer header; default true.
    pub copy_ecn: bool,
    /// Whether each CPU has SAs of its own (RFC 9611).
    pub per_cpu_sas: PerCpuSas,
    /// Whether ICMP errors about its traffic are forwarded regardless of their source; default false.
    pub icmp: bool,
}

/// A lifetime in bytes or packets; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// After how many it is rekeyed.
    pub rekey: u64,
    /// After how many it expires.
    pub life: u64,
    /// Upper bound of the random number that is subtracted from `rekey`.
    pub rand: u64,
}

/// A netfilter mark; the default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Value, within the mask.
    pub value: u32,
    /// Bits that are compared.
    pub mask: u32,
}

/// `%unique`: charon allocates a mark or an interface ID for each SA. Of a mark to set it means `%same`.
pub const UNIQUE: u32 = u32::MAX;

/// `%unique-dir`: like `%unique`, but a different one for each direction.
pub const UNIQUE_DIR: u32 = u32::MAX - 1;

/// `send_cert`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendCert {
    /// If the peer asks.
    #[default]
    IfAsked,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `ocsp`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ocsp {
    /// Answer the peer's requests.
    Reply,
    /// Ask the peer.
    Request,
    /// Both.
    Both,
    /// Neither.
    Never,
}

/// `fragmentation`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragmentation {
    /// If the peer supports it.
    #[default]
    Yes,
    /// Announce it, but send no fragments.
    Accept,
    /// Neither announce nor send.
    No,
    /// IKEv1: from the first message on.
    Force,
}

/// `childless`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Childless {
    /// As responder.
    #[default]
    Allow,
    /// Also as initiator, if the responder supports it.
    Prefer,
    /// Not at all.
    Never,
    /// Always as initiator; as responder, IKE_SAs with a CHILD_SA are refused.
    Force,
}

/// `label_mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelMode {
    /// `selinux` where the system has SELinux, otherwise `simple`.
    #[default]
    System,
    /// The labels are only compared.
    Simple,
    /// The kernel acts on them.
    Selinux,
}

/// `hw_offload`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HwOffload {
    /// No.
    #[default]
    No,
    /// Offload encryption; if the device cannot, the SA is not installed.
    Crypto,
    /// Offload all of IPsec, including policies; if the device cannot, the SA is not installed.
    Packet,
    /// Offload as much as the device can.
    Auto,
}

/// `per_cpu_sas`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PerCpuSas {
    /// No.
    #[default]
    No,
    /// Yes.
    Yes,
    /// Yes, and each has a UDP source port of its own.
    Encap,
}

/// `mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Tunnel mode.
    #[default]
    Tunnel,
    /// Transport mode.
    Transport,
    /// Transport mode of Mobile IPv6 for a proxy.
    TransportProxy,
    /// Tunnel mode with aggregation and fragmentation (RFC 9347).
    Iptfs,
    /// Bound end to end tunnel mode.
    Beet,
    /// No SA: a policy that lets the traffic pass.
    Pass,
    /// No SA: a policy that drops the traffic.
    Drop,
}

impl Mode {
    /// Whether it is a policy without an SA.
    pub fn is_shunt(self) -> bool {
        matches!(self, Self::Pass | Self::Drop)
    }
}

/// `start_action`, `dpd_action` and `close_action`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChildAction {
    /// Nothing.
    #[default]
    None,
    /// Install a trap policy.
    Trap,
    /// Initiate.
    Start,
    /// Both.
    TrapAndStart,
}

impl ChildAction {
    /// Whether a trap policy is installed.
    pub fn traps(self) -> bool {
        matches!(self, Self::Trap | Self::TrapAndStart)
    }

    /// Whether it is initiated.
    pub fn starts(self) -> bool {
        matches!(self, Self::Start | Self::TrapAndStart)
    }
}

/// `copy_dscp`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyDscp {
    /// From the inner to the outer header only.
    #[default]
    Out,
    /// From the outer to the inner header only.
    In,
    /// Both ways.
    Yes,
    /// Not at all.
    No,
}

/// A shared secret and its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSecret {
    /// What it is for.
    pub kind: SecretKind,
    /// Identities of its owners; empty for any.
    pub ids: Vec<String>,
    /// The secret.
    pub secret: Secret,
}

/// What a shared secret is for, which its section says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// `ike`: a pre-shared key.
    Ike,
    /// `eap` and `xauth`: a password, for both.
    Eap,
    /// `ntlm`: the NT hash of a password, 16 bytes.
    Ntlm,
    /// `ppk`: a postquantum pre-shared key.
    Ppk,
}
