//! How far long work has come: one line on standard error, on a terminal only, gone when it is over.

use std::io::{IsTerminal as _, Write as _};

/// How wide the bar is, in characters.
const WIDTH: usize = 30;

/// One stretch of work.
pub(crate) struct Progress {
    doing: &'static str,
    done: usize,
    all: usize,
    is_shown: bool,
}

impl Progress {
    /// Of `all` things, none is done yet.
    pub(crate) fn new(doing: &'static str, all: usize) -> Progress {
        let progress = Progress { doing, done: 0, all, is_shown: std::io::stderr().is_terminal() };
        progress.show();
        progress
    }

    /// One more is done.
    pub(crate) fn advance(&mut self) {
        self.done += 1;
        self.show();
    }

    /// Takes the line away, so that something else may be said; the next step brings it back.
    pub(crate) fn clear(&self) {
        self.write("\r\x1b[K");
    }

    fn show(&self) {
        self.write(&format!("\r\x1b[K{}", self.line()));
    }

    fn line(&self) -> String {
        let Progress { doing, done, all, .. } = self;
        let filled = (WIDTH * done).checked_div(*all).unwrap_or(WIDTH).min(WIDTH);
        let bar = "#".repeat(filled) + &".".repeat(WIDTH - filled);
        format!("{doing} [{bar}] {done} of {all}")
    }

    fn write(&self, text: &str) {
        if self.is_shown {
            let mut stderr = std::io::stderr().lock();
            // Nobody is told anything else by it.
            let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_has_come() {
        let mut progress = Progress { doing: "checking", done: 0, all: 4, is_shown: false };
        assert_eq!(progress.line(), format!("checking [{}] 0 of 4", ".".repeat(WIDTH)));
        progress.advance();
        progress.advance();
        let half = "#".repeat(WIDTH / 2) + &".".repeat(WIDTH / 2);
        assert_eq!(progress.line(), format!("checking [{half}] 2 of 4"));
        let none = Progress { doing: "checking", done: 0, all: 0, is_shown: false };
        assert_eq!(none.line(), format!("checking [{}] 0 of 0", "#".repeat(WIDTH)));
    }
}
