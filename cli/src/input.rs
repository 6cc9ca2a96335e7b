//! What people enter: text from files and standard input, durations, confirmations.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use serde_json::Value;
use shared::clock::{Time, delta};
use shared::id::ExecutionId;
use shared::job::PAYLOAD_BYTES_MAX;
use shared::private_file;

use crate::output::say;
use operations::failure::Failure;
pub(crate) use operations::input::{fault, target, time};

/// The most bytes that are read from a file or standard input.
const INPUT_BYTES_MAX: u64 = 1024 * 1024;

/// A payload: JSON as it is, `@FILE`, or `-` for standard input.
pub(crate) fn payload(text: &str) -> Result<Value, Failure> {
    let text = match text.strip_prefix('@') {
        Some(path) => read_file("--payload", path)?,
        None if text == "-" => read_stdin("--payload")?,
        None => text.to_owned(),
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        // The error names the place, and never quotes the text.
        Failure::Usage(format!("--payload is not JSON: {error}"))
    })?;
    let bytes = value.to_string().len();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(Failure::Usage(format!(
            "--payload has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are allowed: \
             keep large data elsewhere, and name it in the payload"
        )));
    }
    Ok(value)
}

/// The text of a file, named by the flag `flag`.
pub(crate) fn read_file(flag: &str, path: &str) -> Result<String, Failure> {
    let text = std::fs::File::open(path).and_then(read);
    text.map_err(|error| Failure::Usage(format!("{flag}: {path} cannot be read: {error}")))
}

/// A file of any encoding, named by the flag `flag`.
pub(crate) fn read_file_bytes(flag: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::File::open(path).and_then(read_bytes);
    bytes.map_err(|error| Failure::Usage(format!("{flag}: {path} cannot be read: {error}")))
}

/// Standard input of any encoding.
pub(crate) fn read_stdin_bytes(flag: &str) -> Result<Vec<u8>, Failure> {
    read_bytes(std::io::stdin())
        .map_err(|error| Failure::Usage(format!("{flag}: standard input cannot be read: {error}")))
}

/// The text of a file with a password, which others must not be able to read or change.
pub(crate) fn read_private_file(flag: &str, path: &str) -> Result<String, Failure> {
    let text = private_file::read(path.as_ref());
    text.map_err(|why| Failure::Usage(format!("{flag}: {path}, which {why}")))
}

/// The text of standard input.
pub(crate) fn read_stdin(flag: &str) -> Result<String, Failure> {
    read(std::io::stdin())
        .map_err(|error| Failure::Usage(format!("{flag}: standard input cannot be read: {error}")))
}

fn read(from: impl Read) -> std::io::Result<String> {
    let text = String::from_utf8(read_bytes(from)?);
    text.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error()))
}

fn read_bytes(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        // A truncated input would be worse than none.
        return Err(std::io::Error::other(format!("it has more than {INPUT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// One line from the terminal, or all of standard input if that is not a terminal.
pub fn read_secret(name: &str, prompt: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return read_stdin(name);
    }
    say(prompt);
    read_line()
}

/// Asks for confirmation. Without a terminal, `-y` must have been given.
pub(crate) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("{question} Confirm with -y.")));
    }
    say(&format!("{question} Type `yes` to continue."));
    match read_line()?.trim() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Failed("nothing was done".to_owned())),
    }
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(_) => Ok(line),
        Err(error) => Err(Failure::Failed(format!("standard input: {error}"))),
    }
}

/// A starting point: a time, or how long ago.
#[derive(Clone, Copy)]
pub(crate) enum Since {
    At(Time),
    Ago(Duration),
}

impl Since {
    /// As a time.
    pub(crate) fn from(self, now: Time) -> Time {
        match self {
            Since::At(time) => time,
            Since::Ago(duration) => now - delta(duration),
        }
    }
}

/// A time or a duration on the command line.
pub(crate) fn since(text: &str) -> Result<Since, String> {
    let duration = humantime::parse_duration(text).map(Since::Ago);
    let remedy = "is neither a duration such as 2h nor a time such as 2026-12-01T09:00:00Z";
    let since = duration.or_else(|_| text.parse().map(Since::At));
    since.map_err(|_| format!("`{text}` {remedy}{}", fault(text)))
}

/// An execution's id on the command line.
pub(crate) fn execution_id(text: &str) -> Result<ExecutionId, String> {
    let remedy = "is not the id of an execution; `polychron execution list TENANT` shows them, such as \
                  01934b7e-0000-7000-8000-0000000000ff";
    text.parse().map_err(|_| format!("`{text}` {remedy}"))
}

/// Whole seconds, as `90s`, `1h 30m` or a plain number; for clap, which names the flag.
pub(crate) fn seconds(text: &str, min: i32, max: i32) -> Result<i32, String> {
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let duration = humantime::parse_duration(text)
                .map_err(|_| "it is not a duration such as 90s, 15m or 1h 30m".to_owned())?;
            if duration.subsec_nanos() > 0 {
                return Err("it must be whole seconds".to_owned());
            }
            duration.as_secs()
        }
    };
    let fits = i32::try_from(seconds).ok().filter(|seconds| (min..=max).contains(seconds));
    fits.ok_or_else(|| format!("it must be between {min} and {max} seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_in_either_form_and_kept_within_bounds() {
        for (text, expected) in [("90", Some(90)), ("2m", Some(120)), ("1h 30m", Some(5400))] {
            assert_eq!(seconds(text, 1, 6000).ok(), expected);
        }
        for text in ["0", "2h", "1500ms", "soon", "-1", "99999999999999999999"] {
            assert!(seconds(text, 1, 6000).is_err(), "{text}");
        }
    }

    #[test]
    fn a_payload_that_is_too_large_or_no_json_is_refused_without_being_repeated() {
        assert_eq!(payload("{\"a\": 1}").unwrap(), serde_json::json!({"a": 1}));
        let long = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX));
        for text in ["{secret", long.as_str(), "@/nowhere/at/all"] {
            let failure = payload(text).unwrap_err();
            assert_eq!(crate::exit::code(&failure), 2);
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }
}
