//! What must hold after every fault.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use polychron_tests::{Record, System, TestTenant};
use shared::clock::{BootTime, Clock};
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use shared::id::{ExecutionId, JobId};
use testkit::eventually_within;

/// How long any recovery may take. The sweeper replaces a lost message after a minute, and if that is
/// lost, too, after two more.
const RECOVERY_LIMIT: Duration = Duration::from_secs(240);

/// One-off `record` jobs at every tenant.
pub(crate) async fn add_jobs(system: &System, count: usize, seconds: f64) {
    add_jobs_named(system, "job", count, seconds).await;
}

/// The same with another prefix of their names.
pub(crate) async fn add_jobs_named(system: &System, name: &str, count: usize, seconds: f64) {
    for tenant in &system.tenants {
        for n in 0..count {
            let job = system.record_job(&format!("{name}-{n}"), seconds);
            tenant.store.insert_job(&job).await.unwrap();
        }
    }
}

/// Waits until each of `count` jobs of each tenant has its one success, then checks that everything is
/// accounted for. Call it when the fault has ended: the time from here is reported as the recovery.
pub(crate) async fn all_succeed(system: &System, count: usize) {
    let recovery = Recovery::begins();
    for tenant in &system.tenants {
        succeed(tenant, count).await;
    }
    recovery.ends();
    is_accounted_for(system).await;
}

/// How long a recovery takes: from the end of the fault until everything that it delayed has ended.
pub(crate) struct Recovery(BootTime);

impl Recovery {
    /// Starts when the fault has ended, or what it broke is gone for good.
    pub(crate) fn begins() -> Recovery {
        Recovery(Clock::System.boot_time())
    }

    /// Ends, and reports how long it took in a line that `make chaos` collects.
    #[expect(clippy::print_stdout, reason = "`scripts/chaos` makes a table of these lines")]
    pub(crate) fn ends(self) {
        let took = (Clock::System.boot_time() - self.0).as_secs_f64();
        let thread = std::thread::current();
        println!("recovered\t{}\t{took:.1} s", thread.name().unwrap_or_default());
    }
}

pub(crate) async fn succeed(tenant: &TestTenant, count: usize) {
    eventually_within(RECOVERY_LIMIT, &format!("{count} successes at {}", tenant.slug), || async {
        let rows = tenant.try_executions().await?;
        let successes = rows.iter().filter(|row| row.status == Status::Success).count();
        (successes == count && rows.iter().all(|row| row.status.is_final())).then_some(())
    })
    .await;
}

/// The invariants that always hold: attempts without gaps, one success per occurrence, no handler
/// started twice for a row, every further start explained.
pub(crate) async fn is_accounted_for(system: &System) {
    are_accounted_for(&system.tenants, &system.records()).await;
}

/// The same for tenants whose handlers wrote these records.
pub(crate) async fn are_accounted_for(tenants: &[TestTenant], records: &[Record]) {
    let mut starts: BTreeMap<ExecutionId, usize> = BTreeMap::new();
    for record in records.iter().filter(|record| record.event == "start") {
        *starts.entry(record.execution).or_default() += 1;
    }
    let mut known = BTreeSet::new();
    for tenant in tenants {
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
        // Successes of `record` jobs must have recorded their start; other jobs record nothing.
        let is_record = row.job_name.as_ref().is_some_and(|name| name.starts_with("job-"));
        if is_record && row.status == Status::Success {
            assert_eq!(started, 1, "a success that never started: {row:#?}");
        }
    }
}
