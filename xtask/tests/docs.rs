// SPDX-License-Identifier: GPL-2.0-or-later

//! What the guide says of the sources is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

#[test]
fn troubleshooting_has_every_line_of_the_log() {
    let page = read("docs/troubleshooting.md");
    let shown: BTreeSet<String> = regex("`([^`]+)`")
        .captures_iter(&page)
        .map(|found| pattern(&found[1], "<[^>]*>"))
        .collect();
    let message = regex(r#"\blog::(?:error|warn|info)!\(\s*"((?:[^"\\]|\\.)*)""#);
    let mut messages = 0;
    let mut missing = String::new();
    for file in rust_files("src") {
        for found in message.captures_iter(&text_of(&file)) {
            let wanted = pattern(&found[1], r"\{[^}]*\}");
            messages += 1;
            // What is all variables is in the page by what it stands for.
            let says_something = wanted.contains(char::is_alphabetic);
            if says_something && !shown.contains(&wanted) {
                missing += &format!("{}: {}\n", file.display(), &found[1]);
            }
        }
    }
    assert!(messages > 15, "{messages} messages were found");
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md lacks lines of the log; with <...> for what varies:\n{missing}"
    );
}

#[test]
fn links_lead_somewhere() {
    let link = regex(r"\]\(([^)\s]+)\)");
    let mut pages = files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    let mut broken = String::new();
    for page in pages {
        let text = text_of(&page);
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => page.clone(),
                path => page.with_file_name(path),
            };
            let leads = match fs::read_to_string(&path) {
                Ok(text) => anchor.is_empty() || anchors(&text).contains(anchor),
                Err(_) => path.is_dir(),
            };
            if !leads {
                broken += &format!("{}: {target}\n", page.display());
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{broken}");
}

/// In the page for contributors, `path` is a file or directory, and `path` (`name`) also has `name`.
#[test]
fn contributing_names_what_there_is() {
    let page = read("docs/contributing.md").replace('\n', " ");
    let named = regex(r"`([\w./-]+/[\w./-]*)`(?: \(([^)]*`)\))?");
    let word = regex("`([^`]+)`");
    let mut wrong = String::new();
    let mut names = 0;
    for found in named.captures_iter(&page) {
        if found[1].starts_with("target/") {
            continue;
        }
        names += 1;
        let path = root().join(&found[1]);
        if !path.exists() {
            wrong += &format!("{} is not there\n", &found[1]);
            continue;
        }
        let inside = found.get(2).map_or("", |inside| inside.as_str());
        let text = fs::read_to_string(&path).unwrap_or_default();
        for name in word.captures_iter(inside) {
            let name = name[1].trim_end_matches("()");
            let name = name.rsplit("::").next().unwrap_or(name);
            if !regex(&format!(r"\b{name}\b")).is_match(&text) {
                wrong += &format!("{} has no {name}\n", &found[1]);
            }
        }
    }
    assert!(names > 30, "{names} names were found");
    assert!(wrong.is_empty(), "{wrong}");
}

/// A text with one mark in the place of whatever varies.
fn pattern(text: &str, varies: &str) -> String {
    let text = text.replace("\\\n", " ");
    let text = regex(varies).replace_all(&text, "*");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Those that a page's headings have where Markdown is shown.
fn anchors(page: &str) -> BTreeSet<String> {
    let heading = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        heading
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    let lines = page.lines();
    lines
        .filter(|line| line.starts_with('#'))
        .map(heading)
        .collect()
}

fn rust_files(directory: &str) -> Vec<PathBuf> {
    files(&root().join(directory), "rs")
}

/// The files below a directory that have the extension.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    text_of(&root().join(path))
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|e| panic!("{e}"))
}
