//! The landing page's facts: whether everything is on time, and what needs attention.

use chrono::TimeDelta;
use serde::Serialize;
use shared::clock::Time;
use shared::store::Worker;
use shared::tenant::TenantStatus;

use crate::fleet::{FleetCache, HOURS, OutcomeCounts, TenantSnapshot, TenantStats, hour_of};
use operations::check::consumers;
use operations::check::tenants::Needs;
use operations::finding::{Finding, Level};
use operations::format::counted;

/// How late the engine may be before that is a finding.
const PATIENCE: TimeDelta = TimeDelta::seconds(15);
/// How many findings are named one by one.
const FINDINGS_MAX: usize = 50;

/// All tenants together, as far as the fleet cache knows them.
#[derive(Serialize)]
pub(crate) struct Overview {
    /// How long the most overdue job has been due, in seconds.
    pub(crate) behind_seconds: f64,
    /// The latest start of a scheduled occurrence within the last hour, in seconds.
    pub(crate) worst_start_seconds: Option<f64>,
    /// Jobs due and not dispatched.
    pub(crate) due: i64,
    /// Occurrences that wait for their turn.
    pub(crate) waiting: i64,
    /// Executions that wait for a consumer.
    pub(crate) dispatched: i64,
    pub(crate) running: i64,
    /// The slots of all live consumers.
    pub(crate) slots: i32,
    /// Executions that failed within the hours that `hours` shows.
    pub(crate) failed: u32,
    pub(crate) tenants: usize,
    /// How many of them have no snapshot yet.
    pub(crate) unvisited: usize,
    /// The age of the oldest snapshot, in seconds.
    pub(crate) oldest_seconds: u64,
    pub(crate) hours: Vec<Hour>,
    /// What needs attention, at most 50; empty if all is on time.
    pub(crate) findings: Vec<Finding>,
    /// How many more there are.
    pub(crate) more_findings: usize,
    /// How many of all findings are problems; the others are warnings.
    pub(crate) problems: usize,
}

/// What ended in one hour.
#[derive(Serialize)]
pub(crate) struct Hour {
    pub(crate) begins: Time,
    #[serde(flatten)]
    pub(crate) counts: OutcomeCounts,
}

/// Sums up the tenants that `may_see` lets through.
pub(crate) fn overview(
    fleet: &FleetCache,
    workers: &[Worker],
    now: Time,
    may_see: impl Fn(&str) -> bool,
) -> Overview {
    fleet.read(|snapshots| {
        let snapshots: Vec<&TenantSnapshot> =
            snapshots.values().filter(|snapshot| may_see(&snapshot.tenant.slug)).collect();
        let active =
            || snapshots.iter().filter(|snapshot| snapshot.tenant.status == TenantStatus::Active);
        let seconds = |delta: TimeDelta| delta.as_seconds_f64();
        let hours = hours(&snapshots, now);
        let mut findings = findings(&snapshots, workers, now);
        let more_findings = findings.len().saturating_sub(FINDINGS_MAX);
        let is_problem = |finding: &&Finding| finding.level == Level::Problem;
        let problems = findings.iter().filter(is_problem).count();
        findings.truncate(FINDINGS_MAX);
        let stats = || snapshots.iter().map(|snapshot| &snapshot.stats);
        let ages = || snapshots.iter().filter_map(|snapshot| fleet.age(snapshot));
        Overview {
            behind_seconds: active()
                .filter_map(|snapshot| snapshot.stats.behind)
                .max()
                .map_or(0.0, seconds),
            worst_start_seconds: stats().filter_map(|stats| stats.worst_start).max().map(seconds),
            due: active().map(|snapshot| snapshot.stats.due).sum(),
            waiting: stats().map(|stats| stats.waiting).sum(),
            dispatched: stats().map(|stats| stats.dispatched).sum(),
            running: stats().map(|stats| stats.running).sum(),
            slots: workers.iter().map(|worker| worker.slots).sum(),
            failed: hours.iter().map(|hour| hour.counts.failed).sum(),
            tenants: snapshots.len(),
            unvisited: snapshots.iter().filter(|snapshot| fleet.age(snapshot).is_none()).count(),
            oldest_seconds: ages().map(|age| age.as_secs()).max().unwrap_or(0),
            hours,
            findings,
            more_findings,
            problems,
        }
    })
}

/// The sum of each of the last hours. With many tenants this is most of the work for the page, so the
/// sums are an array.
fn hours(snapshots: &[&TenantSnapshot], now: Time) -> Vec<Hour> {
    let first = hour_of(now) - HOURS + 1;
    let mut sums = [OutcomeCounts::default(); HOURS as usize];
    for (hour, counts) in snapshots.iter().flat_map(|snapshot| &snapshot.stats.hours) {
        let at = usize::try_from(hour - first).ok();
        let Some(sum) = at.and_then(|at| sums.get_mut(at)) else { continue };
        sum.success += counts.success;
        sum.failed += counts.failed;
        sum.other += counts.other;
    }
    let hour = |(number, counts): (i64, &OutcomeCounts)| {
        let begins = Time::from_timestamp(number * 3600, 0)?;
        Some(Hour { begins, counts: *counts })
    };
    (first..).zip(&sums).filter_map(hour).collect()
}

fn findings(snapshots: &[&TenantSnapshot], workers: &[Worker], now: Time) -> Vec<Finding> {
    let mut needs = Needs::default();
    let mut findings = Vec::new();
    for snapshot in snapshots {
        let slug = &snapshot.tenant.slug;
        let subject = format!("tenant {slug}");
        if let Some(problem) = &snapshot.problem {
            let remedy = "`polychron check` says what to do about it";
            findings.push(Finding::problem(subject, problem, remedy));
            continue;
        }
        for job in &snapshot.stats.quarantined {
            let finding = format!("job {} is quarantined: {}", job.name, job.quarantined_reason);
            let remedy = format!("correct its schedule: `polychron job edit {slug} {}`", job.name);
            findings.push(Finding::problem(subject.clone(), finding, remedy));
        }
        findings.extend(failures(slug, &snapshot.stats, now));
        if snapshot.tenant.status == TenantStatus::Suspended {
            continue;
        }
        if let Some(behind) = snapshot.stats.behind.filter(|behind| *behind > PATIENCE) {
            let finding = format!("a job has been due for {} s", behind.num_seconds());
            let remedy = "see whether `polychron-producer` runs, and whether its queue is full";
            findings.push(Finding::problem(subject, finding, remedy));
        }
        for job in &snapshot.stats.jobs {
            let wanted = (job.job_type.clone(), job.queue.clone());
            needs.types.entry(wanted).or_default().insert(slug.clone());
        }
    }
    let consumers = consumers::compare(workers, &needs);
    findings.extend(consumers.into_iter().filter(|finding| finding.level != Level::Ok));
    findings.sort_by_key(|finding| finding.level != Level::Problem);
    findings
}

/// Failures do not delay anything, so they are a warning.
fn failures(slug: &str, stats: &TenantStats, now: Time) -> Option<Finding> {
    let lately = [hour_of(now) - 1, hour_of(now)].map(|hour| stats.hours.get(&hour));
    let sum = |count: fn(&OutcomeCounts) -> u32| {
        lately.iter().flatten().map(|counts| count(counts)).sum::<u32>()
    };
    let (failed, success) = (sum(|counts| counts.failed), sum(|counts| counts.success));
    let ended = counted((failed + success) as usize, "execution");
    let finding = format!("{failed} of {ended} failed in this hour or the last");
    let remedy = format!("see why: `polychron execution list {slug} --status failed`");
    (failed > 0).then(|| Finding::problem(format!("tenant {slug}"), finding, remedy).warning())
}
