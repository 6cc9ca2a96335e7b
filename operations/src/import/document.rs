//! Reads the JSON or YAML documents of a file. It may be hostile: a few aliases of YAML can stand for more
//! than memory holds, so what they become is bounded.

use serde_json::Value;

/// The most bytes that all texts of a file's documents have together, aliases expanded.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The documents of a file. A text that begins like JSON is JSON.
///
/// # Errors
/// The reason, with line and column. It never quotes the text, which may contain secrets.
pub(super) fn read(text: &str) -> Result<Vec<Value>, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.trim_start().starts_with(['{', '[']) {
        let document = serde_json::from_str(text);
        return document.map(|document| vec![document]).map_err(|error| error.to_string());
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_total_scalar_bytes: TEXT_BYTES_MAX },
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_both_languages_are_read() {
        for (text, expected) in [
            ("{\"a\": 1}", vec![json!({"a": 1})]),
            (" [1, 2]", vec![json!([1, 2])]),
            (
                "# a comment\n---\na: '*/5 * * * *'\nb: [x, \"y\"]\n---\n---\nc: |\n  one\n  two\n",
                vec![json!({"a": "*/5 * * * *", "b": ["x", "y"]}), json!({"c": "one\ntwo\n"})],
            ),
            ("a: &x {b: 1}\nc: *x\n", vec![json!({"a": {"b": 1}, "c": {"b": 1}})]),
            ("suspend: true\nretries: 3\n", vec![json!({"suspend": true, "retries": 3})]),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_its_place() {
        for (text, says) in [
            ("", "it is empty"),
            (" \n\t\n", "it is empty"),
            ("{\"a\": ", "line 1"),
            ("a: 1\nb: [secret\n", "line "),
            ("a: 1\na: secret\n", "line 2"),
            ("schedule: */5 * * * * secret\n", "line 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn aliases_cannot_fill_the_memory() {
        let mut text = format!("a0: &a0 {}\n", "x".repeat(1000));
        for n in 1..10 {
            let item = format!("*a{}, ", n - 1);
            text += &format!("a{n}: &a{n} [{}]\n", item.repeat(10));
        }
        assert!(read(&text).is_err());
        let deep = format!("a: {}", "[".repeat(100_000));
        assert!(read(&deep).is_err());
        let deep: String = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(read(&deep).is_err());
    }
}
