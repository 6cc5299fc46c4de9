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
    let report = node.report();
    for (key, node) in node.into_fields()?.into_nodes() {
        report.keep(read_section(&key, node, configuration));
    }
    Ok(())
}

fn read_section(key: &str, node: Node, configuration: &mut Configuration) -> Result<()> {
    let report = node.report();
    let Some((_, section)) = SECTIONS.iter().find(|(name, _)| key.starts_with(name)) else {
        return Err(node.unknown(&SECTIONS.map(|(name, _)| name)));
    };
    for entry in entries(node)? {
        match section {
            Section::Shared(kind) => {
                let secret = report.keep(read_shared(*kind, entry));
                configuration.secrets.extend(secret);
            }
            Section::Private(directory) => {
                let key = report.keep(read_private(directory, entry));
                configuration.private_keys.extend(key);
            }
        }
    }
    Ok(())
}

/// Those that are no objects are reported and left out.
fn entries<'a>(section: Node<'a>) -> Result<Vec<Fields<'a>>> {
    let report = section.report();
    let fields = |entry: Node<'a>| report.keep(entry.into_fields());
    if section.is_array() {
        let items = section.into_items()?.into_iter();
        return Ok(items.filter_map(fields).collect());
    }
    let section = section.into_fields()?;
    if section.has_text("secret") || section.has_text("file") {
        return Ok(vec![section]);
    }
    let named = section.into_nodes();
    Ok(named.filter_map(|(_, entry)| fields(entry)).collect())
}

fn read_private(directory: &'static str, mut fields: Fields) -> Result<PrivateKey> {
    let option = fields.path("file");
    let path = fields.require("file", "a file")?.text()?;
    let passphrase = fields.take("secret").map(|n| n.passphrase()).transpose()?;
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
    let place = fields.place("secret");
    let secret = fields.require("secret", "a string")?.secret()?;
    if kind == SecretKind::Ntlm && secret.as_bytes().len() != NT_HASH {
        return Err(place.refused("expected 16 bytes after 0x or 0s, found a string"));
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
