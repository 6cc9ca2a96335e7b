//! A day without any producer, over a thousand jobs: the rows are exactly what the policies say.
//!
//! The test computes the expected rows independently: it checks for every second of the day whether a
//! schedule includes it, and applies the policies to one occurrence at a time.

use polychron_producer::sweeper::SweepScope;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Datelike, FixedOffset, TimeDelta, Timelike, Weekday};
use serde_json::{Value, json};
use shared::clock::Time;
use shared::execution::{ErrorKind, Execution, Status};
use shared::id::JobId;
use shared::job::{Job, MisfirePolicy, OverlapPolicy};
use shared::outcome::Outcome;
use shared::schedule::ZoneRules;
use shared::store::{ClaimTerms, Finish, Worker};

use crate::table::{SOON, Table, WORKER, poll};

const JOBS: usize = 1000;
/// A day, and enough more that no one-off job is still held in its table.
const OUTAGE: Duration = Duration::from_secs(86_400 + 45);
const RUN_ALL_MAX: usize = 100;
const GRACES: [i32; 3] = [60, 5, 600];

/// Schedules, each with a predicate that tells whether a second is one of its times.
type Kind = (fn() -> Value, fn(Time) -> bool);
const KINDS: [Kind; 14] = [
    (|| json!({"every": "1s"}), |_| true),
    (|| json!({"every": "10s"}), |time| time.second() % 10 == 0),
    (|| json!({"every": "1m"}), |time| time.second() == 0),
    (|| json!({"every": "7m"}), |time| time.timestamp() % 420 == 0),
    (
        || json!({"every": "1h", "from": "2026-11-24T00:13:07Z"}),
        |time| time.minute() == 13 && time.second() == 7,
    ),
    (|| json!({"every": "1d"}), |time| time.num_seconds_from_midnight() == 0),
    (|| json!({"cron": "*/15 * * * *"}), |time| time.minute() % 15 == 0 && time.second() == 0),
    (
        || json!({"cron": "30 4 * * *", "timezone": "Europe/London"}),
        |time| clock(time, "Europe/London") == (4, 30, 0),
    ),
    (
        || json!({"cron": "0 9-17 * * MON-FRI", "timezone": "America/New_York"}),
        |time| {
            let (hour, minute, second) = clock(time, "America/New_York");
            let day = local(time, "America/New_York").weekday();
            (9..=17).contains(&hour)
                && (minute, second) == (0, 0)
                && !matches!(day, Weekday::Sat | Weekday::Sun)
        },
    ),
    (
        || json!({"cron": "0 0 25 11 *", "timezone": "Asia/Kolkata"}),
        |time| {
            let local = local(time, "Asia/Kolkata");
            clock(time, "Asia/Kolkata") == (0, 0, 0) && (local.day(), local.month()) == (25, 11)
        },
    ),
    (
        || json!({"cron": "*/20 15 3 * * *", "timezone": "Australia/Adelaide"}),
        |time| matches!(clock(time, "Australia/Adelaide"), (3, 15, 0 | 20 | 40)),
    ),
    (|| json!({"at": "2026-11-25T03:04:05Z"}), |time| time == at("2026-11-25T03:04:05Z")),
    (
        || json!({"every": "1m", "end": "2026-11-24T18:00:00Z"}),
        |time| time.second() == 0 && time <= at("2026-11-24T18:00:00Z"),
    ),
    (
        || json!({"cron": "0 * * * *", "start": "2026-11-25T06:00:00Z"}),
        |time| (time.minute(), time.second()) == (0, 0) && time >= at("2026-11-25T06:00:00Z"),
    ),
];

fn at(text: &str) -> Time {
    text.parse().unwrap()
}

fn local(time: Time, zone: &str) -> DateTime<FixedOffset> {
    let offset = ZoneRules::current().find(zone).unwrap().offset_at(time);
    time.with_timezone(&FixedOffset::east_opt(offset as i32).unwrap())
}

fn clock(time: Time, zone: &str) -> (u32, u32, u32) {
    let local = local(time, zone);
    (local.hour(), local.minute(), local.second())
}

/// An expected row: its occurrence, whether it runs or why it does not, and how many occurrences it
/// stands for.
type Row = (Time, Option<ErrorKind>, i32);

/// The rows that the policies require for `occurrences` (all since the job was armed) if the next poll
/// is at `now`.
fn expected(occurrences: &[Time], job: &Job, now: Time) -> Vec<Row> {
    let grace = TimeDelta::seconds(job.misfire_grace_seconds.into());
    let (missed, fresh): (Vec<Time>, Vec<Time>) =
        occurrences.iter().partition(|time| now - **time > grace);
    let mut rows: Vec<Row> = Vec::new();
    let mut runs = 0;
    if let Some(latest) = missed.last() {
        let all = missed.len() as i32;
        match job.misfire_policy {
            MisfirePolicy::RunOnce => {
                rows.push((*latest, None, all));
                runs = 1;
            }
            MisfirePolicy::Skip => rows.push((*latest, Some(ErrorKind::Misfire), all)),
            MisfirePolicy::RunAll => {
                let run_from = missed.len().saturating_sub(RUN_ALL_MAX);
                if run_from > 0 {
                    let dropped = (missed[run_from - 1], Some(ErrorKind::Misfire), run_from as i32);
                    rows.push(dropped);
                }
                rows.extend(missed[run_from..].iter().map(|time| (*time, None, 1)));
                runs = missed.len() - run_from;
            }
        }
    }
    // How many runs of a job may be recorded at once before later ones are skipped.
    let most = match job.overlap_policy {
        OverlapPolicy::Skip => 1,
        OverlapPolicy::Queue => 2,
        OverlapPolicy::Allow => usize::MAX,
    };
    let mut skipped: Option<Row> = None;
    for time in fresh {
        if runs < most {
            rows.push((time, None, 1));
            runs += 1;
        } else {
            let so_far = skipped.map_or(0, |(_, _, count)| count);
            skipped = Some((time, Some(ErrorKind::Overlap), so_far + 1));
        }
    }
    rows.extend(skipped);
    rows
}

async fn a_thousand_jobs(table: &Table) {
    for n in 0..JOBS {
        let (schedule, _) = KINDS[n % KINDS.len()];
        let mut job = shared::store::NewJob::new(&format!("job-{n:03}"), "noop", schedule());
        job.misfire_policy = MisfirePolicy::ALL[n / 14 % 3];
        job.overlap_policy = OverlapPolicy::ALL[n / 42 % 3];
        job.misfire_grace_seconds = GRACES[n / 126 % 3];
        if n % KINDS.len() == 0 {
            // If more than a hundred occurrences are in time, the planner may hold the latest.
            job.misfire_grace_seconds = job.misfire_grace_seconds.min(60);
        }
        table.tenant.store.insert_job(&job).await.unwrap();
    }
    table.poll().await;
}

async fn jobs(table: &Table) -> Vec<Job> {
    table.tenant.store.list_jobs("", JOBS as i64 + 1).await.unwrap()
}

/// Registers a worker with many slots, so that there is capacity for some jobs and not for others.
fn make_room(table: &Table) {
    let seen = table.now();
    table.poller.capacity.set_workers(&[Worker {
        name: WORKER.into(),
        host: "here".into(),
        pid: 1,
        version: "1".into(),
        queues: vec!["default".into()],
        job_types: vec!["noop".into()],
        slots: 2000,
        running: 0,
        started_at: seen.time(),
        seen_at: seen.time(),
        handlers: Vec::new(),
    }]);
}

/// Compares every job's rows with what its policies require. Returns how many rows run.
fn check(jobs: &[Job], rows: &[Execution], since: Time, now: Time) -> usize {
    let seconds: Vec<Time> = (1..)
        .map(|second| since + TimeDelta::seconds(second))
        .take_while(|time| *time <= now)
        .collect();
    let named = KINDS
        .map(|(_, names)| seconds.iter().copied().filter(|time| names(*time)).collect::<Vec<_>>());
    let next = KINDS.map(|(_, names)| next(names, now));
    let mut by_job: BTreeMap<JobId, Vec<&Execution>> = BTreeMap::new();
    rows.iter().for_each(|row| by_job.entry(row.job_id).or_default().push(row));
    let mut runs = 0;
    for (n, job) in jobs.iter().enumerate() {
        let found = by_job.remove(&job.id).unwrap_or_default();
        let occurrences = &named[n % KINDS.len()];
        let expected = expected(occurrences, job, now);
        let shown: Vec<Row> =
            found.iter().map(|row| (row.scheduled_for, row.error_kind, row.stands_for)).collect();
        let differs = (0..=shown.len()).find(|at| shown.get(*at) != expected.get(*at));
        assert!(
            shown == expected,
            "{job:#?}: row {differs:?} is {:?}, not {:?}",
            differs.and_then(|at| shown.get(at)),
            differs.and_then(|at| expected.get(at))
        );
        let accounted: i32 = shown.iter().map(|(_, _, count)| count).sum();
        assert_eq!(accounted as usize, occurrences.len(), "{job:#?}");
        assert!(
            found.iter().all(|row| (row.status == Status::Skipped) == row.error_kind.is_some())
        );
        runs += found.iter().filter(|row| row.status != Status::Skipped).count();
        match next[n % KINDS.len()] {
            Some(next) => assert_eq!((job.next_run_at, job.is_enabled), (Some(next), true)),
            None if job.schedule.get("cron").is_some() => assert!(job.is_enabled, "in a year"),
            None => assert_eq!((job.next_run_at, job.is_enabled), (None, false), "{job:#?}"),
        }
    }
    assert!(by_job.is_empty());
    runs
}

/// The first second within a day and a half after `now` that a schedule includes.
fn next(names: fn(Time) -> bool, now: Time) -> Option<Time> {
    (1..=36 * 3600).map(|second| now + TimeDelta::seconds(second)).find(|time| names(*time))
}

/// Acts as the consumers until nothing is open. Checks that runs of a job do not overlap unless its
/// policy allows it, and that its occurrences run in order.
async fn drain(table: &Table, jobs: &[Job]) {
    let exclusive: BTreeSet<JobId> = jobs
        .iter()
        .filter(|job| job.overlap_policy != OverlapPolicy::Allow)
        .map(|job| job.id)
        .collect();
    let terms = ClaimTerms {
        worker: WORKER.into(),
        queues: vec!["default".into()],
        lease: Duration::from_secs(60),
        default_timeout: Duration::from_secs(1800),
    };
    let mut last: BTreeMap<JobId, Time> = BTreeMap::new();
    loop {
        table.manual.advance(Duration::from_millis(50));
        table.poll().await;
        let ids: Vec<_> = table.broker.take(usize::MAX).iter().map(|it| it.execution).collect();
        if ids.is_empty() {
            return;
        }
        let (store, now) = (&table.tenant.store, table.now());
        let mut claims = store.claim(&ids, &terms, now).await.unwrap();
        claims.sort_by_key(|claim| (claim.job_id, claim.scheduled_for));
        let claimed: Vec<JobId> = claims.iter().map(|claim| claim.job_id).collect();
        let twice =
            claimed.windows(2).find(|pair| pair[0] == pair[1] && exclusive.contains(&pair[0]));
        assert_eq!(twice, None, "two runs at once");
        for claim in claims.iter().filter(|claim| exclusive.contains(&claim.job_id)) {
            let before = last.insert(claim.job_id, claim.scheduled_for);
            assert!(before.is_none_or(|before| before < claim.scheduled_for), "out of order");
        }
        let success = Outcome::Success(json!(null));
        let end = |claim: &shared::store::Claim| {
            Finish::of(&success, &claim.attempts(), (claim.id, WORKER), now, &table.random)
        };
        let ends: Vec<Finish> = claims.iter().map(end).collect();
        assert_eq!(store.finish(&ends, now).await.unwrap().len(), claims.len());
    }
}

#[tokio::test]
async fn after_a_day_without_producers_the_rows_are_what_each_policy_requires() {
    let table = Table::new().await;
    make_room(&table);
    a_thousand_jobs(&table).await;
    let since = table.now();
    table.manual.advance(OUTAGE);
    table.poll().await;
    let jobs = jobs(&table).await;
    let runs = check(&jobs, &table.executions().await, since.time(), table.now().time());
    assert!(runs > 10_000, "{runs}");
    // No new occurrence may become due between the runs.
    let pause = "UPDATE polychron_job SET is_enabled = 0";
    testkit::execute(&table.tenant.tenant.database_url, pause).await;
    drain(&table, &jobs).await;
    let counts = table.counts().await;
    assert_eq!(counts.get("success"), Some(&runs), "{counts:?}");
    assert_eq!(counts.len(), 2, "{counts:?}");
}

#[tokio::test]
async fn two_producers_that_catch_up_at_once_make_the_same_rows() {
    let table = Table::new().await;
    let (other, _driver) = table.another_poller();
    make_room(&table);
    a_thousand_jobs(&table).await;
    let since = table.now();
    table.manual.advance(OUTAGE);
    loop {
        let (one, two) = tokio::join!(
            poll(&table.poller, &table.tenant, None, SweepScope::Overdue),
            poll(&other, &table.tenant, None, SweepScope::Overdue)
        );
        let goes_on = |wait: Duration| wait.is_zero() || wait == SOON;
        if !goes_on(one.wait) && !goes_on(two.wait) {
            break;
        }
    }
    let jobs = jobs(&table).await;
    check(&jobs, &table.executions().await, since.time(), table.now().time());
}
