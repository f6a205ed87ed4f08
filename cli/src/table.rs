//! Tables: rows under headings, in aligned columns, as wide as the terminal where there is one.

use std::{fmt::Write as _, sync::OnceLock};

use unicode_width::UnicodeWidthStr;

use crate::text::{NONE, escape, inert, or_none};

/// Columns of the terminal that standard output is, if it is one: a fact of the process, read once.
static TERMINAL: OnceLock<Option<usize>> = OnceLock::new();

/// Below this a column of words is not cut.
const CUT_MIN: usize = 12;
/// Between two columns.
const GAP: usize = 2;

/// Tells how wide the terminal is; without it, or where output goes elsewhere, nothing is cut.
pub(crate) fn fit_to(columns: Option<usize>) {
    // The first to say so is right: there is one standard output.
    let _known_already = TERMINAL.set(columns);
}

/// Rows under headings. Every cell is escaped, and none is a formula to a spreadsheet.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(
            cells
                .iter()
                .map(|cell| inert(&escape(or_none(cell))))
                .collect(),
        );
    }

    /// The text, or the sentence where there is no row.
    pub(crate) fn or(self, empty: &str) -> String {
        if self.rows.len() == 1 {
            return format!("{empty}\n");
        }
        match TERMINAL.get().copied().flatten() {
            Some(columns) => self.fitted(columns),
            None => self.aligned(),
        }
    }

    /// In so many columns: without columns that say nothing, words cut where that helps, else each row as
    /// a block of its own, so that ids stay whole.
    fn fitted(mut self, columns: usize) -> String {
        self.drop_empty();
        let mut widths = self.widths();
        let taken =
            |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        while taken(&widths) > columns {
            let words = (0..widths.len()).filter(|column| self.is_words(*column));
            let widest = words.max_by_key(|column| widths[*column]);
            match widest {
                Some(column) if widths[column] > CUT_MIN => widths[column] -= 1,
                Some(_) | None => return self.blocks(),
            }
        }
        for row in &mut self.rows {
            for (cell, width) in row.iter_mut().zip(&widths) {
                *cell = cut(cell, *width);
            }
        }
        self.aligned()
    }

    /// Leaves out columns without a value in any row.
    fn drop_empty(&mut self) {
        let said: Vec<bool> = (0..self.columns())
            .map(|column| self.values(column).any(|cell| cell != NONE))
            .collect();
        for row in &mut self.rows {
            let mut column = 0;
            row.retain(|_| {
                column += 1;
                said.get(column - 1).copied().unwrap_or(true)
            });
        }
    }

    fn aligned(&self) -> String {
        let widths = self.widths();
        let numbers: Vec<bool> = (0..widths.len())
            .map(|column| self.is_numbers(column))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), is_number) in row.iter().zip(&widths).zip(&numbers) {
                let room = " ".repeat(width.saturating_sub(cell.width()));
                let _ = if *is_number {
                    write!(line, "{room}{cell}  ")
                } else {
                    write!(line, "{cell}{room}  ")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Each row as lines of heading and value.
    fn blocks(&self) -> String {
        let Some((headings, rows)) = self.rows.split_first() else {
            return String::new();
        };
        let width = headings.iter().map(|name| name.width()).max().unwrap_or(0);
        let blocks = rows.iter().map(|row| {
            let mut block = String::new();
            let said = headings.iter().zip(row).filter(|(_, cell)| *cell != NONE);
            for (heading, cell) in said {
                let _ = writeln!(block, "{heading:<width$}  {cell}");
            }
            block
        });
        blocks.collect::<Vec<_>>().join("\n")
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.columns())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.width()).max().unwrap_or(0)
            })
            .collect()
    }

    /// The cells of a column, without its heading.
    fn values(&self, column: usize) -> impl Iterator<Item = &str> {
        let rows = self.rows.iter().skip(1);
        rows.filter_map(move |row| row.get(column).map(String::as_str))
    }

    /// Whether every value is a number: those stand under each other at the right.
    fn is_numbers(&self, column: usize) -> bool {
        let number = |cell: &str| cell.bytes().all(|byte| byte.is_ascii_digit());
        self.values(column).all(|cell| cell == NONE || number(cell))
    }

    /// Whether a column may be cut: words and paths, not ids and codes, of which a part is worth nothing.
    fn is_words(&self, column: usize) -> bool {
        self.values(column)
            .any(|cell| cell.contains(' ') || cell.contains('/'))
    }
}

/// The text in so many columns; of a path the end stays, of words the beginning.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let is_path = text.contains('/') && !text.contains(' ');
    if is_path {
        let mut kept = text;
        while kept.width() > room {
            kept = behind_first(kept);
        }
        return format!("…{kept}");
    }
    let mut kept = text;
    while kept.width() > room {
        kept = before_last(kept);
    }
    format!("{}…", kept.trim_end())
}

fn behind_first(text: &str) -> &str {
    let mut letters = text.chars();
    letters.next();
    letters.as_str()
}

fn before_last(text: &str) -> &str {
    let mut letters = text.chars();
    letters.next_back();
    letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Table {
        let mut table = Table::new(["NAME", "BORN", "NODE"]);
        table.row(["María Eugenia O'Brien-Castañeda", "", "12D3KooWLong"]);
        table.row(["Ito", "", "12D3KooWLonger"]);
        table
    }

    #[test]
    fn columns_are_aligned_and_cells_escaped() {
        let mut table = Table::new(["NAME", "BORN"]);
        table.row(["Rosa", "04 Mar 1950"]);
        table.row(["Ma\nria Luz", ""]);

        let text = table.or("nobody");

        assert_eq!(
            text,
            "NAME            BORN\nRosa            04 Mar 1950\nMa\\u{a}ria Luz  -\n"
        );
        assert_eq!(Table::new(["NAME"]).or("nobody"), "nobody\n");
    }

    #[test]
    fn a_cell_that_starts_a_formula_is_inert() {
        let mut table = Table::new(["NAME", "PHONE"]);
        table.row(["=HYPERLINK(\"x\")", "+1 303 555 0100"]);

        let text = table.or("nobody");

        let row = text.lines().nth(1).unwrap_or_default();
        assert!(row.starts_with("'=HYPERLINK") && row.ends_with("  +1 303 555 0100"));
    }

    #[test]
    fn wide_letters_take_two_columns_and_numbers_stand_at_the_right() {
        let mut table = Table::new(["NAME", "COUNT", "SEX"]);
        table.row(["王美", "7", "F"]);
        table.row(["Rosa", "1200", "F"]);

        let text = table.or("nobody");

        assert_eq!(text, "NAME  COUNT  SEX\n王美      7  F\nRosa   1200  F\n");
    }

    #[test]
    fn a_terminal_cuts_words_and_never_ids() {
        let text = people().fitted(40);

        assert_eq!(
            text,
            "NAME                      NODE\nMaría Eugenia O'Brien-C…  12D3KooWLong\n\
             Ito                       12D3KooWLonger\n"
        );
        assert!(text.lines().all(|line| line.width() <= 40));
    }

    #[test]
    fn what_does_not_fit_at_all_stands_in_blocks() {
        let text = people().fitted(20);

        assert_eq!(
            text,
            "NAME  María Eugenia O'Brien-Castañeda\nNODE  12D3KooWLong\n\n\
             NAME  Ito\nNODE  12D3KooWLonger\n"
        );
    }

    #[test]
    fn a_path_keeps_its_end() {
        assert_eq!(cut("/in/bulk/Patient.ndjson", 16), "…/Patient.ndjson");
        assert_eq!(cut("one two three", 8), "one two…");
        assert_eq!(cut("one", 3), "one");
    }
}
