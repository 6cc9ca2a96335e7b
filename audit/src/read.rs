//! Reads one tenant's rows, a page at a time, and has everything looked at.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::Value;
use shared::clock::Time;
use shared::execution::{Execution, Trigger};
use shared::id::JobId;
use shared::job::{Job, OverlapPolicy};
use shared::store::{Result, Store};
use shared::tenant::Tenant;

use crate::account::Account;
use crate::attempts;
use crate::busy::{self, SPANS_MAX, Span};
use crate::{Report, Scope};

/// How many rows are read at once.
const PAGE: i64 = 1000;
/// Both databases know this time, and nothing is planned for after it.
const FAR: &str = "2200-01-01T00:00:00Z";
/// How long after an edit of a tenant all producers surely go by it.
const EDIT_SEEN: TimeDelta = TimeDelta::seconds(60);

/// Audits one tenant, while it is at work: what seems wrong is looked at a second time, since what
/// was read a moment later may only not have fitted what was read before. What it keeps in memory are its jobs, without their payloads, and the times
/// of a million rows at most.
///
/// # Errors
/// When the database cannot be read.
pub async fn audit(store: &Store, tenant: &Tenant, scope: &Scope) -> Result<Report> {
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
    let mut audit = Audit::new(tenant, jobs, *scope);
    let to = scope.to.unwrap_or_else(|| FAR.parse().unwrap_or(Time::MAX_UTC));
    let mut after = (JobId(0), scope.from, 0);
    loop {
        let page = store.read_history(after, (scope.from, to), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = (last.job_id, last.scheduled_for, last.attempt);
        page.into_iter().for_each(|row| audit.row(row));
    }
    Ok(audit.close())
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

/// The audit of one tenant under way.
struct Audit<'a> {
    tenant: &'a Tenant,
    scope: Scope,
    jobs: BTreeMap<JobId, Job>,
    accounts: BTreeMap<JobId, Account>,
    report: Report,
    /// The attempts at the occurrence that is being read.
    attempts: Vec<Execution>,
    /// The runs of the job that is being read.
    runs: Vec<Span>,
    places: Vec<Span>,
}

impl<'a> Audit<'a> {
    fn new(tenant: &'a Tenant, jobs: BTreeMap<JobId, Job>, scope: Scope) -> Audit<'a> {
        let account = |job: &Job| Some((job.id, Account::open(tenant.id, job, &scope)?));
        let accounts = match scope.steady_clock {
            true => jobs.values().filter_map(account).collect(),
            false => BTreeMap::new(),
        };
        let report = Report { jobs: jobs.len() as u64, ..Report::default() };
        let (attempts, runs, places) = (Vec::new(), Vec::new(), Vec::new());
        Audit { tenant, scope, jobs, accounts, report, attempts, runs, places }
    }

    fn row(&mut self, row: Execution) {
        let before = self.attempts.last().map(|row| (row.job_id, row.scheduled_for));
        if before.is_some_and(|before| before != (row.job_id, row.scheduled_for)) {
            self.occurrence_read();
        }
        if before.is_some_and(|(job, _)| job != row.job_id) {
            self.job_read();
        }
        self.report.executions += 1;
        self.attempts.push(row);
    }

    fn occurrence_read(&mut self) {
        let rows = std::mem::take(&mut self.attempts);
        let Some(first) = rows.first() else { return };
        let job = self.jobs.get(&first.job_id);
        self.report.occurrences += first.stands_for.max(0).unsigned_abs() as u64;
        self.report.add(attempts::check(&rows, job, &self.scope));
        if let Some(account) = self.accounts.get_mut(&first.job_id) {
            self.report.add(account.enter(first).into_iter().collect());
        }
        if let Some(job) = job
            && job.overlap_policy != OverlapPolicy::Allow
            && first.trigger == Trigger::Schedule
        {
            // What ran under an earlier definition may have been allowed to.
            let present = rows.iter().filter(|row| row.job_version == Some(job.version));
            self.runs.extend(present.filter_map(|row| Span::of_run(row, self.scope.now)));
        }
        let known_since = self.tenant.updated_at + EDIT_SEEN;
        for row in rows.iter().filter(|row| row.dispatched_at.is_some_and(|at| at > known_since)) {
            if self.tenant.max_running.is_some() && self.places.len() < SPANS_MAX {
                self.places.extend(Span::of_place(row, self.scope.now));
            }
        }
    }

    fn job_read(&mut self) {
        let mut runs = std::mem::take(&mut self.runs);
        if self.scope.steady_clock {
            self.report.add(busy::overlap(&mut runs).into_iter().collect());
        }
    }

    fn close(mut self) -> Report {
        self.occurrence_read();
        self.job_read();
        for (_, account) in std::mem::take(&mut self.accounts) {
            self.report.add(account.close(&self.scope).into_iter().collect());
        }
        if let Some(most) = self.tenant.max_running.filter(|_| self.scope.steady_clock) {
            let most = usize::try_from(most).unwrap_or_default();
            self.report.add(busy::crowd(&mut self.places, most).into_iter().collect());
        }
        self.report
    }
}
