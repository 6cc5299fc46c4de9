// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `authorities` of a document.

use super::auth::file;
use super::model::{Authority, CredentialFile};
use super::reader::{Fields, Node};
use super::setting::{settings, Setting, TEXT, TEXTS};
use crate::error::Result;

/// An authority as it is written.
#[derive(Default)]
pub(super) struct Draft {
    file: Option<CredentialFile>,
    crl_uris: Vec<String>,
    ocsp_uris: Vec<String>,
    cert_uri_base: Option<String>,
}

pub(super) const AUTHORITY: &[Setting<Draft>] = settings!(Draft {
    "cacert": TEXT, "none, it or file is needed", "File of the CA's certificate, in swanctl's x509ca."
        => |a, v| a.file = Some(file("cacert", v));
    "file": TEXT, "none", "The same as cacert."
        => |a, v| a.file = Some(file("file", v));
    "crl_uris": TEXTS, "none", "Where CRLs of the CA are, besides what its certificates say."
        => |a, v| a.crl_uris = v;
    "ocsp_uris": TEXTS, "none", "OCSP responders of the CA, besides those that its certificates name."
        => |a, v| a.ocsp_uris = v;
    "cert_uri_base": TEXT, "none", "Beginning of the URLs of certificates of the CA, for Hash and URL."
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
    let cacert = fields.place("cacert");
    let why = match (fields.has("cacert"), fields.has("file")) {
        (false, false) => Some("expected a file, found nothing"),
        (true, true) => Some("expected one of cacert and file, found both"),
        _ => None,
    };
    let mut draft = Draft::default();
    fields.read(&mut draft, &[AUTHORITY]);
    if let Some(why) = why {
        return Err(cacert.refused(why));
    }
    Ok(Authority {
        name,
        // Without it an error is reported, and nothing is made of this.
        file: draft.file.unwrap_or_else(|| file("cacert", String::new())),
        crl_uris: draft.crl_uris,
        ocsp_uris: draft.ocsp_uris,
        cert_uri_base: draft.cert_uri_base,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::parse;

    #[test]
    fn all_options_are_read_and_an_authority_needs_no_connection() {
        let document = r#"{"authorities": {
            "one": {"cacert": "ca.pem", "crl_uris": "http://a/1, http://b/2",
                    "ocsp_uris": ["http://c"], "cert_uri_base": "http://d/"},
            "two": {"file": "/ca.der"}
        }}"#;
        let authorities = parse(document).unwrap().authorities;
        let one = Authority {
            name: "one".to_owned(),
            file: file("cacert", "ca.pem".to_owned()),
            crl_uris: vec!["http://a/1".to_owned(), "http://b/2".to_owned()],
            ocsp_uris: vec!["http://c".to_owned()],
            cert_uri_base: Some("http://d/".to_owned()),
        };
        assert_eq!(authorities[0], one);
        assert_eq!(authorities[1].file, file("file", "/ca.der".to_owned()));
        assert!(authorities[1].crl_uris.is_empty());
    }

    #[test]
    fn all_errors_are_told() {
        let document = r#"{"authorities": {
            "one": {"crl_uri": "x"},
            "two": {"cacert": "a", "file": "b"}, "three": 5
        }}"#;
        let error = parse(document).unwrap_err();
        assert_eq!(
            error.message.lines().collect::<Vec<_>>(),
            [
                "authorities.three: expected an object, found a number at line 3 column 50",
                "authorities.one.crl_uri: unknown option, did you mean crl_uris? at line 2 column 21",
                "authorities.one.cacert: expected a file, found nothing at line 2 column 13",
                "authorities.two.cacert: expected one of cacert and file, found both at line 3 column 21",
            ]
        );
    }
}
