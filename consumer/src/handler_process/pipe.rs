//! Reads the standard output and standard error of a handler process.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use tokio::net::unix::pipe::Receiver;

use crate::utf8::Utf8;

/// The maximum number of bytes per read, so that one process does not keep others waiting.
const READ_BYTES_MAX: usize = 16 << 10;
/// The largest pipe that an unprivileged user may create. Output written before an event fits into it.
const PIPE_BYTES_MAX: usize = 1 << 20;

/// The reading end of a pipe to which the process writes text.
pub(super) struct Pipe {
    pipe: Receiver,
    /// The same pipe, read directly: tokio's reactor may not have noticed yet that it is readable.
    raw: File,
    utf8: Utf8,
    is_open: bool,
}

impl Pipe {
    pub(super) fn new(pipe: Receiver) -> io::Result<Pipe> {
        let raw = File::from(pipe.as_fd().try_clone_to_owned()?);
        Ok(Pipe { pipe, raw, utf8: Utf8::default(), is_open: true })
    }

    /// Waits for text. Never returns after the end of the stream. Cancel safe.
    pub(super) async fn next(&mut self) -> String {
        let mut buffer = [0; READ_BYTES_MAX];
        loop {
            if !self.is_open || self.pipe.readable().await.is_err() {
                return std::future::pending().await;
            }
            match self.pipe.try_read(&mut buffer) {
                Ok(0) => self.is_open = false,
                Ok(count) => return self.utf8.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.is_open = false,
            }
        }
    }

    /// All text that has been written so far.
    pub(super) fn written(&mut self) -> String {
        let mut text = String::new();
        let (mut buffer, mut count) = ([0; READ_BYTES_MAX], 0);
        while let Ok(read @ 1..) = self.raw.read(&mut buffer) {
            text += &self.utf8.push(&buffer[..read]);
            count += read;
            if count > PIPE_BYTES_MAX {
                break;
            }
        }
        text
    }

    /// The remaining text, after the process has exited.
    pub(super) fn rest(&mut self) -> String {
        self.written() + &self.utf8.rest()
    }
}
