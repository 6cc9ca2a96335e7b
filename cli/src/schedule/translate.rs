//! `polychron schedule translate`: what a text means in each language that it is valid in.

use clap::Args;
use serde::Serialize;
use shared::clock::{Clock, Time};
use shared::id::{JobId, TenantId};
use shared::schedule::{Reading, Spread, readings};
use uuid::Uuid;

use crate::output::{Column, Output, maybe, time, whole_column};
use operations::failure::Failure;
use operations::schedule::read;

/// How many times each reading shows.
const AHEAD: usize = 3;

#[derive(Args)]
pub struct Translate {
    /// The expression, in any scheduler's language
    expression: String,
    /// The time zone of the expression, unless it has one of its own; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Show times after this one, such as 2026-12-01T09:00:00Z; now by default
    #[arg(long, value_name = "TIME", value_parser = crate::input::time)]
    from: Option<Time>,
}

#[derive(Serialize)]
struct Translated {
    #[serde(flatten)]
    reading: Reading,
    /// In words.
    words: String,
    /// The next times.
    next: Vec<Time>,
}

const COLUMNS: &[Column<Translated>] = &[
    whole_column("LANGUAGE", |translated| translated.reading.language.to_owned()),
    whole_column("WRITE", |translated| translated.reading.written()),
    whole_column("MEANS", |translated| translated.words.clone()),
    whole_column("NEXT (UTC)", |translated| {
        let times: Vec<String> = translated.next.iter().map(|at| time(Some(*at))).collect();
        times.join(" ")
    }),
    whole_column("NOTE", |translated| maybe(translated.reading.note.as_ref())),
];

pub(super) fn run(arguments: Translate, output: Output) -> Result<(), Failure> {
    let Translate { expression, timezone, from } = arguments;
    let text = match &timezone {
        Some(zone) => format!("TZ={zone} {expression}"),
        None => expression.clone(),
    };
    // The job is not known yet.
    let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
    let from = from.unwrap_or_else(|| Clock::System.wall_time());
    let translated = readings(&text).into_iter().map(|reading| {
        let schedule = read(&reading.schedule.to_string(), spread)?;
        let times = schedule.occurrences_explained(from, AHEAD);
        let next = times.into_iter().map(|explained| explained.at).collect();
        Ok(Translated { reading, words: schedule.describe(), next })
    });
    let translated = translated.collect::<Result<Vec<Translated>, Failure>>()?;
    if translated.is_empty() {
        // Says what is wrong with it, as in every other place.
        let mut json = serde_json::json!({"cron": expression});
        if let Some(zone) = timezone {
            json["timezone"] = zone.into();
        }
        read(&json.to_string(), spread)?;
    }
    output.list(&translated, COLUMNS)
}
