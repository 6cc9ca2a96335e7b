//! The durations of past runs as a chart, with a text alternative.

use chrono::TimeDelta;
use shared::execution::{Execution, Status};

use crate::html::{Html, html};
use crate::page::short;

/// The height of the chart and the width of one run, in its own units.
const HEIGHT: f64 = 80.0;
const WIDTH: usize = 10;
/// The least height of a visible bar.
const LEAST: f64 = 2.0;

/// One bar for each run, the oldest first. A run without a duration gets a bar of the least height.
pub(super) fn durations(runs: &[Execution]) -> Html {
    if runs.is_empty() {
        return Html::default();
    }
    let longest = runs.iter().filter_map(duration).max().unwrap_or_else(TimeDelta::zero);
    let unit = longest.as_seconds_f64().max(0.001);
    let bar = |(at, run): (usize, &Execution)| {
        let took = duration(run);
        let height = took.map_or(LEAST, |took| (took.as_seconds_f64() / unit * HEIGHT).max(LEAST));
        let label = format!(
            "{}, {}{}",
            run.scheduled_for.format("%Y-%m-%d %H:%M:%S UTC"),
            run.status,
            took.map_or_else(String::new, |took| format!(", took {}", short(took)))
        );
        html!(
            "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"8\" height=\"{}\"><title>{}</title></rect>",
            class(run.status),
            at * WIDTH + 1,
            HEIGHT - height,
            height,
            label
        )
    };
    let bars: Html = runs.iter().rev().enumerate().map(bar).collect();
    let failed = runs.iter().filter(|run| run.status == Status::Failed).count();
    let summary = format!(
        "The last {} runs: the longest took {}, {failed} failed",
        runs.len(),
        short(longest)
    );
    let frame = format!("0 0 {} {HEIGHT}", runs.len().max(30) * WIDTH);
    html!(
        "<figure><figcaption>{}</figcaption><svg class=\"chart\" role=\"img\" aria-label=\"{}\" \
         viewBox=\"{}\" preserveAspectRatio=\"xMinYMax meet\">{}</svg></figure>",
        summary,
        summary,
        frame,
        bars
    )
}

fn duration(run: &Execution) -> Option<TimeDelta> {
    Some(run.finished_at? - run.started_at?)
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Success => "success",
        Status::Failed => "failed",
        Status::Running | Status::Dispatched | Status::Scheduled => "running",
        Status::Cancelled | Status::Skipped => "other",
    }
}
