//! Makes untrusted text safe to print.
//!
//! A tenant chooses job names, error texts and output. Printed raw, a newline forges a log line, an
//! escape sequence drives the operator's terminal, and a bidirectional or zero-width character makes
//! one name look like another (CVE-2021-42574, "Trojan Source").

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes a text for one line: characters that control a terminal or mislead readers become escapes, such as
/// `\n`, `\u{1b}` or `\u{202e}`.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe, |text, character| {
        // Writing to a string does not fail.
        let _ = write!(text, "{}", character.escape_default());
    })
}

/// The same as [`line()`] for several lines: line feeds and tabs are kept.
pub fn lines(text: &str) -> Cow<'_, str> {
    let is_unsafe = |character| is_unsafe(character) && !matches!(character, '\n' | '\t');
    escaped(text, is_unsafe, |text, character| {
        let _ = write!(text, "{}", character.escape_default());
    })
}

/// Escapes the same characters in JSON text, as JSON escapes.
pub fn json(text: &str) -> Cow<'_, str> {
    let is_unsafe = |character| is_unsafe(character) && !matches!(character, '\n' | '\t');
    escaped(text, is_unsafe, |text, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    })
}

fn escaped(
    text: &str,
    is_unsafe: impl Fn(char) -> bool,
    escape: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_unsafe(character) {
            true => escape(&mut safe, character),
            false => safe.push(character),
        }
    }
    Cow::Owned(safe)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and what Unicode calls default
/// ignorable or bidirectional formatting: it takes no width, or reorders what is around it.
pub fn is_unsafe(character: char) -> bool {
    // Almost all text is printable ASCII, and each log line is read through here.
    if matches!(character, ' '..='~') {
        return false;
    }
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidirectional_characters_are_escaped_and_others_kept() {
        for (text, expected) in [
            (
                "nightly report, \u{e9}t\u{e9}, \u{65e5}\u{672c}",
                "nightly report, \u{e9}t\u{e9}, \u{65e5}\u{672c}",
            ),
            ("a\nERROR forged", "a\\nERROR forged"),
            ("\u{1b}]0;title\u{7}\u{1b}[2J", "\\u{1b}]0;title\\u{7}\\u{1b}[2J"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("pay\u{202e}lol", "pay\\u{202e}lol"),
            ("ac\u{200b}me\u{feff}", "ac\\u{200b}me\\u{feff}"),
            ("\u{e0041}", "\\u{e0041}"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(line(text), expected);
        }
        assert_eq!(lines("a\n\tb\r\u{1b}"), "a\n\tb\\r\\u{1b}");
        assert!(matches!(line("plain"), Cow::Borrowed(_)), "nothing is copied");
    }

    #[test]
    fn json_stays_the_same_value() {
        let text = serde_json::to_string("a\u{202e}b\u{85}\u{e0041}\n\u{1b}").unwrap();
        let safe = json(&text);
        assert!(!safe.contains(is_unsafe), "{safe}");
        let value: String = serde_json::from_str(&safe).unwrap();
        assert_eq!(value, "a\u{202e}b\u{85}\u{e0041}\n\u{1b}");
    }
}
