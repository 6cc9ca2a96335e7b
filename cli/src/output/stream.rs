//! A list without an end: rows are shown as they arrive.

use serde::Serialize;

use super::{Column, Format, Of, Output, Reader, json_lines, write_or_closed};
use super::{rows, rows_of_tenants, tint, titles, titles_of_tenants, widen};
use operations::failure::Failure;

/// Writes the rows of such a list.
pub(crate) struct Stream<T: 'static> {
    output: Output,
    columns: &'static [Column<T>],
    /// Whether there is a column for the tenant.
    of_tenants: bool,
    /// The width of the widest cell so far, for each column.
    widths: Vec<usize>,
}

impl<T: Serialize> Stream<T> {
    /// # Errors
    /// When a single JSON value is wanted, which would never end.
    pub(crate) fn new(
        output: Output,
        columns: &'static [Column<T>],
        of_tenants: bool,
    ) -> Result<Stream<T>, Failure> {
        if output.format == Format::Json {
            let text = "--follow: one JSON value would never end; use `-o jsonl`, a line for each";
            return Err(Failure::Usage(text.to_owned()));
        }
        Ok(Stream { output, columns, of_tenants, widths: Vec::new() })
    }

    /// Shows rows.
    pub(crate) fn show(&mut self, items: Vec<Of<T>>) -> Result<Reader, Failure> {
        if items.is_empty() {
            return Ok(Reader::Reads);
        }
        if !self.output.is_for_people() {
            return write_or_closed(&match self.of_tenants {
                true => json_lines(&items)?,
                false => json_lines(&bare(items))?,
            });
        }
        let (titles, rows) = match self.of_tenants {
            true => (titles_of_tenants(self.columns), rows_of_tenants(&items, self.columns)),
            false => (titles(self.columns), rows(&bare(items), self.columns)),
        };
        let is_first = self.widths.is_empty();
        self.widths.resize(titles.len(), 0);
        widen(&mut self.widths, &titles);
        rows.iter().for_each(|row| widen(&mut self.widths, row));
        let mut text = String::new();
        if is_first {
            text += &self.output.row(&titles, &self.widths, |_| "1");
        }
        for row in &rows {
            text += &self.output.row(row, &self.widths, tint);
        }
        write_or_closed(&text)
    }
}

fn bare<T>(items: Vec<Of<T>>) -> Vec<T> {
    items.into_iter().map(|of| of.item).collect()
}
