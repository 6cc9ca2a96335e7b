//! Decoders of what strangers send, with mutated inputs: none panics, and none takes unbounded time or
//! memory. In the ordinary tests each runs for two seconds; `make fuzz MINUTES=60` runs them for longer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

extern crate polychron_shared as shared;

mod http;
mod rows;

use shared::clock::Time;
use shared::config::{Config, Problems, Sources};
use shared::id::JobId;
use shared::message::Message;
use shared::schedule::{Patch, Schedule, Spread};
use testkit::fuzz;

/// The shape of a text: its words, without what varies from input to input.
fn shape(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_lowercase() || *c == ' ').take(60).collect()
}

#[test]
fn fuzz_messages() {
    let words = ["\"v\"", "\"tenant\"", "\"execution\"", "01934b7e-0000-7000-8000-0000000000ff"];
    fuzz("message", &words, |body| match Message::decode(body) {
        Ok(message) => {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
            assert_eq!(message.traceparent().len(), 55);
            "read".to_owned()
        }
        Err(error) => shape(&error.to_string()),
    });
}

const SCHEDULE_WORDS: [&str; 34] = [
    "\"cron\"",
    "\"every\"",
    "\"at\"",
    "\"timezone\"",
    "\"start\"",
    "\"end\"",
    "\"jitter\"",
    "\"from\"",
    "\"gap\"",
    "\"fold\"",
    "*",
    "*/",
    "-",
    "L",
    "LW",
    "W",
    "#",
    "?",
    "H",
    "H/",
    "MON",
    "sun",
    "@daily",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Antarctica/Troll",
    "1ns",
    "100y",
    "1us",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "+262142-12-31T23:59:59Z",
    "2024-02-29",
];

#[test]
fn fuzz_schedules() {
    let spread = Spread::new("01934b7e-0000-7000-8000-000000000001".parse().unwrap(), JobId(7));
    let times: Vec<Time> = [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-03-29T00:59:59Z",
        "2026-10-25T00:30:00Z",
        "9999-12-31T23:59:59Z",
    ]
    .iter()
    .map(|text| text.parse().unwrap())
    .collect();
    fuzz("schedule", &SCHEDULE_WORDS, |text| {
        let Ok(text) = std::str::from_utf8(text) else { return String::new() };
        if let Ok(patch) = Patch::read(text) {
            let _ = patch.apply(&serde_json::json!({"cron": "0 3 * * *", "timezone": "UTC"}));
        }
        let schedule = match Schedule::read(text, spread) {
            Ok(schedule) => schedule,
            Err(error) => {
                let _ = (error.annotated(), error.suggestion(), error.range());
                return format!("{}: {}", shape(error.field()), shape(error.message()));
            }
        };
        let described = schedule.describe();
        assert!(described.len() < 10_000, "{described}");
        for after in &times {
            let next = schedule.next_after(*after);
            assert!(next.is_none_or(|next| next > *after));
            assert!(schedule.prev_before(*after).is_none_or(|before| before < *after));
            let _ = schedule.occurrences_explained(*after, 3);
            for until in &times {
                let (count, latest) =
                    (schedule.count(*after, *until), schedule.latest(*after, *until));
                assert_eq!(count > 0, latest.is_some(), "{count} {latest:?} {after} {until}");
                if let Some(next) = next.filter(|next| next <= until) {
                    assert!(count > 0, "{next} is not counted until {until}");
                }
            }
        }
        format!("read {}", shape(&described))
    });
}

/// Lines of the environment, then a line `---`, then the configuration file.
#[test]
fn fuzz_settings() {
    let words =
        ["POLYCHRON_", "DATABASE_URL=", "AMQP_URL=", "sqlite://", "amqps://a:s3cret@", "1h", "on"];
    fuzz("settings", &words, |text| {
        let text = String::from_utf8_lossy(text).replace("s3cret-", "");
        let (environment, file) = text.split_once("\n---\n").unwrap_or((&text, ""));
        let environment = environment.lines().filter_map(|line| line.split_once('='));
        // A path could name any file of this machine.
        let environment = environment.filter(|(name, _)| !name.ends_with("_FILE"));
        // Only where a secret belongs: anything else may be quoted.
        let environment = environment.map(|(name, value)| match name {
            "DATABASE_URL" | "AMQP_URL" => (name.to_owned(), value.replace('@', ":s3cret-@")),
            _ => (name.to_owned(), value.to_owned()),
        });
        let sources = Sources {
            environment: environment.collect(),
            file: Some(file.to_owned()),
            ..Sources::default()
        };
        match Config::read(&sources, &["DATABASE_URL"]) {
            Ok(_) => "read".to_owned(),
            Err(Problems(problems)) => {
                assert!(
                    problems.iter().all(|problem| !problem.contains("s3cret-")),
                    "{problems:?}"
                );
                problems.iter().map(|problem| shape(problem)).collect::<Vec<_>>().join("; ")
            }
        }
    });
}
