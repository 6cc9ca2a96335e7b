//! What a handler puts out while it runs: lines, of which the end is kept, and its progress.
//!
//! An [`Output`] is written to from the handler's thread and read from ours, which carries it to
//! the execution's row every now and then, and once more at the end. Secrets are taken out before
//! anything is cut, so that no half of one is left.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::outcome::{OUTPUT_BYTES_MAX, clean};
use crate::secrets::Redactor;

/// The most that is kept of a progress message, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;
/// What stands where the beginning was cut off.
const CUT: &str = "[…] ";

/// How far a handler has come, by its own word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How much is done, in the handler's own unit.
    pub done: u64,
    /// How much there is in all, if that is known.
    pub total: Option<u64>,
    /// What it is at.
    pub message: String,
}

/// What goes to the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The end of what was put out; none if nothing was.
    pub output: Option<String>,
    /// The progress, as JSON.
    pub progress: Option<Value>,
}

/// Where a handler's output goes. Clones are the same.
#[derive(Clone, Default)]
pub struct Output(Arc<Inner>);

#[derive(Default)]
struct Inner {
    redactor: Redactor,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The end of the text, with a margin for what redaction may have to look back at.
    text: String,
    /// Whether something before it was dropped.
    dropped: bool,
    progress: Option<Progress>,
    changes: u64,
}

thread_local! {
    /// The output of the handler that this thread is polling.
    static CURRENT: RefCell<Option<Output>> = const { RefCell::new(None) };
}

impl Output {
    /// Empty; it takes these secrets out of everything.
    pub fn new(redactor: Redactor) -> Output {
        Output(Arc::new(Inner { redactor, kept: Mutex::default() }))
    }

    /// Adds text as it is.
    pub fn write(&self, text: &str) {
        let mut kept = self.kept();
        kept.text.push_str(text);
        kept.changes += 1;
        let most = OUTPUT_BYTES_MAX + self.0.redactor.longest();
        if kept.text.len() > 2 * most {
            let cut = kept.text.ceil_char_boundary(kept.text.len() - most);
            kept.text.drain(..cut);
            kept.dropped = true;
        }
    }

    /// Adds a line.
    pub fn line(&self, text: impl fmt::Display) {
        self.write(&format!("{text}\n"));
    }

    /// Says how far the handler has come; what it said before is forgotten.
    pub fn progress(&self, progress: Progress) {
        let mut kept = self.kept();
        kept.progress = Some(progress);
        kept.changes += 1;
    }

    /// Grows whenever there is something new to report.
    pub fn changes(&self) -> u64 {
        self.kept().changes
    }

    /// What there is by now. While the handler runs, an unfinished line that may hold the
    /// beginning of a secret is held back.
    pub fn report(&self, finished: bool) -> Report {
        let kept = self.kept();
        let (redactor, text) = (&self.0.redactor, kept.text.as_str());
        let end = if finished { text.len() } else { self.safe_end(text) };
        let text = &text[..end];
        // What may be the end of a secret whose beginning was dropped goes, too.
        let margin = if kept.dropped { redactor.longest() } else { 0 };
        let start = redactor.cut_after(text, margin.min(text.len()));
        let shown = clean(&redactor.redact(&text[start..]), usize::MAX);
        let output = tail(&shown, kept.dropped && start > 0);
        let progress = kept.progress.as_ref().map(|progress| {
            let message = clean(&redactor.redact(&progress.message), MESSAGE_BYTES_MAX);
            json!({"done": progress.done, "total": progress.total, "message": message})
        });
        Report { output: (!output.is_empty()).then_some(output), progress }
    }

    fn safe_end(&self, text: &str) -> usize {
        match self.0.redactor.longest() {
            0 => text.len(),
            longest => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                line.max(text.floor_char_boundary(text.len().saturating_sub(longest)))
            }
        }
    }

    /// Takes this execution's secrets out of a text.
    pub fn redact(&self, text: &str) -> String {
        self.0.redactor.redact(text)
    }

    /// Runs a step of a handler; what is logged meanwhile on this thread belongs to it.
    pub fn enter<T>(&self, step: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self.clone()));
        let done = step();
        CURRENT.set(before);
        done
    }

    /// The output of the handler that this thread is polling now.
    pub fn current() -> Option<Output> {
        CURRENT.with_borrow(Clone::clone)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({} bytes)", self.kept().text.len())
    }
}

/// The end of a text that was cut, or is longer than is kept.
fn tail(text: &str, cut: bool) -> String {
    if !cut && text.len() <= OUTPUT_BYTES_MAX {
        return text.to_owned();
    }
    let room = OUTPUT_BYTES_MAX - CUT.len();
    let from = text.ceil_char_boundary(text.len().saturating_sub(room));
    format!("{CUT}{}", &text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "correct-horse-battery";

    fn with_secret() -> Output {
        Output::new(Redactor::new(&[SECRET.to_owned()]))
    }

    #[test]
    fn the_end_is_kept_and_says_that_it_is_one() {
        let output = Output::default();
        assert_eq!(output.report(true), Report::default());
        output.line("first");
        assert_eq!(output.report(false).output.as_deref(), Some("first\n"));
        for n in 0..20_000 {
            output.line(format!("line {n} ü"));
        }
        let kept = output.report(true).output.unwrap();
        assert!(kept.len() <= OUTPUT_BYTES_MAX && kept.len() > OUTPUT_BYTES_MAX - 20);
        assert!(kept.starts_with(CUT) && kept.ends_with("line 19999 ü\n"), "{kept:.40}");
    }

    #[test]
    fn no_part_of_a_secret_is_shown_wherever_the_cut_falls() {
        for shift in 0..40 {
            let output = with_secret();
            output.write(&"x".repeat(shift));
            for _ in 0..4000 {
                output.write(SECRET);
                output.write("\n");
            }
            let kept = output.report(true).output.unwrap();
            assert!(kept.contains("[secret]"));
            for part in ["correct", "horse", "battery", "ttery", "ect-h"] {
                assert!(!kept.contains(part), "shift {shift} shows {part}");
            }
        }
    }

    #[test]
    fn a_secret_that_is_half_written_waits() {
        let output = with_secret();
        output.write("the password is correct-horse");
        let shown = output.report(false).output.unwrap_or_default();
        assert!(!shown.contains("correct"), "{shown}");
        output.write("-battery\n");
        assert_eq!(output.report(false).output.unwrap(), "the password is [secret]\n");
    }

    #[test]
    fn progress_replaces_progress() {
        let output = with_secret();
        let at = |done| Progress { done, total: Some(10), message: format!("at {SECRET}\0") };
        output.progress(at(1));
        output.progress(at(2));
        let expected = json!({"done": 2, "total": 10, "message": "at [secret]\u{FFFD}"});
        assert_eq!(output.report(false).progress, Some(expected));
        assert_eq!(output.changes(), 2);
    }

    #[test]
    fn what_a_thread_polls_is_current_until_it_returns() {
        let (outer, inner) = (Output::default(), Output::default());
        outer.enter(|| {
            inner.enter(|| Output::current().unwrap().line("inner"));
            Output::current().unwrap().line("outer");
        });
        assert!(Output::current().is_none());
        assert_eq!(inner.report(true).output.unwrap(), "inner\n");
        assert_eq!(outer.report(true).output.unwrap(), "outer\n");
    }
}
