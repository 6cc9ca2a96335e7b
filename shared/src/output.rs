//! What a handler reports while it runs: its output, whose end is kept, and its progress.
//!
//! The handler writes to an [`Output`] from its thread. The engine reads it from another thread and
//! stores it in the execution's row, periodically and once at the end. Secrets are redacted before
//! the text is truncated, because a truncated secret would not be recognised.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::outcome::{OUTPUT_BYTES_MAX, clean};
use crate::secrets::Redactor;

/// The longest progress message that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Marks that the beginning was cut off.
const CUT: &str = "[…] ";

/// A handler's progress, as the handler reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How much is done, in the handler's own unit.
    pub done: u64,
    /// How much there is to do in total, if known.
    pub total: Option<u64>,
    /// What the handler is doing.
    pub message: String,
}

/// What is stored in the execution's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The end of the output; none if it is empty.
    pub output: Option<String>,
    /// The progress, as JSON.
    pub progress: Option<Value>,
}

/// Receives a handler's output and progress. Clones share them.
#[derive(Clone, Default)]
pub struct Output(Arc<Inner>);

#[derive(Default)]
struct Inner {
    redactor: Redactor,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The end of the text. It may be longer than what is reported by the longest secret, which
    /// redaction needs.
    text: String,
    /// Whether text before it was dropped.
    dropped: bool,
    progress: Option<Progress>,
    changes: u64,
}

thread_local! {
    /// The output of the handler that this thread is polling.
    static CURRENT: RefCell<Option<Output>> = const { RefCell::new(None) };
}

impl Output {
    /// An empty output that redacts with `redactor`.
    pub fn new(redactor: Redactor) -> Output {
        Output(Arc::new(Inner { redactor, kept: Mutex::default() }))
    }

    /// Appends text.
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

    /// Appends a line.
    pub fn line(&self, text: impl fmt::Display) {
        self.write(&format!("{text}\n"));
    }

    /// Replaces the progress.
    pub fn progress(&self, progress: Progress) {
        let mut kept = self.kept();
        kept.progress = Some(progress);
        kept.changes += 1;
    }

    /// The number of changes. It increases whenever there is something new to report.
    pub fn changes(&self) -> u64 {
        self.kept().changes
    }

    /// What to store while the handler runs: an incomplete line that may end with the beginning of a
    /// secret is held back.
    pub fn report(&self) -> Report {
        let kept = self.kept();
        self.report_until(self.safe_end(&kept.text), &kept)
    }

    /// What to store once the handler has finished.
    pub fn final_report(&self) -> Report {
        let kept = self.kept();
        self.report_until(kept.text.len(), &kept)
    }

    fn report_until(&self, end: usize, kept: &Kept) -> Report {
        let (redactor, text) = (&self.0.redactor, &kept.text[..end]);
        // After a cut, the text may begin with the rest of a secret. Drop that, too.
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

    /// The end of the text that cannot be part of an incomplete secret.
    fn safe_end(&self, text: &str) -> usize {
        match self.0.redactor.longest() {
            0 => text.len(),
            longest => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                line.max(text.floor_char_boundary(text.len().saturating_sub(longest)))
            }
        }
    }

    /// Redacts this execution's secrets in a text.
    pub fn redact(&self, text: &str) -> String {
        self.0.redactor.redact(text)
    }

    /// What redacts this execution's secrets.
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// Runs a step of a handler and makes this the thread's current output meanwhile.
    pub fn enter<T>(&self, step: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self.clone()));
        let done = step();
        CURRENT.set(before);
        done
    }

    /// The output of the handler that this thread is polling.
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

/// The end of a text that was `cut` or is too long.
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
    fn the_end_is_kept_and_marked() {
        let output = Output::default();
        assert_eq!(output.final_report(), Report::default());
        output.line("first");
        assert_eq!(output.report().output.as_deref(), Some("first\n"));
        for n in 0..20_000 {
            output.line(format!("line {n} ü"));
        }
        let kept = output.final_report().output.unwrap();
        assert!(kept.len() <= OUTPUT_BYTES_MAX && kept.len() > OUTPUT_BYTES_MAX - 20);
        assert!(kept.starts_with(CUT) && kept.ends_with("line 19999 ü\n"), "{kept:.40}");
    }

    #[test]
    fn no_part_of_a_secret_is_shown_wherever_the_text_is_cut() {
        for shift in 0..40 {
            let output = with_secret();
            output.write(&"x".repeat(shift));
            for _ in 0..4000 {
                output.write(SECRET);
                output.write("\n");
            }
            let kept = output.final_report().output.unwrap();
            assert!(kept.contains("[secret]"));
            for part in ["correct", "horse", "battery", "ttery", "ect-h"] {
                assert!(!kept.contains(part), "shift {shift} shows {part}");
            }
        }
    }

    #[test]
    fn an_incomplete_secret_is_held_back() {
        let output = with_secret();
        output.write("the password is correct-horse");
        let shown = output.report().output.unwrap_or_default();
        assert!(!shown.contains("correct"), "{shown}");
        output.write("-battery\n");
        assert_eq!(output.report().output.unwrap(), "the password is [secret]\n");
    }

    #[test]
    fn progress_is_replaced_and_redacted() {
        let output = with_secret();
        let at = |done| Progress { done, total: Some(10), message: format!("at {SECRET}\0") };
        output.progress(at(1));
        output.progress(at(2));
        let expected = json!({"done": 2, "total": 10, "message": "at [secret]\u{FFFD}"});
        assert_eq!(output.report().progress, Some(expected));
        assert_eq!(output.changes(), 2);
    }

    #[test]
    fn an_output_is_current_while_its_handler_is_polled() {
        let (outer, inner) = (Output::default(), Output::default());
        outer.enter(|| {
            inner.enter(|| Output::current().unwrap().line("inner"));
            Output::current().unwrap().line("outer");
        });
        assert!(Output::current().is_none());
        assert_eq!(inner.final_report().output.unwrap(), "inner\n");
        assert_eq!(outer.final_report().output.unwrap(), "outer\n");
    }
}
