//! Next times that a wrong clock or other time zone rules have made.

use std::time::Duration;

use chrono::TimeDelta;
use polychron_producer::sweeper::SweepScope;
use serde_json::json;
use shared::clock::Time;
use shared::execution::Status;
use shared::outcome::{Failure, Outcome};
use shared::store::{JobEdit, NewJob};
use testkit::execute;

use super::table::{Table, every, poll};

const TEN_YEARS: TimeDelta = TimeDelta::days(3650);

async fn next_run_at(table: &Table, job: &str) -> Option<Time> {
    table.tenant.store.find_job(job).await.unwrap().unwrap().next_run_at
}

fn time(text: &str) -> Option<Time> {
    Some(text.parse().unwrap())
}

/// The clock is ten years ahead for 25 s, while jobs are armed and dispatched.
async fn ten_years_ahead() -> Table {
    let table = Table::new().await;
    table.add("often", every("10s"), |_| ()).await;
    table.add("daily", json!({"cron": "0 9 * * *", "timezone": "Europe/London"}), |_| ()).await;
    table.manual.step_wall_time(TEN_YEARS);
    table.poll().await;
    table.add("new", every("1h"), |_| ()).await;
    table.after(25).await;
    let far: Time = "2036-01-01T00:00:00Z".parse().unwrap();
    for job in ["often", "daily", "new"] {
        assert!(next_run_at(&table, job).await.unwrap() > far, "{job}");
    }
    table.manual.step_wall_time(-TEN_YEARS);
    table
}

async fn assert_right(table: &Table) {
    assert_eq!(next_run_at(table, "often").await, time("2026-11-24T12:00:30Z"));
    assert_eq!(next_run_at(table, "daily").await, time("2026-11-25T09:00:00Z"));
    assert_eq!(next_run_at(table, "new").await, time("2026-11-24T13:00:00Z"));
}

#[tokio::test]
async fn jobs_run_again_after_the_clock_was_ten_years_ahead() {
    let table = ten_years_ahead().await;
    table.poll().await;
    assert_right(&table).await;
    // They do run: what the wrong time made does not stand in their way.
    for _ in 0..2 {
        for claim in table.claim(100).await {
            table.finish(&claim, Outcome::Success(json!(null))).await;
        }
        table.poll().await;
    }
    table.after(10).await;
    let rows = table.executions().await;
    let at = time("2026-11-24T12:00:30Z");
    let next = rows.iter().find(|row| Some(row.scheduled_for) == at);
    assert_eq!(next.map(|row| row.status), Some(Status::Dispatched), "{rows:#?}");
}

#[tokio::test]
async fn a_producer_that_has_not_seen_the_step_corrects_it_too() {
    let table = ten_years_ahead().await;
    let (another, _driver) = table.another_poller();
    for _ in 0..3 {
        poll(&another, &table.tenant, None, SweepScope::Overdue).await;
    }
    assert_right(&table).await;
}

#[tokio::test]
async fn a_step_back_of_an_hour_is_noticed_although_nothing_has_changed_in_the_file() {
    let table = Table::new().await;
    table.manual.step_wall_time(TimeDelta::hours(1));
    table.add("hourly", every("1h"), |_| ()).await;
    assert_eq!(next_run_at(&table, "hourly").await, time("2026-11-24T14:00:00Z"));
    let wants_poll = || table.poller.replanner.wants_poll(&table.tenant, table.clock.boot_time());
    table.manual.advance(Duration::from_secs(20));
    assert!(!wants_poll());
    table.manual.step_wall_time(-TimeDelta::hours(1));
    assert!(wants_poll());
    table.poll().await;
    assert!(!wants_poll());
    assert_eq!(next_run_at(&table, "hourly").await, time("2026-11-24T13:00:00Z"));
}

#[tokio::test]
async fn what_an_application_sets_is_respected() {
    let table = Table::new().await;
    table.add("often", every("10s"), |_| ()).await;
    table.after(25).await;
    for set in [
        // One of the schedule's own times, and one that is not.
        "UPDATE polychron_job SET next_run_at = '2026-12-01T09:00:00+00:00'",
        "UPDATE polychron_job SET next_run_at = '2036-12-01T09:00:03.5+00:00'",
    ] {
        execute(&table.tenant.tenant.database_url, set).await;
        let before = next_run_at(&table, "often").await;
        let (another, _driver) = table.another_poller();
        for _ in 0..3 {
            poll(&another, &table.tenant, None, SweepScope::Overdue).await;
        }
        // Even if the clock is set back then.
        table.manual.step_wall_time(-TimeDelta::hours(1));
        table.poll().await;
        assert_eq!(next_run_at(&table, "often").await, before, "{set}");
    }
}

#[tokio::test]
async fn a_retry_that_waits_for_a_wrong_time_is_released() {
    let table = Table::new().await;
    table
        .add("often", every("1h"), |job| {
            job.max_attempts = 3;
            job.retry_base_seconds = 60;
        })
        .await;
    table.manual.step_wall_time(TEN_YEARS);
    table.after(3600).await;
    let claims = table.claim(10).await;
    assert!(!claims.is_empty());
    for claim in &claims {
        let (message, detail, retry_after) = ("down".to_owned(), None, None);
        let failure = Failure { message, detail, retry: true, retry_after };
        table.finish(claim, Outcome::Failure(failure)).await;
    }
    table.manual.step_wall_time(-TEN_YEARS);
    table.poll().await;
    let rows = table.executions().await;
    let retries: Vec<_> = rows.iter().filter(|row| row.attempt == 2).collect();
    assert!(!retries.is_empty());
    assert!(retries.iter().all(|row| row.status == Status::Dispatched), "{retries:#?}");
}

#[tokio::test]
async fn more_jobs_than_one_page_are_examined() {
    let table = Table::new().await;
    table.manual.step_wall_time(TEN_YEARS);
    for n in 0..450 {
        let job = NewJob::new(&format!("job-{n}"), "noop", every("1h"));
        table.tenant.store.insert_job(&job).await.unwrap();
    }
    table.poll().await;
    table.manual.step_wall_time(-TEN_YEARS);
    table.poll().await;
    let jobs = table.tenant.store.list_jobs("", 1000).await.unwrap();
    let wrong = jobs.iter().filter(|job| job.next_run_at != time("2026-11-24T13:00:00Z"));
    assert_eq!(wrong.count(), 0);
}

#[tokio::test]
async fn an_edit_during_a_wrong_time_is_corrected_as_well() {
    let table = Table::new().await;
    table.add("edited", every("1h"), |_| ()).await;
    table.manual.step_wall_time(TEN_YEARS);
    let edit = JobEdit { schedule: Some(every("2h")), ..JobEdit::default() };
    let edited = table.tenant.store.edit_job("edited", None, &edit, table.now()).await.unwrap();
    assert!(edited.is_applied());
    table.poll().await;
    table.manual.step_wall_time(-TEN_YEARS);
    table.poll().await;
    assert_eq!(next_run_at(&table, "edited").await, time("2026-11-24T14:00:00Z"));
}
