// SPDX-License-Identifier: GPL-2.0-or-later

//! All errors of a document, each with its path, line and column.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::strongswan::Version;

/// How many errors are reported one by one; of the others only the number is.
const TOLD: usize = 20;

/// Longest part of a value or key in a message, in characters.
const SHOWN: usize = 64;

/// Collects the errors of a document.
pub(super) struct Report<'a> {
    json: &'a str,
    /// The strongSwan that the document is for.
    pub(super) strongswan: Version,
    lines: RefCell<Vec<String>>,
    untold: Cell<usize>,
}

impl<'a> Report<'a> {
    pub(super) fn new(json: &'a str, strongswan: Version) -> Self {
        Self {
            json,
            strongswan,
            lines: RefCell::default(),
            untold: Cell::default(),
        }
    }

    pub(super) fn failed(&self, path: &Path, expected: &str, found: &str) -> Error {
        self.refused(path, &format!("expected {expected}, found {found}"))
    }

    pub(super) fn refused(&self, path: &Path, why: &str) -> Error {
        // Finding line and column reads the document again, which a document full of errors is not worth.
        if self.lines.borrow().len() >= TOLD {
            return Error::parsing("");
        }
        let (line, column) = path.place(self.json);
        Error::parsing(format!("{path}: {why} at line {line} column {column}"))
    }

    pub(super) fn refused_document(&self, why: &str) -> Error {
        self.refused(&Path::default(), why)
    }

    /// Records an error, so that reading can go on.
    pub(super) fn keep<T>(&self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let mut lines = self.lines.borrow_mut();
                if lines.len() < TOLD {
                    lines.push(error.message);
                } else {
                    self.untold.set(self.untold.get() + 1);
                }
                None
            }
        }
    }

    /// The result: what was read, or all errors.
    pub(super) fn conclude<T>(self, result: Result<T>) -> Result<T> {
        let value = self.keep(result);
        let told = self.lines.into_inner();
        match value {
            Some(value) if told.is_empty() => Ok(value),
            _ => Err(Error::parsing(lines(told, self.untold.get()))),
        }
    }
}

/// The message for these errors and for `untold` more, which were left out already.
pub(super) fn lines(mut told: Vec<String>, untold: usize) -> String {
    let untold = untold + told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    if untold > 0 {
        told.push(format!("and {untold} more errors"));
    }
    told.join("\n")
}

/// The path of a value in the document.
#[derive(Clone, Default)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone)]
struct Step {
    /// Position in the object or array; None for a field that is missing.
    index: Option<usize>,
    /// Key as shown; None for an item of an array.
    key: Option<String>,
}

impl Path {
    pub(super) fn field(&self, index: usize, key: &str) -> Self {
        self.with(Some(index), Some(key_shown(key)))
    }

    pub(super) fn item(&self, index: usize) -> Self {
        self.with(Some(index), None)
    }

    /// A field that is missing; its line and column are those of the object.
    pub(super) fn missing(&self, key: &str) -> Self {
        self.with(None, Some(key_shown(key)))
    }

    fn with(&self, index: Option<usize>, key: Option<String>) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step { index, key });
        Self(steps)
    }

    /// The last key.
    pub(super) fn last(&self) -> &str {
        let key = self.0.last().and_then(|step| step.key.as_deref());
        key.unwrap_or_default()
    }

    /// Line and column, both from 1, of the key or the item.
    fn place(&self, json: &str) -> (usize, usize) {
        let start = json.len() - json.trim_start().len();
        let (mut offset, mut value) = (start, json);
        for step in &self.0 {
            let entry = step
                .index
                .and_then(|index| Entries::of(value).get(index).copied());
            let Some((key, entry)) = entry else {
                break;
            };
            // `key` is a part of `json`, so this is its offset in it.
            offset = key.as_ptr() as usize - json.as_ptr() as usize;
            value = entry;
        }
        let before = &json[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("configuration");
        }
        for (depth, step) in self.0.iter().enumerate() {
            match (&step.key, step.index) {
                (Some(key), _) if depth == 0 => f.write_str(key)?,
                (Some(key), _) => write!(f, ".{key}")?,
                (None, index) => write!(f, "[{}]", index.unwrap_or_default())?,
            }
        }
        Ok(())
    }
}

/// The entries of an object or an array as parts of the text: key and value, or item and item.
pub(super) struct Entries<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Entries<'a> {
    /// Empty for any other value.
    pub(super) fn of(json: &'a str) -> Vec<(&'a str, &'a str)> {
        serde_json::from_str(json).map_or_else(|_| Vec::new(), |Self(entries)| entries)
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(item) = seq.next_element::<&RawValue>()? {
            entries.push((item.get(), item.get()));
        }
        Ok(Entries(entries))
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            entries.push((key.get(), value.get()));
        }
        Ok(Entries(entries))
    }
}

pub(super) fn key_shown(key: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(is_plain) && key.chars().count() <= SHOWN {
        key.to_owned()
    } else {
        shown(key)
    }
}

/// Quoted, escaped and cut to [`SHOWN`] characters.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
