//! Texts that a database cannot hold, because its encoding lacks a character: every character that is not
//! ASCII is replaced by its code point, as in `<U+2713>`. A success must not be recorded as a failure because of
//! a check mark in its output.

use serde_json::Value;

use super::error::StoreError;
use crate::output::Report;

/// Whether the database's encoding lacks a character of the data.
pub(super) fn lacks_a_character(error: &StoreError) -> bool {
    let StoreError::Refused(error) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.code());
    // untranslatable_character, character_not_in_repertoire
    matches!(code.as_deref(), Some("22P05" | "22021"))
}

/// A text in ASCII.
pub(super) fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => ascii.push(c),
            false => ascii.push_str(&format!("<U+{:04X}>", u32::from(c))),
        }
    }
    ascii
}

/// JSON in ASCII.
pub(super) fn json_in_ascii(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(in_ascii(text)),
        Value::Array(values) => values.iter().map(json_in_ascii).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (in_ascii(name), json_in_ascii(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

impl Report {
    /// The same in ASCII.
    pub(super) fn in_ascii(&self) -> Report {
        Report {
            output: self.output.as_deref().map(in_ascii),
            progress: self.progress.as_ref().map(json_in_ascii),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn characters_beyond_ascii_are_replaced_visibly() {
        assert_eq!(
            in_ascii("done \u{2713} na\u{ef}ve \u{1f600}\n"),
            "done <U+2713> na<U+00EF>ve <U+1F600>\n"
        );
        let json = json!({"\u{e9}": ["\u{2713}", 1, null, {"a": true}]});
        assert_eq!(json_in_ascii(&json), json!({"<U+00E9>": ["<U+2713>", 1, null, {"a": true}]}));
    }
}
