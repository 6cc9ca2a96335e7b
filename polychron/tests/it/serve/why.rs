//! `job explain --at`, and the page that answers the same question: each cause is named.

use chrono::{DurationRound as _, TimeDelta};
use shared::clock::{Clock, Time};
use testkit::execute;

use super::server::Server;
use crate::console::{BOTH, Backend, Console};

/// The last full hour but one.
fn planned() -> Time {
    let hour = TimeDelta::hours(1);
    Time::nearest(Clock::System.wall_time().duration_trunc(hour).unwrap()) - hour
}

/// A tenant with an hourly job whose schedule has counted for a week.
async fn with_job(backend: Backend) -> (Console, Job) {
    let console = Console::new(backend).await;
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &[]).succeeded();
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
    let job = Job { url };
    job.arm().await;
    (console, job)
}

struct Job {
    url: shared::database_url::DatabaseUrl,
}

impl Job {
    /// Plays the producer, a week ago.
    async fn arm(&self) {
        let (since, next) = (planned() - TimeDelta::days(7), planned());
        self.set(&format!(
            "created_at = '{0}', schedule_since = '{0}', next_run_at = '{1}'",
            text(since),
            text(next)
        ))
        .await;
    }

    async fn set(&self, what: &str) {
        execute(&self.url, &format!("UPDATE polychron_job SET {what} WHERE name = 'a'")).await;
    }
}

fn text(time: Time) -> String {
    time.format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Checks that the command, the API and the page explain a time with these texts.
#[track_caller]
fn says(console: &Console, server: &Server, at: &str, texts: &[&str]) {
    let explained = console.run(&["job", "explain", "acme", "a", "--at", at, "-o", "json"]);
    let explained = explained.succeeded().json().to_string();
    for text in texts {
        assert!(explained.contains(text), "`{text}` is missing: {explained}");
    }
    let api = server.get(&format!("/api/v1/tenants/acme/jobs/a/explain?at={at}")).ended(200);
    assert_eq!(api.value().to_string(), explained);
    server.get(&format!("/tenants/acme/job/why?name=a&at={at}")).ended(200).shows(texts);
}

#[tokio::test]
async fn who_paused_the_job_is_named_with_the_reason() {
    for backend in BOTH {
        let (console, job) = with_job(backend).await;
        let server = Server::start(&console);
        let at = planned().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        says(&console, &server, &at, &["no producer is alive", "polychron-consumer"]);

        console.run(&["tenant", "suspend", "acme", "--reason", "unpaid"]).succeeded();
        says(&console, &server, &at, &["suspended at ", "by cli:unknown", "unpaid"]);
        console.run(&["tenant", "resume", "acme"]).succeeded();

        console.run(&["job", "pause", "acme", "a", "--reason", "the printer"]).succeeded();
        let paused =
            ["not enabled: paused at ", "by cli:unknown", "the printer", "job resume acme a"];
        says(&console, &server, &at, &paused);
        console.run(&["job", "resume", "acme", "a"]).succeeded();
        says(
            &console,
            &server,
            &at,
            &["the job was resumed at ", "it had been paused at", "the printer"],
        );

        job.set("is_enabled = false").await;
        job.set("updated_at = '2026-11-20T12:00:00+00:00'").await;
        let explained = console.run(&["job", "explain", "acme", "a"]).succeeded().stdout;
        assert!(explained.contains("not enabled"), "{explained}");
    }
}

/// Also of a run that was late by less than its grace.
#[tokio::test]
async fn a_run_that_is_late_because_of_a_suspension_says_so() {
    for backend in BOTH {
        let (console, job) = with_job(backend).await;
        let server = Server::start(&console);
        let now = || Clock::System.wall_time().format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
        console.run(&["tenant", "suspend", "acme", "--reason", "unpaid"]).succeeded();
        let at = now();
        job.set(&format!(r#"schedule = '{{"at": "{at}"}}'"#)).await;
        job.arm().await;
        console.run(&["tenant", "resume", "acme", "--reason", "has paid"]).succeeded();
        let insert = format!(
            "INSERT INTO polychron_job_execution
                 (id, job_id, scheduled_for, trigger, status, dispatched_at, started_at, finished_at, payload)
             SELECT '01934b7e-0000-7000-8000-0000000000ff', id, '{at}', 'schedule', 'success', '{0}', '{0}', '{0}', '{{}}'
             FROM polychron_job",
            now()
        );
        execute(&job.url, &insert).await;
        let at = at.replace("+00:00", "Z");
        says(
            &console,
            &server,
            &at,
            &["success", "suspended at ", "unpaid", "resumed at ", "has paid"],
        );
    }
}

#[tokio::test]
async fn an_unreadable_replaced_or_ended_schedule_is_named() {
    for backend in BOTH {
        let (console, job) = with_job(backend).await;
        let server = Server::start(&console);
        let half_past = planned() + TimeDelta::minutes(30);
        let at = half_past.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        job.set(r#"schedule = '{"every": "30m"}'"#).await;
        job.arm().await;
        console
            .run(&["job", "edit", "acme", "a", "--every", "1h", "--reason", "too often"])
            .succeeded();
        job.arm().await;
        says(&console, &server, &at, &["was a time of an earlier schedule", "30m", "too often"]);

        job.set(r#"schedule = '{"at": "2026-01-01T00:00:00Z"}'"#).await;
        job.set("schedule_since = '2025-12-01T00:00:00+00:00', next_run_at = '2026-01-01T00:00:00+00:00'").await;
        // The engine disables a job whose schedule is used up.
        job.set("is_enabled = false, next_run_at = NULL").await;
        says(&console, &server, "2026-02-01T00:10:00Z", &["used up", "2026-01-01"]);
        let explained = console.run(&["job", "explain", "acme", "a"]).succeeded().stdout;
        assert!(explained.contains("its schedule is used up"), "{explained}");
        let listed = console.run(&["job", "list", "acme"]).succeeded().stdout;
        assert!(listed.contains("used up") && !listed.contains("paused"), "{listed}");

        job.set(r#"schedule = '{"every": "soon"}', is_enabled = true"#).await;
        job.set("quarantined_reason = 'every: `soon` is no duration'").await;
        says(&console, &server, &at, &["quarantined", "is no duration", "job edit acme a"]);
    }
}

#[tokio::test]
async fn a_time_that_a_clock_change_skips_is_explained() {
    let (console, job) = with_job(BOTH[0]).await;
    let server = Server::start(&console);
    let schedule = r#"{"cron": "30 1 * * *", "timezone": "Europe/London"GAP}"#;
    // 01:30 in London did not exist on that day.
    let at = "2026-03-29T01:30:00Z";
    let skipping = schedule.replace("GAP", r#", "gap": "skip""#);
    job.set(&format!("schedule = '{skipping}'")).await;
    says(&console, &server, at, &["clocks in Europe/London skip 2026-03-29 01:30", "gap"]);
    job.set(&format!("schedule = '{}'", schedule.replace("GAP", ""))).await;
    says(
        &console,
        &server,
        at,
        &["2026-03-29T01:00:00Z is moved: clocks skip 2026-03-29 01:30:00"],
    );
}

#[tokio::test]
async fn the_page_lists_the_planned_times_with_what_became_of_each() {
    for backend in BOTH {
        let (console, _) = with_job(backend).await;
        let server = Server::start(&console);
        let page = server.get("/tenants/acme/job/why?name=a").ended(200);
        page.shows(&["Latest planned times", "nothing", "What decides whether it runs now"]);
        server
            .get("/tenants/acme/job/why?name=a&at=last+night")
            .ended(200)
            .shows(&["role=\"alert\"", "is not a time"]);
        server.get("/tenants/acme/job?name=a").ended(200).shows(&["Why did it not run?"]);
    }
}
