//! Misfire and overlap policies in the hard cases: runs longer than their period, edits and pauses
//! meanwhile, `start` and `end`, clock changes.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use shared::clock::Time;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::job::{MisfirePolicy, OverlapPolicy};
use shared::outcome::Outcome;
use shared::store::{Advance, Claim, Dispatch, Dispatched, JobEdit, NewExecution};

use crate::table::{Table, every};

/// Advances the clock second by second; every run takes `takes` seconds. Returns each occurrence's
/// second, and the second at which it started, if it started.
async fn go_on(table: &Table, seconds: i64, takes: i64) -> Vec<(i64, Option<i64>)> {
    let begun = table.now();
    let mut running: Vec<(Time, Claim)> = Vec::new();
    for _ in 0..seconds {
        table.manual.advance(Duration::from_secs(1));
        let now = table.now();
        let over = |(until, _): &mut (Time, Claim)| *until <= now;
        for (_, claim) in running.extract_if(.., over) {
            table.finish(&claim, Outcome::Success(json!(null))).await;
        }
        table.poll().await;
        let claims = table.claim(9).await;
        running.extend(
            claims.into_iter().map(|claim| (now.time() + TimeDelta::seconds(takes), claim)),
        );
    }
    let second = |time: Time| (time - begun).num_seconds();
    let rows = table.executions().await;
    rows.iter().map(|row| (second(row.scheduled_for), row.started_at.map(second))).collect()
}

#[tokio::test]
async fn a_run_longer_than_its_period_meets_each_overlap_policy() {
    let run = |second| (second, Some(second));
    let skip = |second| (second, None);
    for (policy, expected) in [
        (
            OverlapPolicy::Skip,
            vec![
                run(10),
                skip(20),
                skip(30),
                run(40),
                skip(50),
                skip(60),
                run(70),
                skip(80),
                skip(90),
                run(100),
                skip(110),
                skip(120),
            ],
        ),
        (
            OverlapPolicy::Queue,
            vec![
                run(10),
                (20, Some(35)),
                skip(30),
                (40, Some(60)),
                skip(50),
                // One that waited starts in this second, so that another may wait.
                (60, Some(85)),
                skip(70),
                skip(80),
                (90, Some(110)),
                skip(100),
                // Waits for its turn.
                (110, None),
                skip(120),
            ],
        ),
        (OverlapPolicy::Allow, (1..=12).map(|n| run(10 * n)).collect()),
    ] {
        let table = Table::new().await;
        table.add("job", every("10s"), |job| job.overlap_policy = policy).await;
        assert_eq!(go_on(&table, 120, 25).await, expected, "{policy}");
    }
}

fn shown(rows: &[Execution]) -> Vec<String> {
    let row = |row: &Execution| {
        let time = row.scheduled_for.format("%m-%dT%H:%M");
        format!("{time} {} {}", row.status, row.stands_for)
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn a_resumed_job_counts_from_then_and_its_pause_is_no_misfire() {
    let table = Table::new().await;
    table.add("job", every("1h"), |job| job.misfire_policy = MisfirePolicy::RunAll).await;
    let url = &table.tenant.tenant.database_url;
    testkit::execute(url, "UPDATE polychron_job SET is_enabled = 0").await;
    table.after(86_400 + 600).await;
    testkit::execute(url, "UPDATE polychron_job SET is_enabled = 1").await;
    table.poll().await;
    assert!(table.executions().await.is_empty());
    // The same if no poll came between pause and resume.
    testkit::execute(url, "UPDATE polychron_job SET is_enabled = 0").await;
    table.manual.advance(Duration::from_secs(86_400));
    testkit::execute(url, "UPDATE polychron_job SET is_enabled = 1").await;
    table.poll().await;
    assert!(table.executions().await.is_empty());
    table.after(3000).await;
    assert_eq!(shown(&table.executions().await), ["11-26T13:00 dispatched 1"]);
}

#[tokio::test]
async fn a_dispatch_that_was_planned_under_an_old_schedule_has_no_effect() {
    let table = Table::new().await;
    table.add("job", every("1h"), |_| {}).await;
    table.manual.advance(Duration::from_secs(3600));
    let (store, now) = (&table.tenant.store, table.now());
    let summary = store.poll().await.unwrap();
    let queues = ["default".to_owned()];
    let due = store.read_due(now, now, &queues, 9).await.unwrap().remove(0);
    // The job is edited between the read and the dispatch.
    let edit = JobEdit { schedule: Some(every("20m")), ..JobEdit::default() };
    assert!(store.edit_job("job", None, &edit, now).await.unwrap().is_applied());
    let advance = Advance {
        job: due.id,
        version: due.version,
        due_at: due.next_run_at,
        next_run_at: Some((now + TimeDelta::hours(1)).time()),
    };
    let execution = NewExecution {
        id: ExecutionId::new(now.time(), &table.random),
        job: due.id,
        scheduled_for: due.next_run_at,
        status: Status::Dispatched,
        stands_for: 1,
        error_kind: None,
        error_message: None,
    };
    let dispatch =
        Dispatch { advances: vec![advance], executions: vec![execution], released: Vec::new() };
    let done = store.dispatch(&dispatch, summary.dispatch_no, now).await.unwrap();
    assert_eq!(done, Dispatched::Nothing);
    table.poll().await;
    assert!(table.executions().await.is_empty());
    table.after(1200).await;
    assert_eq!(shown(&table.executions().await), ["11-24T13:20 dispatched 1"]);
}

#[tokio::test]
async fn an_instant_that_was_dispatched_is_not_dispatched_again_when_its_job_is_resumed() {
    let table = Table::new().await;
    table.add("once", json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    table.after(10).await;
    let url = &table.tenant.tenant.database_url;
    testkit::execute(url, "UPDATE polychron_job SET is_enabled = 1").await;
    table.after(1).await;
    assert_eq!(shown(&table.executions().await), ["11-24T12:00 dispatched 1"]);
    assert_eq!(table.broker.take(9).len(), 1);
    let job = table.tenant.store.find_job("once").await.unwrap().unwrap();
    assert_eq!((job.is_enabled, job.next_run_at), (false, None), "it is used up again");
}

#[tokio::test]
async fn after_an_outage_only_occurrences_between_start_and_end_are_caught_up() {
    let bounded =
        json!({"every": "1h", "start": "2026-11-24T20:00:00Z", "end": "2026-11-24T22:00:00Z"});
    for (policy, expected) in [
        (
            MisfirePolicy::RunAll,
            &["11-24T20:00 dispatched 1", "11-24T21:00 scheduled 1", "11-24T22:00 scheduled 1"][..],
        ),
        (MisfirePolicy::RunOnce, &["11-24T22:00 dispatched 3"]),
        (MisfirePolicy::Skip, &["11-24T22:00 skipped 3"]),
    ] {
        let table = Table::new().await;
        table.add("job", bounded.clone(), |job| job.misfire_policy = policy).await;
        table.after(86_400).await;
        assert_eq!(shown(&table.executions().await), expected);
        let job = table.tenant.store.find_job("job").await.unwrap().unwrap();
        assert_eq!((job.is_enabled, job.next_run_at, job.version), (false, None, 1));
    }
}

#[tokio::test]
async fn after_an_outage_over_a_clock_change_each_local_time_is_caught_up() {
    let london =
        |cron: &str, fold: &str| json!({"cron": cron, "timezone": "Europe/London", "fold": fold});
    for (noon, schedule, expected) in [
        // Clocks go back at 01:00 UTC on 25 October.
        (
            "2026-10-24T12:00:00Z",
            london("30 1 * * *", "first"),
            &["10-25T00:30 dispatched 1", "10-26T01:30 dispatched 1"][..],
        ),
        (
            "2026-10-24T12:00:00Z",
            london("30 1 * * *", "both"),
            &["10-25T00:30 dispatched 1", "10-25T01:30 dispatched 1", "10-26T01:30 dispatched 1"],
        ),
        (
            "2026-10-24T12:00:00Z",
            london("0 */12 * * *", "first"),
            &["10-24T23:00 dispatched 1", "10-25T12:00 dispatched 1", "10-26T00:00 dispatched 1"],
        ),
        // Clocks go forward at 01:00 UTC on 29 March: 01:30 is 02:00 BST.
        (
            "2026-03-28T12:00:00Z",
            london("30 1 * * *", "first"),
            &["03-29T01:00 dispatched 1", "03-30T00:30 dispatched 1"],
        ),
        (
            "2026-03-28T12:00:00Z",
            london("0 0,12 * * *", "first"),
            &["03-29T00:00 dispatched 1", "03-29T11:00 dispatched 1", "03-29T23:00 dispatched 1"],
        ),
    ] {
        let table = Table::at(noon).await;
        let name = schedule.to_string();
        table
            .add(&name, schedule, |job| {
                job.misfire_policy = MisfirePolicy::RunAll;
                job.overlap_policy = OverlapPolicy::Allow;
            })
            .await;
        // Not quite two days.
        table.after(46 * 3600).await;
        let rows = table.executions().await;
        assert_eq!(shown(&rows), expected, "{name}");
        let accounted: i32 = rows.iter().map(|row| row.stands_for).sum();
        assert_eq!(accounted as usize, expected.len());
    }
}

#[tokio::test]
async fn a_stale_next_run_at_runs_nothing_twice_and_skips_nothing() {
    let table = Table::new().await;
    table.add("job", every("1h"), |_| {}).await;
    table.after(3600).await;
    let claims = table.claim(9).await;
    table.finish(&claims[0], Outcome::Success(json!(null))).await;
    let url = &table.tenant.tenant.database_url;
    let stale = "UPDATE polychron_job SET next_run_at = '2026-11-24T13:00:00.000000+00:00'";
    for minutes in [1, 58] {
        table.manual.advance(Duration::from_secs(60 * minutes));
        testkit::execute(url, stale).await;
        table.poll().await;
        assert_eq!(table.executions().await.len(), 1, "that occurrence is over");
    }
    // Just before the next one.
    testkit::execute(url, stale).await;
    table.after(60).await;
    let rows = table.executions().await;
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(rows.iter().all(|row| row.error_kind.is_none()), "{rows:#?}");
}
