// SPDX-License-Identifier: GPL-2.0-or-later

//! Connections in swanctl.conf's language and in our JSON, which is derived from it: sections are objects,
//! options their members.

use std::fmt::Write;

use extsock_core::strongswan::Version;

use crate::token::{Token, MODULE};

/// One connection in both languages.
pub struct Pair {
    /// Its name.
    pub name: String,
    /// Its options, as in swanctl.conf.
    pub options: String,
}

/// How values stand in JSON.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// All as text.
    Text,
    /// As numbers, booleans and arrays where they are some.
    Native,
}

impl Pair {
    /// A connection with the options, one a line.
    pub fn new(name: &str, options: &str) -> Self {
        Self {
            name: name.to_owned(),
            options: options.trim().to_owned(),
        }
    }

    /// The value of the first option of that name, in whichever section.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut options = self.options.lines().filter_map(|line| line.split_once('='));
        options.find_map(|(found, value)| (found.trim() == name).then_some(value.trim()))
    }

    /// The member of `connections` in JSON.
    pub fn json(&self, values: Values) -> String {
        let mut lines = self.options.lines().map(str::trim);
        let body = section(&mut lines, values);
        assert_eq!(lines.next(), None, "a }} too many in {}", self.options);
        format!("{}: {body}", text(&self.name))
    }
}

/// swanctl.conf with all of them.
pub fn swanctl_conf(pairs: &[Pair]) -> String {
    let mut conf = "connections {\n".to_owned();
    for Pair { name, options } in pairs {
        writeln!(conf, "{name} {{\n{options}\n}}").expect("a string grows");
    }
    conf + "}\n"
}

/// The argument of APPLY_CONFIG with all of them.
pub fn json(pairs: &[Pair], values: Values) -> String {
    let members: Vec<String> = pairs.iter().map(|pair| pair.json(values)).collect();
    format!("{{\"connections\": {{{}}}}}", members.join(", "))
}

/// A pair for every row of the tables that this strongSwan takes. Certificates are `ca.pem`, `gateway.pem` and `client.pem`, a raw
/// public key is `gateway.pub`, all in that directory, which has to be an absolute path.
pub fn pairs(directory: &str, strongswan: Version) -> Vec<Pair> {
    let rows = |table: &str| -> Vec<String> {
        let rows = table.lines().map(str::trim).filter(|row| !row.is_empty());
        rows.map(|row| row.replace("DIR", directory)).collect()
    };
    let mut bodies = vec![String::new()];
    bodies.extend(rows(CONNECTION));
    for (table, sections) in [
        (LOCAL, &["local"][..]),
        (REMOTE, &["remote"]),
        (CHILD, CHILD_SECTIONS),
    ] {
        bodies.extend(rows(table).iter().map(|row| within(sections, row)));
    }
    bodies.extend(WHOLE.iter().map(|body| body.replace("DIR", directory)));
    let newer = NEWER.iter().filter(|(since, ..)| strongswan >= *since);
    bodies.extend(newer.map(|(_, sections, row)| within(sections, row)));
    let number = |(index, body): (usize, String)| Pair::new(&format!("pair-{index}"), &body);
    bodies.into_iter().enumerate().map(number).collect()
}

/// A pair for every way to name a certificate on a token, where the client's is 01 and the CA's 0aff.
pub fn token_pairs(token: &Token) -> Vec<Pair> {
    let (module, slot) = (MODULE, token.slot());
    let objects = [
        "local {\ncert {\nhandle = 01\n}\n}".to_owned(),
        format!("local {{\nauth = pubkey\ncert-me {{\nhandle = 0x01\nslot = {slot}\n}}\n}}"),
        format!("remote {{\ncacert-hsm {{\nhandle = 0a:FF\nmodule = {module}\n}}\n}}"),
        format!(
            "remote {{\ncacert {{\nhandle = aff\nslot = {slot:#x}\nmodule = {module}\n}}\n\
             cert1 {{\nhandle = 01\n}}\n}}"
        ),
    ];
    let number =
        |(index, body)| Pair::new(&format!("token-{index}"), &format!("version = 0\n{body}"));
    objects.into_iter().enumerate().map(number).collect()
}

/// The options in these sections, from the outermost on; `;` ends a line.
fn within(sections: &[&str], options: &str) -> String {
    let mut body = options.replace("; ", "\n");
    for section in sections.iter().rev() {
        body = format!("{section} {{\n{body}\n}}");
    }
    body
}

/// An object, up to the line that closes it.
fn section<'a>(lines: &mut impl Iterator<Item = &'a str>, values: Values) -> String {
    let mut members = Vec::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        if line == "}" {
            break;
        }
        if let Some(name) = line.strip_suffix(" {") {
            members.push(format!("{}: {}", text(name), section(lines, values)));
            continue;
        }
        let (name, found) = line.split_once('=').expect(line);
        members.push(format!(
            "{}: {}",
            text(name.trim()),
            value(found.trim(), values)
        ));
    }
    format!("{{{}}}", members.join(", "))
}

fn value(found: &str, values: Values) -> String {
    let quoted = found
        .strip_prefix('"')
        .and_then(|found| found.strip_suffix('"'));
    match (quoted, values) {
        (Some(quoted), _) => text(quoted),
        (None, Values::Text) => text(found),
        (None, Values::Native) => native(found),
    }
}

fn native(found: &str) -> String {
    let is_decimal =
        found == "0" || found.bytes().all(|byte| byte.is_ascii_digit()) && !found.starts_with('0');
    match found {
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        _ if is_decimal => found.to_owned(),
        _ if found.contains(',') => {
            let items: Vec<String> = found.split(',').map(|item| text(item.trim())).collect();
            format!("[{}]", items.join(", "))
        }
        _ => text(found),
    }
}

fn text(found: &str) -> String {
    serde_json::to_string(found).expect("text is JSON")
}

/// One option of a connection a row. What is not a number, a boolean or a list although it looks like one
/// is quoted.
const CONNECTION: &str = r#"
    version = 0
    version = 1
    version = 2
    proposals = aes128-sha256-modp2048
    proposals = aes256gcm16-prfsha256-ecp256, aes128-aes256-sha1-sha512-modp3072-modp4096
    proposals = aes256gcm16-prfsha256-ecp256, default
    proposals = DEFAULT
    local_addrs = 192.168.7.1
    local_addrs = 192.168.7.1, fec0::1, client.example.org
    local_addrs = 192.168.7.0/24,192.168.8.1-192.168.8.9
    local_addrs = %any6
    remote_addrs = 192.168.7.11
    remote_addrs = 192.168.7.12, 192.168.7.11
    remote_addrs = 192.168.7.12,gateway.example.org,fec0::2
    remote_addrs = 192.168.0.0/16
    local_port = 500
    local_port = 1500
    remote_port = 4500
    dscp = "101110"
    dscp = "000001"
    encap = yes
    encap = no
    mobike = no
    mobike = disabled
    dpd_delay = 30
    dpd_delay = 5m
    dpd_timeout = 150s
    fragmentation = yes
    fragmentation = accept
    fragmentation = no
    fragmentation = Force
    childless = allow
    childless = never
    childless = force
    send_certreq = no
    send_cert = ifasked
    send_cert = always
    send_cert = never
    ppk_id = ppk@example.org
    ppk_required = yes
    keyingtries = 0
    keyingtries = 3
    unique = no
    unique = never
    unique = keep
    unique = replace
    aggressive = yes
    pull = no
    reauth_time = 0
    reauth_time = 3h
    reauth_time = 1d
    rekey_time = 0
    rekey_time = 1h
    rekey_time = 0x101
    rekey_time = 0100
    rekey_time = 2 h
    over_time = 0
    over_time = 5m
    rand_time = 0
    rand_time = 90
    vips = 0.0.0.0
    vips = 10.7.0.1, fd00::7, ::
    pools = one
    pools = one, two
    if_id_in = 16
    if_id_in = 0x10
    if_id_in = %unique
    if_id_out = 4294967294
    if_id_out = %unique-dir
"#;

/// Options of the own authentication a row. Several are in the order of our documentation: swanctl lists
/// them in that of the text, which means nothing.
const LOCAL: &str = r#"
    auth = psk
    auth = PSK; id = client
    auth = pubkey; id = client@example.org
    auth = pubkey; id = client.example.org; certs = DIR/client.pem
    auth = pubkey; certs = DIR/client.pem
    auth = eap; id = client; aaa_id = "C=CH, CN=aaa"; eap_id = user
    auth = eap-mschapv2; eap_id = user@example.org
    auth = eap-md5
    auth = EAP; eap_id = user
    auth = eap-tls
    auth = eap-7-1234
    auth = xauth; xauth_id = user
    auth = xauth-generic
    id = 192.168.7.1
    id = fec0::1
    id = %any
    id = "C=CH, O=example, CN=client"
    id = @client.example.org
    id = "@#112233"
    id = fqdn:10.0.0.1
    id = keyid:0x0102
"#;

/// Options of the gateway's authentication a row.
const REMOTE: &str = r#"
    auth = psk; id = %any
    auth = pubkey; id = *.example.org
    auth = pubkey-sha256
    auth = rsa-2048-sha256-sha384
    auth = ike:rsa/pss-sha256
    auth = ike:pubkey-sha512-ecdsa-384
    auth = ecdsa-256-sha256-rsa-3072
    auth = pubkey; ca_id = "C=CH, O=example, CN=ca"
    auth = pubkey; cacerts = DIR/ca.pem
    auth = pubkey; certs = DIR/gateway.pem
    auth = pubkey; id = gateway; certs = DIR/gateway.pem,DIR/client.pem
    auth = pubkey; id = gateway; pubkeys = DIR/gateway.pub
    auth = pubkey; cert_policy = 1.3.6.1.4.1.36906.1
    auth = pubkey; cert_policy = 1.2.3, 1.2.4
    auth = pubkey; groups = sales
    auth = pubkey; groups = sales, research
    revocation = strict
    revocation = ifuri
    revocation = relaxed
    auth = eap-tls:ecdsa-384-sha384; eap_id = %any
    auth = eap-ttls; eap_id = gateway
    auth = eap-radius
    auth = xauth-pam
    auth = xauth-eap; xauth_id = peer
    round = 1
"#;

/// Options of a CHILD_SA a row.
const CHILD: &str = r#"
    reqid = 0
    esp_proposals = aes128gcm16-x25519
    esp_proposals = aes128-sha256-modp2048-esn, aes256gcm16-noesn
    esp_proposals = default
    esp_proposals = aes256gcm16, default
    ah_proposals = sha256
    ah_proposals = sha256-sha1-modp2048, default
    esp_proposals = aes256gcm16; ah_proposals = sha512
    sha256_96 = yes
    local_ts = dynamic
    local_ts = 10.1.0.0/24
    local_ts = 10.1.0.0/24, 10.3.0.0/16, fd00:1::/64
    local_ts = 10.1.0.7
    local_ts = 10.1.0.7/24
    local_ts = 0.0.0.0/0, ::/0
    local_ts = 10.1.0.0/24[tcp/http], 10.1.1.0/24[17/1024-65535]
    local_ts = dynamic[icmp], dynamic[icmp/2048]
    local_ts = dynamic[tcp]
    local_ts = dynamic[udp/domain]
    local_ts = dynamic[/53]
    local_ts = dynamic[any/any]
    local_ts = dynamic[gre/opaque]
    local_ts = dynamic[0x11/0x35]
    remote_ts = 10.2.0.1-10.2.0.9
    remote_ts = 10.2.0.0-10.2.0.255
    remote_ts = fd00:2::1-fd00:2::ff[ipv6-icmp]
    remote_ts = 10.2.0.1 - 10.2.0.9
    rekey_time = 0
    rekey_time = 10m
    rekey_time = 59
    life_time = 2h
    life_time = 30m
    life_bytes = 1000
    life_packets = 1000
    rekey_time = 1h; life_time = 2h
    rekey_time = 1h; life_time = 30m
    rekey_time = 10m; life_time = 11m; rand_time = 0
    rekey_bytes = 900; life_bytes = 1000
    rand_time = 5m
    rekey_bytes = 500M
    rekey_bytes = 12345
    rekey_bytes = 1g; life_bytes = 2G; rand_bytes = 64k
    rekey_bytes = 1 G
    rekey_packets = 1000000
    rekey_packets = 19; life_packets = 10
    rekey_packets = 5000000000; life_packets = 6000000000; rand_packets = 1
    inactivity = 5m
    updown = /bin/true
    updown = ipsec _updown iptables
    hostaccess = yes
    mode = tunnel
    mode = transport
    mode = transport_proxy
    mode = beet
    mode = pass
    mode = drop
    policies = no
    policies_fwd_out = yes
    ipcomp = yes
    start_action = none
    start_action = clear
    start_action = trap
    start_action = route
    start_action = start
    start_action = restart
    start_action = trap|start
    start_action = start|trap
    dpd_action = none
    dpd_action = clear
    dpd_action = trap
    dpd_action = start
    dpd_action = Restart
    close_action = none
    close_action = trap
    close_action = start
    close_action = trap|start
    reqid = 7
    priority = 9
    interface = eth0
    mark_in = 42
    mark_in = 0x12/0x0f
    mark_in = %unique
    mark_in = %unique/0xff
    mark_in = 7; mark_in_sa = yes
    mark_out = 5/0xffffffff
    mark_out = %unique-dir
    set_mark_in = 5
    set_mark_in = %same
    set_mark_out = %same/0xff
    set_mark_out = 0x10/0xf0
    if_id_in = 6
    if_id_in = %unique
    if_id_out = %unique-dir
    label = system
    label = none; label_mode = simple
    label_mode = system
    tfc_padding = 1500
    tfc_padding = mtu
    replay_window = 0
    replay_window = 64
    hw_offload = no
    hw_offload = yes
    hw_offload = auto
    copy_df = no
    copy_ecn = no
    copy_dscp = no
    copy_dscp = in
    copy_dscp = out
    copy_dscp = yes
"#;

/// What came with a later strongSwan: the sections that it stands in, and the options.
const NEWER: &[(Version, &[&str], &str)] = &[
    (Version([5, 9, 10]), &[], "childless = prefer"),
    (Version([5, 9, 11]), CHILD_SECTIONS, "hw_offload = crypto"),
    (Version([5, 9, 11]), CHILD_SECTIONS, "hw_offload = packet"),
    (Version([5, 9, 14]), &[], "ocsp = both"),
    (Version([5, 9, 14]), &[], "ocsp = never"),
    (Version([5, 9, 14]), &[], "ocsp = reply"),
    (Version([5, 9, 14]), &[], "ocsp = request"),
    (Version([6, 0, 2]), CHILD_SECTIONS, "mode = iptfs"),
    (Version([6, 0, 2]), CHILD_SECTIONS, "per_cpu_sas = yes"),
    (Version([6, 0, 2]), CHILD_SECTIONS, "per_cpu_sas = no"),
    (
        Version([6, 0, 2]),
        CHILD_SECTIONS,
        "per_cpu_sas = encap; start_action = trap",
    ),
    (
        Version([6, 0, 2]),
        &["remote"],
        "id = email:^(moon|sun)@example[.]org$",
    ),
    (
        Version([6, 0, 2]),
        &["remote"],
        "auth = eap-md5; id = \"asn1dn:^.*CN=.+$\"; eap_id = fqdn:^vpn[0-9]+$",
    ),
    (Version([6, 0, 5]), CHILD_SECTIONS, "icmp = yes"),
];

const CHILD_SECTIONS: &[&str] = &["children", "net"];

/// What takes several sections or more options.
const WHOLE: &[&str] = &[
    "rekey_time = 1h
     reauth_time = 3h",
    "rekey_time = 3h
     reauth_time = 19",
    "rekey_time = 0
     reauth_time = 0",
    "rekey_time = 4h
     over_time = 10h",
    "version = 1
     aggressive = yes
     dpd_delay = 10s
     dpd_timeout = 1m
     ppk_id = ppk@example.org
     ppk_required = yes
     if_id_in = 3
     if_id_out = 3",
    "local {
       auth = psk
       id = client
     }
     remote {
       auth = psk
       id = gateway
     }",
    "local-first {
       auth = pubkey
       certs = DIR/client.pem
     }
     local-second {
       auth = eap-mschapv2
       eap_id = user
     }
     remote {
       auth = pubkey
       cacerts = DIR/ca.pem
     }",
    // Not in the order of their names, but in that of the text and of their round.
    "local-b {
       auth = psk
       id = b
     }
     local-a {
       auth = xauth
       id = a
     }
     remote-1 {
       auth = pubkey
       id = last
       round = 2
     }
     remote-2 {
       auth = psk
       id = first
       round = 1
     }
     remote-3 {
       auth = pubkey
       id = second
       round = 1
     }",
    "remote {
       auth = pubkey
       cert-1 {
         file = DIR/gateway.pem
       }
       cacert-ca {
         file = DIR/ca.pem
       }
     }",
    "children {
     }",
    // Neither in the order of their names.
    "children {
       b {
         local_ts = 10.1.1.0/24
       }
       a {
         local_ts = 10.1.2.0/24
       }
       c {
       }
     }",
    "local_addrs = 192.168.7.1
     remote_addrs = 192.168.7.11, 192.168.7.12
     proposals = aes256-sha256-modp2048
     vips = 0.0.0.0
     local {
       auth = psk
       id = client
     }
     remote {
       auth = psk
       id = gateway
     }
     children {
       all {
         remote_ts = 0.0.0.0/0
         esp_proposals = aes256-sha256
         dpd_action = trap
         close_action = start
       }
       bypass {
         mode = pass
         local_ts = 10.1.0.0/24
         remote_ts = 10.1.0.0/24
       }
     }",
];
