//! Redacts secrets in everything that is stored or shown.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use url::Url;

use super::BYTES_MIN;
use super::encodings::{EXPANSION_MAX, Pattern};

/// What is shown instead of a secret.
const SHOWN: &str = "[secret]";
/// The shortest part of a secret URL that is redacted. Shorter ones would be found in unrelated texts.
const PART_BYTES_MIN: usize = 4;

/// Redacts an execution's secrets in texts, in every encoding that a common client may use. Clones share the
/// secrets.
#[derive(Clone, Default)]
pub struct Redactor(Arc<[Pattern]>);

impl Redactor {
    /// Redacts each of these secrets; also each line of a secret with several lines; and the host, the path
    /// with query, and the credentials of a secret URL.
    pub fn new(secrets: &[String]) -> Redactor {
        let mut known: Vec<&str> = Vec::new();
        let urls: Vec<Vec<String>> = secrets.iter().map(|secret| parts(secret)).collect();
        for (secret, parts) in secrets.iter().zip(&urls) {
            let lines = secret.lines().map(str::trim).filter(|line| line.len() >= BYTES_MIN);
            known.extend(lines.chain([secret.as_str()]).chain(parts.iter().map(String::as_str)));
        }
        known.sort_unstable();
        known.dedup();
        Redactor(known.into_iter().map(Pattern::new).collect())
    }

    /// The text without secrets.
    pub fn redact(&self, text: &str) -> String {
        let (mut redacted, mut from) = (String::new(), 0);
        for (start, end) in self.ranges(text) {
            redacted += &text[from..start];
            redacted += SHOWN;
            from = end;
        }
        redacted + &text[from..]
    }

    /// The first `bytes_max` bytes of a text without secrets; a secret across the cut is replaced as a
    /// whole. If the text itself was cut before, at least [`longest`](Redactor::longest) bytes must
    /// follow the first `bytes_max`.
    pub fn redact_beginning(&self, text: &str, bytes_max: usize) -> String {
        let cut = text.floor_char_boundary(bytes_max);
        let across = self.ranges(text).into_iter().find(|(start, end)| *start < cut && *end > cut);
        self.redact(&text[..across.map_or(cut, |(_, end)| end)])
    }

    /// The JSON without secrets, in names as well as in values.
    pub fn redact_json(&self, value: Value) -> Value {
        if self.0.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Array(values) => {
                values.into_iter().map(|value| self.redact_json(value)).collect()
            }
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| (self.redact(&name), self.redact_json(value)))
                .collect(),
            Value::Number(number) if self.occurs_in(&number.to_string()) => SHOWN.into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    /// Whether the text holds a secret.
    pub fn occurs_in(&self, text: &str) -> bool {
        !self.ranges(text).is_empty()
    }

    /// The maximum length of a secret in a text, in bytes, in any encoding; 0 without secrets.
    pub fn longest(&self) -> usize {
        self.0.iter().map(|secret| secret.len() * EXPANSION_MAX).max().unwrap_or_default()
    }

    /// The first position at or after `at` at which the text can be cut without splitting a secret.
    pub(crate) fn cut_after(&self, text: &str, at: usize) -> usize {
        let across = self.ranges(text).into_iter().find(|(start, end)| *start < at && *end > at);
        across.map_or_else(|| text.ceil_char_boundary(at), |(_, end)| end)
    }

    /// The ranges of the secrets, in ascending order, without overlaps.
    fn ranges(&self, text: &str) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        if self.0.is_empty() {
            return ranges;
        }
        let mut at = 0;
        while at < text.len() {
            let found = self.0.iter().filter_map(|secret| secret.find_at(text.as_bytes(), at));
            let Some((start, end)) = found.max_by_key(|(_, end)| *end) else {
                at += 1;
                continue;
            };
            let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
            match ranges.last_mut() {
                Some(last) if last.1 >= start => last.1 = end.max(last.1),
                _ => ranges.push((start, end)),
            }
            at = end;
        }
        ranges
    }
}

/// The parts of a URL that are as secret as the whole: an error names the host, a log line the
/// path.
fn parts(secret: &str) -> Vec<String> {
    let Ok(url) = Url::parse(secret) else { return Vec::new() };
    let Some(host) = url.host_str() else { return Vec::new() };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let parts = [Some(host), Some(url.username()), url.password(), Some(&path), Some(url.path())];
    let long = parts.into_iter().flatten().filter(|part| part.len() >= PART_BYTES_MIN);
    long.map(str::to_owned).collect()
}

/// Shows the number of secrets only.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} patterns)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor(secret: &str) -> Redactor {
        Redactor::new(&[secret.to_owned()])
    }

    #[test]
    fn a_secret_is_replaced_wherever_it_is() {
        let redactor = redactor("p\"ss w\u{f6}rd/1");
        for text in ["p\"ss w\u{f6}rd/1", r#"p\"ss w\u00f6rd/1"#, "p%22ss+w%c3%b6rd%2F1"] {
            assert_eq!(redactor.redact(&format!("<{text}>{text}")), "<[secret]>[secret]");
            assert!(redactor.occurs_in(text));
        }
        let json = json!({"p\"ss w\u{f6}rd/1": ["x p\"ss w\u{f6}rd/1"]});
        assert_eq!(redactor.redact_json(json), json!({"[secret]": ["x [secret]"]}));
        assert_eq!(Redactor::default().redact("nothing"), "nothing");
    }

    #[test]
    fn each_line_of_a_key_and_each_part_of_a_url_is_secret() {
        let key = redactor("-----BEGIN-----\nabcdefghij\n-----END-----");
        assert_eq!(key.redact("abcdefghij"), "[secret]");
        let hook = redactor("https://ann:pa55word@hooks.example.com/services/T0/B1?key=abc");
        for text in ["hooks.example.com", "pa55word", "/services/T0/B1?key=abc", "/services/T0/B1"]
        {
            assert_eq!(hook.redact(&format!("{text}: refused")), "[secret]: refused");
        }
    }

    #[test]
    fn a_cut_leaves_no_beginning_of_a_secret() {
        let redactor = redactor("hunter2-hunter2");
        for text in ["hunter2-hunter2", "aHVudGVyMi1odW50ZXIy", "%68unter2%2Dhunter2"] {
            for before in 0..40 {
                let text = format!("{}{text} and more", "x".repeat(before));
                let kept = redactor.redact_beginning(&text, 30);
                for part in ["hu", "r2", "aHV", "%6"] {
                    assert!(!kept.contains(part), "{before}: {kept}");
                }
                assert!(kept.len() <= 30 + SHOWN.len(), "{kept}");
            }
        }
        // Many secrets before it shorten the text, but what follows the cut stays away.
        let text = "hunter2-hunter2 ".repeat(5) + "hunter2-hunt";
        assert_eq!(redactor.redact_beginning(&text, 80), "[secret] ".repeat(5));
        assert_eq!(redactor.redact_beginning("äöü", 3), "ä");
    }

    #[test]
    fn a_cut_leaves_no_end_of_a_secret() {
        let redactor = redactor("hunter2-hunter2");
        let text = "x hunter2%2Dhunter2 y";
        assert_eq!(redactor.cut_after(text, 1), 1);
        assert_eq!(redactor.cut_after(text, 8), text.len() - 2);
        assert!(redactor.longest() >= text.len());
    }
}
