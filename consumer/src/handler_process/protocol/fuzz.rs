//! Feeds the reader of the protocol with mutated lines; `make fuzz` runs for longer.

use shared::outcome::Outcome;
use testkit::fuzz;

use super::{LINE_BYTES_MAX, Lines, Message};
use crate::handler_process::run::{failure, log_line, progress, success};

const WORDS: [&str; 27] = [
    "\n",
    "\"hello\"",
    "\"progress\"",
    "\"log\"",
    "\"alive\"",
    "\"done\"",
    "\"failed\"",
    "\"start\"",
    "\"protocol\"",
    "\"types\"",
    "\"concurrency\"",
    "\"alive_ms\"",
    "\"sdk\"",
    "\"id\"",
    "\"total\"",
    "\"message\"",
    "\"level\"",
    "\"text\"",
    "\"result\"",
    "\"kind\"",
    "\"detail\"",
    "\"retry\"",
    "\"retry_after_ms\"",
    "0193f2a0-0000-7000-8000-000000000001",
    "\\ud800",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    FILLER,
];
/// Stands for so many spaces that two of them make a line too long.
const FILLER: &str = "\u{1}";
const FILLER_BYTES: usize = 600_000;

#[test]
fn fuzz_handler_messages() {
    fuzz("handler", &WORDS, |sent| {
        let sent = expand(sent);
        let whole = read(&sent, sent.len().max(1));
        let size = if sent.len() < FILLER_BYTES { 1 + sent.len() % 13 } else { 4096 };
        assert_eq!(read(&sent, size), whole, "in pieces of {size} bytes");
        let lines = sent.split(|byte| *byte == b'\n');
        let unfinished = lines.clone().next_back().is_some_and(|rest| rest.len() > LINE_BYTES_MAX);
        assert_eq!(whole.len(), lines.count() - 1 + usize::from(unfinished), "one for each line");
        whole.join(" ")
    });
}

/// Replaces the first fillers.
fn expand(sent: &[u8]) -> Vec<u8> {
    let mut parts = sent.splitn(4, |byte| *byte == FILLER.as_bytes()[0]);
    let mut expanded = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        expanded.resize(expanded.len() + FILLER_BYTES, b' ');
        expanded.extend_from_slice(part);
    }
    expanded
}

/// What the consumer makes of these bytes, received in pieces.
fn read(sent: &[u8], size: usize) -> Vec<String> {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for piece in sent.chunks(size) {
        lines.push(piece);
        while let Some(message) = lines.next() {
            found.push(message.map_or_else(|garbage| unquoted(&garbage.to_string()), take));
        }
        assert!(lines.received.len() <= LINE_BYTES_MAX + piece.len(), "it keeps too much");
    }
    found
}

/// A sentence of ours that must not quote the process: it goes to the log and to health.
fn unquoted(text: &str) -> String {
    let is_ours = |c: char| c.is_ascii_alphanumeric() || " _.,:".contains(c);
    assert!(text.chars().all(is_ours) && text.len() < 200, "{text}");
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn take(message: Message) -> String {
    match message {
        Message::Hello(hello) => {
            let problem = hello.problem();
            if problem.is_none() {
                assert!((1..=1000).contains(&hello.concurrency()));
                assert!(hello.silent_after().is_none_or(|after| after.as_secs() <= 180));
            }
            problem.map_or("hello".to_owned(), |problem| unquoted(&problem))
        }
        Message::Progress(message) => match progress(message).total {
            Some(_) => "progress with total".to_owned(),
            None => "progress".to_owned(),
        },
        Message::Log(log) => {
            let line = log_line(&log);
            assert!(line.ends_with(&log.text) && line.len() <= log.text.len() + 31);
            "log".to_owned()
        }
        Message::Alive(_) => "alive".to_owned(),
        Message::Done(done) => match success(&done) {
            Outcome::Success(result) if result.get("polychron_cut").is_some() => "cut".to_owned(),
            Outcome::Success(_) => "done".to_owned(),
            other => panic!("{other:?}"),
        },
        Message::Failed(failed) => match failure(failed) {
            Outcome::Failure(failure) => {
                assert!(!failure.message.is_empty());
                format!("failed {} {}", failure.retry, failure.retry_after.is_some())
            }
            other => panic!("{other:?}"),
        },
    }
}
