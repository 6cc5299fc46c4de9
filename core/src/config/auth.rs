// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the authentication rounds of a connection.

use super::files::{add_certificates, add_files, certificate, file};
use super::model::{Auth, AuthMethod, CertificateSource, CredentialFile, PrivateKey, Revocation};
use super::reader::Node;
use super::secret::Secret;
use super::setting::{settings, words, Form, Kind, Setting};
use super::setting::{BOOLEAN, IDENTITY, NUMBER, PASSPHRASE, SECRET, TEXT, TEXTS, WHOLE_TEXTS};
use super::token;
use crate::error::Result;

/// A round that is being read.
#[derive(Default)]
pub(super) struct Round {
    pub auth: Auth,
    /// Its pre-shared key, in the formats of the existing plugin.
    pub secret: Option<Secret>,
    number: u32,
    private_key: Option<CredentialFile>,
    passphrase: Option<Secret>,
}

/// Reads rounds of one side: an object, or an array of them.
pub(super) fn read(rounds: &mut Vec<Round>, node: Node) -> Result<()> {
    let section = node.key().to_owned();
    if !node.is_array() {
        rounds.push(read_round(section, node)?);
        return Ok(());
    }
    let report = node.report();
    for (index, item) in node.into_items()?.into_iter().enumerate() {
        rounds.extend(report.keep(read_round(format!("{section}[{index}]"), item)));
    }
    Ok(())
}

/// The rounds, ordered by their `round` and where that is equal by their place in the document; at least one.
pub(super) fn in_order(mut rounds: Vec<Round>) -> Vec<Round> {
    rounds.sort_by_key(|round| round.number);
    if rounds.is_empty() {
        rounds.push(Round::default());
    }
    rounds
}

fn read_round(section: String, node: Node) -> Result<Round> {
    let fields = node.into_fields()?;
    let mut round = Round::default();
    round.auth.section = section;
    let private_key = fields.field_path("private_key");
    let is_keyless = fields.has("private_key_passphrase") && !fields.has("private_key");
    fields.read(&mut round, &[AUTH_CFG]);
    if is_keyless {
        let why = "expected a file, as private_key_passphrase is given, found nothing";
        return Err(private_key.refused(why));
    }
    let passphrase = round.passphrase.take();
    let file = round.private_key.take();
    round.auth.private_key = file.map(|file| PrivateKey {
        file,
        directory: "private",
        passphrase,
    });
    Ok(round)
}

pub(super) const AUTH_CFG: &[Setting<Round>] = settings!(Round {
    "auth": METHOD, "any",
        "How to authenticate: psk, pubkey, eap or eap-METHOD, xauth or xauth-BACKEND, any, or types of keys \
         with constraints such as ike:rsa-2048-sha256."
        => |r, v| r.auth.method = v;
    "id": IDENTITY, "the address (own) or any (gateway)", "IKE identity; like the other identities, it may be a regular expression with its type from strongSwan 6.0.2 \
         on, such as email:^.+@example[.]org$."
        => |r, v| r.auth.id = Some(v);
    "ca_id": IDENTITY, "none", "Subject of a CA that must be in the gateway's trust chain."
        => |r, v| r.auth.ca_id = Some(v);
    "aaa_id": IDENTITY, "the gateway's id", "Identity of the EAP server behind the gateway."
        => |r, v| r.auth.aaa_id = Some(v);
    "eap_id": IDENTITY, "id", "Identity in EAP."
        => |r, v| r.auth.eap_id = Some(v);
    "xauth_id": IDENTITY, "id", "User name in XAuth."
        => |r, v| r.auth.xauth_id = Some(v);
    "groups": TEXTS, "none", "Groups; the gateway must be in one of them."
        => |r, v| r.auth.groups = v;
    "cert_policy": TEXTS, "none", "OIDs of certificate policies that the trust chain must have."
        => |r, v| r.auth.cert_policy = v;
    "revocation": words!(
            "relaxed" => Revocation::Relaxed, "ifuri" => Revocation::IfUri,
            "strict" => Revocation::Strict,
        ), "relaxed", "How strictly the revocation of certificates is checked."
        => |r, v| r.auth.revocation = v;
    "round": NUMBER, "0", "Position among the rounds of the same side; the lowest is first."
        => |r, v| r.number = v;
    "secret": SECRET, "none", "Pre-shared key, in the formats of the existing plugin; 0x and hex digits, 0s and base64, or text."
        => |r, v| r.secret = Some(v);
    "certs": TEXTS, "none",
        "Files: in local the client's certificates, in remote certificates of which the gateway must have one."
        => |r, v| add_certificates(&mut r.auth.certs, "certs", v);
    "cacerts": TEXTS, "none", "Files of CA certificates, of which one must be in the trust chain."
        => |r, v| add_certificates(&mut r.auth.cacerts, "cacerts", v);
    "pubkeys": TEXTS, "none", "Files of raw public keys, otherwise like certs."
        => |r, v| add_files(&mut r.auth.pubkeys, "pubkeys", v);
    "cert": CERT, "none", "A file like in certs, or an object for a certificate in a file or on a token; for objects also with a suffix."
        => |r, v| r.auth.certs.push(v);
    "cacert": CACERT, "none", "An object for a CA certificate in a file or on a token; also with a suffix."
        => |r, v| r.auth.cacerts.push(v);
    "ca_cert": TEXT, "none", "In the formats of the existing plugin: a file like in cacerts."
        => |r, v| r.auth.cacerts.push(certificate("ca_cert", v));
    "ca_certs": WHOLE_TEXTS, "none", "In the formats of the existing plugin: files like in cacerts."
        => |r, v| add_certificates(&mut r.auth.cacerts, "ca_certs", v);
    "ca_chain": CHAIN, "none", "In the formats of the existing plugin: a root CA and intermediate CAs."
        => |r, v| {
            r.auth.cacerts.extend(v.root);
            r.auth.intermediates.extend(v.intermediates);
        };
    "private_key": TEXT, "none", "File of the client's private key."
        => |r, v| r.private_key = Some(file("private_key", v));
    "private_key_passphrase": PASSPHRASE, "none", "Passphrase that decrypts private_key."
        => |r, v| r.passphrase = Some(v);
    "enable_ocsp": BOOLEAN, "yes", "Accepted, but has no effect: charon only has this option for all connections together."
        => |r, v| disable(&mut r.auth, "enable_ocsp", v);
    "enable_crl": BOOLEAN, "yes", "Accepted, but has no effect: charon only has this option for all connections together."
        => |r, v| disable(&mut r.auth, "enable_crl", v);
});

const METHOD: Kind<AuthMethod> = Kind {
    form: Form::Text,
    read: |n| method(&n),
};

const CERT: Kind<CertificateSource> = Kind {
    form: Form::FileOrObject("certificate"),
    read: |n| {
        if n.is_object() {
            token::read_certificate(n)
        } else {
            Ok(CertificateSource::File(file("cert", n.text()?)))
        }
    },
};

const CACERT: Kind<CertificateSource> = Kind {
    form: Form::Objects("certificate"),
    read: token::read_certificate,
};

const CHAIN: Kind<Chain> = Kind {
    form: Form::Object("ca_chain"),
    read: |n| {
        let fields = n.into_fields()?;
        let root = fields.field_path("root_ca");
        let is_rootless = !fields.has("root_ca");
        let mut chain = Chain::default();
        fields.read(&mut chain, &[CA_CHAIN]);
        if is_rootless {
            return Err(root.refused("expected a file, found nothing"));
        }
        Ok(chain)
    },
};

/// `ca_chain`
#[derive(Default)]
pub(super) struct Chain {
    root: Vec<CertificateSource>,
    intermediates: Vec<CredentialFile>,
}

pub(super) const CA_CHAIN: &[Setting<Chain>] = settings!(Chain {
    "root_ca": TEXT, "none, required", "A file like in cacerts."
        => |c, v| c.root.push(certificate("ca_chain.root_ca", v));
    "intermediate_cas": WHOLE_TEXTS, "none", "Files of CAs that are only trusted if another CA that is trusted has signed them."
        => |c, v| add_files(&mut c.intermediates, "ca_chain.intermediate_cas", v);
});

fn disable(auth: &mut Auth, option: &str, enabled: bool) {
    if !enabled {
        auth.disabled.push(option.to_owned());
    }
}

fn method(node: &Node) -> Result<AuthMethod> {
    let expected =
        "\"psk\", \"pubkey\", \"eap\", \"eap-\" and a method, \"xauth\", \"xauth-\" and a \
                    backend, \"any\", or a type of keys with constraints such as \
                    \"ike:rsa-2048-sha256\"";
    node.parsed(expected, parse_method)
}

fn parse_method(text: &str) -> Option<AuthMethod> {
    let lower = text.to_ascii_lowercase();
    // charon accepts these in upper and lower case, unlike the constraints.
    if let Some(rest) = lower.strip_prefix("eap") {
        let (method, constraints) = match rest.split_once(':') {
            // From `text`, as the constraints must keep their case.
            Some((method, _)) => (method, Some(&text["eap".len() + method.len() + 1..])),
            None => (rest, None),
        };
        if !constraints.is_none_or(are_constraints) {
            return None;
        }
        return Some(AuthMethod::Eap {
            method: suffix(method)?,
            constraints: constraints.map(str::to_owned),
        });
    }
    if let Some(backend) = lower.strip_prefix("xauth") {
        return Some(AuthMethod::Xauth {
            backend: suffix(backend)?,
        });
    }
    match lower.as_str() {
        "any" => Some(AuthMethod::Any),
        "psk" => Some(AuthMethod::Psk),
        // The existing plugin says cert for pubkey.
        "cert" | "pubkey" => Some(AuthMethod::Pubkey {
            constraints: "pubkey".to_owned(),
        }),
        _ => are_constraints(text).then(|| AuthMethod::Pubkey {
            constraints: text.to_owned(),
        }),
    }
}

/// `Some(None)` for an empty text, the part after the dash for `-...`, None for anything else.
fn suffix(text: &str) -> Option<Option<String>> {
    match text.strip_prefix('-') {
        Some("") => None,
        Some(suffix) => Some(Some(suffix.to_owned())),
        None => text.is_empty().then_some(None),
    }
}

/// Types of keys, each with or without a strength and hashes, joined by dashes. charon only logs unknown ones,
/// and crashes at a hash without a type before it, so both are refused here.
fn are_constraints(text: &str) -> bool {
    let mut has_type = false;
    let mut strength_may_follow = false;
    text.split('-').all(|token| {
        let key = token.strip_prefix("ike:").unwrap_or(token);
        match key {
            "rsa" | "rsa/pss" | "ecdsa" | "bliss" => {
                (has_type, strength_may_follow) = (true, true);
                true
            }
            "ed25519" | "ed448" | "pubkey" => {
                (has_type, strength_may_follow) = (true, false);
                true
            }
            _ => {
                let is_strength = token.parse::<u16>().is_ok_and(|bits| bits > 0);
                let is_hash = [
                    "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "identity",
                ]
                .contains(&token);
                let known = is_hash || is_strength && strength_may_follow;
                strength_may_follow = false;
                has_type && known
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::tests::parse;
    use crate::config::ConnectionConfig;

    fn connection(options: serde_json::Value) -> ConnectionConfig {
        let document = json!({"connections": {"a": options}}).to_string();
        parse(&document).unwrap().connections.remove(0)
    }

    fn sections(rounds: &[Auth]) -> Vec<&str> {
        rounds.iter().map(|auth| auth.section.as_str()).collect()
    }

    #[test]
    fn rounds_are_in_the_order_of_their_numbers_and_then_of_the_document() {
        // As text, because json! sorts.
        let connection = parse(
            r#"{"connections": {"a": {
                "local_addrs": "10.0.0.1",
                "local-2": {"round": 2, "id": "b"},
                "local_auth": {"id": "a"},
                "local": [{"round": "1"}, {"round": 3}, {}],
                "local_1": {"round": 1},
                "remote": {"id": "gateway"}
            }}}"#,
        )
        .unwrap()
        .connections
        .remove(0);
        assert_eq!(
            sections(&connection.local),
            [
                "local_auth",
                "local[2]",
                "local[0]",
                "local_1",
                "local-2",
                "local[1]"
            ]
        );
        assert_eq!(sections(&connection.remote), ["remote"]);
        assert_eq!(connection.remote[0].id.as_deref(), Some("gateway"));
        assert_eq!(connection.local_addrs, ["10.0.0.1"]);
    }

    #[test]
    fn a_side_without_rounds_has_one_of_any_kind() {
        let connection = connection(json!({}));
        assert_eq!(connection.local, [Auth::default()]);
        assert_eq!(connection.remote, [Auth::default()]);
    }

    #[test]
    fn every_option_of_a_round_is_read() {
        let connection = connection(json!({"remote": {
            "auth": "pubkey", "id": "C=CH, CN=gw", "ca_id": "CN=ca", "aaa_id": "aaa", "eap_id": "eap",
            "xauth_id": "user", "groups": "one, two", "cert_policy": ["1.2.3"], "revocation": "ifuri",
        }}));
        let texts = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let expected = Auth {
            section: "remote".to_owned(),
            method: AuthMethod::Pubkey {
                constraints: "pubkey".to_owned(),
            },
            id: Some("C=CH, CN=gw".to_owned()),
            ca_id: Some("CN=ca".to_owned()),
            aaa_id: Some("aaa".to_owned()),
            eap_id: Some("eap".to_owned()),
            xauth_id: Some("user".to_owned()),
            groups: texts(&["one", "two"]),
            cert_policy: texts(&["1.2.3"]),
            revocation: Revocation::IfUri,
            ..Auth::default()
        };
        assert_eq!(connection.remote, [expected]);
    }

    fn names(certificates: &[CertificateSource]) -> Vec<(String, String)> {
        let certificates = certificates.iter();
        certificates.map(|c| (c.option(), c.name())).collect()
    }

    fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let files = files.iter().copied();
        files
            .map(|(option, path)| (option.to_owned(), path.to_owned()))
            .collect()
    }

    #[test]
    fn files_are_read_in_both_notations() {
        let connection = connection(json!({
            "local_auth": {
                "auth": "cert", "cert": "/me, myself.pem", "private_key": "me.key",
                "cert-token": {"handle": "00:FF"},
                "private_key_passphrase": "0x00", "ca_cert": "a.pem", "ca_certs": ["b.pem", "c.der"],
                "ca_chain": {"root_ca": "root.pem", "intermediate_cas": ["sub.pem"]},
                "enable_ocsp": true, "enable_crl": false,
            },
            "remote": {
                "certs": "d.pem, e.pem", "cert": {"file": "f.pem"}, "cert-g": {"file": "g.pem"},
                "cacerts": ["h.pem"], "cacert1": {"file": "i.pem"},
                "cacert-t": {"handle": "1", "slot": 3, "module": "hsm"}, "pubkeys": "j.pem",
            },
        }));
        let (local, remote) = (&connection.local[0], &connection.remote[0]);
        assert_eq!(
            names(&local.certs),
            files(&[("cert", "/me, myself.pem"), ("cert-token.handle", "00ff")])
        );
        assert_eq!(
            names(&local.cacerts),
            files(&[
                ("ca_cert", "a.pem"),
                ("ca_certs[0]", "b.pem"),
                ("ca_certs[1]", "c.der"),
                ("ca_chain.root_ca", "root.pem"),
            ])
        );
        assert_eq!(
            local.intermediates,
            [file("ca_chain.intermediate_cas[0]", "sub.pem".to_owned())]
        );
        let key = local.private_key.as_ref().unwrap();
        assert_eq!(key.file.path, "me.key");
        assert_eq!(key.passphrase.as_ref().unwrap().as_bytes(), b"0x00");
        assert_eq!(local.disabled, ["enable_crl"]);
        assert_eq!(
            names(&remote.certs),
            files(&[
                ("cert.file", "f.pem"),
                ("cert-g.file", "g.pem"),
                ("certs[0]", "d.pem"),
                ("certs[1]", "e.pem"),
            ])
        );
        assert_eq!(
            names(&remote.cacerts),
            files(&[
                ("cacert-t.handle", "01"),
                ("cacert1.file", "i.pem"),
                ("cacerts[0]", "h.pem"),
            ])
        );
        assert_eq!(remote.pubkeys, [file("pubkeys[0]", "j.pem".to_owned())]);
        let CertificateSource::Token(object) = &remote.cacerts[0] else {
            panic!("{:?}", remote.cacerts);
        };
        assert_eq!(
            (object.slot, object.module.as_deref()),
            (Some(3), Some("hsm"))
        );
    }

    #[test]
    fn a_passphrase_is_not_shown_and_has_a_key() {
        let round = |options: &str| parse(&format!(r#"{{"name": "a", "local_auth": {options}}}"#));
        let error = round(r#"{"private_key_passphrase": "hunter2"}"#).unwrap_err();
        assert_eq!(
            error.message,
            "local_auth.private_key: expected a file, as private_key_passphrase is given, found nothing \
             at line 1 column 15"
        );
        for options in [
            r#"{"private_key": "k", "private_key_passphrase": ["hunter2"]}"#,
            r#"{"private_key": "k", "private_key_passphrase": {"hunter2": 1}}"#,
            r#"{"private_key": "k", "passphrase": "hunter2"}"#,
        ] {
            assert!(!round(options).unwrap_err().message.contains("hunter2"));
        }
        let read = round(r#"{"private_key": "k", "private_key_passphrase": "hunter2"}"#).unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
    }

    #[test]
    fn methods_are_read_as_charon_reads_them() {
        let eap = |method: Option<&str>, constraints: Option<&str>| AuthMethod::Eap {
            method: method.map(str::to_owned),
            constraints: constraints.map(str::to_owned),
        };
        let pubkey = |constraints: &str| AuthMethod::Pubkey {
            constraints: constraints.to_owned(),
        };
        let xauth = |backend: Option<&str>| AuthMethod::Xauth {
            backend: backend.map(str::to_owned),
        };
        for (text, expected) in [
            ("any", AuthMethod::Any),
            ("PSK", AuthMethod::Psk),
            ("pubkey", pubkey("pubkey")),
            ("cert", pubkey("pubkey")),
            ("rsa-2048-sha256-sha384", pubkey("rsa-2048-sha256-sha384")),
            ("rsa-ecdsa-256", pubkey("rsa-ecdsa-256")),
            ("ike:rsa/pss-sha256", pubkey("ike:rsa/pss-sha256")),
            ("ike:pubkey-sha512", pubkey("ike:pubkey-sha512")),
            ("ed25519-identity", pubkey("ed25519-identity")),
            ("eap", eap(None, None)),
            ("EAP-MD5", eap(Some("md5"), None)),
            (
                "eap-tls:ecdsa-384-sha384",
                eap(Some("tls"), Some("ecdsa-384-sha384")),
            ),
            ("eap-7-1234", eap(Some("7-1234"), None)),
            ("xauth", xauth(None)),
            ("xauth-pam", xauth(Some("pam"))),
        ] {
            assert_eq!(parse_method(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "psk-sha256",
            "sha256",
            "sha256-rsa",
            "rsa-",
            "rsa-sha256-2048",
            "rsa-2048-3072",
            "pubkey-2048",
            "rsa-0",
            "rsa-sha3",
            "eap-",
            "eapmd5",
            "eap-tls:",
            "eap-tls:sha256",
            "xauth-",
            "xauthpam",
            "pubkey sha256",
            "ike:",
            "ike:sha256",
        ] {
            assert_eq!(parse_method(text), None, "{text}");
        }
    }

    #[test]
    fn all_errors_of_rounds_are_told() {
        let document = r#"{"connections": {"a": {
            "local": 5,
            "remote": [{"revocation": "hard", "grups": "a"}, {"cert-1": {"fil": "b"}}],
            "remote-1": {"round": -1, "ca_chain": {"root": "c"}},
            "local_prot": 4500, "remote-2": 5
        }}}"#;
        let error = parse(document).unwrap_err();
        assert_eq!(
            error.message.lines().collect::<Vec<_>>(),
            [
                "connections.a.local: expected an object, found a number at line 2 column 13",
                "connections.a.remote[0].revocation: expected one of relaxed, ifuri, strict, found \
                 \"hard\" at line 3 column 25",
                "connections.a.remote[0].grups: unknown option, did you mean groups? at line 3 column 47",
                "connections.a.remote[1].cert-1.fil: unknown option, did you mean file? at line 3 column 74",
                "connections.a.remote[1].cert-1.file: expected a file, or a handle of a token, found nothing at \
                 line 3 column 63",
                "connections.a.remote-1.round: expected a number from 0 to 4294967295, found -1 at line \
                 4 column 26",
                "connections.a.remote-1.ca_chain.root: unknown option, expected one of root_ca, \
                 intermediate_cas at line 4 column 52",
                "connections.a.remote-1.ca_chain.root_ca: expected a file, found nothing at line 4 \
                 column 39",
                "connections.a.local_prot: unknown option, did you mean local_port? at line 5 column 13",
                "connections.a.remote-2: unknown option, did you mean remote? at line 5 column 33",
            ]
        );
    }
}
