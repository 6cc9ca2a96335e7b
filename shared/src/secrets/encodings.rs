//! Finds a secret in a text, in every encoding that common clients use.
//!
//! Escapes are matched one by one instead of listing encoded forms: which characters a client
//! leaves as they are differs, and texts nest (JSON in a URL, a URL in quoted-printable mail).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The maximum length of one encoded byte of a secret: an escape such as `\u0041` or `%252525`, and its share
/// of a soft line break.
pub(super) const EXPANSION_MAX: usize = 8;

/// One secret, prepared for the search.
pub(super) struct Pattern {
    secret: Vec<u8>,
    /// The characters of base64 that the secret alone determines, for each of the three ways in
    /// which it can lie in groups of three bytes.
    base64: [Base64; 3],
}

struct Base64 {
    core: Vec<u8>,
    /// Whether the character before the core also holds bits of the secret; and after.
    shares_before: bool,
    shares_after: bool,
}

impl Pattern {
    pub(super) fn new(secret: &str) -> Pattern {
        let secret = secret.as_bytes().to_vec();
        let base64 = [0, 1, 2].map(|before| Base64::new(&secret, before));
        Pattern { secret, base64 }
    }

    pub(super) fn len(&self) -> usize {
        self.secret.len()
    }

    /// The range of the secret in `text` that begins at `at`; of base64, one character before it,
    /// if that holds some of its bits.
    pub(super) fn find_at(&self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let escaped = self.escaped(text, at).map(|end| (at, end));
        let hex = self.hex(text, at).map(|end| (at, end));
        let base64 = self.base64.iter().filter_map(|form| form.find_at(text, at));
        escaped.into_iter().chain(hex).chain(base64).max_by_key(|(start, end)| end - start)
    }

    /// The end of the secret that begins at `at`, in which each character is literal or escaped.
    fn escaped(&self, text: &[u8], at: usize) -> Option<usize> {
        // For each number of matched bytes of the secret, the possible positions in the text. Nearly always
        // the first byte decides, and nothing is stored.
        let mut reached: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        let advance = |reached: &mut BTreeMap<usize, BTreeSet<usize>>, seen: usize, at: usize| {
            for (bytes, length) in written(&self.secret[seen..], &text[at..]) {
                reached.entry(seen + bytes).or_default().insert(at + length);
            }
        };
        advance(&mut reached, 0, at);
        while let Some((seen, ends)) = reached.pop_first() {
            if seen == self.secret.len() {
                return ends.last().copied();
            }
            for at in ends {
                advance(&mut reached, seen, at + soft_break(&text[at..]));
            }
        }
        None
    }

    /// The same for hexadecimal digits, with or without a separator between the bytes.
    fn hex(&self, text: &[u8], at: usize) -> Option<usize> {
        let mut at = at;
        for (n, byte) in self.secret.iter().enumerate() {
            if n > 0 && matches!(text.get(at), Some(b':' | b' ' | b'-')) {
                at += 1;
            }
            if hex_byte(text.get(at..)?) != Some(*byte) {
                return None;
            }
            at += 2;
        }
        Some(at)
    }
}

impl Base64 {
    fn new(secret: &[u8], before: usize) -> Base64 {
        let encoded = STANDARD_NO_PAD.encode([&[0; 2][..before], secret].concat()).into_bytes();
        // The first characters that hold bits of what stands before, and the last one if it holds
        // bits of what follows.
        let from = if before == 0 { 0 } else { before + 1 };
        let shares_after = !(before + secret.len()).is_multiple_of(3);
        let to = encoded.len() - usize::from(shares_after);
        let core = encoded.get(from..to).unwrap_or_default().to_vec();
        Base64 { core, shares_before: before != 0, shares_after }
    }

    fn find_at(&self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let mut end = at;
        for (n, expected) in self.core.iter().enumerate() {
            if n > 0 {
                end += line_break(&text[end..]);
            }
            if standard(*text.get(end)?)? != *expected {
                return None;
            }
            end += 1;
        }
        let is_base64 = |at: usize| text.get(at).copied().and_then(standard).is_some();
        let start = at - usize::from(self.shares_before && at > 0 && is_base64(at - 1));
        let end = end + usize::from(self.shares_after && is_base64(end));
        (!self.core.is_empty()).then_some((start, end))
    }
}

/// The character of the usual alphabet for one of either alphabet.
fn standard(byte: u8) -> Option<u8> {
    match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => Some(byte),
        _ => None,
    }
}

/// The ways in which `text` may begin with the next character of `secret`: how many bytes of each.
fn written(secret: &[u8], text: &[u8]) -> Vec<(usize, usize)> {
    let mut ways = Vec::new();
    let (byte, Some(first)) = (secret[0], text.first()) else { return ways };
    if *first == byte {
        ways.push((1, 1));
    }
    match first {
        b'+' if byte == b' ' => ways.push((1, 1)),
        b'=' if hex_byte(&text[1..]) == Some(byte) => ways.push((1, 3)),
        b'%' => {
            // `%25` is an encoded `%`, of a text that was encoded twice or more.
            let mut at = 1;
            loop {
                if hex_byte(&text[at..]) == Some(byte) {
                    ways.push((1, at + 2));
                }
                if !text[at..].starts_with(b"25") {
                    break;
                }
                at += 2;
            }
        }
        b'\\' => ways.extend(after_backslashes(secret, text)),
        b'&' => ways.extend(entity(secret, text)),
        _ => {}
    }
    ways
}

/// An escape of JSON, Rust, Python or C; more backslashes than one if it was escaped twice.
fn after_backslashes(secret: &[u8], text: &[u8]) -> Vec<(usize, usize)> {
    let backslashes = text.iter().take_while(|byte| **byte == b'\\').count();
    let mut ways = Vec::new();
    if secret[0] == b'\\' {
        ways.extend((2..=backslashes).map(|length| (1, length)));
    }
    let rest = &text[backslashes..];
    let Some(kind) = rest.first() else { return ways };
    let simple = match kind {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'0' => 0,
        other => *other,
    };
    if simple == secret[0] {
        ways.push((1, backslashes + 1));
    }
    let escape = match kind {
        b'u' if rest.get(1) == Some(&b'{') => {
            braced(&rest[2..]).map(|(code, length)| (code, length + 2))
        }
        b'u' => utf16(&rest[1..]).map(|(code, length)| (code, length + 1)),
        b'U' => number(rest.get(1..9), 16).map(|code| (code, 9)),
        b'x' => number(rest.get(1..3), 16).map(|code| (code, 3)),
        _ => None,
    };
    let Some((code, length)) = escape else { return ways };
    if *kind == b'x' && code == u32::from(secret[0]) {
        ways.push((1, backslashes + length));
    }
    if let Some(character) = first_char(secret).filter(|character| code == u32::from(*character)) {
        ways.push((character.len_utf8(), backslashes + length));
    }
    ways
}

/// A code in braces, as Rust writes it.
fn braced(text: &[u8]) -> Option<(u32, usize)> {
    let end = text.iter().take(8).position(|byte| *byte == b'}')?;
    Some((number(text.get(..end), 16)?, end + 1))
}

/// Four digits; twice, with `\u` in between, for a character beyond 16 bits.
fn utf16(text: &[u8]) -> Option<(u32, usize)> {
    let high = number(text.get(..4), 16)?;
    if (0xD800..0xDC00).contains(&high) && text.get(4..6) == Some(b"\\u") {
        let low = number(text.get(6..10), 16)?;
        return Some((0x10000 + ((high - 0xD800) << 10) + (low.checked_sub(0xDC00)? & 0x3FF), 10));
    }
    Some((high, 4))
}

/// A character reference of HTML or XML.
fn entity(secret: &[u8], text: &[u8]) -> Option<(usize, usize)> {
    let end = text.iter().take(10).position(|byte| *byte == b';')?;
    let code = match &text[1..end] {
        b"amp" => u32::from(b'&'),
        b"lt" => u32::from(b'<'),
        b"gt" => u32::from(b'>'),
        b"quot" => u32::from(b'"'),
        b"apos" => u32::from(b'\''),
        [b'#', b'x' | b'X', digits @ ..] => number(Some(digits), 16)?,
        [b'#', digits @ ..] => number(Some(digits), 10)?,
        _ => return None,
    };
    let character = first_char(secret)?;
    (code == u32::from(character)).then_some((character.len_utf8(), end + 1))
}

/// The length of a soft line break of quoted-printable, if there is one.
fn soft_break(text: &[u8]) -> usize {
    match text {
        [b'=', rest @ ..] => match line_break(rest) {
            0 => 0,
            length => length + 1,
        },
        _ => 0,
    }
}

fn line_break(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    }
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    number(text.get(..2), 16).and_then(|code| u8::try_from(code).ok())
}

fn number(digits: Option<&[u8]>, radix: u32) -> Option<u32> {
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_alphanumeric))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

fn first_char(secret: &[u8]) -> Option<char> {
    let length = match secret[0] {
        0..0x80 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    };
    std::str::from_utf8(secret.get(..length)?).ok()?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    const SECRET: &str = "p\"s% w\u{f6}\u{1f511}d/1+<\\x>&'=~";

    fn found(secret: &str, text: &str) -> bool {
        let pattern = Pattern::new(secret);
        (0..text.len()).any(|at| pattern.find_at(text.as_bytes(), at).is_some())
    }

    /// Percent encoding that leaves `kept` as it is.
    fn percent(kept: &str) -> String {
        SECRET.bytes().fold(String::new(), |text, byte| match byte {
            byte if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => {
                text + &char::from(byte).to_string()
            }
            byte => text + &format!("%{byte:02X}"),
        })
    }

    #[test]
    fn a_secret_is_found_however_it_is_escaped() {
        let json = serde_json::to_string(SECRET).unwrap();
        let ascii: String = SECRET
            .encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect();
        let printable: String = SECRET
            .bytes()
            .map(|byte| match byte {
                b'!'..=b'<' | b'>'..=b'~' => format!("{}=\r\n", char::from(byte)),
                byte => format!("={byte:02X}"),
            })
            .collect();
        let html = SECRET.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&#34;");
        let bytes: String = SECRET.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            SECRET.to_owned(),
            serde_json::to_string(&json).unwrap(),
            json.replace('/', "\\/"),
            json,
            ascii,
            percent(""),
            percent("").to_lowercase(),
            percent("-._~!*'()/"),
            percent(" ").replace(' ', "+"),
            percent("").replace('%', "%25"),
            printable,
            html,
            bytes,
            hex.to_uppercase(),
            hex,
            format!("{SECRET:?}"),
        ] {
            assert!(found(SECRET, &format!("<{text}>")), "{text}");
            let without_end: String = text.chars().take(text.chars().count() / 2).collect();
            assert!(!found(SECRET, &without_end), "{without_end}");
        }
    }

    #[test]
    fn base64_is_found_behind_anything_and_none_of_its_bits_are_left() {
        let pattern = Pattern::new("hunter2-hunter2");
        for before in ["", "u", "us", "usr:"] {
            for after in ["", ":", ":x", ":xy"] {
                let text = format!("{before}hunter2-hunter2{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                    let range = (0..encoded.len())
                        .find_map(|at| pattern.find_at(encoded.as_bytes(), at))
                        .unwrap_or_else(|| panic!("{encoded}"));
                    let (first, last) =
                        (before.len() * 8 / 6, ((before.len() + 15) * 8).div_ceil(6));
                    assert_eq!(range, (first, last), "{encoded}");
                    let wrapped = format!("{}\r\n{}", &encoded[..9], &encoded[9..]);
                    assert!(found("hunter2-hunter2", &wrapped), "{wrapped}");
                }
            }
        }
    }

    #[test]
    fn what_only_resembles_a_secret_is_none() {
        for text in [
            "hunter2-hunter",
            "hunter2_hunter2",
            "HUNTER2-HUNTER2",
            "%68unter2",
            "\\",
            "%",
            "=",
            "&#",
        ] {
            assert!(!found("hunter2-hunter2", text), "{text}");
        }
    }
}
