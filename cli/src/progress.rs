//! Progress: one line on standard error, on a terminal only, removed at the end.

use std::io::{IsTerminal as _, Write as _};

use operations::step::Step;

/// How wide the bar is, in characters.
const WIDTH: usize = 30;

/// The progress line.
pub(crate) struct Progress {
    is_terminal: bool,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress { is_terminal: std::io::stderr().is_terminal() }
    }
}

impl Progress {
    /// Shows a step.
    pub(crate) fn show(&self, step: Step) {
        self.write(&format!("\r\x1b[K{}", line(step)));
    }

    /// Removes the line until the next step, so that something else can be written.
    pub(crate) fn clear(&self) {
        self.write("\r\x1b[K");
    }

    fn write(&self, text: &str) {
        if self.is_terminal {
            let mut stderr = std::io::stderr().lock();
            // If progress cannot be written, the command still succeeds.
            let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
        }
    }
}

fn line(Step { doing, done, all }: Step) -> String {
    let filled = (WIDTH * done).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
    let bar = "#".repeat(filled) + &".".repeat(WIDTH - filled);
    format!("{doing} [{bar}] {done} of {all}")
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
    fn the_line_shows_the_progress() {
        let mut step = Step::new("checking", 4);
        assert_eq!(line(step), format!("checking [{}] 0 of 4", ".".repeat(WIDTH)));
        step.done = 2;
        let half = "#".repeat(WIDTH / 2) + &".".repeat(WIDTH / 2);
        assert_eq!(line(step), format!("checking [{half}] 2 of 4"));
        let none = Step::new("checking", 0);
        assert_eq!(line(none), format!("checking [{}] 0 of 0", "#".repeat(WIDTH)));
    }
}
