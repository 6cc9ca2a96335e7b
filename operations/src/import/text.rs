//! The text of a file that may have been written on any machine.

/// Text, and how it was read.
pub struct Text {
    /// With `\n` at the end of each line.
    pub text: String,
    /// What is unusual about its encoding.
    pub remarks: Vec<String>,
    /// The lines that are not UTF-8, counted from 1, in order.
    pub(super) recoded: Vec<usize>,
}

impl Text {
    /// Decodes a file: UTF-8 with or without a byte-order mark, UTF-16 with one, and otherwise Latin-1.
    pub fn decode(bytes: &[u8]) -> Text {
        let mut remarks = Vec::new();
        let mut recoded = Vec::new();
        let text = match bytes {
            [0xef, 0xbb, 0xbf, rest @ ..] => {
                remarks.push("it begins with a byte-order mark, which was left out".to_owned());
                utf8(rest, &mut recoded)
            }
            [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes, &mut remarks),
            [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes, &mut remarks),
            bytes => utf8(bytes, &mut recoded),
        };
        if let Some(first) = recoded.first() {
            remarks.push(format!(
                "line {first}{} not UTF-8, and was read as Latin-1",
                match recoded.len() {
                    1 => " is".to_owned(),
                    2 => " and another one are".to_owned(),
                    lines => format!(" and {} others are", lines - 1),
                }
            ));
        }
        Text { text: ends_of_lines(text, &mut remarks), remarks, recoded }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Text that is UTF-8 already.
    pub fn plain(text: &str) -> Text {
        Text::decode(text.as_bytes())
    }
}

/// Decodes line by line, so that one line in Latin-1 does not change the others.
fn utf8(bytes: &[u8], recoded: &mut Vec<usize>) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) => {
                recoded.push(index + 1);
                text.extend(line.iter().map(|byte| char::from(*byte)));
            }
        }
    }
    text
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, remarks: &mut Vec<String>) -> String {
    remarks.push("it is UTF-16, as its byte-order mark says".to_owned());
    let (pairs, _) = bytes.as_chunks();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16_lossy(&units)
}

fn ends_of_lines(text: String, remarks: &mut Vec<String>) -> String {
    if !text.contains('\r') {
        return text;
    }
    remarks.push(
        "its lines end in CR LF, as on Windows; the CR was left out, which cron would have taken as part of \
         the command"
            .to_owned(),
    );
    let text = text.replace("\r\n", "\n");
    // Without any LF, a CR alone ends a line.
    if text.contains('\n') { text } else { text.replace('\r', "\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_encodings_are_decoded_and_said() {
        let utf16 = |text: &str, le: bool| -> Vec<u8> {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units
                .flat_map(|unit| if le { unit.to_le_bytes() } else { unit.to_be_bytes() })
                .collect()
        };
        for (bytes, text, says) in [
            ("a\nä\n".as_bytes().to_vec(), "a\nä\n", ""),
            ("\u{feff}a\n".as_bytes().to_vec(), "a\n", "byte-order mark"),
            (b"a\nb\xe4\n\xc3\xa4\n".to_vec(), "a\nbä\nä\n", "line 2 is not UTF-8"),
            (b"\xe4\n\xe4\n".to_vec(), "ä\nä\n", "line 1 and another one are"),
            (b"\xe4\n\xe4\n\xe4".to_vec(), "ä\nä\nä", "line 1 and 2 others are"),
            (b"a\r\nb\r\n".to_vec(), "a\nb\n", "CR LF"),
            (b"a\rb\r".to_vec(), "a\nb\n", "CR LF"),
            (b"a\rb\n".to_vec(), "a\rb\n", "CR LF"),
            (utf16("aä\n", true), "aä\n", "UTF-16"),
            (utf16("aä\n", false), "aä\n", "UTF-16"),
            (b"\xff\xfea".to_vec(), "", "UTF-16"),
            (Vec::new(), "", ""),
        ] {
            let read = Text::decode(&bytes);
            assert_eq!(read.text, text);
            let remarks = read.remarks.join("; ");
            assert!(remarks.contains(says) && remarks.is_empty() == says.is_empty(), "{remarks}");
        }
    }
}
