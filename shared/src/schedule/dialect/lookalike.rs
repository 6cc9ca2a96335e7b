//! Characters that look like those of a cron expression but are different ones, as word processors, web
//! pages and other systems insert them.

/// The text with each lookalike replaced, and a note about the first one; none if there is none.
pub(super) fn replaced(text: &str) -> Option<(String, String)> {
    let (wrong, name, right) = text.chars().find_map(|char| {
        let (name, right) = lookalike(char)?;
        Some((char, name, right))
    })?;
    let replaced: String = text
        .chars()
        .flat_map(|char| match lookalike(char) {
            Some((_, right)) => right,
            None => Some(char),
        })
        .collect();
    let code = u32::from(wrong);
    let instead = match right {
        Some(' ') => "it looks like a space".to_owned(),
        Some(right) => format!("it looks like `{right}`"),
        None => "it is invisible".to_owned(),
    };
    let note =
        format!("it has a character that cron does not know, U+{code:04X} ({name}); {instead}");
    Some((replaced.trim().to_owned(), note))
}

/// A lookalike's name, and the character to replace it by; an inner none if it is to be removed.
fn lookalike(char: char) -> Option<(&'static str, Option<char>)> {
    Some(match char {
        '\u{2013}' => ("en dash", Some('-')),
        '\u{2014}' => ("em dash", Some('-')),
        '\u{2212}' => ("minus sign", Some('-')),
        '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2043}' | '\u{fe63}' | '\u{ff0d}' => {
            ("another dash", Some('-'))
        }
        '\u{ad}' => ("soft hyphen", None),
        '\u{a0}' => ("no-break space", Some(' ')),
        '\u{202f}' => ("narrow no-break space", Some(' ')),
        '\u{3000}' => ("ideographic space", Some(' ')),
        '\u{2000}'..='\u{200a}' | '\u{205f}' => ("another space", Some(' ')),
        '\u{feff}' => ("byte-order mark", None),
        '\u{200b}'..='\u{200d}' | '\u{2060}' => ("zero-width character", None),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => ("mark of direction", None),
        '\u{2217}' | '\u{204e}' | '\u{2731}' | '\u{66d}' => ("another asterisk", Some('*')),
        '\u{2044}' | '\u{2215}' => ("another slash", Some('/')),
        '\u{ff01}'..='\u{ff5e}' => {
            let plain = char::from_u32(u32::from(char) - 0xfee0);
            ("full-width character", plain)
        }
        '\u{660}'..='\u{669}' => ("Arabic digit", char::from_digit(u32::from(char) - 0x660, 10)),
        '\u{6f0}'..='\u{6f9}' => ("Persian digit", char::from_digit(u32::from(char) - 0x6f0, 10)),
        '\u{60c}' => ("Arabic comma", Some(',')),
        '\u{201a}' => ("another comma", Some(',')),
        _ => return None,
    })
}
