//! Reads one tenant's rows page by page and hands them to the checks.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::Value;
use shared::clock::Time;
use shared::execution::{Execution, Trigger};
use shared::id::JobId;
use shared::job::{Job, OverlapPolicy};
use shared::store::{Result, Store};
use shared::tenant::Tenant;

use crate::concurrency::{self, SPANS_MAX, Span};
use crate::coverage::Coverage;
use crate::{ClockHistory, Report, Scope, attempts};

/// Rows per page.
const PAGE: i64 = 1000;
/// Later than any planned time, and representable in both databases.
const FAR: &str = "2200-01-01T00:00:00Z";
/// How long after an edit of a tenant every producer is certain to apply it.
const EDIT_SEEN: TimeDelta = TimeDelta::seconds(60);

/// Checks one tenant, which may be running meanwhile: pages are read at different moments, so only
/// violations that are found twice are reported. Keeps the tenant's jobs in memory, without their
/// payloads, and the times of at most a million rows.
///
/// # Errors
/// If the database cannot be read.
pub async fn check(store: &Store, tenant: &Tenant, scope: &Scope) -> Result<Report> {
    let first = read_once(store, tenant, scope).await?;
    if first.violations.is_empty() {
        return Ok(first);
    }
    let mut second = read_once(store, tenant, scope).await?;
    second.violations.retain(|violation| first.violations.contains(violation));
    Ok(second)
}

async fn read_once(store: &Store, tenant: &Tenant, scope: &Scope) -> Result<Report> {
    let jobs = read_jobs(store).await?;
    let mut check = Check::new(tenant, jobs, *scope);
    let to = scope.to.unwrap_or_else(|| FAR.parse().unwrap_or(Time::MAX));
    let mut after = (JobId(0), scope.from, 0);
    loop {
        let page = store.read_history(after, (scope.from, to), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = (last.job_id, last.scheduled_for, last.attempt);
        page.into_iter().for_each(|row| check.row(row));
    }
    Ok(check.finish())
}

async fn read_jobs(store: &Store) -> Result<BTreeMap<JobId, Job>> {
    let mut jobs = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = store.list_jobs(&after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(jobs) };
        after.clone_from(&last.name);
        jobs.extend(page.into_iter().map(|job| (job.id, Job { payload: Value::Null, ..job })));
    }
}

/// A check of one tenant in progress.
struct Check<'a> {
    tenant: &'a Tenant,
    scope: Scope,
    jobs: BTreeMap<JobId, Job>,
    coverage: BTreeMap<JobId, Coverage>,
    report: Report,
    /// The attempts read so far of the current occurrence.
    attempts: Vec<Execution>,
    /// The runs read so far of the current job.
    runs: Vec<Span>,
    /// While which rows counted for the tenant's `max_running`.
    counted: Vec<Span>,
}

impl<'a> Check<'a> {
    fn new(tenant: &'a Tenant, jobs: BTreeMap<JobId, Job>, scope: Scope) -> Check<'a> {
        let of_job = |job: &Job| Some((job.id, Coverage::new(tenant.id, job, &scope)?));
        let coverage = match scope.clock {
            ClockHistory::Monotonic => jobs.values().filter_map(of_job).collect(),
            ClockHistory::SetBack => BTreeMap::new(),
        };
        let report = Report { jobs: jobs.len() as u64, ..Report::default() };
        let (attempts, runs, counted) = (Vec::new(), Vec::new(), Vec::new());
        Check { tenant, scope, jobs, coverage, report, attempts, runs, counted }
    }

    fn row(&mut self, row: Execution) {
        let before = self.attempts.last().map(|row| (row.job_id, row.scheduled_for));
        if before.is_some_and(|before| before != (row.job_id, row.scheduled_for)) {
            self.end_occurrence();
        }
        if before.is_some_and(|(job, _)| job != row.job_id) {
            self.end_job();
        }
        self.report.executions += 1;
        self.attempts.push(row);
    }

    fn end_occurrence(&mut self) {
        let rows = std::mem::take(&mut self.attempts);
        let Some(first) = rows.first() else { return };
        let job = self.jobs.get(&first.job_id);
        self.report.occurrences += first.stands_for.max(0).unsigned_abs() as u64;
        self.report.add(attempts::check(&rows, job, &self.scope));
        if let Some(coverage) = self.coverage.get_mut(&first.job_id) {
            self.report.add(coverage.add(first).into_iter().collect());
        }
        if let Some(job) = job
            && job.overlap_policy != OverlapPolicy::Allow
            && first.trigger == Trigger::Schedule
        {
            // An earlier definition may have allowed overlaps.
            let present = rows.iter().filter(|row| row.job_version == Some(job.version));
            self.runs.extend(present.filter_map(|row| Span::running(row, self.scope.now)));
        }
        let known_since = self.tenant.updated_at + EDIT_SEEN;
        for row in rows.iter().filter(|row| row.dispatched_at.is_some_and(|at| at > known_since)) {
            if self.tenant.max_running.is_some() && self.counted.len() < SPANS_MAX {
                self.counted.extend(Span::counted(row, self.scope.now));
            }
        }
    }

    fn end_job(&mut self) {
        let mut runs = std::mem::take(&mut self.runs);
        if self.scope.clock == ClockHistory::Monotonic {
            self.report.add(concurrency::overlap(&mut runs).into_iter().collect());
        }
    }

    fn finish(mut self) -> Report {
        self.end_occurrence();
        self.end_job();
        for (_, coverage) in std::mem::take(&mut self.coverage) {
            self.report.add(coverage.finish(&self.scope).into_iter().collect());
        }
        let is_monotonic = self.scope.clock == ClockHistory::Monotonic;
        if let Some(most) = self.tenant.max_running.filter(|_| is_monotonic) {
            let most = usize::try_from(most).unwrap_or_default();
            self.report.add(concurrency::over_limit(&mut self.counted, most).into_iter().collect());
        }
        self.report
    }
}
