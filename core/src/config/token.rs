// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads what is on PKCS#11 tokens, and certificates that may be there or in files.

use super::files::file;
use super::model::{CertificateSource, CredentialFile, TokenObject};
use super::reader::{Fields, Node};
use super::setting::{settings, Setting, HANDLE, SLOT, TEXT};
use crate::error::Result;

/// An object as it is written.
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

/// A certificate as it is written.
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

/// swanctl's `cert<suffix>` and `cacert<suffix>`.
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
    // Without it an error is reported, and nothing is made of this.
    let path = draft.file.map(|file| file.path).unwrap_or_default();
    Ok(CertificateSource::File(file(
        &format!("{section}.file"),
        path,
    )))
}

/// Whether one of those options is there, of which the last is a handle, and what goes with that only together
/// with it.
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
