// SPDX-License-Identifier: GPL-2.0-or-later

//! Tables that fit a terminal.

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
                .map(|row| width(&row[column]))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let room = WIDTH.saturating_sub(GAP * headings.len().saturating_sub(1));
    // The first one, by which a row is known, keeps up to half of the line.
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
            line.push_str(&format!(
                "{:<width$}",
                cut(cell, *width),
                width = width + GAP
            ));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names come from outside: nothing in them may steer a terminal.
pub fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}~")
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
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        assert!(text.contains("~  ") && text.contains("short"), "{text}");
    }

    #[test]
    fn names_do_not_steer_the_terminal() {
        let text = table(&["A"], &[vec!["a\u{1b}[2Jb\nc".to_owned()]]);
        assert_eq!(text, "A\na?[2Jb?c\n");
    }
}
