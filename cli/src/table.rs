// SPDX-License-Identifier: GPL-2.0-or-later

//! Tables that fit a terminal.

use textwrap::core::display_width;

/// Columns of a terminal.
const WIDTH: usize = 80;
const GAP: usize = 2;

/// The rows below their headings, each line at most [`WIDTH`] wide: the widest columns are cut.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut all = vec![headings.iter().map(|h| (*h).to_owned()).collect()];
    all.extend(
        rows.iter()
            .map(|row| row.iter().map(|cell| plain(cell)).collect()),
    );
    let rows: Vec<Vec<String>> = all;
    let mut widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            rows.iter()
                .map(|row| display_width(&row[column]))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let room = WIDTH.saturating_sub(GAP * headings.len().saturating_sub(1));
    // The first column identifies the row, and may keep up to half of the line.
    if let Some(first) = widths.first_mut() {
        *first = (*first).min(WIDTH / 2);
    }
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().skip(1).max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            _ => break,
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = cut(cell, *width);
            // The formatter counts characters, some of which are two columns wide.
            let padding = (width + GAP).saturating_sub(display_width(&cell));
            line.push_str(&cell);
            line.push_str(&" ".repeat(padding));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A line, wrapped at the width of a terminal.
pub fn wrap(line: &str) -> String {
    let options = textwrap::Options::new(WIDTH).subsequent_indent("    ");
    textwrap::fill(line, options) + "\n"
}

/// Without control characters: names come from outside, and must not control the terminal.
pub fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// The beginning of the text that fits into the width.
pub fn cut(text: &str, room: usize) -> String {
    if display_width(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        kept.push(character);
        if display_width(&kept) >= room {
            kept.pop();
            break;
        }
    }
    kept + "~"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_columns_below_each_other() {
        let rows = [
            vec!["net".to_owned(), "up".to_owned()],
            vec!["another".to_owned(), "down".to_owned()],
        ];
        assert_eq!(
            table(&["NAME", "STATE"], &rows),
            "NAME     STATE\nnet      up\nanother  down\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let rows = [vec!["x".repeat(200), "é".repeat(200), "short".to_owned()]];
        let text = table(&["A", "B", "C"], &rows);
        assert!(
            text.lines().all(|line| display_width(line) <= WIDTH),
            "{text}"
        );
        assert!(text.contains("~  ") && text.contains("short"), "{text}");
    }

    #[test]
    fn names_do_not_steer_the_terminal() {
        let text = table(&["A"], &[vec!["a\u{1b}[2Jb\nc".to_owned()]]);
        assert_eq!(text, "A\na?[2Jb?c\n");
    }
}
