// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the authentication rounds of a connection.

use super::connection::set;
use super::model::{Auth, AuthMethod, CredentialFile, PrivateKey, Revocation};
use super::reader::{names, Fields, Node, Setting};
use super::secret::Secret;
use crate::error::Result;

/// A round as it is written.
#[derive(Default)]
pub(super) struct Round {
    pub auth: Auth,
    /// Its pre-shared key, in the formats of the existing plugin.
    pub secret: Option<Secret>,
    number: u32,
    private_key: Option<CredentialFile>,
    passphrase: Option<Secret>,
}

/// Reads the rounds of one side, `local` or `remote`: the objects, and arrays of them, whose names begin
/// with that. They are in the order of their `round`, and where that is equal in that of the document.
///
/// To be called when the connection's options that begin alike, such as `local_addrs`, are taken.
pub(super) fn read_rounds(fields: &mut Fields, side: &str) -> Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for (key, node) in fields.take_sections(side, &[side, &format!("{side}_auth")]) {
        if node.is_array() {
            for (index, item) in node.into_items()?.into_iter().enumerate() {
                rounds.push(read(format!("{key}[{index}]"), item)?);
            }
        } else {
            rounds.push(read(key, node)?);
        }
    }
    rounds.sort_by_key(|round| round.number);
    if rounds.is_empty() {
        rounds.push(Round::default());
    }
    Ok(rounds)
}

fn read(section: String, node: Node) -> Result<Round> {
    let mut fields = node.into_fields()?;
    let mut round = Round::default();
    round.auth.section = section;
    if fields.has("private_key_passphrase") && !fields.has("private_key") {
        fields.require("private_key", "a file, as private_key_passphrase is given")?;
    }
    // First, as `cert` is a file in the formats of the existing plugin.
    read_sections(&mut fields, "cert", &mut round.auth.certs)?;
    read_sections(&mut fields, "cacert", &mut round.auth.cacerts)?;
    fields.read(&mut round, AUTH_CFG)?;
    fields.finish(&names(AUTH_CFG).collect::<Vec<_>>())?;
    let passphrase = round.passphrase.take();
    let file = round.private_key.take();
    round.auth.private_key = file.map(|file| PrivateKey {
        file,
        directory: "private",
        passphrase,
    });
    Ok(round)
}

/// swanctl's `cert<suffix>` and `cacert<suffix>`.
fn read_sections(fields: &mut Fields, name: &str, files: &mut Vec<CredentialFile>) -> Result<()> {
    for (key, node) in fields.take_sections(name, &[]) {
        let mut section = node.into_fields()?;
        let path = section.require("file", "a file")?.text()?;
        section.finish(&["file"])?;
        let option = format!("{key}.file");
        files.push(CredentialFile { option, path });
    }
    Ok(())
}

const AUTH_CFG: &[Setting<Round>] = &[
    ("auth", |r, n| set(&mut r.auth.method, method(n)?)),
    ("id", |r, n| set(&mut r.auth.id, Some(n.text()?))),
    ("ca_id", |r, n| set(&mut r.auth.ca_id, Some(n.text()?))),
    ("aaa_id", |r, n| set(&mut r.auth.aaa_id, Some(n.text()?))),
    ("eap_id", |r, n| set(&mut r.auth.eap_id, Some(n.text()?))),
    ("xauth_id", |r, n| {
        set(&mut r.auth.xauth_id, Some(n.text()?))
    }),
    ("groups", |r, n| set(&mut r.auth.groups, n.texts()?)),
    ("cert_policy", |r, n| {
        set(&mut r.auth.cert_policy, n.texts()?)
    }),
    ("revocation", |r, n| {
        let policies = [
            ("relaxed", Revocation::Relaxed),
            ("ifuri", Revocation::IfUri),
            ("strict", Revocation::Strict),
        ];
        set(&mut r.auth.revocation, n.keyword(&policies)?)
    }),
    ("round", |r, n| set(&mut r.number, n.number(0..=u32::MAX)?)),
    ("secret", |r, n| set(&mut r.secret, Some(n.secret()?))),
    ("certs", |r, n| add(&mut r.auth.certs, "certs", n.texts()?)),
    ("cacerts", |r, n| {
        add(&mut r.auth.cacerts, "cacerts", n.texts()?)
    }),
    ("pubkeys", |r, n| {
        add(&mut r.auth.pubkeys, "pubkeys", n.texts()?)
    }),
    // From here on the existing plugin's.
    ("cert", |r, n| {
        add(&mut r.auth.certs, "cert", vec![n.text()?])
    }),
    ("ca_cert", |r, n| {
        add(&mut r.auth.cacerts, "ca_cert", vec![n.text()?])
    }),
    ("ca_certs", |r, n| {
        add(&mut r.auth.cacerts, "ca_certs", n.whole_texts()?)
    }),
    ("ca_chain", |r, n| {
        let mut chain = n.into_fields()?;
        let root_ca = chain.require("root_ca", "a file")?.text()?;
        add(&mut r.auth.cacerts, "ca_chain.root_ca", vec![root_ca])?;
        if let Some(node) = chain.take("intermediate_cas") {
            let option = "ca_chain.intermediate_cas";
            add(&mut r.auth.intermediates, option, node.whole_texts()?)?;
        }
        chain.finish(&["root_ca", "intermediate_cas"])
    }),
    ("private_key", |r, n| {
        let (option, path) = ("private_key".to_owned(), n.text()?);
        set(&mut r.private_key, Some(CredentialFile { option, path }))
    }),
    ("private_key_passphrase", |r, n| {
        set(&mut r.passphrase, Some(n.passphrase()?))
    }),
    ("enable_ocsp", |r, n| {
        disable(&mut r.auth, "enable_ocsp", &n)
    }),
    ("enable_crl", |r, n| disable(&mut r.auth, "enable_crl", &n)),
];

fn add(files: &mut Vec<CredentialFile>, option: &str, paths: Vec<String>) -> Result<()> {
    files.extend(paths.into_iter().map(|path| CredentialFile {
        option: option.to_owned(),
        path,
    }));
    Ok(())
}

fn disable(auth: &mut Auth, option: &str, node: &Node) -> Result<()> {
    if !node.boolean()? {
        auth.disabled.push(option.to_owned());
    }
    Ok(())
}

fn method(node: Node) -> Result<AuthMethod> {
    let expected =
        "\"psk\", \"pubkey\", \"eap\", \"eap-\" and a method, \"xauth\", \"xauth-\" and a \
                    backend, \"any\", or a type of keys with constraints such as \
                    \"ike:rsa-2048-sha256\"";
    node.parsed(expected, parse_method)
}

fn parse_method(text: &str) -> Option<AuthMethod> {
    let lower = text.to_ascii_lowercase();
    // charon reads these, unlike the constraints, in either case.
    if let Some(rest) = lower.strip_prefix("eap") {
        let (method, constraints) = match rest.split_once(':') {
            // Cut from the text itself.
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
        // The existing plugin's word.
        "cert" | "pubkey" => Some(AuthMethod::Pubkey {
            constraints: "pubkey".to_owned(),
        }),
        _ => are_constraints(text).then(|| AuthMethod::Pubkey {
            constraints: text.to_owned(),
        }),
    }
}

/// What follows a dash, if anything does.
fn suffix(text: &str) -> Option<Option<String>> {
    match text.strip_prefix('-') {
        Some("") => None,
        Some(suffix) => Some(Some(suffix.to_owned())),
        None => text.is_empty().then_some(None),
    }
}

/// Types of keys, each with a strength and hashes or without, joined by dashes. charon only logs what it
/// does not know of them, and does not survive a hash without a type before it.
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
    use crate::config::{parse, Connection};

    fn connection(options: serde_json::Value) -> Connection {
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

    fn files(files: &[CredentialFile]) -> Vec<(&str, &str)> {
        files
            .iter()
            .map(|file| (file.option.as_str(), file.path.as_str()))
            .collect()
    }

    #[test]
    fn files_are_read_in_both_notations() {
        let connection = connection(json!({
            "local_auth": {
                "auth": "cert", "cert": "/me, myself.pem", "private_key": "me.key",
                "private_key_passphrase": "0x00", "ca_cert": "a.pem", "ca_certs": ["b.pem", "c.der"],
                "ca_chain": {"root_ca": "root.pem", "intermediate_cas": ["sub.pem"]},
                "enable_ocsp": true, "enable_crl": false,
            },
            "remote": {
                "certs": "d.pem, e.pem", "cert": {"file": "f.pem"}, "cert-g": {"file": "g.pem"},
                "cacerts": ["h.pem"], "cacert1": {"file": "i.pem"}, "pubkeys": "j.pem",
            },
        }));
        let (local, remote) = (&connection.local[0], &connection.remote[0]);
        assert_eq!(files(&local.certs), [("cert", "/me, myself.pem")]);
        assert_eq!(
            files(&local.cacerts),
            [
                ("ca_cert", "a.pem"),
                ("ca_certs", "b.pem"),
                ("ca_certs", "c.der"),
                ("ca_chain.root_ca", "root.pem"),
            ]
        );
        assert_eq!(
            files(&local.intermediates),
            [("ca_chain.intermediate_cas", "sub.pem")]
        );
        let key = local.private_key.as_ref().unwrap();
        assert_eq!(key.file.path, "me.key");
        assert_eq!(key.passphrase.as_ref().unwrap().as_bytes(), b"0x00");
        assert_eq!(local.disabled, ["enable_crl"]);
        assert_eq!(
            files(&remote.certs),
            [
                ("cert.file", "f.pem"),
                ("cert-g.file", "g.pem"),
                ("certs", "d.pem"),
                ("certs", "e.pem"),
            ]
        );
        assert_eq!(
            files(&remote.cacerts),
            [("cacert1.file", "i.pem"), ("cacerts", "h.pem")]
        );
        assert_eq!(files(&remote.pubkeys), [("pubkeys", "j.pem")]);
    }

    #[test]
    fn a_passphrase_is_not_shown_and_has_a_key() {
        let round = |options: &str| parse(&format!(r#"{{"name": "a", "local_auth": {options}}}"#));
        let error = round(r#"{"private_key_passphrase": "hunter2"}"#).unwrap_err();
        assert_eq!(
            error.message,
            "local_auth.private_key: expected a file, as private_key_passphrase is given, found nothing"
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
    fn a_round_that_is_none_is_named() {
        for (options, expected) in [
            (
                json!({"local": 5}),
                "connections.a.local: expected an object, found a number",
            ),
            (
                json!({"local": [{}, 5]}),
                "connections.a.local[1]: expected an object, found a number",
            ),
            (
                json!({"remote": [{"revocation": "hard"}]}),
                "connections.a.remote[0].revocation: expected one of relaxed, ifuri, strict, found \
                 \"hard\"",
            ),
            (
                json!({"remote-1": {"round": -1}}),
                "connections.a.remote-1.round: expected a number from 0 to 4294967295, found -1",
            ),
        ] {
            let document = json!({"connections": {"a": options}}).to_string();
            assert_eq!(parse(&document).unwrap_err().message, expected);
        }
    }
}
