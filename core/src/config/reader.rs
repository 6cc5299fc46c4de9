// SPDX-License-Identifier: GPL-2.0-or-later

//! Typed access to the document; every error has the path, line and column, and what was expected.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;
use std::mem;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Value;
use super::model::{Mark, UNIQUE, UNIQUE_DIR};
use super::report::{shown, Path, Report};
use super::secret::{decode_hex, Secret};
use super::text::{
    is_regular_expression, is_traffic_selector, parse_bytes, parse_digits, parse_time, parts,
};
use crate::domain::address::{is_any, Gateway, GatewayKind};
use crate::domain::time;
use crate::error::{Error, Result};
use crate::strongswan::Version;

const GIVEN_TWICE: &str = "given twice";

/// How similar an unknown key must be to a known one for that to be suggested; 1 means equal.
const NEAR: f64 = 0.6;

/// The first strongSwan that accepts regular expressions as identities.
const REGULAR_EXPRESSIONS: Version = Version([6, 0, 2]);

/// A value and its path.
pub(super) struct Node<'a> {
    report: &'a Report<'a>,
    path: Path,
    value: Value,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: Value, report: &'a Report<'a>) -> Self {
        Self {
            report,
            path: Path::default(),
            value,
        }
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// Whether it is an array with objects among its items.
    pub(super) fn has_objects(&self) -> bool {
        let is_object = |value: &Value| matches!(value, Value::Object(_));
        matches!(&self.value, Value::List(items) if items.iter().any(is_object))
    }

    /// Whether it is an object or an array of them.
    pub(super) fn is_section(&self) -> bool {
        let is_object = |value: &Value| matches!(value, Value::Object(_));
        match &self.value {
            Value::List(items) => !items.is_empty() && items.iter().all(is_object),
            value => is_object(value),
        }
    }

    /// Its text, if it is a string.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its key in the surrounding object.
    pub(super) fn key(&self) -> &str {
        self.path.last()
    }

    /// What collects the errors.
    pub(super) fn report(&self) -> &'a Report<'a> {
        self.report
    }

    /// Error that shows only the type of the value, because the value may be a secret.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        self.failed(expected, self.value.type_name())
    }

    fn failed(&self, expected: &str, found: &str) -> Error {
        self.report.failed(&self.path, expected, found)
    }

    /// Error that shows the value.
    pub(super) fn unsuitable(&self, expected: &str) -> Error {
        match &self.value {
            Value::Text(text) => self.failed(expected, &shown(text)),
            Value::Number(number) => self.failed(expected, &number.to_string()),
            Value::Bool(value) => self.failed(expected, &value.to_string()),
            _ => self.unexpected(expected),
        }
    }

    pub(super) fn given_twice(&self) -> Error {
        self.report.refused(&self.path, GIVEN_TWICE)
    }

    pub(super) fn unknown(&self, known: &[&str]) -> Error {
        let key = self.path.last();
        let nearest = known
            .iter()
            .map(|name| (strsim::normalized_damerau_levenshtein(key, name), name))
            .filter(|(nearness, _)| *nearness >= NEAR)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let why = match nearest {
            Some((_, name)) => format!("unknown option, did you mean {name}?"),
            None => format!("unknown option, expected one of {}", known.join(", ")),
        };
        self.report.refused(&self.path, &why)
    }

    /// Error if the strongSwan that the document is for is older than `since`.
    pub(super) fn check_version(&self, what: &str, since: Version) -> Result<()> {
        let strongswan = self.report.strongswan;
        if strongswan >= since {
            return Ok(());
        }
        let why = format!("{what}needs strongSwan {since} or later, this is for {strongswan}");
        Err(self.report.refused(&self.path, &why))
    }

    pub(super) fn into_fields(self) -> Result<Fields<'a>> {
        match self.value {
            Value::Object(fields) => Fields::new(self.report, self.path, fields),
            _ => Err(self.unexpected("an object")),
        }
    }

    pub(super) fn into_items(self) -> Result<Vec<Self>> {
        match self.value {
            Value::List(items) => {
                let item = |(index, value)| Self {
                    report: self.report,
                    path: self.path.item(index),
                    value,
                };
                Ok(items.into_iter().enumerate().map(item).collect())
            }
            _ => Err(self.unexpected("an array")),
        }
    }

    /// Objects with names: `{NAME: {...}}` or `[{"name": NAME, ...}]`; invalid ones are reported and left
    /// out.
    pub(super) fn into_named(self) -> Result<Vec<(String, Fields<'a>)>> {
        let report = self.report;
        match self.value {
            Value::Object(fields) => {
                let entries = Fields::new(report, self.path, fields)?.into_nodes();
                let named = |(name, node): (String, Self)| {
                    check_name(&node, &name)?;
                    Ok((name, node.into_fields()?))
                };
                Ok(entries.filter_map(|e| report.keep(named(e))).collect())
            }
            Value::List(_) => {
                let mut names = HashSet::new();
                let mut unique = |item: Self| {
                    let (name, fields) = item.into_fields()?.into_named()?;
                    if !names.insert(name.clone()) {
                        let path = fields.path.missing("name");
                        return Err(report.failed(&path, "a name not used before", &shown(&name)));
                    }
                    Ok((name, fields))
                };
                let items = self.into_items()?.into_iter();
                Ok(items.filter_map(|i| report.keep(unique(i))).collect())
            }
            _ => Err(self.unexpected("an object or an array")),
        }
    }

    /// A string that is not empty and has no control characters, which C and log lines could not take.
    pub(super) fn text(mut self) -> Result<String> {
        let Value::Text(text) = &mut self.value else {
            return Err(self.unexpected("a string"));
        };
        let text = mem::take(&mut **text);
        if text.trim().is_empty() {
            return Err(self.failed("a string", "an empty one"));
        }
        if text.chars().any(char::is_control) {
            let expected = "a string without control characters";
            return Err(self.failed(expected, "one with them"));
        }
        Ok(text)
    }

    /// An identity. A regular expression (`type:^...$`) is refused for a strongSwan that does not support them:
    /// it would take the expression for an identity, which no peer has.
    pub(super) fn identity(self) -> Result<String> {
        match &self.value {
            Value::Text(text) if is_regular_expression(text) => {
                self.check_version("a regular expression ", REGULAR_EXPRESSIONS)?;
            }
            _ => {}
        }
        self.text()
    }

    /// One identity or an array of them.
    pub(super) fn identities(self) -> Result<Vec<String>> {
        self.into_texts()?.into_iter().map(Self::identity).collect()
    }

    /// One string or an array of them, not split at commas.
    pub(super) fn whole_texts(self) -> Result<Vec<String>> {
        self.into_texts()?.into_iter().map(Self::text).collect()
    }

    /// One string or an array of them, all split at commas; the array may be empty.
    pub(super) fn texts(self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for node in self.into_texts()? {
            let (report, path) = (node.report, node.path.clone());
            let text = node.text()?;
            let before = texts.len();
            texts.extend(parts(&text).map(str::to_owned));
            if texts.len() == before {
                return Err(report.failed(&path, "a string", &shown(&text)));
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

    /// Subnets, addresses, ranges and `dynamic`, each optionally followed by `[protocol/port]`.
    pub(super) fn traffic_selectors(self) -> Result<Vec<String>> {
        self.checked_texts(
            "a subnet (10.1.0.0/24), an address, a range of them or \"dynamic\", as needed with \
             [protocol/port]",
            is_traffic_selector,
        )
    }

    fn checked_texts(self, expected: &str, is_valid: fn(&str) -> bool) -> Result<Vec<String>> {
        let (report, path) = (self.report, self.path.clone());
        let texts = self.texts()?;
        match texts.iter().find(|text| !is_valid(text)) {
            Some(text) => Err(report.failed(&path, expected, &shown(text))),
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

    /// One of some words. A number or a boolean stands for the word that it is written as, and a boolean also
    /// for yes or no.
    pub(super) fn keyword<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let written: [Cow<str>; 2] = match &self.value {
            Value::Text(text) => [text.as_str().into(), "".into()],
            Value::Number(number) => [number.to_string().into(), "".into()],
            Value::Bool(true) => ["true".into(), "yes".into()],
            Value::Bool(false) => ["false".into(), "no".into()],
            _ => return Err(self.not_one_of(words)),
        };
        let found = words
            .iter()
            .find(|(word, _)| written.iter().any(|w| word.eq_ignore_ascii_case(w)));
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| self.not_one_of(words))
    }

    fn not_one_of<T>(&self, words: &[(&str, T)]) -> Error {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.unsuitable(&format!("one of {}", words.join(", ")))
    }

    /// The result of `parse` for a string.
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
            ("enabled", true),
            ("disabled", false),
            ("1", true),
            ("0", false),
        ])
    }

    /// A whole number, as a number or a string.
    pub(super) fn number<T>(&self, range: RangeInclusive<T>) -> Result<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<u64>,
    {
        let number = self.digits().and_then(|n| T::try_from(n).ok());
        number.filter(|n| range.contains(n)).ok_or_else(|| {
            let (from, to) = (range.start(), range.end());
            self.unsuitable(&format!("a number from {from} to {to}"))
        })
    }

    fn digits(&self) -> Option<u64> {
        match &self.value {
            Value::Number(number) => number.as_u64(),
            Value::Text(text) => parse_digits(text),
            _ => None,
        }
    }

    /// A string of six binary digits; JSON has no numbers with leading zeros.
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
        let seconds = seconds.filter(|s| *s <= u64::from(u32::MAX));
        let expected = "seconds below 2^32, or a string such as \"30s\", \"5m\", \"1h\" or \"1d\"";
        seconds
            .map(Duration::from_secs)
            .ok_or_else(|| self.unsuitable(expected))
    }

    /// A time that may be a fraction of a second, at most 2^32 seconds.
    pub(super) fn precise_time(&self) -> Result<Duration> {
        let time = match &self.value {
            Value::Text(text) => time::parse(text),
            Value::Number(number) => number.as_f64().and_then(time::from_seconds),
            _ => None,
        };
        let expected = "seconds such as 0.5, or a string such as \"250ms\", \"1.5s\" or \"5m\"";
        time.ok_or_else(|| self.unsuitable(expected))
    }

    /// A number, as a number or a string.
    pub(super) fn fraction(&self, range: RangeInclusive<f64>, expected: &str) -> Result<f64> {
        let number = match &self.value {
            Value::Number(number) => number.as_f64(),
            Value::Text(text) => time::parse_decimal(text.trim()),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.unsuitable(expected))
    }

    /// Bytes, or a string with a unit, which is a power of 1024, such as `500M`.
    pub(super) fn bytes(&self) -> Result<u64> {
        let bytes = match &self.value {
            Value::Text(text) => parse_bytes(text),
            _ => self.digits(),
        };
        bytes.ok_or_else(|| {
            self.unsuitable("bytes, or a string such as \"64K\", \"500M\" or \"1G\"")
        })
    }

    /// A number, or `%unique` or `%unique-dir`, with which charon allocates one for each SA.
    pub(super) fn if_id(&self) -> Result<u32> {
        let number = match &self.value {
            Value::Text(text) => parse_unique(text).or_else(|| parse_digits(text)),
            _ => self.digits(),
        };
        number
            .and_then(|n| n.try_into().ok())
            .ok_or_else(|| self.unsuitable("a number below 2^32, \"%unique\" or \"%unique-dir\""))
    }

    /// `value` or `value/mask`; the value may be `%unique` or `%unique-dir`.
    pub(super) fn mark(&self) -> Result<Mark> {
        let expected =
            "value or value/mask, where value is a number, \"%unique\" or \"%unique-dir\"";
        self.any_mark(parse_unique)
            .ok_or_else(|| self.unsuitable(expected))
    }

    /// `value` or `value/mask`; the value may be `%same`.
    pub(super) fn set_mark(&self) -> Result<Mark> {
        let same = |text: &str| {
            text.eq_ignore_ascii_case("%same")
                .then_some(u64::from(UNIQUE))
        };
        self.any_mark(same).ok_or_else(|| {
            self.unsuitable("value or value/mask, where value is a number or \"%same\"")
        })
    }

    fn any_mark(&self, word: fn(&str) -> Option<u64>) -> Option<Mark> {
        let (value, mask) = match &self.value {
            Value::Text(text) => {
                let (value, mask) = match text.split_once('/') {
                    Some((value, mask)) => (value, parse_digits(mask)?),
                    None => (text.as_str(), u64::from(u32::MAX)),
                };
                (word(value).or_else(|| parse_digits(value))?, mask)
            }
            _ => (self.digits()?, u64::from(u32::MAX)),
        };
        let (value, mask) = (u32::try_from(value).ok()?, u32::try_from(mask).ok()?);
        // The two highest numbers stand for the words.
        let value = if value >= UNIQUE_DIR {
            value
        } else {
            value & mask
        };
        Some(Mark { value, mask })
    }

    /// Bytes, or `mtu` for the path MTU, which is the highest number in charon.
    pub(super) fn padding(&self) -> Result<u32> {
        match &self.value {
            Value::Text(text) if text.as_str() == "mtu" => Ok(u32::MAX),
            _ => self
                .digits()
                .and_then(|n| n.try_into().ok())
                .ok_or_else(|| self.unsuitable("a number of bytes, or \"mtu\"")),
        }
    }

    /// Hex digits, with or without `0x`.
    pub(super) fn handle(&self) -> Result<Vec<u8>> {
        self.parsed("hex digits, the CKA_ID of an object on a token", |text| {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            let bytes = decode_hex(digits)?.to_vec();
            (!bytes.is_empty()).then_some(bytes)
        })
    }

    pub(super) fn passphrase(&self) -> Result<Secret> {
        match &self.value {
            Value::Text(text) => {
                Secret::from_text(text).ok_or_else(|| self.failed("a string", "an empty one"))
            }
            _ => Err(self.unexpected("a string")),
        }
    }

    pub(super) fn secret(&self) -> Result<Secret> {
        match &self.value {
            Value::Text(text) => {
                Secret::parse(text).map_err(|expected| self.failed(expected, "something else"))
            }
            _ => Err(self.unexpected("a string")),
        }
    }
}

/// The fields of an object, each to be taken once.
pub(super) struct Fields<'a> {
    report: &'a Report<'a>,
    path: Path,
    /// Position in the object, key and value.
    fields: Vec<(usize, String, Value)>,
}

impl<'a> Fields<'a> {
    /// Reports keys that are given twice, and keeps the first of them.
    fn new(report: &'a Report<'a>, path: Path, fields: Vec<(String, Value)>) -> Result<Self> {
        let mut keys = HashSet::new();
        let mut first = Vec::new();
        for (index, (key, value)) in fields.into_iter().enumerate() {
            if keys.insert(key.clone()) {
                first.push((index, key, value));
            } else {
                report.keep::<()>(Err(report.refused(&path.field(index, &key), GIVEN_TWICE)));
            }
        }
        Ok(Self {
            report,
            path,
            fields: first,
        })
    }

    /// What collects the errors.
    pub(super) fn report(&self) -> &'a Report<'a> {
        self.report
    }

    /// The strongSwan that the document is for.
    pub(super) fn strongswan(&self) -> Version {
        self.report.strongswan
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(_, name, _)| name == key)
    }

    /// The path of the object.
    pub(super) fn own_path(&self) -> String {
        self.path.to_string()
    }

    /// The path of a field.
    pub(super) fn path(&self, key: &str) -> String {
        self.path.missing(key).to_string()
    }

    /// Whether the field is there and its value is not an object.
    pub(super) fn has_value(&self, key: &str) -> bool {
        let is_object = |value: &Value| matches!(value, Value::Object(_));
        self.fields
            .iter()
            .any(|(_, name, v)| name == key && !is_object(v))
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Node<'a>> {
        let position = self.fields.iter().position(|(_, name, _)| name == key)?;
        let (index, _, value) = self.fields.remove(position);
        Some(Node {
            report: self.report,
            path: self.path.field(index, key),
            value,
        })
    }

    /// Takes the `name` out of an entry of an array.
    pub(super) fn into_named(mut self) -> Result<(String, Self)> {
        let node = self.require("name", "a name")?;
        let (report, path) = (node.report, node.path.clone());
        let name = node.text()?;
        let node = Node {
            report,
            path,
            value: Value::Null,
        };
        check_name(&node, &name)?;
        Ok((name, self))
    }

    pub(super) fn require(&mut self, key: &str, expected: &str) -> Result<Node<'a>> {
        let path = self.path.missing(key);
        match self.take(key) {
            Some(node) => Ok(node),
            None => Err(self.report.failed(&path, expected, "nothing")),
        }
    }

    /// The path of a field, for errors that are found after it was read.
    pub(super) fn field_path(&self, key: &str) -> FieldPath<'a> {
        let index = self.fields.iter().find(|(_, name, _)| name == key);
        let path = match index {
            Some((index, ..)) => self.path.field(*index, key),
            None => self.path.missing(key),
        };
        FieldPath {
            report: self.report,
            path,
        }
    }

    /// Reports options that are given both here and in the object `key`.
    pub(super) fn refuse_shared(&self, key: &str, is_option: impl Fn(&str) -> bool) {
        let inner = self.fields.iter().find(|(_, name, _)| name == key);
        let Some((index, _, Value::Object(inner))) = inner else {
            return;
        };
        let path = self.path.field(*index, key);
        for (index, (name, _)) in inner.iter().enumerate() {
            if self.has(name) && is_option(name) {
                let error = self.report.refused(&path.field(index, name), GIVEN_TWICE);
                self.report.keep::<()>(Err(error));
            }
        }
    }

    pub(super) fn into_nodes(self) -> impl Iterator<Item = (String, Node<'a>)> {
        let (report, path) = (self.report, self.path);
        self.fields.into_iter().map(move |(index, key, value)| {
            let path = path.field(index, &key);
            let node = Node {
                report,
                path,
                value,
            };
            (key, node)
        })
    }

    /// Reports the fields that were not taken as unknown.
    pub(super) fn finish(self, known: &[&str]) -> Result<()> {
        let report = self.report;
        for (_, node) in self.into_nodes() {
            report.keep::<()>(Err(node.unknown(known)));
        }
        Ok(())
    }
}

/// The path of a field.
pub(super) struct FieldPath<'a> {
    report: &'a Report<'a>,
    path: Path,
}

impl FieldPath<'_> {
    pub(super) fn refused(&self, why: &str) -> Error {
        self.report.refused(&self.path, why)
    }
}

fn check_name(node: &Node, name: &str) -> Result<()> {
    if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        let expected = "a name without control characters and surrounding blanks";
        return Err(node.failed(expected, &shown(name)));
    }
    Ok(())
}

fn parse_unique(text: &str) -> Option<u64> {
    match text.to_ascii_lowercase().as_str() {
        "%unique" => Some(UNIQUE.into()),
        "%unique-dir" => Some(UNIQUE_DIR.into()),
        _ => None,
    }
}
