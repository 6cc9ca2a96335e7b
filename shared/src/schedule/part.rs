//! A part of a cron expression that knows its position, so that errors can underline it.

use std::ops::Range;

use super::error::ScheduleError;

/// A part of the expression's text, with its position in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub expression: &'a str,
    pub start: usize,
    pub end: usize,
}

impl<'a> Part<'a> {
    /// Splits an expression at white space.
    pub(super) fn split(expression: &str) -> Vec<Part<'_>> {
        let parts = expression.split_whitespace().map(|part| {
            let start = part.as_ptr().addr() - expression.as_ptr().addr();
            Part { expression, start, end: start + part.len() }
        });
        parts.collect()
    }

    pub(super) fn text(self) -> &'a str {
        &self.expression[self.start..self.end]
    }

    /// The sub-part at `range`, in bytes from this part's start.
    pub(super) fn slice(self, range: Range<usize>) -> Part<'a> {
        Part { start: self.start + range.start, end: self.start + range.end, ..self }
    }

    /// Splits at the first `separator`, which is dropped.
    pub(super) fn divide(self, separator: char) -> Option<(Part<'a>, Part<'a>)> {
        let at = self.text().find(separator)?;
        let after = at + separator.len_utf8();
        Some((self.slice(0..at), self.slice(after..self.text().len())))
    }

    pub(super) fn error(self, message: impl Into<String>) -> ScheduleError {
        ScheduleError::new("cron", message).at(self.expression, self.start..self.end)
    }
}
