//! *Now*: whether everything is on time, and what needs attention.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::TimeDelta;

use super::Answer;
use crate::AppState;
use crate::access::Visitor;
use crate::html::{Html, html};
use crate::overview::{Hour, Overview, overview};
use crate::page::{Page, prose, short};
use operations::finding::{Finding, Level};
use operations::format::counted;

/// The height of the chart and the width of one hour, in its own units.
const HEIGHT: u32 = 60;
const WIDTH: u32 = 20;

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    let now = state.now().await?;
    let workers = state.workers(now).await?;
    let overview = overview(&state.fleet, &workers, now.time(), |slug| visitor.may_see(slug));
    let body = html!(
        "{}{}{}{}<p class=\"note\">{}</p>",
        attention(&overview),
        numbers(&overview),
        strip(&overview.hours),
        findings(&overview),
        summary(&overview)
    );
    let live = Some("/events".to_owned());
    let page = Page { visitor: &visitor, title: "Now", trail: Vec::new(), live, body };
    Ok(page.into_response())
}

fn attention(overview: &Overview) -> Html {
    let warnings = overview.findings.len() + overview.more_findings - overview.problems;
    let things = |n: usize, one: &str, many: &str| match n {
        1 => one.to_owned(),
        n => format!("{n} {many}"),
    };
    let problems = things(overview.problems, "One thing needs", "things need");
    let noted = things(warnings, "one warning", "warnings");
    match (overview.tenants - overview.unvisited, overview.problems, warnings) {
        (0, ..) => html!(
            "<p class=\"verdict\">No tenant has been read yet. \
             Add one with <code>polychron tenant add</code>.</p>"
        ),
        (_, 0, 0) => html!("<p class=\"verdict good\">Everything is on time.</p>"),
        (_, 0, _) => html!(
            "<p class=\"verdict good\">Everything is on time, with <a href=\"#attention\">{}</a>.</p>",
            noted
        ),
        _ => {
            html!("<p class=\"verdict bad\"><a href=\"#attention\">{} attention.</a></p>", problems)
        }
    }
}

fn numbers(overview: &Overview) -> Html {
    let seconds = |seconds: f64| short(TimeDelta::milliseconds((seconds * 1000.0) as i64));
    let worst = overview.worst_start_seconds.map_or("–".to_owned(), seconds);
    let running = format!("{} of {}", overview.running, overview.slots);
    let number = |name: &str, value: &str, meaning: &str| {
        html!("<div title=\"{}\"><dt>{}</dt><dd>{}</dd></div>", meaning, name, value)
    };
    html!(
        "<dl class=\"numbers\">{}{}{}{}{}{}</dl>",
        number(
            "Behind",
            &seconds(overview.behind_seconds),
            "How long the most overdue job has been due"
        ),
        number("Latest start", &worst, "How late the latest start of the last hour was"),
        number("Due", &overview.due.to_string(), "Jobs that are due and not dispatched yet"),
        number(
            "Queued",
            &(overview.dispatched + overview.waiting).to_string(),
            "Executions that wait for a consumer or for their turn"
        ),
        number("Running", &running, "Running executions, of all slots of live consumers"),
        number(
            "Failed",
            &overview.failed.to_string(),
            "Executions that failed in the last 24 hours"
        )
    )
}

/// What ended in each of the last hours, as bars, with a text alternative.
fn strip(hours: &[Hour]) -> Html {
    let total = |hour: &Hour| hour.counts.success + hour.counts.failed + hour.counts.other;
    let most = hours.iter().map(total).max().unwrap_or_default().max(1);
    let height = |count: u32| u64::from(count) * u64::from(HEIGHT) / u64::from(most);
    let bar = |(at, hour): (usize, &Hour)| {
        let x = at as u64 * u64::from(WIDTH);
        let (good, bad, other) =
            (height(hour.counts.success), height(hour.counts.failed), height(hour.counts.other));
        // A single failure among thousands must stay visible.
        let bad = if hour.counts.failed > 0 { bad.max(3) } else { 0 };
        let rest = u64::from(HEIGHT).saturating_sub(good);
        let label = format!(
            "{}: {} success, {} failed, {} cancelled or skipped",
            hour.begins.format("%H:%M UTC"),
            hour.counts.success,
            hour.counts.failed,
            hour.counts.other
        );
        let rect = |class: &str, y: u64, height: u64| match height {
            0 => Html::default(),
            height => html!(
                "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"17\" height=\"{}\"/>",
                class,
                x + 1,
                y,
                height
            ),
        };
        html!(
            "<g><title>{}</title><rect class=\"ground\" x=\"{}\" y=\"0\" width=\"17\" height=\"60\"/>{}{}{}</g>",
            label,
            x + 1,
            rect("success", rest, good),
            rect("other", rest.saturating_sub(other), other),
            rect("failed", rest.saturating_sub(other + bad), bad)
        )
    };
    let ended: u32 = hours.iter().map(total).sum();
    let failed: u32 = hours.iter().map(|hour| hour.counts.failed).sum();
    let ended = counted(ended as usize, "execution");
    let summary = format!("The last 24 hours: {ended} ended, {failed} failed");
    let bars = hours.iter().enumerate().map(bar).collect::<Html>();
    html!(
        "<figure><figcaption>{}</figcaption><svg class=\"strip\" role=\"img\" aria-label=\"{}\" \
         viewBox=\"0 0 480 60\" preserveAspectRatio=\"none\">{}</svg></figure>",
        summary,
        summary,
        bars
    )
}

fn findings(overview: &Overview) -> Html {
    if overview.findings.is_empty() {
        return Html::default();
    }
    let more = (overview.more_findings > 0).then(|| {
        html!("<p>And {} more; <code>polychron check</code> lists all.</p>", overview.more_findings)
    });
    html!(
        "<section id=\"attention\"><h2>Needs attention</h2><ul class=\"findings\">{}</ul>{}</section>",
        overview.findings.iter().map(finding).collect::<Html>(),
        more
    )
}

pub(super) fn finding(finding: &Finding) -> Html {
    let class = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    };
    let subject = match finding.subject.strip_prefix("tenant ") {
        Some(slug) => html!("tenant <a href=\"/tenants/{}\">{}</a>", slug, slug),
        None => html!("{}", finding.subject),
    };
    let remedy = finding
        .remedy
        .as_deref()
        .map(|remedy| html!("<p class=\"remedy\">What to do: {}</p>", prose(remedy)));
    html!(
        "<li class=\"{}\"><strong>{}</strong> <span class=\"badge {}\">{}</span><p>{}</p>{}</li>",
        class,
        subject,
        class,
        class,
        prose(&finding.finding),
        remedy
    )
}

fn summary(overview: &Overview) -> Html {
    let unvisited = match overview.unvisited {
        0 => String::new(),
        n => format!("{n} of them were not visited yet since this page's server started. "),
    };
    html!(
        "These facts come from a walk through {} that never ends, at most ten databases a second \
         on servers; a file that has not changed is not opened. {}The oldest fact is {} old. \
         Each tenant's own pages ask its database at that moment.",
        counted(overview.tenants, "tenant"),
        unvisited,
        short(TimeDelta::seconds(overview.oldest_seconds as i64))
    )
}
