//! What must hold after every fault, whatever it was.

use std::collections::{BTreeMap, BTreeSet};

use polychron_tests::{System, TestTenant};
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use shared::id::{ExecutionId, JobId};
use testkit::eventually;

/// One-off `record` jobs at every tenant.
pub(crate) async fn add_jobs(system: &System, count: usize, seconds: f64) {
    for tenant in &system.tenants {
        for n in 0..count {
            let job = system.record_job(&format!("job-{n}"), seconds);
            tenant.store.insert_job(&job).await.unwrap();
        }
    }
}

/// Waits until each of `count` jobs of each tenant has come to its one success, then sees that all
/// of it is accounted for.
pub(crate) async fn all_succeed(system: &System, count: usize) {
    for tenant in &system.tenants {
        succeed(tenant, count).await;
    }
    is_accounted_for(system).await;
}

async fn succeed(tenant: &TestTenant, count: usize) {
    eventually(&format!("{count} successes at {}", tenant.slug), || async {
        let rows = tenant.try_executions().await?;
        let successes = rows.iter().filter(|row| row.status == Status::Success).count();
        (successes == count && rows.iter().all(|row| row.status.is_final())).then_some(())
    })
    .await;
}

/// The invariants that hold whatever happened: attempts without holes, one success for an
/// occurrence, no handler started twice for a row, every further start explained.
pub(crate) async fn is_accounted_for(system: &System) {
    let mut starts: BTreeMap<ExecutionId, usize> = BTreeMap::new();
    for record in system.records().iter().filter(|record| record.event == "start") {
        *starts.entry(record.execution).or_default() += 1;
    }
    let mut known = BTreeSet::new();
    for tenant in &system.tenants {
        let mut occurrences: BTreeMap<(JobId, _), Vec<Execution>> = BTreeMap::new();
        for row in tenant.executions().await {
            known.insert(row.id);
            occurrences.entry((row.job_id, row.scheduled_for)).or_default().push(row);
        }
        for rows in occurrences.values_mut() {
            rows.sort_by_key(|row| row.attempt);
            check_occurrence(rows, &starts);
        }
    }
    let strangers: Vec<_> = starts.keys().filter(|id| !known.contains(id)).collect();
    assert!(strangers.is_empty(), "handlers ran for rows that nobody has: {strangers:?}");
}

fn check_occurrence(rows: &[Execution], starts: &BTreeMap<ExecutionId, usize>) {
    let attempts: Vec<i32> = rows.iter().map(|row| row.attempt).collect();
    assert_eq!(attempts, (1..=rows.len() as i32).collect::<Vec<_>>(), "no holes: {rows:#?}");
    let successes = rows.iter().filter(|row| row.status == Status::Success).count();
    assert!(successes <= 1, "one success at most: {rows:#?}");
    for pair in rows.windows(2) {
        let explained = match pair[1].trigger {
            Trigger::Rescue => {
                matches!(pair[0].error_kind, Some(ErrorKind::Lost | ErrorKind::Shutdown))
            }
            Trigger::Retry => pair[0].status == Status::Failed,
            Trigger::Schedule | Trigger::Manual => false,
        };
        assert!(explained, "the next attempt has its reason: {rows:#?}");
    }
    for row in rows {
        let started = starts.get(&row.id).copied().unwrap_or_default();
        assert!(started <= 1, "started {started} times: {row:#?}");
        // Only `record` jobs tell; their successes must have started.
        let is_record = row.job_name.as_ref().is_some_and(|name| name.starts_with("job-"));
        if is_record && row.status == Status::Success {
            assert_eq!(started, 1, "a success that never started: {row:#?}");
        }
    }
}
