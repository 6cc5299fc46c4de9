// SPDX-License-Identifier: GPL-2.0-or-later

//! Line and column of the values of a document, for errors that are found only after it was read.

use std::collections::HashMap;
use std::fmt;

use zeroize::Zeroizing;

use super::report::{key_shown, lines, shown, Entries};
use super::text::parts;
use crate::error::{Error, Result};

/// Where the values of a configuration are in the document. It does not contain the values themselves.
///
/// They are found by a path that is the same for all formats of the document: it has the names of connections,
/// CHILD_SAs and authorities, not their numbers, and no `ike_cfg` before its options.
#[derive(Clone, Default)]
pub struct Locations(HashMap<String, Location>);

#[derive(Clone)]
struct Location {
    /// The path in the document.
    path: String,
    /// Line and column, from 1.
    position: (usize, usize),
}

/// Configurations that differ only in where their values are written are equal.
impl PartialEq for Locations {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Locations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locations").field(&self.0.len()).finish()
    }
}

/// An error in a value that was found after the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the value, as in `connections.NAME.children.NAME.esp_proposals[0]`; the index counts the parts
    /// between commas of all texts of a list.
    pub path: String,
    /// What was expected and what was found; never a secret.
    pub why: String,
}

impl Problem {
    /// The value is not what was expected.
    pub fn expected(path: impl Into<String>, what: &str, found: &str) -> Self {
        Self {
            path: path.into(),
            why: format!("expected {what}, found {}", shown(found)),
        }
    }
}

/// All errors that were found after a configuration was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds all of those.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Records a problem, so that others are found as well.
    pub fn keep<T>(&mut self, result: std::result::Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.push(problem)).ok()
    }

    /// The result: `value`, unless there are problems.
    pub fn conclude<T>(self, value: T) -> std::result::Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// An error like those of [`parse`](super::parse): a line for each problem in the order of the document, with
    /// its path in the document, line and column.
    ///
    /// # Errors
    ///
    /// [`ParsingFailed`](crate::error::ErrorCode::ParsingFailed) if there is a problem.
    pub fn located(self, locations: &Locations) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let problems = self.0.iter();
        let mut told: Vec<_> = problems.map(|problem| locations.locate(problem)).collect();
        told.sort_unstable();
        // Two gateways may use a file that is named in one option.
        told.dedup();
        let told = told.into_iter().map(|(_, line)| line).collect();
        Err(Error::parsing(lines(told, 0)))
    }
}

impl Locations {
    /// The locations in a document that was read without an error.
    pub(super) fn of(json: &str) -> Self {
        let mut index = Index {
            cursor: Cursor::new(json),
            locations: Self::default(),
        };
        let json = json.trim();
        // A document may be a single connection.
        let is_single = !(Entries::of(json).iter()).any(|(key, _)| *key == "\"connections\"");
        match name_of(json).filter(|_| is_single) {
            Some(name) => index.add(&joined("connections", &name), "", json, json),
            None => index.add("", "", json, json),
        }
        index.locations
    }

    /// The position of the value, or of the innermost known value around it, and the line for the message.
    fn locate(&self, Problem { path, why }: &Problem) -> ((usize, usize), String) {
        let mut known = path.as_str();
        let place = loop {
            match (self.0.get(known), known.rfind(['.', '['])) {
                (Some(place), _) => break place,
                (None, Some(end)) => known = &known[..end],
                // The configuration does not come from a document.
                (None, None) => return ((0, 0), format!("{path}: {why}")),
            }
        };
        // The parts between commas are not entries of the document, so their index is not shown.
        let rest = path[known.len()..]
            .trim_start_matches(|c: char| "[]".contains(c) || c.is_ascii_digit());
        let path = match place.path.as_str() {
            "" => rest.trim_start_matches('.').to_owned(),
            shown => format!("{shown}{rest}"),
        };
        let (line, column) = place.position;
        (
            (line, column),
            format!("{path}: {why} at line {line} column {column}"),
        )
    }
}

/// Fills locations in the order of the document.
struct Index<'a> {
    cursor: Cursor<'a>,
    locations: Locations,
}

impl<'a> Index<'a> {
    /// Adds a value and all values in it. `path` is the path by which it is found, `shown` that in the document;
    /// it begins at `begin`, and `json` is its text.
    fn add(&mut self, path: &str, shown: &str, begin: &'a str, json: &'a str) {
        let place = Location {
            path: shown.to_owned(),
            position: self.cursor.advance(begin),
        };
        // Not that of its ike_cfg, which has the same path and comes later.
        self.locations.0.entry(path.to_owned()).or_insert(place);
        let entries = Entries::of(json);
        if json.starts_with('{') {
            for (key, value) in entries {
                let Some(name) = text(key) else { continue };
                let path = match name.as_str() {
                    "ike_cfg" => path.to_owned(),
                    // A single connection has them among its options.
                    "secrets" | "authorities" if shown.is_empty() => name.to_string(),
                    name => joined(path, name),
                };
                self.add(&path, &joined(shown, &key_shown(&name)), key, value);
            }
            return;
        }
        let is_named =
            ["connections", "authorities"].contains(&path) || path.ends_with(".children");
        let is_text = entries.iter().all(|(_, value)| value.starts_with('"'));
        let mut count = 0;
        for (index, (_, value)) in entries.into_iter().enumerate() {
            let shown = format!("{shown}[{index}]");
            if let Some(name) = name_of(value).filter(|_| is_named) {
                self.add(&joined(path, &name), &shown, value, value);
                continue;
            }
            let items = match text(value) {
                Some(text) if is_text => parts(&text).count(),
                _ => 1,
            };
            for item in count..count + items {
                self.add(&format!("{path}[{item}]"), &shown, value, value);
            }
            count += items;
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A string, without its quotes and escapes.
fn text(json: &str) -> Option<Zeroizing<String>> {
    serde_json::from_str(json).ok().map(Zeroizing::new)
}

/// The `name` of an object.
fn name_of(json: &str) -> Option<Zeroizing<String>> {
    let mut entries = Entries::of(json).into_iter();
    let (_, name) = entries.find(|(key, _)| json.starts_with('{') && *key == "\"name\"")?;
    text(name)
}

/// Counts lines and columns from the beginning of the document on.
struct Cursor<'a> {
    json: &'a str,
    offset: usize,
    position: (usize, usize),
}

impl<'a> Cursor<'a> {
    fn new(json: &'a str) -> Self {
        Self {
            json,
            offset: 0,
            position: (1, 1),
        }
    }

    /// The position of a part of the document, which must not be before the previous one.
    fn advance(&mut self, part: &str) -> (usize, usize) {
        let offset = part.as_ptr() as usize - self.json.as_ptr() as usize;
        for c in self.json[self.offset..offset].chars() {
            self.position = match (c, self.position) {
                ('\n', (line, _)) => (line + 1, 1),
                (_, (line, column)) => (line, column + 1),
            };
        }
        self.offset = offset;
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::parse;
    use crate::config::CertificateSource;

    /// The error message for a problem at that path.
    fn told(document: &str, path: &str) -> String {
        let mut problems = Problems::default();
        problems.push(Problem::expected(path, "this", "that"));
        let locations = parse(document).unwrap().locations;
        problems.located(&locations).unwrap_err().message
    }

    #[test]
    fn a_path_leads_to_the_place_in_every_shape() {
        let options =
            r#""proposals": "a,b", "local": [{"certs": ["c"]}], "vips": ["::, ::", "::"]"#;
        for (document, shown, column) in [
            (
                format!(r#"{{"connections": {{"site": {{{options}}}}}}}"#),
                "connections.site.",
                27,
            ),
            (
                format!(r#"{{"connections": [{{"name": "site", {options}}}]}}"#),
                "connections[0].",
                35,
            ),
            (format!(r#"{{"name": "site", {options}}}"#), "", 18),
        ] {
            for (path, shown_path, begin) in [
                ("proposals[1]", "proposals", 0),
                ("local[0].certs", "local[0].certs", 31),
                ("vips[1]", "vips[0]", 58),
                ("vips[2]", "vips[1]", 68),
                // Beside what is missing.
                ("local[0].auth", "local[0].auth", 30),
            ] {
                let column = column + begin;
                assert_eq!(
                    told(&document, &format!("connections.site.{path}")),
                    format!(
                        "{shown}{shown_path}: expected this, found \"that\" at line 1 column {column}"
                    ),
                );
            }
        }
    }

    #[test]
    fn keys_authorities_and_children_have_places() {
        let document =
            "\n\t{\"name\": \"site\", \"ike_cfg\": {\n \"proposals\": [\"\u{e9}\", \"b\"]},\n\
             \"children\": [{\"name\": \"net\", \"label\": \"x\"}],\n\
             \"authorities\": [{\"name\": \"ca\", \"file\": \"a\"}],\n\
             \"secrets\": {\"private-1\": [{\"file\": \"k\"}]}}";
        for (path, shown, place) in [
            (
                "connections.site.proposals[1]",
                "ike_cfg.proposals[1]",
                "line 3 column 21",
            ),
            ("connections.site.version", "version", "line 2 column 2"),
            (
                "connections.site.children.net.label",
                "children[0].label",
                "line 4 column 30",
            ),
            (
                "authorities.ca.file",
                "authorities[0].file",
                "line 5 column 32",
            ),
            (
                "secrets.private-1[0].file",
                "secrets.private-1[0].file",
                "line 6 column 28",
            ),
        ] {
            let expected = format!("{shown}: expected this, found \"that\" at {place}");
            assert_eq!(told(document, path), expected);
        }
    }

    #[test]
    fn a_file_of_a_list_has_a_place() {
        for list in ["certs", "cacerts", "ca_certs", "pubkeys"] {
            let document = format!(
                r#"{{"connections": {{"site": {{"local": {{"{list}": ["a,b",
                "c"]}}}}}}}}"#
            );
            let round = parse(&document)
                .unwrap()
                .connections
                .remove(0)
                .local
                .remove(0);
            let pubkeys = round.pubkeys.into_iter().map(CertificateSource::File);
            let mut files = [round.certs, round.cacerts, pubkeys.collect()].concat();
            let file = files.pop().unwrap();
            assert_eq!(file.name(), "c");
            let path = format!("connections.site.local.{}", file.option());
            assert_eq!(
                told(&document, &path),
                format!(
                    "connections.site.local.{list}[1]: expected this, found \"that\" at line 2 column 17"
                )
            );
        }
    }

    #[test]
    fn problems_are_told_in_the_order_of_the_document_and_once() {
        let configuration = parse(r#"{"name": "a", "version": 1, "vips": ["::"]}"#).unwrap();
        let mut problems = Problems::default();
        for path in ["vips[0]", "version", "vips[0]"] {
            let path = format!("connections.a.{path}");
            problems.push(Problem::expected(path, "this", "that"));
        }
        let error = problems.located(&configuration.locations).unwrap_err();
        assert_eq!(
            error.message,
            "version: expected this, found \"that\" at line 1 column 15\n\
             vips[0]: expected this, found \"that\" at line 1 column 38"
        );
    }

    #[test]
    fn not_more_are_told_than_by_the_reader() {
        let mut problems = Problems::default();
        for index in 0..23 {
            problems.push(Problem::expected(format!("a{index}"), "this", "that"));
        }
        let error = problems.located(&Locations::default()).unwrap_err();
        assert_eq!(error.message.lines().count(), 21);
        assert!(error.message.ends_with("\nand 3 more errors"), "{error}");
    }

    #[test]
    fn places_have_no_values() {
        let document = r#"{"name": "a", "local": {"auth": "psk", "secret": "hunter2"},
            "secrets": {"ike": {"id": ["hunter2"], "secret": "hunter2"}}}"#;
        let locations = parse(document).unwrap().locations;
        assert!(locations.0.len() > 5);
        for (known, place) in &locations.0 {
            assert!(!format!("{known} {}", place.path).contains("hunter"));
        }
    }
}
