//! How results are shown: aligned text for people, JSON for programs.
//!
//! Text has no tabs, and colours only on a terminal. What a terminal would act on is escaped, in JSON
//! too: a job's name could otherwise rewrite the operator's screen, or look like another.

mod stream;

use std::io::{ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;
use shared::{environment, printable};

use crate::exit;
use operations::failure::Failure;
pub(crate) use operations::format::{maybe, time};
pub(crate) use stream::Stream;

/// The longest cell of a list; a record shows everything.
const CELL_CHARS_MAX: usize = 80;

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned text
    Table,
    /// One JSON value
    Json,
    /// One line of JSON for each item
    Jsonl,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    colour: bool,
}

/// Whether standard output is still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// What was written may be read.
    Reads,
    /// The reader has closed it, as `head` does when it has seen enough.
    Closed,
}

/// An item of one of several tenants.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Of<T> {
    pub(crate) tenant: String,
    #[serde(flatten)]
    pub(crate) item: T,
}

/// One column of a list, or one line of a record.
pub(crate) struct Column<T> {
    title: &'static str,
    cell: fn(&T) -> String,
    whole: bool,
}

/// A column with its title. Empty cells are shown as `-`.
pub(crate) const fn column<T>(title: &'static str, cell: fn(&T) -> String) -> Column<T> {
    Column { title, cell, whole: false }
}

/// A column that lists never shorten, because the reader must act on it.
pub(crate) const fn whole_column<T>(title: &'static str, cell: fn(&T) -> String) -> Column<T> {
    Column { title, cell, whole: true }
}

impl Output {
    /// In this format, coloured on a terminal unless `NO_COLOR` is set.
    pub fn new(format: Format) -> Output {
        let colour = std::io::stdout().is_terminal() && environment::variable("NO_COLOR").is_none();
        Output { format, colour }
    }

    /// Whether a person reads it, rather than a program.
    pub fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Whether all of it is one JSON value.
    pub(crate) fn is_document(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether to use colours.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Shows a list.
    pub(crate) fn list<T: Serialize>(
        &self,
        items: &[T],
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => write(&self.table(&titles(columns), &rows(items, columns))),
            Format::Json => write(&format!("{}\n", json(&items, true)?)),
            Format::Jsonl => write(&json_lines(items)?),
        }
    }

    /// The same for several tenants, with a column for the tenant.
    pub(crate) fn list_of_tenants<T: Serialize>(
        &self,
        items: &[Of<T>],
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        if !self.is_for_people() {
            return self.list(items, &[]);
        }
        write(&self.table(&titles_of_tenants(columns), &rows_of_tenants(items, columns)))
    }

    /// Reports a failure; with the tenant, if it was one of several.
    pub fn failure(&self, tenant: Option<&str>, failure: &Failure) {
        match (self.is_for_people(), tenant) {
            (true, Some(slug)) => say(&format!("{slug}: {failure}")),
            (true, None) => say(&format!("polychron: {failure}")),
            (false, _) => say(&json(&exit::document(failure, tenant), false).unwrap_or_default()),
        }
    }

    /// Shows one item.
    pub(crate) fn record<T: Serialize>(
        &self,
        item: &T,
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => write(&self.lines(item, columns)),
            Format::Json => write(&format!("{}\n", json(item, true)?)),
            Format::Jsonl => write(&format!("{}\n", json(item, false)?)),
        }
    }

    /// Writes other text for people.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        write(text)
    }

    fn table(&self, titles: &[String], rows: &[Vec<String>]) -> String {
        let mut widths = vec![0; titles.len()];
        widen(&mut widths, titles);
        rows.iter().for_each(|row| widen(&mut widths, row));
        let rows = rows.iter().map(|row| self.row(row, &widths, tint));
        std::iter::once(self.row(titles, &widths, |_| "1")).chain(rows).collect()
    }

    fn row(&self, cells: &[String], widths: &[usize], tint: fn(&str) -> &'static str) -> String {
        let mut text = String::new();
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            text += &self.tinted(cell, tint(cell));
            if at + 1 < cells.len() {
                text += &" ".repeat(width - cell.chars().count() + 2);
            }
        }
        text + "\n"
    }

    fn lines<T>(&self, item: &T, columns: &[Column<T>]) -> String {
        let width = columns.iter().map(|column| column.title.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Column { title, cell, .. } in columns {
            let cell = printable(&cell(item), true);
            if cell.is_empty() {
                continue;
            }
            // Text of several lines, such as a backtrace, stays in its column.
            let indented = cell.replace('\n', &format!("\n{}", " ".repeat(width + 2)));
            let gap = " ".repeat(width - title.len() + 2);
            text += &format!(
                "{}{gap}{}\n",
                self.tinted(title, "1"),
                self.tinted(&indented, tint(&cell))
            );
        }
        text
    }

    fn tinted(&self, text: &str, code: &str) -> String {
        if self.colour && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn titles<T>(columns: &[Column<T>]) -> Vec<String> {
    columns.iter().map(|column| column.title.to_owned()).collect()
}

fn titles_of_tenants<T>(columns: &[Column<T>]) -> Vec<String> {
    std::iter::once("TENANT".to_owned()).chain(titles(columns)).collect()
}

fn rows<T>(items: &[T], columns: &[Column<T>]) -> Vec<Vec<String>> {
    items.iter().map(|item| columns.iter().map(|column| column.shown(item)).collect()).collect()
}

fn rows_of_tenants<T>(items: &[Of<T>], columns: &[Column<T>]) -> Vec<Vec<String>> {
    let row = |of: &Of<T>| {
        let cells = columns.iter().map(|column| column.shown(&of.item));
        std::iter::once(of.tenant.clone()).chain(cells).collect()
    };
    items.iter().map(row).collect()
}

impl<T> Column<T> {
    /// The cell as a list shows it.
    fn shown(&self, item: &T) -> String {
        let cell = printable(&(self.cell)(item), false);
        match cell.is_empty() {
            true => "-".to_owned(),
            false if self.whole => cell,
            false => shortened(&cell),
        }
    }
}

/// Widens the columns for a row.
fn widen(widths: &mut [usize], row: &[String]) {
    for (width, cell) in widths.iter_mut().zip(row) {
        *width = (*width).max(cell.chars().count());
    }
}

fn json_lines<T: Serialize>(items: &[T]) -> Result<String, Failure> {
    items.iter().map(|item| Ok(json(item, false)? + "\n")).collect()
}

/// The colour of states and levels.
fn tint(cell: &str) -> &'static str {
    match cell {
        "success" | "ok" | "active" => "32",
        "failed" | "quarantined" | "problem" => "31",
        "suspended" | "paused" | "used up" | "skipped" | "cancelled" | "warning" => "33",
        "running" | "dispatched" => "36",
        _ => "",
    }
}

/// The text with escapes for what a terminal would act on, on one line or on several. White space
/// between words is harmless.
fn printable(text: &str, lines: bool) -> String {
    let text = text.trim_end().replace('\t', " ");
    match lines {
        true => printable::lines(&text).into_owned(),
        false => printable::line(&text.replace(['\n', '\r'], " ")).into_owned(),
    }
}

fn shortened(cell: &str) -> String {
    match cell.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell.to_owned(),
    }
}

fn json<T: Serialize + ?Sized>(item: &T, pretty: bool) -> Result<String, Failure> {
    let text =
        if pretty { serde_json::to_string_pretty(item) } else { serde_json::to_string(item) };
    let text =
        text.map_err(|error| Failure::Failed(format!("cannot be written as JSON: {error}")))?;
    Ok(printable::json(&text).into_owned())
}

fn write(text: &str) -> Result<(), Failure> {
    write_or_closed(text).map(|_| ())
}

/// Writes to standard output.
fn write_or_closed(text: &str) -> Result<Reader, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Closed),
        Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
    }
}

/// Writes a line for people to standard error.
pub fn say(text: &str) {
    // If standard error is closed, there is no one to write to.
    let _ = writeln!(std::io::stderr(), "{}", printable::lines(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<(String, i32)>] =
        &[column("NAME", |item| item.0.clone()), column("N", |item| item.1.to_string())];

    fn plain(colour: bool) -> Output {
        Output { format: Format::Table, colour }
    }

    #[test]
    fn a_table_is_aligned_without_tabs_and_terminal_escapes() {
        let items = [("a\tb\x1b[2J\nc".to_owned(), 7), (String::new(), 10)];
        let text = plain(false).table(&titles(COLUMNS), &rows(&items, COLUMNS));
        assert_eq!(text, "NAME            N\na b\\u{1b}[2J c  7\n-               10\n");
    }

    #[test]
    fn a_hostile_name_neither_drives_the_terminal_nor_looks_like_another() {
        let hostile = "pay\u{202e}lol\u{200b}\u{9b}31m\u{feff}";
        let items = [(hostile.to_owned(), 7)];
        let output = plain(false);
        let shown = [
            output.table(&titles(COLUMNS), &rows(&items, COLUMNS)),
            output.lines(&items[0], COLUMNS),
            json(&items, true).unwrap(),
            json_lines(&items).unwrap(),
        ];
        for text in &shown {
            let is_unsafe = |c: char| printable::is_unsafe(c) && c != '\n';
            assert!(text.contains("pay\\u") && !text.contains(is_unsafe), "{text:?}");
        }
        let value: serde_json::Value = serde_json::from_str(&shown[2]).unwrap();
        assert_eq!(value[0][0], hostile, "a program reads what it is");
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let items = [("success".to_owned(), 1)];
        assert!(
            plain(true)
                .table(&titles(COLUMNS), &rows(&items, COLUMNS))
                .contains("\x1b[32msuccess\x1b[0m")
        );
        assert!(!plain(false).table(&titles(COLUMNS), &rows(&items, COLUMNS)).contains('\x1b'));
    }

    #[test]
    fn a_record_leaves_out_what_is_empty_and_keeps_lines_in_their_column() {
        let text = plain(false).lines(&("one\ntwo".to_owned(), 3), COLUMNS);
        assert_eq!(text, "NAME  one\n      two\nN     3\n");
        assert_eq!(plain(false).lines(&(String::new(), 3), COLUMNS), "N     3\n");
    }
}
