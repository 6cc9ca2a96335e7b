//! Why a schedule cannot be read, and where to look.

use std::fmt;
use std::ops::Range;

/// A schedule that cannot be followed. Its `Display` is one line: the field, what is wrong with
/// it, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    field: &'static str,
    message: String,
    remedy: Option<String>,
    place: Option<Place>,
}

/// Where in a cron expression it went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    expression: String,
    range: Range<usize>,
}

impl ScheduleError {
    pub(super) fn new(field: &'static str, message: impl Into<String>) -> ScheduleError {
        ScheduleError { field, message: message.into(), remedy: None, place: None }
    }

    /// Says what to write instead.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> ScheduleError {
        ScheduleError { remedy: Some(remedy.into()), ..self }
    }

    /// Marks `range`, in bytes, of a cron expression.
    pub(super) fn at(self, expression: &str, range: Range<usize>) -> ScheduleError {
        ScheduleError { place: Some(Place { expression: expression.to_owned(), range }), ..self }
    }

    /// The field of the JSON text that is at fault; `schedule` if it is the whole.
    pub fn field(&self) -> &str {
        self.field
    }

    /// What is wrong, without the field and the remedy.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead, where that is known.
    pub fn suggestion(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Which bytes of the cron expression are at fault.
    pub fn range(&self) -> Option<Range<usize>> {
        self.place.as_ref().map(|place| place.range.clone())
    }

    /// The line of `Display`, and below it the cron expression with the faulty part underlined.
    pub fn picture(&self) -> String {
        let Some(Place { expression, range }) = &self.place else { return self.to_string() };
        // One column per character, whatever stands in it.
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

/// Text from somebody's row as it may stand in a message: its beginning, in one line.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut shown: String = text.chars().take(CHARS_MAX).map(printable).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// A control character would garble the terminal of whoever reads the message.
fn printable(char: char) -> char {
    if char.is_control() { '\u{fffd}' } else { char }
}

/// "did you mean `x`?" for the one of `known` that `found` comes close to.
pub(super) fn did_you_mean<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let found: Vec<char> = found.chars().take(40).flat_map(char::to_lowercase).collect();
    let nearest = known.into_iter().map(|word| (distance(&found, word), word)).min()?;
    (nearest.0 <= 1 + found.len() / 4).then(|| format!("did you mean `{}`?", nearest.1))
}

/// How many characters must be put in, taken out, exchanged or swapped with their neighbour.
fn distance(found: &[char], word: &str) -> usize {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=word.len()).collect();
    for (i, found_char) in found.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, char) in word.iter().enumerate() {
            let exchanged = last[j] + usize::from(found_char != char);
            let mut least = exchanged.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && found[i - 1] == *char && *found_char == word[j - 1] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[word.len()]
}
