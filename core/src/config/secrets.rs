// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `secrets` of a document.

use super::model::{Configuration, CredentialFile, PrivateKey, SecretKind, SharedSecret, TokenKey};
use super::reader::{Fields, Node};
use super::secret::Secret;
use super::setting::{settings, Setting, HANDLE, OWNERS, PASSPHRASE, SECRET, SLOT, TEXT};
use super::token::Token;
use crate::error::Result;

#[derive(Clone, Copy)]
enum Section {
    Shared(SecretKind),
    /// Private keys, in swanctl's directory of that name.
    Private(&'static str),
    /// PKCS#12.
    Container,
    /// PKCS#11.
    Token,
}

/// What the names of the sections begin with, as in swanctl.conf.
const SECTIONS: [(&str, Section); 11] = [
    ("ike", Section::Shared(SecretKind::Ike)),
    ("eap", Section::Shared(SecretKind::Eap)),
    ("xauth", Section::Shared(SecretKind::Eap)),
    ("ntlm", Section::Shared(SecretKind::Ntlm)),
    ("ppk", Section::Shared(SecretKind::Ppk)),
    ("private", Section::Private("private")),
    ("rsa", Section::Private("rsa")),
    ("ecdsa", Section::Private("ecdsa")),
    ("pkcs8", Section::Private("pkcs8")),
    ("pkcs12", Section::Container),
    ("token", Section::Token),
];

/// What the names of the sections begin with, each with the name of the schema's section for its entries.
pub(super) fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    SECTIONS.into_iter().map(|(name, section)| match section {
        Section::Shared(_) => (name, "shared_secret"),
        Section::Private(_) | Section::Container => (name, "key_file"),
        Section::Token => (name, "token_key"),
    })
}

/// A shared secret that is being read.
#[derive(Default)]
pub(super) struct SharedDraft {
    secret: Option<Secret>,
    ids: Vec<String>,
}

pub(super) const SHARED: &[Setting<SharedDraft>] = settings!(SharedDraft {
    "id": OWNERS, "everyone",
        "Identities of its owners; also with a suffix, such as id-2."
        => |s, v| s.ids.extend(v);
    "secret": SECRET, "none, required",
        "0x and hex digits, 0s and base64, or text; in ntlm 16 bytes, the NT hash of a password."
        => |s, v| s.secret = Some(v);
});

/// A file of keys that is being read.
#[derive(Default)]
pub(super) struct KeyFileDraft {
    path: Option<String>,
    passphrase: Option<Secret>,
}

pub(super) const KEY_FILE: &[Setting<KeyFileDraft>] = settings!(KeyFileDraft {
    "file": TEXT, "none, required", "The file, in swanctl's directory of the section's name."
        => |f, v| f.path = Some(v);
    "secret": PASSPHRASE, "none", "Passphrase that decrypts it."
        => |f, v| f.passphrase = Some(v);
});

/// A key on a token that is being read.
#[derive(Default)]
pub(super) struct TokenKeyDraft {
    token: Token,
    pin: Option<Secret>,
}

pub(super) const TOKEN_KEY: &[Setting<TokenKeyDraft>] = settings!(TokenKeyDraft {
    "handle": HANDLE, "none, required", "CKA_ID of the private key on a PKCS#11 token."
        => |t, v| t.token.handle = Some(v);
    "slot": SLOT, "any", "Slot of that token."
        => |t, v| t.token.slot = Some(v);
    "module": TEXT, "any",
        "Module of that token in charon.plugins.pkcs11.modules of strongswan.conf; charon only uses it together with slot."
        => |t, v| t.token.module = Some(v);
    "pin": PASSPHRASE, "none", "PIN of the token, kept in memory as long as the key is loaded."
        => |t, v| t.pin = Some(v);
});

/// The length of an NT hash, in bytes.
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
                configuration.secrets.extend(secret.flatten());
            }
            Section::Private(directory) => {
                let key = report.keep(read_key_file(directory, entry));
                configuration.private_keys.extend(key);
            }
            Section::Container => {
                let container = report.keep(read_key_file("pkcs12", entry));
                configuration.containers.extend(container);
            }
            Section::Token => {
                let key = report.keep(read_token_key(entry));
                configuration.token_keys.extend(key.flatten());
            }
        }
    }
    Ok(())
}

/// Entries that are not objects are reported and left out.
fn entries<'a>(section: Node<'a>) -> Result<Vec<Fields<'a>>> {
    let report = section.report();
    let fields = |entry: Node<'a>| report.keep(entry.into_fields());
    if section.is_array() {
        let items = section.into_items()?.into_iter();
        return Ok(items.filter_map(fields).collect());
    }
    let section = section.into_fields()?;
    let options = ["secret", "file", "handle", "slot", "module", "pin"];
    if options.iter().any(|option| section.has_value(option)) {
        return Ok(vec![section]);
    }
    let named = section.into_nodes();
    Ok(named.filter_map(|(_, entry)| fields(entry)).collect())
}

fn read_key_file(directory: &'static str, fields: Fields) -> Result<PrivateKey> {
    let option = fields.path("file");
    let (field, is_missing) = (fields.field_path("file"), !fields.has("file"));
    let mut draft = KeyFileDraft::default();
    fields.read(&mut draft, &[KEY_FILE]);
    if is_missing {
        return Err(field.refused("expected a file, found nothing"));
    }
    Ok(PrivateKey {
        // Without a path an error was reported, and the configuration is not used.
        file: CredentialFile {
            option,
            path: draft.path.unwrap_or_default(),
        },
        directory,
        passphrase: draft.passphrase,
    })
}

/// None if the handle is invalid, which was reported.
fn read_token_key(fields: Fields) -> Result<Option<TokenKey>> {
    let section = fields.own_path();
    let (field, is_missing) = (fields.field_path("handle"), !fields.has("handle"));
    let mut draft = TokenKeyDraft::default();
    fields.read(&mut draft, &[TOKEN_KEY]);
    if is_missing {
        return Err(
            field.refused("expected hex digits, the CKA_ID of a private key, found nothing")
        );
    }
    let object = draft.token.into_object(&section);
    let pin = draft.pin;
    Ok(object.map(|object| TokenKey { object, pin }))
}

/// None if the secret is invalid, which was reported.
fn read_shared(kind: SecretKind, fields: Fields) -> Result<Option<SharedSecret>> {
    let (field, is_missing) = (fields.field_path("secret"), !fields.has("secret"));
    let mut draft = SharedDraft::default();
    fields.read(&mut draft, &[SHARED]);
    if is_missing {
        return Err(field.refused("expected a string, found nothing"));
    }
    let Some(secret) = draft.secret else {
        return Ok(None);
    };
    if kind == SecretKind::Ntlm && secret.as_bytes().len() != NT_HASH {
        return Err(field.refused("expected 16 bytes after 0x or 0s, found a string"));
    }
    let ids = draft.ids;
    Ok(Some(SharedSecret { kind, ids, secret }))
}
