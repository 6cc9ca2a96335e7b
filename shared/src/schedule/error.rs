//! Why a schedule is invalid, and where the fault is.

use std::fmt;
use std::ops::Range;

/// Why a schedule is invalid. `Display` is one line: the field, what is wrong with it, and what to
/// write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    field: &'static str,
    message: String,
    remedy: Option<String>,
    location: Option<Location>,
}

/// The faulty part of a cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Location {
    expression: String,
    range: Range<usize>,
}

impl ScheduleError {
    pub(super) fn new(field: &'static str, message: impl Into<String>) -> ScheduleError {
        ScheduleError { field, message: message.into(), remedy: None, location: None }
    }

    /// Adds what to write instead.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> ScheduleError {
        ScheduleError { remedy: Some(remedy.into()), ..self }
    }

    /// The same error at the same position, with another message and remedy.
    pub(super) fn saying(self, message: String, remedy: String) -> ScheduleError {
        ScheduleError { message, remedy: Some(remedy), ..self }
    }

    /// The same error in the schedule with this index of `any`.
    pub(super) fn within(self, index: usize) -> ScheduleError {
        let field = if self.field == "schedule" { "" } else { &format!("{}: ", self.field) };
        let message = format!("schedule {}: {field}{}", index + 1, self.message);
        ScheduleError { field: "any", message, ..self }
    }

    /// Marks a range of a cron expression, in bytes, as faulty.
    pub(super) fn at(self, expression: &str, range: Range<usize>) -> ScheduleError {
        let location = Location { expression: expression.to_owned(), range };
        ScheduleError { location: Some(location), ..self }
    }

    /// The faulty field of the JSON text; `schedule` if the fault is not in one field.
    pub fn field(&self) -> &str {
        self.field
    }

    /// What is wrong, without the field and the remedy.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead, if known.
    pub fn suggestion(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The faulty bytes of the cron expression.
    pub fn range(&self) -> Option<Range<usize>> {
        self.location.as_ref().map(|location| location.range.clone())
    }

    /// The line of `Display` and, below it, the cron expression with the faulty part underlined.
    pub fn annotated(&self) -> String {
        let Some(Location { expression, range }) = &self.location else { return self.to_string() };
        // One column per character; control characters are replaced.
        let line: String = expression.chars().map(printable).collect();
        let column = |byte: usize| expression.char_indices().filter(|(at, _)| *at < byte).count();
        let (from, to) = (column(range.start), column(range.end));
        let carets = "^".repeat((to - from).max(1));
        format!("{self}\n    {line}\n    {:from$}{carets}", "")
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ScheduleError {}

/// Untrusted text made safe for a message: its first characters, in one line.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut shown: String = text.chars().take(CHARS_MAX).map(printable).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Replaces a control character, which could garble the reader's terminal.
fn printable(char: char) -> char {
    if char.is_control() { '\u{fffd}' } else { char }
}

/// "did you mean `x`?" with the word of `known` that is most similar to `found`, if any is similar.
pub(super) fn did_you_mean<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let found: Vec<char> = found.chars().take(40).flat_map(char::to_lowercase).collect();
    let (mut most, mut nearest) = (1 + found.len() / 4, None);
    for word in known {
        if let Some(distance) = distance(&found, word, most) {
            most = distance;
            nearest = nearest.into_iter().chain([(distance, word)]).min();
        }
    }
    nearest.map(|(_, word)| format!("did you mean `{word}`?"))
}

/// The Damerau-Levenshtein distance (optimal string alignment), ignoring case; none if it is more than
/// `most`. Stops early then: a hostile file can name an unknown time zone in each of its lines.
fn distance(found: &[char], word: &str, most: usize) -> Option<usize> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if found.len().abs_diff(word.len()) > most {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=word.len()).collect();
    for (i, found_char) in found.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, char) in word.iter().enumerate() {
            let substituted = last[j] + usize::from(found_char != char);
            let mut least = substituted.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && found[i - 1] == *char && *found_char == word[j - 1] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        // A transposition continues from the row before the last.
        if row.iter().chain(&last).all(|distance| *distance > most) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    Some(last[word.len()]).filter(|distance| *distance <= most)
}
