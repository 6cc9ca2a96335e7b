//! Text from bytes that arrive in parts.

/// Decodes UTF-8 that arrives in parts, which may end within a character.
#[derive(Default)]
pub(crate) struct Utf8 {
    /// The beginning of a character.
    pending: Vec<u8>,
}

impl Utf8 {
    /// The characters that are whole with these bytes. What is no UTF-8 becomes U+FFFD.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let whole = whole_characters(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..whole]).into_owned();
        self.pending.drain(..whole);
        text
    }

    /// What is left at the end.
    pub(crate) fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// How many bytes form whole characters. Bytes that are not UTF-8 at all count as whole.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&bytes[at..]) {
        at += error.valid_up_to();
        match error.error_len() {
            Some(length) => at += length,
            None => return at,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_come_in_parts() {
        for size in 1..8 {
            let (mut utf8, mut text) = (Utf8::default(), String::new());
            for part in "aü€\u{1F600}b".as_bytes().chunks(size) {
                text += &utf8.push(part);
            }
            assert_eq!(text + &utf8.rest(), "aü€\u{1F600}b");
        }
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.push(b"a\xffb\xe2"), "a\u{FFFD}b");
        assert_eq!(utf8.rest(), "\u{FFFD}");
    }
}
