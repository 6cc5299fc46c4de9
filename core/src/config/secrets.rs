// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `secrets` of a document.

use super::model::IkeSecret;
use super::reader::{Fields, Node};
use crate::error::Result;

/// Reads the sections whose names begin with `ike`, as swanctl does.
///
/// A section is an entry, an array of entries, or an object of named ones.
pub(super) fn read(node: Node) -> Result<Vec<IkeSecret>> {
    let mut secrets = Vec::new();
    for (key, section) in node.into_fields()?.into_nodes() {
        if !key.starts_with("ike") {
            return Err(section.unknown(&["ike"]));
        }
        if section.is_array() {
            for entry in section.into_items()? {
                secrets.push(read_entry(entry.into_fields()?)?);
            }
            continue;
        }
        let fields = section.into_fields()?;
        if fields.has_text("secret") {
            secrets.push(read_entry(fields)?);
        } else {
            for (_, entry) in fields.into_nodes() {
                secrets.push(read_entry(entry.into_fields()?)?);
            }
        }
    }
    Ok(secrets)
}

/// swanctl has `id` with any suffix, for several owners.
fn read_entry(mut fields: Fields) -> Result<IkeSecret> {
    let secret = fields.require("secret", "a string")?.secret()?;
    let mut ids = Vec::new();
    for (key, node) in fields.into_nodes() {
        if !key.starts_with("id") {
            return Err(node.unknown(&["id", "secret"]));
        }
        ids.extend(node.whole_texts()?);
    }
    Ok(IkeSecret { ids, secret })
}
