//! What the landing page says: is everything on time, and if not, what needs attention.

use chrono::TimeDelta;
use serde::Serialize;
use shared::clock::Time;
use shared::store::Worker;
use shared::tenant::TenantStatus;

use crate::survey::{Ended, Facts, HOURS, Seen, Survey, hour_of};
use operations::check::consumers;
use operations::check::tenants::Needs;
use operations::finding::{Finding, Level};

/// How late the engine may be before that is odd.
const PATIENCE: TimeDelta = TimeDelta::seconds(15);
/// How many findings are named one by one.
const FINDINGS_MAX: usize = 50;

/// All tenants together, as far as the survey has come.
#[derive(Serialize)]
pub(crate) struct Overview {
    /// How long the job has been due that has waited longest, in seconds.
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
    /// Of all live consumers.
    pub(crate) slots: i32,
    /// Within the last hours that `hours` shows.
    pub(crate) failed: u32,
    pub(crate) tenants: usize,
    /// How many of them were not visited yet since this process started.
    pub(crate) unvisited: usize,
    /// How old the oldest of these facts is, in seconds.
    pub(crate) oldest_seconds: u64,
    pub(crate) hours: Vec<Hour>,
    /// What needs attention, at most 50; none of it: all is on time.
    pub(crate) findings: Vec<Finding>,
    /// How many more there are.
    pub(crate) more_findings: usize,
    /// How many of all are problems; the others are warnings, worth knowing, and do no harm.
    pub(crate) problems: usize,
}

/// What ended in one hour.
#[derive(Serialize)]
pub(crate) struct Hour {
    pub(crate) begins: Time,
    #[serde(flatten)]
    pub(crate) ended: Ended,
}

/// Sums up the tenants that `may_see` lets through.
pub(crate) fn overview(
    survey: &Survey,
    workers: &[Worker],
    now: Time,
    may_see: impl Fn(&str) -> bool,
) -> Overview {
    survey.read(|seen| {
        let seen: Vec<&Seen> = seen.values().filter(|seen| may_see(&seen.tenant.slug)).collect();
        let active = || seen.iter().filter(|seen| seen.tenant.status == TenantStatus::Active);
        let seconds = |delta: TimeDelta| delta.as_seconds_f64();
        let hours = hours(&seen, now);
        let mut findings = findings(&seen, workers, now);
        let more_findings = findings.len().saturating_sub(FINDINGS_MAX);
        let is_problem = |finding: &&Finding| finding.level == Level::Problem;
        let problems = findings.iter().filter(is_problem).count();
        findings.truncate(FINDINGS_MAX);
        let facts = || seen.iter().map(|seen| &seen.facts);
        let ages = || seen.iter().filter_map(|seen| survey.age(seen));
        Overview {
            behind_seconds: active()
                .filter_map(|seen| seen.facts.behind)
                .max()
                .map_or(0.0, seconds),
            worst_start_seconds: facts().filter_map(|facts| facts.worst_start).max().map(seconds),
            due: active().map(|seen| seen.facts.due).sum(),
            waiting: facts().map(|facts| facts.waiting).sum(),
            dispatched: facts().map(|facts| facts.dispatched).sum(),
            running: facts().map(|facts| facts.running).sum(),
            slots: workers.iter().map(|worker| worker.slots).sum(),
            failed: hours.iter().map(|hour| hour.ended.failed).sum(),
            tenants: seen.len(),
            unvisited: seen.iter().filter(|seen| survey.age(seen).is_none()).count(),
            oldest_seconds: ages().map(|age| age.as_secs()).max().unwrap_or(0),
            hours,
            findings,
            more_findings,
            problems,
        }
    })
}

/// The sum of each of the last hours. With many tenants this is most of the page's work, so that the
/// sums lie in a row.
fn hours(seen: &[&Seen], now: Time) -> Vec<Hour> {
    let first = hour_of(now) - HOURS + 1;
    let mut sums = [Ended::default(); HOURS as usize];
    for (hour, ended) in seen.iter().flat_map(|seen| &seen.facts.hours) {
        let at = usize::try_from(hour - first).ok();
        let Some(sum) = at.and_then(|at| sums.get_mut(at)) else { continue };
        sum.success += ended.success;
        sum.failed += ended.failed;
        sum.other += ended.other;
    }
    let hour = |(number, ended): (i64, &Ended)| {
        let begins = Time::from_timestamp(number * 3600, 0)?;
        Some(Hour { begins, ended: *ended })
    };
    (first..).zip(&sums).filter_map(hour).collect()
}

fn findings(seen: &[&Seen], workers: &[Worker], now: Time) -> Vec<Finding> {
    let mut needs = Needs::default();
    let mut findings = Vec::new();
    for seen in seen {
        let slug = &seen.tenant.slug;
        let subject = format!("tenant {slug}");
        if let Some(problem) = &seen.problem {
            let remedy = "`polychron check` says what to do about it";
            findings.push(Finding::problem(subject, problem, remedy));
            continue;
        }
        for job in &seen.facts.quarantined {
            let finding = format!("job {} is quarantined: {}", job.name, job.quarantined_reason);
            let remedy = format!("correct its schedule: `polychron job edit {slug} {}`", job.name);
            findings.push(Finding::problem(subject.clone(), finding, remedy));
        }
        findings.extend(failures(slug, &seen.facts, now));
        if seen.tenant.status == TenantStatus::Suspended {
            continue;
        }
        if let Some(behind) = seen.facts.behind.filter(|behind| *behind > PATIENCE) {
            let finding = format!("a job has been due for {} s", behind.num_seconds());
            let remedy = "see whether `polychron-producer` runs, and whether its queue is full";
            findings.push(Finding::problem(subject, finding, remedy));
        }
        for asked in &seen.facts.asked {
            let wanted = (asked.job_type.clone(), asked.queue.clone());
            needs.types.entry(wanted).or_default().insert(slug.clone());
        }
    }
    let consumers = consumers::compare(workers, &needs);
    findings.extend(consumers.into_iter().filter(|finding| finding.level != Level::Ok));
    findings.sort_by_key(|finding| finding.level != Level::Problem);
    findings
}

/// Failures do not delay anything, so they are a warning.
fn failures(slug: &str, facts: &Facts, now: Time) -> Option<Finding> {
    let lately = [hour_of(now) - 1, hour_of(now)].map(|hour| facts.hours.get(&hour));
    let sum =
        |count: fn(&Ended) -> u32| lately.iter().flatten().map(|ended| count(ended)).sum::<u32>();
    let (failed, success) = (sum(|ended| ended.failed), sum(|ended| ended.success));
    let finding =
        format!("{failed} of {} executions failed in this hour or the last", failed + success);
    let remedy = format!("see why: `polychron execution list {slug} --status failed`");
    (failed > 0).then(|| Finding::problem(format!("tenant {slug}"), finding, remedy).warning())
}
