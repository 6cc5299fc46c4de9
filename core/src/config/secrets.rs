// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `secrets` of a document.

use super::model::{Configuration, CredentialFile, PrivateKey, SecretKind, SharedSecret};
use super::reader::{Fields, Node};
use crate::error::Result;

#[derive(Clone, Copy)]
enum Section {
    Shared(SecretKind),
    /// Keys that swanctl has in the directory.
    Private(&'static str),
}

/// The beginnings of the sections' names, as swanctl has them.
const SECTIONS: [(&str, Section); 9] = [
    ("ike", Section::Shared(SecretKind::Ike)),
    ("eap", Section::Shared(SecretKind::Eap)),
    ("xauth", Section::Shared(SecretKind::Eap)),
    ("ntlm", Section::Shared(SecretKind::Ntlm)),
    ("ppk", Section::Shared(SecretKind::Ppk)),
    ("private", Section::Private("private")),
    ("rsa", Section::Private("rsa")),
    ("ecdsa", Section::Private("ecdsa")),
    ("pkcs8", Section::Private("pkcs8")),
];

/// The bytes of an NT hash.
const NT_HASH: usize = 16;

/// Reads all sections.
///
/// A section is an entry, an array of entries, or an object of named ones.
pub(super) fn read(node: Node, configuration: &mut Configuration) -> Result<()> {
    for (key, node) in node.into_fields()?.into_nodes() {
        let Some((_, section)) = SECTIONS.iter().find(|(name, _)| key.starts_with(name)) else {
            return Err(node.unknown(&SECTIONS.map(|(name, _)| name)));
        };
        for entry in entries(node)? {
            match section {
                Section::Shared(kind) => configuration.secrets.push(read_shared(*kind, entry)?),
                Section::Private(directory) => configuration
                    .private_keys
                    .push(read_private(directory, entry)?),
            }
        }
    }
    Ok(())
}

fn entries(section: Node) -> Result<Vec<Fields>> {
    if section.is_array() {
        let items = section.into_items()?.into_iter();
        return items.map(Node::into_fields).collect();
    }
    let fields = section.into_fields()?;
    if fields.has_text("secret") || fields.has_text("file") {
        return Ok(vec![fields]);
    }
    fields
        .into_nodes()
        .map(|(_, entry)| entry.into_fields())
        .collect()
}

fn read_private(directory: &'static str, mut fields: Fields) -> Result<PrivateKey> {
    let option = fields.path("file");
    let path = fields.require("file", "a file")?.text()?;
    let passphrase = fields.take("secret").map(Node::passphrase).transpose()?;
    fields.finish(&["file", "secret"])?;
    let file = CredentialFile { option, path };
    Ok(PrivateKey {
        file,
        directory,
        passphrase,
    })
}

/// swanctl has `id` with any suffix, for several owners.
fn read_shared(kind: SecretKind, mut fields: Fields) -> Result<SharedSecret> {
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
