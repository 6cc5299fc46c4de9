// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `authorities` of a document.

use super::files::file;
use super::model::{Authority, CertificateSource, CredentialFile};
use super::reader::{Fields, Node};
use super::setting::{settings, Setting, HANDLE, SLOT, TEXT, TEXTS};
use super::token::{check_alternatives, Token};
use crate::error::Result;

/// An authority that is being read.
#[derive(Default)]
pub(super) struct AuthorityDraft {
    file: Option<CredentialFile>,
    token: Token,
    crl_uris: Vec<String>,
    ocsp_uris: Vec<String>,
    cert_uri_base: Option<String>,
}

pub(super) const AUTHORITY: &[Setting<AuthorityDraft>] = settings!(AuthorityDraft {
    "cacert": TEXT, "none; one of cacert, file and handle is required", "File of the CA's certificate, in swanctl's x509ca."
        => |a, v| a.file = Some(file("cacert", v));
    "file": TEXT, "none", "The same as cacert."
        => |a, v| a.file = Some(file("file", v));
    "handle": HANDLE, "none", "CKA_ID of the CA's certificate on a PKCS#11 token."
        => |a, v| a.token.handle = Some(v);
    "slot": SLOT, "any", "Slot of that token."
        => |a, v| a.token.slot = Some(v);
    "module": TEXT, "any", "Module of that token in charon.plugins.pkcs11.modules of strongswan.conf."
        => |a, v| a.token.module = Some(v);
    "crl_uris": TEXTS, "none", "URIs of CRLs of the CA, in addition to those in its certificates."
        => |a, v| a.crl_uris = v;
    "ocsp_uris": TEXTS, "none", "URIs of OCSP responders of the CA, in addition to those in its certificates."
        => |a, v| a.ocsp_uris = v;
    "cert_uri_base": TEXT, "none", "Base URL of the certificates that the CA issued, for Hash and URL (RFC 7296, section 3.6)."
        => |a, v| a.cert_uri_base = Some(v);
});

pub(super) fn read(node: Node) -> Result<Vec<Authority>> {
    let report = node.report();
    let mut authorities = Vec::new();
    for (name, fields) in node.into_named()? {
        authorities.extend(report.keep(read_authority(name, fields)));
    }
    Ok(authorities)
}

fn read_authority(name: String, fields: Fields) -> Result<Authority> {
    let alternatives = check_alternatives(&fields, &["cacert", "file", "handle"]);
    let mut draft = AuthorityDraft::default();
    fields.read(&mut draft, &[AUTHORITY]);
    alternatives?;
    let certificate = draft.token.into_object("").map(CertificateSource::Token);
    Ok(Authority {
        name,
        certificate: certificate.unwrap_or_else(|| {
            // Without a file an error was reported, and the configuration is not used.
            let file = draft.file.unwrap_or_else(|| file("cacert", String::new()));
            CertificateSource::File(file)
        }),
        crl_uris: draft.crl_uris,
        ocsp_uris: draft.ocsp_uris,
        cert_uri_base: draft.cert_uri_base,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::parse;
    use crate::config::TokenObject;

    #[test]
    fn all_options_are_read_and_an_authority_needs_no_connection() {
        let document = r#"{"authorities": {
            "one": {"cacert": "ca.pem", "crl_uris": "http://a/1, http://b/2",
                    "ocsp_uris": ["http://c"], "cert_uri_base": "http://d/"},
            "two": {"file": "/ca.der"},
            "three": {"handle": "0x012A", "slot": "0x7", "module": "hsm"}
        }}"#;
        let authorities = parse(document).unwrap().authorities;
        let one = Authority {
            name: "one".to_owned(),
            certificate: CertificateSource::File(file("cacert", "ca.pem".to_owned())),
            crl_uris: vec!["http://a/1".to_owned(), "http://b/2".to_owned()],
            ocsp_uris: vec!["http://c".to_owned()],
            cert_uri_base: Some("http://d/".to_owned()),
        };
        assert_eq!(authorities[0], one);
        let certificate = CertificateSource::File(file("file", "/ca.der".to_owned()));
        assert_eq!(authorities[1].certificate, certificate);
        assert!(authorities[1].crl_uris.is_empty());
        let certificate = CertificateSource::Token(TokenObject {
            section: String::new(),
            handle: vec![1, 0x2a],
            slot: Some(7),
            module: Some("hsm".to_owned()),
        });
        assert_eq!(authorities[2].certificate, certificate);
    }

    #[test]
    fn all_errors_are_told() {
        let document = r#"{"authorities": {
            "one": {"crl_uri": "x"},
            "two": {"cacert": "a", "file": "b"}, "three": 5,
            "four": {"file": "a", "slot": 1}, "five": {"handle": "", "file": "b"},
            "six": {"handle": "0xyz", "slot": 2147483648, "module": ""}
        }}"#;
        let error = parse(document).unwrap_err();
        assert_eq!(
            error.message.lines().collect::<Vec<_>>(),
            [
                "authorities.three: expected an object, found a number at line 3 column 50",
                "authorities.one.crl_uri: unknown option, did you mean crl_uris? at line 2 column 21",
                "authorities.one.cacert: expected a file, or a handle of a token, found nothing at line 2 column 13",
                "authorities.two.cacert: expected one of cacert, file, handle, found cacert and file at line 3 column 21",
                "authorities.four.slot: expected a handle beside it, found none at line 4 column 35",
                "authorities.five.handle: expected hex digits, the CKA_ID of an object on a token, found \"\" at line 4 column 56",
                "authorities.five.file: expected one of cacert, file, handle, found file and handle at line 4 column 70",
                "authorities.six.handle: expected hex digits, the CKA_ID of an object on a token, found \"0xyz\" at line 5 column 21",
                "authorities.six.slot: expected a number from 0 to 2147483647, found 2147483648 at line 5 column 39",
                "authorities.six.module: expected a string, found an empty one at line 5 column 59",
            ]
        );
    }
}
