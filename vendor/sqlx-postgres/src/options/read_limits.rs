//! Not part of the published crate: bounds on what a server may send.

use std::io;

use crate::error::Error;
use crate::message::{BackendMessageFormat, ReceivedMessage};
use crate::PgConnectOptions;

/// How many bytes a server may send. By default as many as it likes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PgReadLimits {
    row: usize,
    rows: usize,
    other: usize,
    pub(crate) looks_up_types: bool,
}

impl Default for PgReadLimits {
    fn default() -> Self {
        PgReadLimits {
            row: usize::MAX,
            rows: usize::MAX,
            other: usize::MAX,
            looks_up_types: true,
        }
    }
}

impl PgReadLimits {
    /// Called with a message's header, while its body is still on its way.
    #[inline]
    pub(crate) fn check(
        &self,
        format: &BackendMessageFormat,
        len: usize,
        received: &Received,
    ) -> Result<(), Error> {
        let max = if is_row(format) { self.row } else { self.other };
        if len > max {
            return Err(too_large(format!("{format:?} of {len} bytes, the limit is {max}")));
        }
        let (sent, max) = match is_row(format) {
            true => (received.rows, self.rows),
            false => (received.other, self.other),
        };
        if sent.saturating_add(len) > max {
            let what = if is_row(format) { "rows" } else { "messages besides rows" };
            return Err(too_large(format!("more than {max} bytes of {what} for one statement")));
        }
        Ok(())
    }
}

/// How many bytes a server has sent since it was ready for a query.
#[derive(Default)]
pub(crate) struct Received {
    rows: usize,
    other: usize,
}

impl Received {
    #[inline]
    pub(crate) fn add(&mut self, message: &ReceivedMessage) {
        let len = message.contents.len() + 5;
        match message.format {
            // A server that pretends to be ready gains nothing: each of these must have been asked for.
            BackendMessageFormat::ReadyForQuery => *self = Received::default(),
            ref format if is_row(format) => self.rows += len,
            _ => self.other += len,
        }
    }
}

fn is_row(format: &BackendMessageFormat) -> bool {
    matches!(format, BackendMessageFormat::DataRow | BackendMessageFormat::CopyData)
}

/// An error that no socket gives, so that it can be told from those by its kind.
fn too_large(what: String) -> Error {
    Error::Io(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the database server sent {what}"),
    ))
}

impl PgConnectOptions {
    /// Tells this crate from the published one.
    pub const KEEPS_READ_LIMITS: bool = true;

    /// Refuses, with [`io::ErrorKind::FileTooLarge`] and before there is memory for them: a row of
    /// more than `row` bytes and, between two messages that say that the server is ready for a
    /// query, more than `rows` bytes of rows or `other` bytes of other messages. The connection is of
    /// no use afterwards.
    pub fn read_limits(mut self, row: usize, rows: usize, other: usize) -> Self {
        self.read_limits.row = row;
        self.read_limits.rows = rows;
        self.read_limits.other = other;
        self
    }

    /// Whether types that are not built in are looked up in the server's catalogue, whose answers
    /// are kept as long as the connection. True by default.
    pub fn looks_up_types(mut self, looks_up: bool) -> Self {
        self.read_limits.looks_up_types = looks_up;
        self
    }
}
