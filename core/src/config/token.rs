// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the options of objects on PKCS#11 tokens, and certificates, which may be on a token or in a file.

use super::files::file;
use super::model::{CertificateSource, CredentialFile, TokenObject};
use super::reader::{Fields, Node};
use super::setting::{settings, Setting, HANDLE, SLOT, TEXT};
use crate::error::Result;

/// An object on a token that is being read.
#[derive(Default)]
pub(super) struct Token {
    pub handle: Option<Vec<u8>>,
    pub slot: Option<u32>,
    pub module: Option<String>,
}

impl Token {
    /// None without a handle.
    pub(super) fn into_object(self, section: &str) -> Option<TokenObject> {
        Some(TokenObject {
            section: section.to_owned(),
            handle: self.handle?,
            slot: self.slot,
            module: self.module,
        })
    }
}

/// A certificate that is being read.
#[derive(Default)]
pub(super) struct CertificateDraft {
    file: Option<CredentialFile>,
    token: Token,
}

pub(super) const CERTIFICATE: &[Setting<CertificateDraft>] = settings!(CertificateDraft {
    "file": TEXT, "none; file or handle is required", "A file like in certs or cacerts."
        => |c, v| c.file = Some(file("file", v));
    "handle": HANDLE, "none", "CKA_ID of the certificate on a PKCS#11 token."
        => |c, v| c.token.handle = Some(v);
    "slot": SLOT, "any", "Slot of that token."
        => |c, v| c.token.slot = Some(v);
    "module": TEXT, "any", "Module of that token in charon.plugins.pkcs11.modules of strongswan.conf."
        => |c, v| c.token.module = Some(v);
});

/// Reads swanctl's `cert<suffix>` and `cacert<suffix>`.
pub(super) fn read_certificate(node: Node) -> Result<CertificateSource> {
    let section = node.key().to_owned();
    let fields = node.into_fields()?;
    let alternatives = check_alternatives(&fields, &["file", "handle"]);
    let mut draft = CertificateDraft::default();
    fields.read(&mut draft, &[CERTIFICATE]);
    alternatives?;
    if let Some(object) = draft.token.into_object(&section) {
        return Ok(CertificateSource::Token(object));
    }
    // Without a file an error was reported, and the configuration is not used.
    let path = draft.file.map(|file| file.path).unwrap_or_default();
    Ok(CertificateSource::File(file(
        &format!("{section}.file"),
        path,
    )))
}

/// An error unless exactly one of the options `names` is given, and `slot` and `module` only together with
/// `handle`.
pub(super) fn check_alternatives(fields: &Fields, names: &[&str]) -> Result<()> {
    let given: Vec<&str> = (names.iter().copied())
        .filter(|name| fields.has(name))
        .collect();
    let alone = ["slot", "module"]
        .into_iter()
        .find(|name| fields.has(name) && !fields.has("handle"));
    let field = fields.field_path(given.first().unwrap_or(&names[0]));
    match (given.as_slice(), alone) {
        ([], None) => {
            let expected = "expected a file, or a handle of a token, found nothing";
            Err(field.refused(expected))
        }
        ([first, second, ..], _) => {
            let why = format!(
                "expected one of {}, found {first} and {second}",
                names.join(", ")
            );
            Err(field.refused(&why))
        }
        (_, Some(alone)) => {
            let field = fields.field_path(alone);
            Err(field.refused("expected a handle beside it, found none"))
        }
        ([_], None) => Ok(()),
    }
}
