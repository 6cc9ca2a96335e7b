//! Old history is pruned when nothing is more urgent, and no check misses it afterwards.

use std::time::Duration;

use chrono::TimeDelta;
use occurrences::{ClockHistory, Scope};
use polychron_producer::pruner::Pruner;
use shared::execution::Status;
use shared::outcome::Outcome;

use crate::table::{SOON, Table, config, every};

/// Runs what is due, minute by minute, for so many minutes.
async fn run(table: &Table, minutes: usize) {
    for _ in 0..minutes {
        table.after(60).await;
        loop {
            let claims = table.claim(99).await;
            if claims.is_empty() {
                break;
            }
            for claim in claims {
                table.finish(&claim, Outcome::Success(1.into())).await;
            }
            table.poll().await;
        }
    }
}

#[tokio::test]
async fn old_executions_are_pruned_within_the_hour_and_the_check_of_occurrences_passes() {
    let mut table = Table::new().await;
    let kept = Duration::from_secs(2 * 3600);
    let rules = shared::config::Config { keep: Some(kept), ..config() };
    let metrics = table.poller.metrics.clone();
    table.poller.pruner = Pruner::new(&rules, table.random.clone(), metrics.clone());
    table.add("job", every("1m"), |_| {}).await;
    run(&table, 4 * 60).await;
    let rows = table.executions().await;
    assert!((119..=181).contains(&rows.len()), "{} are left", rows.len());
    assert!(rows.iter().all(|row| row.status == Status::Success));
    let removed = 240 - rows.len();
    let shown = format!("polychron_pruned_total{{rows=\"execution\"}} {removed}\n");
    assert!(metrics.text().contains(&shown), "{}", metrics.text());
    let job = table.tenant.store.find_job("job").await.unwrap().unwrap();
    assert!(job.pruned_until.unwrap() < rows[1].scheduled_for, "the first may be the last success");

    assert_eq!(violations(&table).await, 0);
    // A row that disappears in any other way is reported as missing.
    let url = &table.tenant.tenant.database_url;
    testkit::execute(url, "UPDATE polychron_job SET pruned_until = NULL").await;
    assert!(violations(&table).await > 0);
}

/// The number of violations at all times.
async fn violations(table: &Table) -> usize {
    let scope = Scope {
        from: "2000-01-01T00:00:00Z".parse().unwrap(),
        to: None,
        now: table.now().time(),
        patience: TimeDelta::minutes(5),
        dispatch_patience: TimeDelta::minutes(5),
        clock: ClockHistory::Monotonic,
    };
    let (store, tenant) = (&table.tenant.store, &table.tenant.tenant);
    occurrences::check(store, tenant, &scope).await.unwrap().violations.len()
}

#[tokio::test]
async fn a_pass_prunes_all_jobs_in_steps_and_then_pauses() {
    let table = Table::new().await;
    let rules = shared::config::Config { keep: Some(Duration::from_secs(3600)), ..config() };
    let pruner = Pruner::new(&rules, table.random.clone(), table.poller.metrics.clone());
    for n in 0..8 {
        table.add(&format!("job {n}"), every("1m"), |_| {}).await;
    }
    run(&table, 15).await;
    assert_eq!(table.executions().await.len(), 8 * 15);
    table.manual.advance(Duration::from_secs(3 * 3600));
    pruner.step(&table.tenant, table.now()).await.unwrap(); // sets the time of the first pass
    table.manual.advance(Duration::from_secs(3600));
    let mut steps = 0;
    while let Some(wait) = pruner.step(&table.tenant, table.now()).await.unwrap() {
        table.manual.advance(wait);
        steps += 1;
        assert!(steps < 100, "a pass has no end");
    }
    // The newest ten of each job stay, and the last success before them.
    assert_eq!(table.executions().await.len(), 8 * 11);
    assert!(steps >= 8, "a batch of one job is a step");
    table.manual.advance(Duration::from_secs(600));
    assert_eq!(pruner.step(&table.tenant, table.now()).await.unwrap(), None, "it rests");
}

#[tokio::test]
async fn history_is_pruned_although_jobs_keep_coming_due() {
    let mut table = Table::new().await;
    let rules = shared::config::Config { keep: Some(Duration::from_secs(1800)), ..config() };
    let metrics = table.poller.metrics.clone();
    table.poller.pruner = Pruner::new(&rules, table.random.clone(), metrics);
    for n in 0..10 {
        table.add(&format!("job {n}"), every("1m"), |_| {}).await;
    }
    let began = table.now();
    // The first pass and each later one start after an hour, and an execution is kept for an hour.
    for _ in 0..200 {
        table.manual.advance(Duration::from_secs(60));
        let polled = table.poll_once(None).await;
        assert_eq!(polled.wait, SOON, "more jobs are gathered");
        for claim in table.claim(99).await {
            table.finish(&claim, Outcome::Success(1.into())).await;
        }
    }
    let oldest = table.executions().await[0].scheduled_for;
    assert!(oldest - began > TimeDelta::minutes(10), "{oldest} is still there");
}

#[tokio::test]
async fn two_producers_can_prune_at_the_same_time() {
    let mut table = Table::new().await;
    let rules = shared::config::Config { keep: Some(Duration::from_secs(3600)), ..config() };
    let metrics = table.poller.metrics.clone();
    table.poller.pruner = Pruner::new(&rules, table.random.clone(), metrics.clone());
    table.add("job", every("1m"), |_| {}).await;
    run(&table, 30).await;
    table.manual.advance(Duration::from_secs(4 * 3600));
    let other = Pruner::new(&rules, table.random.clone(), metrics.clone());
    for _ in 0..2 {
        let now = table.now();
        let both = tokio::join!(
            table.poller.pruner.step(&table.tenant, now),
            other.step(&table.tenant, now)
        );
        both.0.unwrap();
        both.1.unwrap();
        table.manual.advance(Duration::from_secs(3600));
    }
    assert_eq!(table.executions().await.len(), 11);
    assert!(metrics.text().contains("polychron_pruned_total{rows=\"execution\"} 19\n"));
}
