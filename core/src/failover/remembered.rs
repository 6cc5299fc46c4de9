// SPDX-License-Identifier: GPL-2.0-or-later

//! The last good gateway of each connection, as a text that outlives the daemon.

use std::collections::BTreeMap;

/// Gateways by connection.
pub type Remembered = BTreeMap<String, String>;

/// Reads what [`format()`] wrote; None for anything else.
pub fn parse(text: &str) -> Option<Remembered> {
    let mut remembered = Remembered::new();
    for line in text.lines() {
        let (connection, gateway) = line.split_once('\t')?;
        if connection.is_empty() || gateway.is_empty() || gateway.contains('\t') {
            return None;
        }
        remembered.insert(connection.to_owned(), gateway.to_owned());
    }
    Some(remembered)
}

/// A line for each connection: its name, a tab, the gateway. Neither has control characters.
pub fn format(remembered: &Remembered) -> String {
    let lines = remembered.iter();
    lines
        .map(|(connection, gateway)| format!("{connection}\t{gateway}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut remembered = Remembered::new();
        assert_eq!(parse(&format(&remembered)), Some(remembered.clone()));
        remembered.insert("a b".to_owned(), "10.0.0.2".to_owned());
        remembered.insert("c".to_owned(), "segw.example".to_owned());
        assert_eq!(parse(&format(&remembered)), Some(remembered));
    }

    #[test]
    fn what_is_damaged_is_nothing() {
        for text in [
            "a",
            "a\t",
            "\t10.0.0.1",
            "a\t10.0.0.1\tb",
            "a\t10.0.0.1\n\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
