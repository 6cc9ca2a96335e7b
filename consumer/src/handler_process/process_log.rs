//! Logs what a handler process writes while its output belongs to no execution.

use std::collections::VecDeque;
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::outcome::clean;
use tracing::info;

/// The longest line that is logged, in bytes.
const LINE_BYTES_MAX: usize = 1024;
/// How many lines of a process are logged per [`PERIOD`]; further ones are only counted.
const LINES_MAX: u32 = 100;
const PERIOD: Duration = Duration::from_secs(1);
/// How much is kept for the health report and the log line about a death, in bytes and lines.
const KEPT_BYTES_MAX: usize = 2048;
const KEPT_LINES_MAX: usize = 20;

/// Logs the lines of a process, and keeps the last ones.
pub(super) struct ProcessLog {
    label: String,
    pid: i32,
    clock: Clock,
    /// An incomplete line.
    line: String,
    kept: VecDeque<String>,
    period: BootTime,
    lines: u32,
}

impl ProcessLog {
    pub(super) fn new(label: String, pid: i32, clock: Clock) -> ProcessLog {
        let (line, kept) = (String::new(), VecDeque::new());
        ProcessLog { label, pid, clock, line, kept, period: BootTime::ZERO, lines: 0 }
    }

    /// Appends text. `redact` gets it with the incomplete line before it, because a secret may have been
    /// written in two parts.
    pub(super) fn write(&mut self, mut text: &str, redact: impl FnOnce(&str) -> String) {
        if self.line.len() >= LINE_BYTES_MAX {
            let Some((_, rest)) = text.split_once('\n') else { return };
            self.end_line();
            text = rest;
        }
        let text = redact(&(std::mem::take(&mut self.line) + text));
        for part in text.split_inclusive('\n') {
            self.line += part;
            if part.ends_with('\n') {
                self.end_line();
            }
        }
    }

    /// The last lines, without passwords in URLs.
    pub(super) fn tail(&mut self) -> String {
        self.end_line();
        let mut tail = String::new();
        for line in self.kept.iter().rev() {
            if tail.len() + line.len() > KEPT_BYTES_MAX {
                break;
            }
            tail = format!("{line}\n{tail}");
        }
        tail.trim_end().to_owned()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = clean(line.trim_end(), LINE_BYTES_MAX);
        if line.is_empty() {
            return;
        }
        self.log(&line);
        self.kept.push_back(line);
        if self.kept.len() > KEPT_LINES_MAX {
            self.kept.pop_front();
        }
    }

    fn log(&mut self, line: &str) {
        let now = self.clock.boot_time();
        if now - self.period >= PERIOD {
            let left_out = self.lines.saturating_sub(LINES_MAX);
            if left_out > 0 {
                info!(
                    command = self.label,
                    pid = self.pid,
                    left_out,
                    "a handler process writes too many lines"
                );
            }
            (self.period, self.lines) = (now, 0);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines <= LINES_MAX {
            info!(command = self.label, pid = self.pid, "handler process: {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let mut log = ProcessLog::new("x".into(), 1, Clock::System);
        for number in 0..1000 {
            log.write(&format!("line {number}\nline "), str::to_owned);
            log.write(&format!("{number} b\n"), str::to_owned);
        }
        log.write(&"x".repeat(5000), str::to_owned);
        log.write("postgres://ann:s3cret@db/x", str::to_owned);
        let tail = log.tail();
        assert!(tail.starts_with("line 9") && tail.len() < 2100, "{tail}");
        assert!(!tail.contains("s3cret") && tail.ends_with("[…]"), "{tail}");
        assert!(log.line.len() < 7000);
    }

    #[test]
    fn a_secret_that_is_written_in_two_parts_is_redacted() {
        let mut log = ProcessLog::new("x".into(), 1, Clock::System);
        let redact = |text: &str| text.replace("hunter2", "[secret]");
        log.write("one hunter2\ntwo hun", redact);
        log.write("ter2, and a long line:", redact);
        log.write(&"x".repeat(2000), redact);
        log.write("hunter2", redact);
        log.write("hunter2\nhunter2 three", redact);
        let tail = log.tail();
        assert!(tail.starts_with("one [secret]\ntwo [secret], and"), "{tail}");
        assert!(tail.ends_with("[secret] three") && !tail.contains("hunter2"), "{tail}");
    }
}
