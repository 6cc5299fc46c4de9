// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `secrets` of a document.

use super::model::{SecretKind, SharedSecret};
use super::reader::{Fields, Node};
use crate::error::Result;

/// The beginnings of the sections' names, as swanctl has them.
const SECTIONS: [(&str, SecretKind); 5] = [
    ("ike", SecretKind::Ike),
    ("eap", SecretKind::Eap),
    ("xauth", SecretKind::Eap),
    ("ntlm", SecretKind::Ntlm),
    ("ppk", SecretKind::Ppk),
];

/// The bytes of an NT hash.
const NT_HASH: usize = 16;

/// Reads all sections.
///
/// A section is an entry, an array of entries, or an object of named ones.
pub(super) fn read(node: Node) -> Result<Vec<SharedSecret>> {
    let mut secrets = Vec::new();
    for (key, section) in node.into_fields()?.into_nodes() {
        let Some((_, kind)) = SECTIONS.iter().find(|(name, _)| key.starts_with(name)) else {
            return Err(section.unknown(&SECTIONS.map(|(name, _)| name)));
        };
        if section.is_array() {
            for entry in section.into_items()? {
                secrets.push(read_entry(*kind, entry.into_fields()?)?);
            }
            continue;
        }
        let fields = section.into_fields()?;
        if fields.has_text("secret") {
            secrets.push(read_entry(*kind, fields)?);
        } else {
            for (_, entry) in fields.into_nodes() {
                secrets.push(read_entry(*kind, entry.into_fields()?)?);
            }
        }
    }
    Ok(secrets)
}

/// swanctl has `id` with any suffix, for several owners.
fn read_entry(kind: SecretKind, mut fields: Fields) -> Result<SharedSecret> {
    let node = fields.require("secret", "a string")?;
    let missized = node.unexpected("16 bytes after 0x or 0s");
    let secret = node.secret()?;
    if kind == SecretKind::Ntlm && secret.as_bytes().len() != NT_HASH {
        return Err(missized);
    }
    let mut ids = Vec::new();
    for (key, node) in fields.into_nodes() {
        if !key.starts_with("id") {
            return Err(node.unknown(&["id", "secret"]));
        }
        ids.extend(node.whole_texts()?);
    }
    Ok(SharedSecret { kind, ids, secret })
}
