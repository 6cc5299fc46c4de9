// SPDX-License-Identifier: GPL-2.0-or-later

//! Typed access to the document; every error names the path and what was expected.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;
use std::mem;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Value;
use super::secret::Secret;
use crate::error::{Error, Result};
use crate::failover::address::{is_any, Gateway, GatewayKind};

/// Longest part of a value or key in a message, in characters.
const SHOWN: usize = 64;

const GIVEN_TWICE: &str = "given twice";

/// A value and its path.
pub(super) struct Node {
    path: String,
    value: Value,
}

impl Node {
    pub(super) fn root(value: Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// Error that tells the type of the value only, for it may hold a secret.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        failed(&self.path, expected, self.value.type_name())
    }

    /// Error that shows the value.
    pub(super) fn unsuitable(&self, expected: &str) -> Error {
        match &self.value {
            Value::Text(text) => failed(&self.path, expected, &shown(text)),
            Value::Number(number) => failed(&self.path, expected, &number.to_string()),
            Value::Bool(value) => failed(&self.path, expected, &value.to_string()),
            _ => self.unexpected(expected),
        }
    }

    pub(super) fn given_twice(&self) -> Error {
        refused(&self.path, GIVEN_TWICE)
    }

    pub(super) fn unknown(&self, known: &[&str]) -> Error {
        let why = format!("unknown option, expected one of {}", known.join(", "));
        refused(&self.path, &why)
    }

    pub(super) fn into_fields(self) -> Result<Fields> {
        match self.value {
            Value::Object(fields) => Fields::new(self.path, fields),
            _ => Err(self.unexpected("an object")),
        }
    }

    pub(super) fn into_items(self) -> Result<Vec<Self>> {
        match self.value {
            Value::List(items) => {
                let item = |(index, value)| Self {
                    path: format!("{}[{index}]", self.path),
                    value,
                };
                Ok(items.into_iter().enumerate().map(item).collect())
            }
            _ => Err(self.unexpected("an array")),
        }
    }

    /// Objects that have names: `{NAME: {...}}` or `[{"name": NAME, ...}]`.
    pub(super) fn into_named(self) -> Result<Vec<(String, Fields)>> {
        match self.value {
            Value::Object(fields) => {
                let entries = Fields::new(self.path, fields)?.into_nodes();
                let named = |(name, node): (String, Self)| {
                    check_name(&node.path, &name)?;
                    Ok((name, node.into_fields()?))
                };
                entries.map(named).collect()
            }
            Value::List(_) => {
                let mut names = HashSet::new();
                let mut unique = |item: Self| {
                    let (name, fields) = item.into_fields()?.into_named()?;
                    if !names.insert(name.clone()) {
                        let path = join(&fields.path, "name");
                        return Err(failed(&path, "a name not used before", &shown(&name)));
                    }
                    Ok((name, fields))
                };
                self.into_items()?.into_iter().map(&mut unique).collect()
            }
            _ => Err(self.unexpected("an object or an array")),
        }
    }

    /// A string that is neither empty nor unfit for C and for log lines.
    pub(super) fn text(mut self) -> Result<String> {
        let Value::Text(text) = &mut self.value else {
            return Err(self.unexpected("a string"));
        };
        let text = mem::take(&mut **text);
        if text.trim().is_empty() {
            return Err(failed(&self.path, "a string", "an empty one"));
        }
        if text.chars().any(char::is_control) {
            let expected = "a string without control characters";
            return Err(failed(&self.path, expected, "one with them"));
        }
        Ok(text)
    }

    /// One string or an array of them; commas stay, for identities have commas in them.
    pub(super) fn whole_texts(self) -> Result<Vec<String>> {
        self.into_texts()?.into_iter().map(Self::text).collect()
    }

    /// One string or an array of them, all split at commas; an empty array is as good as none.
    pub(super) fn texts(self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for node in self.into_texts()? {
            let path = node.path.clone();
            let text = node.text()?;
            let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
            let before = texts.len();
            texts.extend(parts.map(str::to_owned));
            if texts.len() == before {
                return Err(failed(&path, "a string", &shown(&text)));
            }
        }
        Ok(texts)
    }

    /// Addresses as charon's `local_addrs` and `remote_addrs` take them.
    pub(super) fn addresses(self) -> Result<Vec<String>> {
        self.checked_texts(
            "IP addresses, DNS names, ranges, subnets or %any",
            |address| Gateway::parse(address).kind() != GatewayKind::Unusable,
        )
    }

    /// Addresses without names and patterns, as `vips` takes them.
    pub(super) fn ip_addresses(self) -> Result<Vec<String>> {
        self.checked_texts("IP addresses", |address| {
            is_any(address) || address.parse::<IpAddr>().is_ok()
        })
    }

    fn checked_texts(self, expected: &str, is_valid: fn(&str) -> bool) -> Result<Vec<String>> {
        let path = self.path.clone();
        let texts = self.texts()?;
        match texts.iter().find(|text| !is_valid(text)) {
            Some(text) => Err(failed(&path, expected, &shown(text))),
            None => Ok(texts),
        }
    }

    fn into_texts(self) -> Result<Vec<Self>> {
        match self.value {
            Value::Text(_) => Ok(vec![self]),
            Value::List(_) => self.into_items(),
            _ => Err(self.unexpected("a string or an array of strings")),
        }
    }

    /// One of some words; numbers and booleans count as the words that they are written with.
    pub(super) fn keyword<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let written = match &self.value {
            Value::Text(text) => Some(Cow::Borrowed(text.as_str())),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bool(value) => Some(value.to_string().into()),
            _ => None,
        };
        let found = written.and_then(|written| {
            let same = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(&written);
            words.iter().find(same).map(|(_, value)| *value)
        });
        found.ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.unsuitable(&format!("one of {}", words.join(", ")))
        })
    }

    /// What `parse` makes of a string.
    pub(super) fn parsed<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let parsed = match &self.value {
            Value::Text(text) => parse(text),
            _ => None,
        };
        parsed.ok_or_else(|| self.unsuitable(expected))
    }

    pub(super) fn boolean(&self) -> Result<bool> {
        self.keyword(&[
            ("true", true),
            ("false", false),
            ("yes", true),
            ("no", false),
            ("1", true),
            ("0", false),
        ])
    }

    /// A whole number, as a number or a string.
    pub(super) fn number<T>(&self, range: RangeInclusive<T>) -> Result<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<u32>,
    {
        let number = self.digits().and_then(|n| T::try_from(n).ok());
        number.filter(|n| range.contains(n)).ok_or_else(|| {
            let (from, to) = (range.start(), range.end());
            self.unsuitable(&format!("a number from {from} to {to}"))
        })
    }

    fn digits(&self) -> Option<u32> {
        match &self.value {
            Value::Number(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()),
            Value::Text(text) => parse_digits(text),
            _ => None,
        }
    }

    /// Six binary digits. Not a number, because 001110 is none in JSON.
    pub(super) fn dscp(&self) -> Result<u8> {
        let digits = match &self.value {
            Value::Text(text) if text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()) => {
                u8::from_str_radix(text, 2).ok()
            }
            _ => None,
        };
        digits.ok_or_else(|| self.unsuitable("a string of six binary digits such as \"101110\""))
    }

    /// Seconds, or a string with a unit such as `5m`.
    pub(super) fn time(&self) -> Result<Duration> {
        let seconds = match &self.value {
            Value::Text(text) => parse_time(text),
            _ => self.digits(),
        };
        let expected = "seconds below 2^32, or a string such as \"30s\", \"5m\", \"1h\" or \"1d\"";
        seconds
            .map(|s| Duration::from_secs(u64::from(s)))
            .ok_or_else(|| self.unsuitable(expected))
    }

    /// A time that may be a fraction of a second, at most 2^32 seconds.
    pub(super) fn precise_time(&self) -> Result<Duration> {
        let time = match &self.value {
            Value::Text(text) => parse_precise_time(text),
            Value::Number(number) => number.as_f64().and_then(precise_seconds),
            _ => None,
        };
        let expected = "seconds such as 0.5, or a string such as \"250ms\", \"1.5s\" or \"5m\"";
        time.ok_or_else(|| self.unsuitable(expected))
    }

    /// A number, as a number or a string.
    pub(super) fn fraction(&self, range: RangeInclusive<f64>, expected: &str) -> Result<f64> {
        let number = match &self.value {
            Value::Number(number) => number.as_f64(),
            Value::Text(text) => parse_decimal(text.trim()),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.unsuitable(expected))
    }

    pub(super) fn passphrase(self) -> Result<Secret> {
        match &self.value {
            Value::Text(text) => Secret::from_text(text)
                .ok_or_else(|| failed(&self.path, "a string", "an empty one")),
            _ => Err(self.unexpected("a string")),
        }
    }

    pub(super) fn secret(self) -> Result<Secret> {
        match &self.value {
            Value::Text(text) => Secret::parse(text)
                .map_err(|expected| failed(&self.path, expected, "something else")),
            _ => Err(self.unexpected("a string")),
        }
    }
}

/// The fields of an object, each to be taken once.
pub(super) struct Fields {
    path: String,
    fields: Vec<(String, Value)>,
}

impl Fields {
    fn new(path: String, fields: Vec<(String, Value)>) -> Result<Self> {
        let mut keys = HashSet::new();
        match fields.iter().find(|(key, _)| !keys.insert(key.as_str())) {
            Some((key, _)) => Err(refused(&join(&path, key), GIVEN_TWICE)),
            None => Ok(Self { path, fields }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == key)
    }

    /// The path of a field.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(super) fn has_text(&self, key: &str) -> bool {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        self.fields
            .iter()
            .any(|(name, v)| name == key && is_text(v))
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let position = self.fields.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.fields.remove(position);
        Some(Node {
            path: join(&self.path, key),
            value,
        })
    }

    /// Takes the objects, and arrays of them, whose keys begin with `prefix`, and what is `named` whatever
    /// it is; in the order of the document.
    pub(super) fn take_sections(&mut self, prefix: &str, named: &[&str]) -> Vec<(String, Node)> {
        let is_object = |value: &Value| matches!(value, Value::Object(_));
        let is_section = |(key, value): &(String, Value)| {
            let fits = match value {
                Value::List(items) => !items.is_empty() && items.iter().all(is_object),
                value => is_object(value),
            };
            key.starts_with(prefix) && fits || named.contains(&key.as_str())
        };
        let (sections, others) = mem::take(&mut self.fields)
            .into_iter()
            .partition(is_section);
        self.fields = others;
        let path = &self.path;
        let node = |(key, value): (String, Value)| {
            let path = join(path, &key);
            (key, Node { path, value })
        };
        Vec::into_iter(sections).map(node).collect()
    }

    /// Takes the `name` out of a list's entry.
    pub(super) fn into_named(mut self) -> Result<(String, Self)> {
        let node = self.require("name", "a name")?;
        let path = node.path.clone();
        let name = node.text()?;
        check_name(&path, &name)?;
        Ok((name, self))
    }

    pub(super) fn require(&mut self, key: &str, expected: &str) -> Result<Node> {
        let missing = failed(&join(&self.path, key), expected, "nothing");
        self.take(key).ok_or(missing)
    }

    /// Refuses options of a table that stand in both objects.
    pub(super) fn refuse_shared<T>(&self, other: &Self, options: &[Setting<T>]) -> Result<()> {
        match names(options).find(|key| self.has(key) && other.has(key)) {
            Some(key) => Err(refused(&join(&self.path, key), GIVEN_TWICE)),
            None => Ok(()),
        }
    }

    /// Takes the options of a table, in its order.
    pub(super) fn read<T>(&mut self, target: &mut T, options: &[Setting<T>]) -> Result<()> {
        for (key, set) in options {
            if let Some(node) = self.take(key) {
                set(target, node)?;
            }
        }
        Ok(())
    }

    pub(super) fn into_nodes(self) -> impl Iterator<Item = (String, Node)> {
        let path = self.path;
        self.fields.into_iter().map(move |(key, value)| {
            let path = join(&path, &key);
            (key, Node { path, value })
        })
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self, known: &[&str]) -> Result<()> {
        match self.into_nodes().next() {
            Some((_, node)) => Err(node.unknown(known)),
            None => Ok(()),
        }
    }
}

/// An option and what sets it.
pub(super) type Setting<T> = (&'static str, fn(&mut T, Node) -> Result<()>);

/// The names of a table's options.
pub(super) fn names<T>(options: &[Setting<T>]) -> impl Iterator<Item = &'static str> + '_ {
    options.iter().map(|(name, _)| *name)
}

fn failed(path: &str, expected: &str, found: &str) -> Error {
    refused(path, &format!("expected {expected}, found {found}"))
}

pub(super) fn refused(path: &str, why: &str) -> Error {
    let path = if path.is_empty() {
        "configuration"
    } else {
        path
    };
    Error::parsing(format!("{path}: {why}"))
}

fn check_name(path: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        let expected = "a name without control characters and surrounding blanks";
        return Err(failed(path, expected, &shown(name)));
    }
    Ok(())
}

fn join(path: &str, key: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let key = if !key.is_empty() && key.chars().all(is_plain) && key.chars().count() <= SHOWN {
        key.to_owned()
    } else {
        shown(key)
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// Quoted, escaped and not longer than a message can bear.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn parse_time(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    parse_digits(digits.trim_end())?.checked_mul(unit)
}

fn parse_precise_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 60.0 * 60.0,
        "d" => 24.0 * 60.0 * 60.0,
        _ => return None,
    };
    precise_seconds(parse_decimal(digits.trim_end())? * unit)
}

fn precise_seconds(seconds: f64) -> Option<Duration> {
    let fits = (0.0..=f64::from(u32::MAX)).contains(&seconds);
    fits.then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// Unlike `parse()` without a sign, an exponent, or `inf`.
fn parse_decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_plain.then(|| text.parse().ok()).flatten()
}

/// Unlike `parse()` without a sign.
fn parse_digits(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}
