use super::*;
use shared::id::{JobId, TenantId};
use shared::schedule::Spread;

fn at(text: &str) -> Time {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

/// A job that was due at `due`, which each test changes.
fn job(due: &str) -> DueJob {
    DueJob {
        id: JobId(1),
        name: "job".into(),
        job_type: "noop".into(),
        queue: "default".into(),
        version: 3,
        next_run_at: at(due),
        schedule: r#"{"every":"10m"}"#.into(),
        misfire_policy: MisfirePolicy::RunOnce,
        misfire_grace_seconds: 60,
        overlap_policy: OverlapPolicy::Skip,
        open: 0,
        waiting: 0,
        over_until: Time::UNIX_EPOCH,
    }
}

/// Plans a job, and formats each row as `time status stands_for kind`, followed by the next time.
#[track_caller]
fn check(job: &DueJob, now: &str, mut free: u32, expected: &[&str]) {
    let random = Random::seeded(1);
    let tenant = TenantId::new(at("00:00:00"), &random);
    let schedule = Schedule::read(&job.schedule, Spread::new(tenant, job.id)).unwrap();
    let before = free;
    let shown: Vec<String> = match plan(job, &schedule, at(now), &mut free, &random) {
        Plan::Hold => vec!["hold".into()],
        Plan::Go(advance, rows) => {
            assert_eq!(
                (advance.job, advance.version, advance.due_at),
                (job.id, 3, job.next_run_at)
            );
            let dispatched = rows.iter().filter(|row| row.status == Status::Dispatched).count();
            assert_eq!(before - free, dispatched as u32, "each dispatched row takes a place");
            let row = |row: &NewExecution| {
                let kind = row.error_kind.map(ErrorKind::as_str).unwrap_or_default();
                let time = row.scheduled_for.format("%H:%M:%S");
                format!("{time} {} {} {kind}", row.status, row.stands_for).trim_end().to_owned()
            };
            let next = advance
                .next_run_at
                .map_or("never".into(), |next| next.format("%H:%M:%S").to_string());
            rows.iter().map(row).chain([next]).collect()
        }
    };
    assert_eq!(shown, expected);
}

#[test]
fn in_time_it_runs_and_moves_on() {
    check(&job("12:00:00"), "12:00:00", 9, &["12:00:00 dispatched 1", "12:10:00"]);
    check(&job("12:00:00"), "12:01:00", 9, &["12:00:00 dispatched 1", "12:10:00"]);
}

#[test]
fn a_schedule_that_is_used_up_has_no_next_time() {
    let once = DueJob { schedule: r#"{"at":"2026-11-24T12:00:00Z"}"#.into(), ..job("12:00:00") };
    check(&once, "12:00:01", 9, &["12:00:00 dispatched 1", "never"]);
    check(&once, "13:00:00", 9, &["12:00:00 dispatched 1", "never"]);
    let skip = DueJob { misfire_policy: MisfirePolicy::Skip, ..once };
    check(&skip, "13:00:00", 9, &["12:00:00 skipped 1 misfire", "never"]);
}

#[test]
fn each_misfire_policy_accounts_for_every_missed_occurrence() {
    let policy = |misfire_policy| DueJob { misfire_policy, ..job("12:00:00") };
    check(&policy(MisfirePolicy::RunOnce), "13:05:00", 9, &["13:00:00 dispatched 7", "13:10:00"]);
    check(&policy(MisfirePolicy::Skip), "13:05:00", 9, &["13:00:00 skipped 7 misfire", "13:10:00"]);
    check(
        &policy(MisfirePolicy::RunAll),
        "12:25:00",
        9,
        &["12:00:00 dispatched 1", "12:10:00 scheduled 1", "12:20:00 scheduled 1", "12:30:00"],
    );
    let abreast = DueJob { overlap_policy: OverlapPolicy::Allow, ..policy(MisfirePolicy::RunAll) };
    check(&abreast, "12:15:00", 9, &["12:00:00 dispatched 1", "12:10:00 dispatched 1", "12:20:00"]);
}

#[test]
fn an_occurrence_within_its_grace_is_no_misfire() {
    // 13:00:00 is 30 s old, and overlaps with the run of the missed ones, which is open.
    check(
        &job("12:40:00"),
        "13:00:30",
        9,
        &["12:50:00 dispatched 2", "13:00:00 skipped 1 overlap", "13:10:00"],
    );
    let skip = DueJob { misfire_policy: MisfirePolicy::Skip, ..job("12:40:00") };
    check(
        &skip,
        "13:00:30",
        9,
        &["12:50:00 skipped 2 misfire", "13:00:00 dispatched 1", "13:10:00"],
    );
}

#[test]
fn run_all_has_a_limit_and_records_what_exceeds_it() {
    let seconds = DueJob {
        schedule: r#"{"every":"10s"}"#.into(),
        misfire_policy: MisfirePolicy::RunAll,
        misfire_grace_seconds: 1,
        ..job("00:00:00")
    };
    let random = Random::seeded(1);
    let tenant = TenantId::new(at("00:00:00"), &random);
    let schedule = Schedule::read(&seconds.schedule, Spread::new(tenant, seconds.id)).unwrap();
    let Plan::Go(_, rows) = plan(&seconds, &schedule, at("12:00:05"), &mut 9, &random) else {
        panic!("it is on record at once");
    };
    assert_eq!(rows.len(), 1 + RUN_ALL_MAX);
    assert_eq!(rows[0].status, Status::Skipped);
    assert_eq!(
        rows.iter().map(|row| row.stands_for).sum::<i32>(),
        12 * 360 + 1,
        "all are accounted for"
    );
    assert!(rows.windows(2).all(|pair| pair[0].scheduled_for < pair[1].scheduled_for));
}

#[test]
fn each_overlap_policy_decides_what_becomes_of_the_next() {
    let busy = |overlap_policy, waiting| DueJob {
        overlap_policy,
        open: 1 + waiting,
        waiting,
        ..job("12:00:00")
    };
    check(
        &busy(OverlapPolicy::Skip, 0),
        "12:00:01",
        9,
        &["12:00:00 skipped 1 overlap", "12:10:00"],
    );
    check(&busy(OverlapPolicy::Queue, 0), "12:00:01", 9, &["12:00:00 scheduled 1", "12:10:00"]);
    check(
        &busy(OverlapPolicy::Queue, 1),
        "12:00:01",
        9,
        &["12:00:00 skipped 1 overlap", "12:10:00"],
    );
    // The run before has ended, and the one that waited for it starts now.
    let next = DueJob { open: 1, ..busy(OverlapPolicy::Queue, 1) };
    check(&next, "12:00:01", 9, &["12:00:00 scheduled 1", "12:10:00"]);
    check(&busy(OverlapPolicy::Allow, 0), "12:00:01", 9, &["12:00:00 dispatched 1", "12:10:00"]);
}

#[test]
fn without_capacity_it_is_held_and_then_recorded() {
    check(&job("12:00:00"), "12:00:29", 0, &["hold"]);
    check(&job("12:00:00"), "12:00:30", 0, &["12:00:00 scheduled 1", "12:10:00"]);
    let hasty = DueJob { misfire_grace_seconds: 5, ..job("12:00:00") };
    check(&hasty, "12:00:01", 0, &["12:00:00 scheduled 1", "12:10:00"]);
}

#[test]
fn a_year_of_seconds_is_counted_without_being_enumerated() {
    let seconds = DueJob {
        schedule: r#"{"every":"1s"}"#.into(),
        next_run_at: "2025-11-24T12:00:00Z".parse().unwrap(),
        misfire_policy: MisfirePolicy::Skip,
        overlap_policy: OverlapPolicy::Allow,
        ..job("12:00:00")
    };
    let random = Random::seeded(1);
    let tenant = TenantId::new(at("00:00:00"), &random);
    let schedule = Schedule::read(&seconds.schedule, Spread::new(tenant, seconds.id)).unwrap();
    let Plan::Go(_, rows) = plan(&seconds, &schedule, at("12:00:00"), &mut 99, &random) else {
        panic!("it moves on");
    };
    assert_eq!(rows[0].stands_for, 365 * 86_400 - 60, "the last minute is within the grace");
}

#[test]
fn an_occurrence_that_has_a_row_is_over() {
    let stale = |until: &str| DueJob { over_until: at(until), ..job("12:00:00") };
    check(&stale("12:00:00"), "12:05:00", 9, &["12:10:00"]);
    check(&stale("12:00:00"), "12:10:00", 9, &["12:10:00 dispatched 1", "12:20:00"]);
    check(&stale("12:20:00"), "12:25:00", 9, &["12:30:00"]);
    check(&stale("12:00:00"), "12:35:00", 9, &["12:30:00 dispatched 3", "12:40:00"]);
    check(&stale("12:00:00"), "12:05:00", 0, &["12:10:00"]);
    let open = DueJob { open: 1, ..stale("12:00:00") };
    check(&open, "12:05:00", 9, &["12:10:00"]);
    check(&open, "12:10:30", 9, &["12:10:00 skipped 1 overlap", "12:20:00"]);
    let once = DueJob { schedule: r#"{"at":"2026-11-24T12:00:00Z"}"#.into(), ..stale("12:00:00") };
    check(&once, "12:00:01", 9, &["never"]);
}
