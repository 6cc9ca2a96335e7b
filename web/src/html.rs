//! HTML with escaping that cannot be forgotten.
//!
//! [`html!`](html) takes a literal with placeholders, `{}`, and escapes their values, in text and in
//! quoted attributes; only [`Html`] is inserted as it is. A placeholder with a name or a format
//! would bypass the escaping, so it does not compile.

use std::fmt::{self, Display};

use shared::printable;

/// Text that is HTML already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Html(pub(crate) String);

impl Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<I: IntoIterator<Item = Html>>(parts: I) -> Html {
        Html(parts.into_iter().map(|part| part.0).collect())
    }
}

/// A value for a placeholder.
pub(crate) trait Fill {
    /// Writes it, escaped unless it is HTML.
    fn fill(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Fill for Html {
    fn fill(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Fill for Option<Html> {
    fn fill(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().map_or(Ok(()), |html| html.fill(f))
    }
}

/// The value of a form's field: sent back as it is, so that only what is special in HTML is escaped.
pub(crate) struct Exact<'a>(pub(crate) &'a str);

impl Fill for Exact<'_> {
    fn fill(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, |_| false, f)
    }
}

macro_rules! escaped {
    ($($type:ty),+) => { $(
        impl Fill for $type {
            fn fill(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                escape(&self.to_string(), printable::is_unsafe, f)
            }
        }
    )+ };
}

escaped!(str, String, i32, i64, u16, u64, usize, f64);

impl<T: Fill + ?Sized> Fill for &T {
    fn fill(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fill(f)
    }
}

/// Writes control, bidirectional and zero-width characters as escapes, too: browsers drop or misread
/// them, or show one name as another.
fn escape(text: &str, is_unsafe: impl Fn(char) -> bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            '\n' | '\t' => f.write_str(if c == '\n' { "\n" } else { "\t" })?,
            c if is_unsafe(c) => write!(f, "{}", c.escape_default())?,
            c => f.write_str(c.encode_utf8(&mut [0; 4]))?,
        }
    }
    Ok(())
}

/// Displays the value of a placeholder.
pub(crate) struct Filled<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: Fill + ?Sized> Display for Filled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fill(f)
    }
}

/// Whether every placeholder is blank.
pub(crate) const fn has_blank_placeholders(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'{' {
            if at + 1 == bytes.len() || bytes[at + 1] != b'}' {
                return false;
            }
            at += 1;
        }
        at += 1;
    }
    true
}

/// Makes HTML of a literal and the values of its placeholders.
macro_rules! html {
    ($text:literal $(, $hole:expr)* $(,)?) => {{
        const _: () = assert!(
            $crate::html::has_blank_placeholders($text),
            "only blank holes are escaped"
        );
        $crate::html::Html(format!($text $(, $crate::html::Filled(&$hole))*))
    }};
}

pub(crate) use html;

/// Percent-encodes text for a URL, after a `/` or a `=`.
pub(crate) fn in_url(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholders_value_is_escaped_unless_it_is_html() {
        let name = r#"<script>alert("x")</script>&'"#;
        let cell = html!("<td title=\"{}\">{}</td>", name, html!("<b>{}</b>", 7));
        assert_eq!(
            cell.0,
            "<td title=\"&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#39;\"><b>7</b></td>"
        );
        assert_eq!(html!("{}", "a\u{1b}[2J\nb\0").0, "a\\u{1b}[2J\nb\\u{0}");
        let name = "pay\u{202e}lol\u{200b}\u{9b}\u{feff}";
        let shown = "pay\\u{202e}lol\\u{200b}\\u{9b}\\u{feff}";
        assert_eq!(
            html!("<b title=\"{}\">{}</b>", name, name).0,
            format!("<b title=\"{shown}\">{shown}</b>")
        );
    }

    #[test]
    fn a_fields_value_is_sent_back_as_it_is() {
        let name = "pay\u{202e}lol\u{200b}<\"";
        let field = html!("<input value=\"{}\">", Exact(name)).0;
        assert_eq!(field, "<input value=\"pay\u{202e}lol\u{200b}&lt;&quot;\">");
    }

    #[test]
    fn only_blank_placeholders_are_accepted() {
        assert!(has_blank_placeholders("<p>{}</p>{}"));
        for text in ["{name}", "{:?}", "{0}", "{{", "{"] {
            assert!(!has_blank_placeholders(text), "{text}");
        }
    }

    #[test]
    fn a_name_stays_one_part_of_a_url() {
        assert_eq!(in_url("a/b?c=d&e#f %é"), "a%2Fb%3Fc%3Dd%26e%23f%20%25%C3%A9");
    }
}
